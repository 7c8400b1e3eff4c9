"""Many files, each in a child of its own, without the start of an interpreter for each.

``python -P worker.py`` is a server that has imported one reader. For each file it forks a child, which runs
:func:`napari_dainr.io.child.main` with the limits of the product and ends. :class:`Worker` is the parent's side and
takes the place of :func:`napari_dainr.io.child.run_child`.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

__all__ = ["Worker"]


class Worker:
    """A server for each reader, started when it is first needed, and what was seen of their children.

    Parameters
    ----------
    deaths, hangs : int
        Children that crashed, and children that were ended for taking too long.
    peak_bytes : int
        Resident memory of the last child at its largest, with that of the server which it was forked from.
    """

    def __init__(self) -> None:
        self._servers: dict[str, subprocess.Popen[bytes]] = {}
        self.deaths = 0
        self.hangs = 0
        self.peak_bytes = 0

    def run_child(self, arguments: list[str], limit_s: float) -> int:
        """As :func:`napari_dainr.io.child.run_child`."""
        reader = arguments[0]
        if reader not in self._servers:
            self._servers[reader] = self._start(reader)
        process = self._servers[reader]
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps([limit_s, arguments]).encode() + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, "the server of the children is gone"
        ended_s, code, self.peak_bytes = json.loads(answer)
        if ended_s is None:
            self.hangs += 1
            raise subprocess.TimeoutExpired("worker", limit_s)
        if code == -signal.SIGXCPU:
            self.hangs += 1
        elif code:
            self.deaths += 1
        return int(code)

    def _start(self, reader: str) -> subprocess.Popen[bytes]:
        root = Path(__file__).resolve().parents[2]
        return subprocess.Popen(
            [sys.executable, "-P", __file__, str(root), reader],
            env=dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", HDF5_PLUGIN_PATH="::"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """End the servers."""
        for process in self._servers.values():
            process.kill()
            process.communicate()
        self._servers.clear()


_PACKAGES = {"matlab": ("scipy.io",), "mrd2": ("mrd",), "seq": ("pypulseq",)}
"""Reader → what it imports only when it reads."""


def _serve() -> None:
    import gc
    import time
    from importlib import import_module

    root, reader = sys.argv[1:]
    sys.path.append(root)
    from napari_dainr.io import child

    for module in (child.READERS[reader], *_PACKAGES.get(reader, ())):
        import_module(module)
    if reader in ("ismrmrd", "hdf5_arrays"):
        _build_parsers()
    # What is frozen is not walked over, and so not copied, in each child.
    gc.collect()
    gc.freeze()
    jobs, answers = sys.stdin.buffer, os.dup(1)
    # What libraries print may quote a file; the parent listens to one line for each file.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in jobs:
        limit_s, arguments = json.loads(line)
        ends, held = os.pipe()
        start = time.monotonic()
        number = os.fork()
        if number == 0:
            _be_child(arguments, (jobs.fileno(), answers, ends))
        os.close(held)
        # The other end is the child's alone, so it closes when the child ends, however it ends.
        in_time = bool(select.select([ends], [], [], limit_s)[0])
        if not in_time:
            os.kill(number, signal.SIGKILL)
        ended_s = time.monotonic() - start if in_time else None
        _, status, usage = os.wait4(number, 0)
        os.close(ends)
        peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        os.write(answers, json.dumps([ended_s, os.waitstatus_to_exitcode(status), peak]).encode() + b"\n")


def _build_parsers() -> None:
    """The parser of ISMRMRD headers builds itself from its classes when it is first used, which takes a while."""
    from ismrmrd import xsd

    space = "<matrixSize><x>1</x><y>1</y><z>1</z></matrixSize><fieldOfView_mm><x>1</x><y>1</y><z>1</z></fieldOfView_mm>"
    xsd.CreateFromDocument(
        "<ismrmrdHeader xmlns='http://www.ismrm.org/ISMRMRD'><experimentalConditions><H1resonanceFrequency_Hz>1"
        f"</H1resonanceFrequency_Hz></experimentalConditions><encoding><encodedSpace>{space}</encodedSpace>"
        f"<reconSpace>{space}</reconSpace><encodingLimits/><trajectory>radial</trajectory></encoding></ismrmrdHeader>"
    )


def _be_child(arguments: list[str], not_mine: tuple[int, ...]) -> None:
    """What the product's child does; never returns."""
    from napari_dainr.io import child

    code = 1
    try:
        for number in not_mine:
            os.close(number)
        os.chdir(arguments[2])
        child.main(arguments)
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    _serve()
