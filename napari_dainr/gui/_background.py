"""Writing files beside the event loop, with one sentence at the end."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

from napari_dainr.gui._scratch import ScratchFolders
from napari_dainr.gui._worker import Failed, as_failed_write

__all__ = ["write_in_background"]


def write_in_background(
    write: Callable[[], None], done: str, path: Path, tell: Callable[[str, str, str], None], scratch: ScratchFolders
) -> None:
    """Call ``write`` in a thread; ``tell(kind, sentence, details)`` then hears on the main thread how it went.

    While it writes, no scratch folder is taken away.
    """
    from napari.qt.threading import create_worker

    def work() -> Generator[None, None, Failed | None]:
        yield None
        try:
            write()
        except Exception as error:  # told by a value: an exception that is returned would be raised by the worker
            return as_failed_write(error, f"{path.name} was not written")
        return None

    def returned(outcome: Failed | None) -> None:
        scratch.copies -= 1
        if outcome is None:
            tell("info", f"{done}: {path.name}.", "")
        else:
            tell("error", outcome.message, outcome.details)

    scratch.copies += 1
    worker = create_worker(work, _start_thread=False)
    worker.returned.connect(returned)
    worker.start()
