"""When each spoke was measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.importing.options import ImportOptions

__all__ = ["spoke_times"]


def spoke_times(
    acquired: Acquired, options: ImportOptions, detected: dict[str, str], assumed: dict[str, str]
) -> NDArray[np.float64]:
    """(spoke,) seconds from the first spoke.

    Time stamps are coarse beside a TR of a few milliseconds; where both agree to a tick, index times TR is the truer.
    """
    spokes, tick = acquired.kdata.shape[2], acquired.tick_s
    index = np.arange(spokes, dtype=np.float64)
    if options.tr_ms is not None:
        detected["times"] = f"TR {options.tr_ms:g} ms, as told"
        return index * options.tr_ms / 1e3
    elapsed, tr_s = acquired.times_s, acquired.tr_s
    stamped = elapsed is not None and spokes > 1 and bool((np.diff(elapsed) >= 0).all()) and float(elapsed[-1]) > 0
    if tr_s is not None and (
        not stamped or elapsed is None or np.abs(elapsed - index * tr_s).max() <= tick * 1.001 + 1e-9
    ):
        detected["times"] = f"TR {tr_s * 1e3:g} ms of the header"
        if stamped:
            detected["times"] += ", confirmed by the time stamps"
        elif spokes > 1:
            assumed["times"] = "no pauses; the file holds no usable time stamps"
        return index * tr_s
    if stamped and elapsed is not None:
        detected["times"] = "time stamps of the file" + (f", {tick * 1e3:g} ms ticks" if tick else "")
        if tr_s is not None:
            detected["times"] += f" (the header's TR {tr_s * 1e3:g} ms does not fit them)"
        return elapsed
    assumed["times"] = "5 ms per spoke; the file holds neither TR nor time stamps"
    return index * 0.005
