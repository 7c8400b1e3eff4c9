"""Spokes kept away from a fit, to see whether it still learns the object or already the noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from napari_dainr.methods.base import Problem
from napari_dainr.ops.nufft import Nufft, make_nufft
from napari_dainr.paged import paged_empty

__all__ = ["HeldOut", "hold_out"]

LEAST_SPOKES = 3
"""Spokes that a frame must have before one of them may be held out."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One spoke of some frames: ``kdata`` (n, coil, readout), ``weights`` (n, 1, readout), ``frames`` (n,)."""

    frames: Tensor
    kdata: Tensor
    weights: Tensor
    nufft: Nufft
    csm: Tensor

    def error(self, image: Tensor) -> float:
        """Density-weighted relative error √(Σ w |A x − y|² / Σ w |y|²) of (n, y, x) images of ``frames``."""
        rows = list(range(len(self.frames)))
        residual = self.nufft(image[:, None] * self.csm, rows) - self.kdata
        wrong = (self.weights * residual.abs() ** 2).sum()
        return float((wrong / (self.weights * self.kdata.abs() ** 2).sum()).sqrt())


def hold_out(
    problem: Problem, spokes_per_frame: int, fraction: float, threads: int | None = None
) -> tuple[Problem, HeldOut | None]:
    """Take a fraction of all spokes out of a problem, at most one of a frame, spread evenly over the frames.

    Which of a frame's spokes it is goes round by the golden section, so that the angles held out differ.

    Parameters
    ----------
    fraction
        Of all spokes; at least one spoke is held out, unless it is 0.

    Returns
    -------
    problem, held_out
        The problem without those spokes, and what they measured; None where the fraction is 0 or a frame has fewer
        than three spokes, and then the problem is the one that was given.
    """
    n_frames, n_coils, samples = problem.kdata.shape
    if fraction <= 0 or spokes_per_frame < LEAST_SPOKES:
        return problem, None
    n = int(np.clip(round(fraction * n_frames * spokes_per_frame), 1, n_frames))
    frames = (np.arange(n) * n_frames + n_frames // 2) // n
    spokes = np.floor(((np.arange(n) + 0.5) * (5**0.5 - 1) / 2 % 1) * spokes_per_frame).astype(int)
    readout = samples // spokes_per_frame
    columns = spokes[:, None] * readout + np.arange(readout)
    rows = torch.from_numpy(frames)
    at = torch.from_numpy(columns)

    inside = torch.ones(n_frames, samples) if problem.inside is None else problem.inside.cpu().clone()
    used = torch.gather(inside[rows], 1, at)
    inside[rows[:, None], at] = 0
    inside = inside.to(problem.device)
    # The spokes that are left weigh more, so that the density-weighted image of the frame keeps its intensity.
    dcf = problem.dcf.clone()
    dcf[rows] *= spokes_per_frame / (spokes_per_frame - 1)
    kdata = paged_empty(problem.kdata)

    def hide(rows: slice) -> None:
        kdata[rows] = problem.kdata[rows] * inside[rows, None]

    problem.in_blocks(hide, n_frames)
    kept = replace(problem, kdata=kdata, dcf=dcf, inside=inside)

    index = at[:, None].expand(-1, n_coils, -1).to(problem.device)
    taken = torch.gather(problem.kdata[rows], 2, index)
    weights = torch.gather(problem.dcf[rows], 1, at.to(problem.device)) * used.to(problem.device)
    ktraj = np.take_along_axis(problem.nufft.ktraj[frames], columns[..., None], axis=1)
    nufft = make_nufft(ktraj, problem.matrix, problem.device, problem.nufft.name, threads)
    return kept, HeldOut(rows, taken, weights[:, None], nufft, problem.csm)
