"""Pulseq sequences for tests: radial spokes by pypulseq's own writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["write"]


def write(
    path: Path,
    angles_deg: Any,
    samples: int,
    fov_m: float,
    oversampling: int = 2,
    partitions: int = 1,
    noise: int = 0,
    define_fov: bool = True,
) -> Path:
    """Spokes whose samples are 1/(oversampling · fov) apart and begin half a dwell time before the k-space edge.

    Sample i lies at (i + ½ − samples/2) steps. ``partitions`` repeats each spoke with other kz; ``noise`` readouts
    without gradients come first.
    """
    import pypulseq as pp

    system = pp.Opts(max_grad=40, grad_unit="mT/m", max_slew=150, slew_unit="T/m/s")
    seq = pp.Sequence(system)
    dk = 1 / (oversampling * fov_m)
    dwell = 10e-6
    flat = dwell * samples
    read = pp.make_trapezoid("x", flat_area=samples * dk, flat_time=flat, system=system)
    back = pp.make_trapezoid("x", area=-read.area / 2, system=system)
    adc = pp.make_adc(samples, duration=flat, delay=read.rise_time, system=system)
    rf = pp.make_block_pulse(0.2, duration=1e-3, system=system, use="excitation")
    for _ in range(noise):
        seq.add_block(adc)
    for angle in np.atleast_1d(angles_deg):
        for partition in range(partitions):
            seq.add_block(rf)
            if partitions > 1:
                seq.add_block(pp.make_trapezoid("z", area=(partition - partitions // 2) / 0.1 + 1e-3, system=system))
            seq.add_block(*pp.rotate(back, angle=np.deg2rad(angle), axis="z"))
            seq.add_block(*pp.rotate(read, adc, angle=np.deg2rad(angle), axis="z"))
    if define_fov:
        seq.set_definition("FOV", [fov_m, fov_m, 0.005])
    seq.write(str(path))
    return path
