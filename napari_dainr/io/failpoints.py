"""Moments at which a test can kill the process, to see that nothing is lost: ``NAPARI_DAINR_FAILPOINT``.

The variable holds the name of a moment, as ``replaced state.safetensors``, or ``*`` for any; with ``:3`` behind it the
third time that it comes. Without the variable nothing happens. docs/explanation/reliability.md lists the moments.
"""

from __future__ import annotations

import os
import signal

__all__ = ["VARIABLE", "reached"]

VARIABLE = "NAPARI_DAINR_FAILPOINT"
_passed = 0


def reached(moment: str) -> None:
    """Kill the process, as a power cut would, if this is the moment that was asked for."""
    global _passed
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    name, _, times = wanted.partition(":")
    if name not in ("*", moment):
        return
    _passed += 1
    if _passed == int(times or 1):
        if hasattr(signal, "SIGKILL"):
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(137)
