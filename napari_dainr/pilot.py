"""How many steps a method makes before it has converged, seen on a small problem of the same data.

The middle of k-space alone is a series of fewer, larger pixels. Made so that the solver meets what it will meet in the
whole (the same undersampling, and the same noise on a pixel of the same contrast), it converges after nearly as many
iterations, at a hundredth of the cost. docs/adr/0011-forecast.md has how near.
"""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np

from napari_dainr.data import BinnedKSpace
from napari_dainr.errors import DainrError
from napari_dainr.methods.base import Method
from napari_dainr.methods.primal_dual import CONVERGENCE_STEPS
from napari_dainr.methods.problem import make_problem

__all__ = ["pilot_steps", "small_of"]

SIDE = 56
"""Longer side of the small problem's images, pixels."""
FRAMES = 40
"""Frames of the small problem at most; they are taken from the middle of the series."""
COILS = 4
LEAST_SPOKES = 3
RIM = 0.9
"""Of the radius of k-space: what lies farther out is noise to the solvers (methods/primal_dual.py, `noise_level`)."""
GROWTH = 0.15
"""Iterations grow with the side of the matrix to this power: fitted on docs/adr/0011-forecast.md's first table."""


def pilot_steps(method: Method, tolerance: float, most: int, binned: BinnedKSpace, stop: threading.Event) -> float:
    """Steps of the first stage of a method on all of the data, as far as a small problem can tell.

    Solvers look at their change every few steps, and the change goes up and down on its way; so whether it is below
    the tolerance at a look is in part chance. What is told is the mean over all sequences of looks.

    Parameters
    ----------
    method
        One that tells ``change`` among the losses of its steps, with a tolerance of 0, so that it goes on.
    tolerance
        The change below which the whole fit counts as converged.
    most
        Steps that the stage makes at most.

    Raises
    ------
    DainrError
        If it was stopped.
    """
    small = small_of(binned)
    growth = float(max(binned.matrix) / max(small.matrix)) ** GROWTH
    problem = make_problem(small, coils=COILS)
    state = method.start(problem)
    stage = method.stage(state)
    converged: dict[int, int] = {}
    for step in range(1, math.ceil(most / growth) + 1):
        if stop.is_set():
            raise DainrError("The forecast was stopped.")
        change = method.step(problem, state)["change"]
        if step >= CONVERGENCE_STEPS and float(change) < tolerance:
            converged.setdefault(step % CONVERGENCE_STEPS, step)
        if len(converged) == CONVERGENCE_STEPS or method.done(state) or method.stage(state) != stage:
            break
    looks = [min(float(most), growth * converged.get(look, most)) for look in range(CONVERGENCE_STEPS)]
    return sum(looks) / CONVERGENCE_STEPS


def small_of(binned: BinnedKSpace) -> BinnedKSpace:
    """The middle of k-space and of time, with fewer spokes for the smaller matrix.

    Pixels of the small matrix hold more signal by the ratio of the sides, so the noise has to grow as much. The noise
    that matters is the one that solvers measure on the rim of k-space and weigh their penalties by; so the rim of the
    small data is that of the whole, multiplied.
    """
    shrink = max(1.0, max(binned.matrix) / SIDE)
    matrix = (max(2, round(binned.matrix[0] / shrink)), max(2, round(binned.matrix[1] / shrink)))
    first = max(0, (binned.n_frames - FRAMES) // 2)
    frames = slice(first, first + FRAMES)
    fewest = min(LEAST_SPOKES, binned.spokes_per_frame)
    spokes = slice(0, max(fewest, round(binned.spokes_per_frame / shrink)))
    ktraj = binned.ktraj[frames, spokes]
    kdata = binned.kdata[frames, :, spokes]
    radius = np.linalg.norm(binned.ktraj[0] / np.asarray(binned.matrix), axis=-1).max(axis=0)
    middle = np.flatnonzero(radius <= radius.max() / shrink)
    cut = np.ascontiguousarray(kdata[..., middle])
    if shrink > 1:
        # As many of the outermost samples on either side as the small rim has; those beyond Nyquist are no noise.
        measured = np.flatnonzero(radius <= 0.5)
        n_rim = int((radius[middle] >= RIM * radius[middle].max()).sum() + 1) // 2
        cut[..., :n_rim] = shrink * kdata[..., measured[:n_rim]]
        cut[..., -n_rim:] = shrink * kdata[..., measured[-n_rim:]]
    return replace(
        binned,
        kdata=cut,
        ktraj=np.ascontiguousarray(ktraj[:, :, middle]),
        times_s=binned.times_s[frames],
        matrix=matrix,
        csm=None,
    )
