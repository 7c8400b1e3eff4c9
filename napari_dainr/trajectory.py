"""Radial trajectories: making them, weighing them, recognising them, and bringing them to cycles per field of view.

Everywhere in the program a trajectory has (ky, kx) as its last axis, in cycles per field of view of the
reconstruction; files use other units and orders, and :func:`to_cycles_per_fov` is the one place that converts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError

__all__ = [
    "GOLDEN_ANGLE_DEG",
    "UNITS",
    "Geometry",
    "angle_step",
    "fibonacci_numbers",
    "is_radial",
    "radial_ktraj",
    "ramp_dcf",
    "spoke_angles",
    "to_cycles_per_fov",
]

GOLDEN_ANGLE_DEG = 180.0 / ((1.0 + sqrt(5.0)) / 2.0)
"""180° over the golden ratio, 111.2461…°, in full precision: rounding it adds up over thousands of spokes."""


def radial_ktraj(
    n_spokes: int,
    n_readout: int,
    matrix: tuple[int, int],
    *,
    angle_deg: float = GOLDEN_ANGLE_DEG,
    first: float = 0.0,
    oversampling: float = 2.0,
    centre: float | None = None,
) -> NDArray[np.float32]:
    """Spokes through the k-space centre at a constant angle step.

    Parameters
    ----------
    n_spokes, n_readout
        Number of spokes, and of samples on each.
    matrix : (y, x)
        Pixels of the reconstruction. Pixels are square, so an oblong matrix has an oblong field of view, and the
        sample step counted in cycles per field of view is shorter along the short axis.
    angle_deg, first
        Angle step and angle of the first spoke, degrees; spoke angle 0 points along +kx, 90° along +ky.
    oversampling
        Field of view of the readout over the (longer) field of view of the reconstruction.
    centre
        Sample at the k-space centre, from 0; ``n_readout // 2`` by default, and it may lie between two samples.

    Returns
    -------
    (spoke, readout, 2) float32
        Last axis (ky, kx), cycles per field of view.
    """
    angle = np.deg2rad(first + np.arange(n_spokes, dtype=np.float64) * angle_deg)
    radius = (np.arange(n_readout) - (n_readout // 2 if centre is None else centre)) / oversampling
    shape = np.asarray(matrix, dtype=np.float64) / max(matrix)
    direction = np.stack([np.sin(angle), np.cos(angle)], axis=-1) * shape
    return (radius[None, :, None] * direction[:, None, :]).astype(np.float32)


def angle_step(scheme: str, n_spokes: int, *, tiny_number: int = 7, full_circle: bool = False) -> float:
    """Angle from one spoke to the next, degrees.

    Parameters
    ----------
    scheme
        "golden": 180°/τ (Winkelmann et al., IEEE TMI 26:68, 2007); "tiny-golden": 180°/(τ + N − 1) with
        N = ``tiny_number`` (Wundrak et al., MRM 75:2372, 2016); "uniform": 180°/``n_spokes``. τ is the golden ratio.
    full_circle
        Steps through 360° in place of 180°: the golden angle is then 360°/τ.

    Raises
    ------
    InputError
        If the scheme is not known.
    """
    golden_ratio = (1.0 + sqrt(5.0)) / 2.0
    parts = {"golden": golden_ratio, "tiny-golden": golden_ratio + tiny_number - 1, "uniform": float(n_spokes)}
    if scheme not in parts:
        raise InputError(f"{scheme!r} is no rule for spoke angles; the rules are: {', '.join(parts)}.")
    return (360.0 if full_circle else 180.0) / parts[scheme]


_SPOKES_AT_ONCE = 512


def _sample_metric(ends: NDArray[np.float64], matrix: tuple[int, int], n_readout: int) -> tuple[float, float]:
    """Weights (a, b) such that √(a·ky² + b·kx²) is a radius in samples; ``ends`` are both ends of spokes, (…, 2, 2).

    Samples are evenly spaced in 1/mm, so in cycles per field of view the step is elliptic where the field of view is
    oblong: a·sy² + b·sx² = 1 over all steps s, solved by least squares. Spokes of one direction cannot tell; then
    pixels are taken to be square.
    """
    step = (ends[..., -1, :] - ends[..., 0, :]).reshape(-1, 2) / (n_readout - 1)
    length2 = float(np.median((step**2).sum(axis=1)))
    if length2 == 0:
        raise InputError("the trajectory has no extent: first and last sample of a spoke are the same.")
    squares = step**2 / length2
    solution, _, rank, _ = np.linalg.lstsq(squares, np.ones(len(squares)), rcond=1e-3)
    if rank < 2 or solution.min() <= 1e-2 * solution.max():
        solution = 1.0 / np.asarray(matrix, dtype=np.float64) ** 2
        solution /= np.median(squares @ solution)
    return float(solution[0] / length2), float(solution[1] / length2)


def ramp_dcf(ktraj: NDArray[np.floating], matrix: tuple[int, int]) -> NDArray[np.float32]:
    """Analytic density compensation of radial frames: the k-space area that each sample stands for.

    A sample at radius r (in samples) of a frame of n spokes stands for r · Δk² · π/n; the sample nearest the centre,
    at r < ½, for the rest of the disc, (¼ + r²) · Δk² · π/n. With the 1/√(Ny·Nx) of the NUFFT this makes
    Aᴴ diag(dcf) A close to the identity for a fully sampled frame.

    Parameters
    ----------
    ktraj : (frame, spoke, readout, 2)
        Last axis (ky, kx), cycles per field of view.
    matrix : (y, x)
        Pixels; samples outside the square band of this matrix carry no information about it and weigh 0.

    Returns
    -------
    (frame, spoke, readout) float32
        Square cycles per field of view.
    """
    ends = np.asarray(ktraj[..., [0, -1], :], dtype=np.float64)
    a, b = _sample_metric(ends, matrix, ktraj.shape[-2])
    spokes = ktraj.reshape(-1, *ktraj.shape[2:])
    dcf = np.empty(spokes.shape[:-1], np.float32)
    for first in range(0, len(spokes), _SPOKES_AT_ONCE):
        rows = slice(first, first + _SPOKES_AT_ONCE)
        k = np.asarray(spokes[rows], dtype=np.float64)
        radius = np.sqrt(a * k[..., 0] ** 2 + b * k[..., 1] ** 2)
        weight = np.where(radius < 0.5, 0.25 + radius**2, radius) * (np.pi / ktraj.shape[1]) / sqrt(a * b)
        inside = (np.abs(k) <= 0.5 * np.asarray(matrix) * (1 + 1e-4) + 1e-6).all(axis=-1)
        dcf[rows] = np.where(inside, weight, 0.0)
    return dcf.reshape(ktraj.shape[:-1])


def spoke_angles(ktraj: NDArray[np.floating]) -> NDArray[np.float64]:
    """Direction of each spoke, degrees in [0, 360), from +kx towards +ky; (…, readout, 2) → (…)."""
    k = np.asarray(ktraj, dtype=np.float64)
    along = k[..., -1, :] - k[..., 0, :]
    return np.rad2deg(np.arctan2(along[..., 0], along[..., 1])) % 360.0


def is_radial(ktraj: NDArray[np.floating]) -> bool:
    """Whether every spoke is a straight line that passes within one and a half samples of the k-space centre.

    The allowance is for measured trajectories and gradient delays; ``ktraj`` is (…, readout, 2) in any unit.
    """
    k = np.asarray(ktraj, dtype=np.float64)
    if k.shape[-2] < 4 or not np.isfinite(k).all():
        return False
    k = k.reshape(-1, *k.shape[-2:])
    along = k[:, -1] - k[:, 0]
    length = np.hypot(along[:, 0], along[:, 1])
    if not (length > 0).all():
        return False
    unit = along / length[:, None]
    step = length / (k.shape[1] - 1)
    sideways = np.abs(k[..., 0] * unit[:, None, 1] - k[..., 1] * unit[:, None, 0]).max(axis=1)
    forward = np.diff((k * unit[:, None]).sum(axis=-1), axis=1)
    nearest = np.hypot(k[..., 0], k[..., 1]).min(axis=1)
    return bool((sideways < 1.5 * step).all() and (forward > 0).all() and (nearest < 1.5 * step).all())


def fibonacci_numbers(up_to: int) -> list[int]:
    """1, 2, 3, 5, 8, … up to and including ``up_to``: spokes per frame that fill the circle most evenly."""
    numbers, a, b = [], 1, 2
    while a <= up_to:
        numbers.append(a)
        a, b = b, a + b
    return numbers


@dataclass(frozen=True)
class Geometry:
    """What a raw data header says about encoding and reconstruction; (y, x) pairs, millimetres."""

    matrix: tuple[int, int]
    fov_mm: tuple[float, float]
    encoded_matrix: tuple[int, int]
    encoded_fov_mm: tuple[float, float]


UNITS = (
    "cycles per field of view",
    "cycles per encoded pixel",
    "cycles per pixel",
    "cycles per encoded field of view",
    "radians per pixel",
    "cycles per metre",
    "cycles per millimetre",
)
"""Units in which files store trajectories."""


def _unit_factors(geometry: Geometry) -> dict[str, float]:
    """Unit name → cycles per field of view in one of it, along the longer field of view."""
    # The longer field of view is the one that the readout was planned for.
    axis = int(np.argmax(geometry.fov_mm))
    n, fov = geometry.matrix[axis], geometry.fov_mm[axis]
    factors = (
        1.0,
        float(geometry.encoded_matrix[axis]),
        float(n),
        fov / geometry.encoded_fov_mm[axis],
        n / (2 * np.pi),
        fov / 1000.0,
        fov,
    )
    return dict(zip(UNITS, factors, strict=True))


def to_cycles_per_fov(
    ktraj: NDArray[np.floating], geometry: Geometry, unit: str | None = None
) -> tuple[NDArray[np.float32], str, str | None]:
    """Find out the unit of a radial trajectory and convert it.

    Two facts pin the unit down. The sample step is one over the encoded field of view (the readout's own), and the
    readout reaches the edge of the band of the reconstruction matrix. The known unit that fulfils both is taken; one
    that fulfils only one of them is taken with a word of doubt; none is an error, never a guess.

    Parameters
    ----------
    ktraj : (spoke, readout, 2)
        Last axis (ky, kx), unit unknown.
    geometry
        From the header of the same file.
    unit
        One of :data:`UNITS`, where it is known.

    Returns
    -------
    ktraj : (spoke, readout, 2) float32
        Cycles per field of view of the reconstruction.
    unit : str
        Name of the unit that was found.
    doubt : str or None
        Why the unit is an assumption rather than a finding.

    Raises
    ------
    InputError
        If no known unit fits.
    """
    k = np.asarray(ktraj, dtype=np.float64)
    if unit is not None:
        if unit not in UNITS:
            raise InputError(f"{unit!r} is no unit of a trajectory; the units are: {', '.join(UNITS)}.")
        return _converted(k, geometry, unit), unit, None
    along = np.linalg.norm(k[:, -1] - k[:, 0], axis=-1)
    # Steps counted per oblong field of view are shorter along its short side; the longest is the one to judge by.
    step = float(along.max()) / (k.shape[1] - 1)
    edge = float(np.linalg.norm(k, axis=-1).max())
    if step == 0:
        raise InputError("the trajectory has no extent: first and last sample of a spoke are the same.")
    axis = int(np.argmax(geometry.fov_mm))
    n, fov, fov_enc = geometry.matrix[axis], geometry.fov_mm[axis], geometry.encoded_fov_mm[axis]
    units = _unit_factors(geometry)
    by_step = {u: abs(np.log(f * step * fov_enc / fov)) for u, f in units.items()}
    by_edge = {u: abs(np.log(f * edge / (n / 2))) for u, f in units.items()}
    fits_step = [u for u, miss in by_step.items() if miss < 0.01]
    fits_edge = [u for u, miss in by_edge.items() if miss < 0.06]
    fits_both = [u for u in fits_step if u in fits_edge]
    doubt = None
    if fits_both:
        unit = min(fits_both, key=lambda u: by_step[u])
    elif fits_edge:
        unit = min(fits_edge, key=lambda u: by_edge[u])
        doubt = "it reaches the edge of the matrix, though the sample step does not match the encoded field of view"
    elif fits_step:
        unit = min(fits_step, key=lambda u: by_step[u])
        doubt = "the sample step matches the encoded field of view, though the readout does not end at the matrix edge"
    else:
        raise InputError(
            f"the trajectory reaches {edge:.4g} in steps of {step:.4g}, which fits no known unit for a matrix of "
            f"{n} and a field of view of {fov:g} mm; correct the header or the trajectory."
        )
    return _converted(k, geometry, unit), unit, doubt


def _converted(k: NDArray[np.float64], geometry: Geometry, unit: str) -> NDArray[np.float32]:
    factor = np.full(2, _unit_factors(geometry)[unit])
    if unit != "cycles per field of view":
        # One number per millimetre for both axes; an oblong field of view then counts fewer cycles on its short side.
        factor *= np.asarray(geometry.fov_mm) / max(geometry.fov_mm)
    return (k * factor).astype(np.float32)
