"""From frames of k-space to the problem that every method solves: coils, maps, density, scale."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dainr.coils import FRAMES_AT_ONCE, adaptive_combine_maps, given_maps, project_coils, virtual_coils
from napari_dainr.data import BinnedKSpace
from napari_dainr.errors import InputError
from napari_dainr.methods.base import Problem
from napari_dainr.ops.nufft import make_nufft
from napari_dainr.paged import let_go, let_go_all, paged_empty, room
from napari_dainr.preparation.espirit import central_kspace, espirit_maps
from napari_dainr.trajectory import ramp_dcf

__all__ = ["make_problem"]


def make_problem(
    binned: BinnedKSpace,
    *,
    coils: int | None = None,
    device: torch.device | str = "cpu",
    backend: str = "auto",
    threads: int | None = None,
    coil_maps: str = "adaptive",
) -> Problem:
    """Compress coils, get their maps, and scale.

    Parameters
    ----------
    coils
        Virtual coils; None keeps 99 % of the energy and at least 12.
    coil_maps
        "adaptive" (adaptive combination) and "espirit" estimate maps from the time average of all spokes; "given"
        takes those of the file.

    Raises
    ------
    InputError
        If the coil images are empty, or maps are to be taken that are not there.
    """
    device = torch.device(device)
    if coil_maps == "given" and binned.csm is None:
        raise InputError(f"{binned.name}: it holds no coil maps; choose the coil maps adaptive or espirit.")
    basis, _ = virtual_coils(binned.kdata, coils)
    kdata = binned.kdata if basis is None else project_coils(binned.kdata, basis)
    n_frames, n_coils, n_spokes, n_readout = kdata.shape
    samples = n_spokes * n_readout

    average = _time_average(kdata, binned, device, backend, threads)
    if not bool(torch.isfinite(average).all()) or float(average.abs().max()) == 0:
        raise InputError(f"{binned.name}: the time-averaged coil images are empty; check the trajectory and its unit.")
    if coil_maps == "given" and binned.csm is not None:
        csm = torch.from_numpy(given_maps(binned.csm, basis, binned.matrix, binned.name)).to(device)
    elif coil_maps == "espirit":
        # The largest pixel as the unit: k-space of 1e-6 would underflow where it is squared.
        images = (average / average.abs().max()).cpu().numpy()
        csm = torch.from_numpy(espirit_maps(central_kspace(images), binned.matrix)[0]).to(device)
    else:
        csm = adaptive_combine_maps(average)

    dcf = torch.from_numpy(ramp_dcf(binned.ktraj, binned.matrix).reshape(n_frames, samples)).to(device)
    places = room((n_frames, samples, 2), np.float64)
    places[...] = binned.ktraj.reshape(places.shape)
    nufft = make_nufft(places, binned.matrix, device, backend, threads)
    let_go_all()
    inside = None if bool((dcf > 0).all()) else (dcf > 0).to(torch.float32)
    raw = Problem(torch.from_numpy(kdata.reshape(n_frames, n_coils, samples)).to(device), nufft, csm, dcf, 1.0, inside)
    unit = _unit(raw)
    if not unit > 0:
        raise InputError(f"{binned.name}: the NUFFT images are empty; check the trajectory and its unit.")
    scaled = paged_empty(raw.kdata)

    def scale(rows: slice) -> None:
        some = raw.kdata[rows]
        scaled[rows] = (some if inside is None else some * inside[rows, None]) / unit

    raw.in_blocks(scale, n_frames)
    return Problem(scaled, nufft, csm, dcf, unit, inside)


def _unit(raw: Problem) -> float:
    """The 99.9th percentile of the density-compensated images."""
    images = density_compensated(raw)
    sizes = torch.empty(images.shape)

    def size(rows: slice) -> None:
        sizes[rows] = images[rows].abs().cpu()

    raw.in_blocks(size, raw.n_frames)
    return float(np.percentile(sizes.numpy(), 99.9, overwrite_input=True))


def _time_average(
    kdata: NDArray[np.complex64], binned: BinnedKSpace, device: torch.device, backend: str, threads: int | None
) -> torch.Tensor:
    """Density-compensated adjoint of all spokes at once, (coil, y, x); some frames at a time, which are added up."""
    n_frames, n_coils, n_spokes, n_readout = kdata.shape
    weights = ramp_dcf(binned.ktraj.reshape(1, -1, n_readout, 2), binned.matrix).reshape(n_frames, 1, n_spokes, -1)
    average = torch.zeros(n_coils, *binned.matrix, dtype=torch.complex64, device=device)
    for first in range(0, n_frames, FRAMES_AT_ONCE):
        rows = slice(first, first + FRAMES_AT_ONCE)
        weighted = (kdata[rows] * weights[rows]).transpose(1, 0, 2, 3).reshape(1, n_coils, -1)
        nufft = make_nufft(binned.ktraj[rows].reshape(1, -1, 2), binned.matrix, device, backend, threads)
        average += nufft.adjoint(torch.from_numpy(np.ascontiguousarray(weighted)).to(device), [0])[0]
        let_go(kdata)
    return average


def density_compensated(problem: Problem) -> torch.Tensor:
    """Aᴴ W y: the density-compensated adjoint NUFFT of every frame, (frame, y, x)."""
    frames = list(range(problem.n_frames))
    return problem.adjoint_of(lambda rows: problem.kdata[rows] * problem.dcf[rows, None], frames)


def weighted_residual(problem: Problem, images: torch.Tensor) -> torch.Tensor:
    """Aᴴ W (y − A x): what the images (frame, y, x) leave of k-space, as images of the same shape."""
    frames = list(range(problem.n_frames))

    def left(rows: slice) -> torch.Tensor:
        return (problem.kdata[rows] - problem.forward_rows(images[rows], frames[rows])) * problem.dcf[rows, None]

    return problem.adjoint_of(left, frames)
