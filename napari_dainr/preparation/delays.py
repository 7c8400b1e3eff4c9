"""Gradient delays from the intersections of spokes (RING: Rosenzweig, Holme, Uecker, MRM 81:1898, 2019).

A delay of the gradients moves every spoke along and across itself: the sample that is planned at r·n, with n the
direction of the spoke, is measured at r·n + S n, where S = [[Sxx, Sxy], [Sxy, Syy]] is counted in samples. The shifts
of all directions lie on an ellipse. Two spokes cross at one place of k-space and must hold the same value there, in
every coil; where along the spokes that is depends on S. RING finds the crossing of each pair and then S by least
squares. Here S is found from all crossings at once, by least squares of the differences between the two values: first
on a coarse grid, then by Gauss–Newton steps, with pairs that never agree (motion) counting less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError

__all__ = ["Delays", "corrected_ktraj", "estimate_delays"]

_MOST_SPOKES = 256
_PARTNERS = 4
_LARGEST_SHIFT = 3.0
_GRID = 8
"""Steps per sample of the table for the coarse search."""
_STEPS = 30


@dataclass(frozen=True)
class Delays:
    """Shift S n of a spoke of direction n, in samples of the readout.

    Parameters
    ----------
    sxx, syy, sxy
        Entries of S; x along kx. Equal ``sxx`` and ``syy`` alone are a centre that lies elsewhere on the spokes.
    error
        Standard error of the entries, by the scatter of the crossings.
    mismatch_before, mismatch
        Relative difference of two spokes where they cross, without S and with it: the root of mean squares.
    pairs
        Crossings that were compared.
    """

    sxx: float
    syy: float
    sxy: float
    error: float
    mismatch_before: float
    mismatch: float
    pairs: int

    @property
    def matrix(self) -> NDArray[np.float64]:
        """S for vectors (y, x)."""
        return np.array([[self.syy, self.sxy], [self.sxy, self.sxx]])

    @property
    def clear(self) -> bool:
        """Whether the shifts stand out: larger than their error, and spokes agree far better with them."""
        beyond = self.largest > max(0.05, 4 * self.error)
        return beyond and self.mismatch < 0.5 and self.mismatch < 0.7 * self.mismatch_before

    @property
    def largest(self) -> float:
        """Largest shift of any spoke, samples."""
        return float(np.abs(np.linalg.eigvalsh(self.matrix)).max())

    def __str__(self) -> str:
        text = f"Sxx {self.sxx:.3f}, Syy {self.syy:.3f}, Sxy {self.sxy:.3f} (± {max(self.error, 0.0005):.3f}) samples"
        return text.replace("-", "−")


@dataclass(frozen=True, eq=False)
class _Spokes:
    """Spokes in units of samples: value(s, t) at t from the point nearest the centre, along the unit vector ``n``."""

    spectrum: NDArray[np.complex128]
    """(spoke, coil, x): inverse transform of each spoke, so that values between samples are exact."""
    x: NDArray[np.float64]
    centre: NDArray[np.float64]
    n: NDArray[np.float64]
    offset: NDArray[np.float64]

    def values(
        self, spokes: NDArray[np.intp], t: NDArray[np.float64], slopes: bool = False
    ) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
        """Values at ``t`` of each of the spokes, (len(t), coil), and their derivatives."""
        phase = -2j * np.pi * self.x
        waves = np.exp(phase * (t + self.centre[spokes])[:, None])
        chosen = self.spectrum[spokes]
        value = np.einsum("pcx,px->pc", chosen, waves, optimize=True)
        slope = np.einsum("pcx,px->pc", chosen, waves * phase, optimize=True) if slopes else value
        return value, slope

    def table(self, t: NDArray[np.float64]) -> NDArray[np.complex128]:
        """(spoke, t, coil)."""
        waves = np.exp(-2j * np.pi * self.x[:, None] * t)
        turned = self.spectrum * np.exp(-2j * np.pi * self.x * self.centre[:, None])[:, None, :]
        return np.moveaxis(turned @ waves, 1, 2)


def _spokes_of(
    kdata: NDArray[np.complex64], ktraj: NDArray[np.floating], fov_mm: tuple[float, float], most_coils: int = 6
) -> _Spokes:
    position = ktraj.astype(np.float64) / np.asarray(fov_mm)
    along = position[:, -1] - position[:, 0]
    length = np.linalg.norm(along, axis=1)
    n = (along / length[:, None]).astype(np.float64)
    readout = kdata.shape[-1]
    step = float(np.median(length)) / (readout - 1)
    first = position[:, 0] / step
    centre: NDArray[np.float64] = -(first * n).sum(axis=1)
    offset: NDArray[np.float64] = first + centre[:, None] * n
    data = kdata / np.abs(kdata).max()
    if len(data) > most_coils:
        # Virtual coils of the central region hold nearly all that the crossings tell.
        middle = int(np.clip(round(float(np.median(centre))), 0, readout - 1))
        near = data[:, :, max(0, middle - 8) : middle + 9].reshape(len(data), -1).astype(np.complex128)
        vectors = np.linalg.eigh(near @ near.conj().T)[1][:, ::-1][:, :most_coils].astype(np.complex64)
        data = np.tensordot(vectors.conj().T, data, axes=1)
    data = data.transpose(1, 0, 2).astype(np.complex128)
    x: NDArray[np.float64] = np.fft.fftfreq(readout).astype(np.float64)
    # value(t) = Σ_x spectrum(x) exp(−2πi x t), with the samples at whole t.
    return _Spokes(np.fft.ifft(data, axis=-1), x, centre, n, offset)


def _pairs(n: NDArray[np.float64]) -> NDArray[np.intp]:
    """(pair, 2): spokes that cross at 45° or more, near each other in time; a few partners for each."""
    spokes = len(n)
    base = np.unique(np.linspace(0, spokes - 1, min(spokes, _MOST_SPOKES)).round().astype(int))
    pairs = []
    for spoke in base:
        sine = np.abs(n[spoke, 0] * n[spoke + 1 :, 1] - n[spoke, 1] * n[spoke + 1 :, 0])
        steep = np.flatnonzero(sine > np.sqrt(0.5))[:_PARTNERS]
        pairs += [(spoke, spoke + 1 + int(other)) for other in steep]
    return np.asarray(pairs, dtype=np.intp).reshape(-1, 2)


def _crossings(
    n: NDArray[np.float64], offset: NDArray[np.float64], pairs: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where two spokes cross, (pair, 2) along each, and the derivatives (pair, 2, 3) by Sxx, Syy, Sxy."""
    n1, n2 = n[pairs[:, 0]], n[pairs[:, 1]]
    inverse = np.linalg.inv(np.stack([n1, -n2], axis=-1))
    apart = n2 - n1
    zero = np.zeros(len(pairs))
    # a₁n₁ − a₂n₂ = S(n₂ − n₁) + o₂ − o₁; columns of the derivative for vectors (y, x).
    columns = np.stack([np.stack([zero, apart[:, 1]], -1), np.stack([apart[:, 0], zero], -1), apart[:, ::-1]], axis=-1)
    start = offset[pairs[:, 1]] - offset[pairs[:, 0]]
    return np.einsum("pij,pj->pi", inverse, start), inverse @ columns


def estimate_delays(kdata: NDArray[np.complex64], ktraj: NDArray[np.floating], fov_mm: tuple[float, float]) -> Delays:
    """Find the shifts of the spokes from their crossings.

    Parameters
    ----------
    kdata : (coil, spoke, readout) complex64
    ktraj : (spoke, readout, 2)
        Last axis (ky, kx), cycles per field of view.
    fov_mm : (y, x)
        Field of view, millimetres, to tell angles in the patient.

    Raises
    ------
    InputError
        If no two spokes cross at 45° or more.
    """
    n = ktraj[:, -1].astype(np.float64) - ktraj[:, 0]
    n /= np.asarray(fov_mm)
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    pairs = _pairs(n)
    if len(pairs) < 6:
        raise InputError("too few spokes cross each other to find gradient delays; leave delays off.")
    used, pairs = np.unique(pairs, return_inverse=True)
    pairs = pairs.reshape(-1, 2)
    spokes = _spokes_of(kdata[:, used], ktraj[used], fov_mm)
    start, derivative = _crossings(spokes.n, spokes.offset, pairs)
    s = _coarse(spokes, pairs, start, derivative)
    weight = np.ones(len(pairs))
    for _ in range(_STEPS):
        residual, jacobian, energy = _differences(spokes, pairs, start + derivative @ s, derivative)
        size = (np.abs(residual) ** 2).sum(axis=1) / energy
        scale = float(np.median(size))
        weight = 1.0 / (1.0 + size / max(9.0 * scale, 1e-30)) / energy
        normal = np.einsum("p,pci,pcj->ij", weight, jacobian.conj(), jacobian, optimize=True).real
        right = np.einsum("p,pci,pc->i", weight, jacobian.conj(), residual, optimize=True).real
        # Samples of a damaged file can be such that no shift changes anything.
        if not np.isfinite(normal).all() or np.linalg.cond(normal) > 1e12:
            raise InputError("spokes do not tell gradient delays where they cross; leave delays off.")
        step = -np.linalg.solve(normal, right)
        s = s + np.clip(step, -0.5, 0.5)
        if np.abs(step).max() < 1e-6:
            break
    residual, jacobian, energy = _differences(spokes, pairs, start + derivative @ s, derivative)
    square = float((weight[:, None] * np.abs(residual) ** 2).sum())
    # Each crossing counts as one independent equation in every coil, real and imaginary.
    error = np.sqrt(max(float(np.diag(np.linalg.inv(normal)).max()), 0.0) * square / (2 * residual.size - 3))
    before, _, energy_before = _differences(spokes, pairs, start, derivative)
    return Delays(
        sxx=float(s[0]),
        syy=float(s[1]),
        sxy=float(s[2]),
        error=float(error),
        mismatch_before=_mismatch(before, energy_before),
        mismatch=_mismatch(residual, energy),
        pairs=len(pairs),
    )


def _mismatch(residual: NDArray[np.complex128], energy: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.median((np.abs(residual) ** 2).sum(axis=1) / energy)))


def _coarse(
    spokes: _Spokes,
    pairs: NDArray[np.intp],
    start: NDArray[np.float64],
    derivative: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The best S of a grid of half samples, by values looked up to an eighth of a sample."""
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), 150)).round().astype(int))
    reach = 3.0 * _LARGEST_SHIFT + float(np.abs(start).max())
    t = np.arange(-np.ceil(reach * _GRID), np.ceil(reach * _GRID) + 1) / _GRID
    table = spokes.table(t)
    first, second = pairs[chosen, 0], pairs[chosen, 1]
    best, found = np.inf, np.zeros(3)
    levels = np.arange(-_LARGEST_SHIFT, _LARGEST_SHIFT + 0.25, 0.5)
    crosswise = levels[np.abs(levels) <= _LARGEST_SHIFT / 2]
    for sxx in levels:
        for syy in levels:
            for sxy in crosswise:
                s = np.array([sxx, syy, sxy])
                at = start[chosen] + derivative[chosen] @ s
                index = np.clip(np.rint((at - t[0]) * _GRID).astype(int), 0, len(t) - 1)
                one, other = table[first, index[:, 0]], table[second, index[:, 1]]
                energy = (np.abs(one) ** 2 + np.abs(other) ** 2).sum(axis=1)
                # Normalised, so that no S wins by sending all crossings to where the spokes hold only noise.
                if one.shape[1] > 1:
                    other = _phase(one, other)[:, None] * other
                size = (np.abs(one - other) ** 2).sum(axis=1) / np.maximum(energy, 1e-30)
                cost = float(np.minimum(size, 1.0).mean())
                if cost < best - 1e-12:
                    best, found = cost, s
    return found


def _differences(
    spokes: _Spokes,
    pairs: NDArray[np.intp],
    at: NDArray[np.float64],
    derivative: NDArray[np.float64],
) -> tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.float64]]:
    """Differences (pair, coil) at the crossings, their derivatives (pair, coil, 3) by S, and the energy (pair,)."""
    one, slope_one = spokes.values(pairs[:, 0], at[:, 0], slopes=True)
    other, slope_other = spokes.values(pairs[:, 1], at[:, 1], slopes=True)
    energy = np.maximum((np.abs(one) ** 2 + np.abs(other) ** 2).sum(axis=1), 1e-300)
    jacobian = slope_one[..., None] * derivative[:, None, 0]
    if one.shape[1] == 1:
        return one - other, jacobian - slope_other[..., None] * derivative[:, None, 1], energy
    # Where coils tell enough, each pair may differ by one phase, as by eddy currents and off-resonance.
    turn = _phase(one, other)[:, None]
    other, slope_other = turn * other, turn * slope_other
    jacobian = jacobian - slope_other[..., None] * derivative[:, None, 1]
    residual = one - other
    free = 1j * other / np.sqrt(np.maximum((np.abs(other) ** 2).sum(axis=1, keepdims=True), 1e-300))
    residual = residual - free * np.einsum("pc,pc->p", free.conj(), residual).real[:, None]
    jacobian = jacobian - free[..., None] * np.einsum("pc,pci->pi", free.conj(), jacobian).real[:, None]
    return residual, jacobian, energy


def _phase(one: NDArray[np.complex128], other: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """The phase by which ``other`` agrees best with ``one``, as a factor; one for each row of coils."""
    product = (one * other.conj()).sum(axis=-1)
    size = np.abs(product)
    return np.where(size > 0, product / np.maximum(size, 1e-300), 1.0)


def corrected_ktraj(ktraj: NDArray[np.floating], delays: Delays, fov_mm: tuple[float, float]) -> NDArray[np.float32]:
    """The trajectory as it was measured: every spoke of direction n moved by S n samples."""
    position = ktraj.astype(np.float64) / np.asarray(fov_mm)
    step = (position[:, -1] - position[:, 0]) / (ktraj.shape[1] - 1)
    # S times the direction, in samples, is S times the vector of one sample.
    shift = step @ delays.matrix
    return ((position + shift[:, None]) * np.asarray(fov_mm)).astype(np.float32)
