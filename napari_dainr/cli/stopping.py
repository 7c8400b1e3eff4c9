"""Ctrl-C and the system's request to end: a fit stops after the step in hand, and what there is is kept."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Stop", "stopping"]


@dataclass
class Stop:
    """``event`` is set when the run shall stop; ``exit_code`` is that of a process which the signal ended."""

    event: threading.Event = field(default_factory=threading.Event)
    exit_code: int = 130


@contextlib.contextmanager
def stopping() -> Iterator[Stop]:
    """While this lasts, SIGINT and SIGTERM set the event; a second one ends the program at once."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, _: object) -> None:
        stop.exit_code = 128 + number
        stop.event.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        print("napari-dainr: stopping after this step; once more to give up at once.", file=sys.stderr, flush=True)

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
