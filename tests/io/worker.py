"""Many damaged files through one child: the reader's own code under the same caps, without a start for each file.

``python -P worker.py`` is the loop; :class:`Worker` is the parent's side and takes the place of
:func:`napari_dainr.io.child.run_child`. After a death or a hang the next file gets a new process, as in the product.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["Worker"]

_FILES_EACH = 400
"""A new process after so many files, so that what a library leaks does not count against a file."""


class Worker:
    """One child at a time, started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._files = 0
        self.deaths = 0
        self.hangs = 0
        self.slowest_s = 0.0

    def run_child(self, arguments: list[str], limit_s: float) -> int:
        """As :func:`napari_dainr.io.child.run_child`."""
        if self._process is None or self._files >= _FILES_EACH:
            self.close()
            self._process, self._files = self._start(), 0
        self._files += 1
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        start = time.monotonic()
        process.stdin.write(json.dumps(arguments).encode() + b"\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            ready = waiting.select(limit_s)
        self.slowest_s = max(self.slowest_s, time.monotonic() - start)
        if not ready:
            self.hangs += 1
            self.close()
            raise subprocess.TimeoutExpired("worker", limit_s)
        if process.stdout.read(1) == b"+":
            return 0
        self.deaths += 1
        code = process.wait()
        self.close()
        return code or 1

    def _start(self) -> subprocess.Popen[bytes]:
        root = Path(__file__).resolve().parents[2]
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(root)],
            env=dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", HDF5_PLUGIN_PATH="::"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        assert process.stdout.read(1) == b"+", "the worker does not start"
        return process

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _loop() -> None:
    sys.path.append(sys.argv[1])
    from napari_dainr.io import child

    # What libraries print may quote a file; the parent listens to one byte for each file.
    said = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    child.limit(child.memory_cap(0))
    os.write(said, b"+")
    for line in sys.stdin:
        reader, path, folder, _, options = json.loads(line)
        child.answer(reader, Path(path), Path(folder), json.loads(options))
        os.write(said, b"+")


if __name__ == "__main__":
    _loop()
