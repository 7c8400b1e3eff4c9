"""MRD version 2 (a binary stream), the parent's side: what the child extracted, in the common form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_dainr.acquired import Acquired
from napari_dainr.importing import ImportOptions
from napari_dainr.io.cartesian import radial_of_lines
from napari_dainr.io.child import label, read_in_child
from napari_dainr.io.found import TICK_S
from napari_dainr.io.ismrmrd import acquired_of
from napari_dainr.optional import require

__all__ = ["read_mrd2"]

_TICKS_S = (TICK_S, 1e-3, 1e-9)
"""Units in which converters store time stamps: Siemens' ticks, milliseconds, nanoseconds."""


def read_mrd2(path: Path, options: ImportOptions | None = None, timeout_s: float | None = None) -> Acquired:
    """Read the acquisitions of a stream of MRD version 2, in a child process.

    Raises
    ------
    InputError
        If it is damaged or holds no acquisitions.
    ResourceError
        If the package mrd-python (extra ``mrd2``) is not installed.
    """
    path = Path(path)
    options = options or ImportOptions()
    require("mrd", extra="mrd2", purpose="Reading MRD version 2")
    arrays, facts = read_in_child(
        "mrd2",
        path,
        timeout_s,
        dataset=options.dataset,
        contrast=options.contrast,
        set_number=options.set_number,
    )
    acquired = _with_ticks(acquired_of(arrays, facts, label(path), "MRD version 2"))
    return radial_of_lines(acquired, options)


def _with_ticks(acquired: Acquired) -> Acquired:
    """Time stamps in the unit that fits the TR; the format does not fix one."""
    times, tr_s = acquired.times_s, acquired.tr_s
    if times is None or not times.any():
        return acquired
    steps = np.diff(times) / acquired.tick_s
    for tick in _TICKS_S:
        if tr_s is not None and abs(float(np.median(steps)) * tick - tr_s) <= tick * 1.001:
            return replace(acquired, times_s=times / acquired.tick_s * tick, tick_s=tick)
    said = f"taken to be in ticks of {TICK_S * 1e3:g} ms; the format does not say"
    return replace(acquired, assumed={**acquired.assumed, "time stamps": said})
