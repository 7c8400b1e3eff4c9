"""Which rule the spoke angles follow, and where the centre lies on a spoke, told from the samples near the centre.

Near the centre of k-space the spokes lie closer than the object needs. On the circle of radius ρ (cycles per field of
view) the spectrum of an object inside the field of view is a short Fourier series in the angle φ,

    y(ρ, φ) = Σ_m a_m exp(i m φ),   |m| ≤ πρ + 2,

because exp(−2πi ρ r cos φ) is a sum of Bessel functions J_m(2πρ r) with r ≤ ½, which vanish for larger m. Each spoke
gives two points of it, at φ and φ + 180°. With the true angles one series fits them all; with others none does. Each
rule is scored by the part of the energy that the series of all other samples does not foretell (leave one out).

Turning or mirroring all angles turns or mirrors the object, and the fit is the same: the first angle and the sense of
rotation cannot be told from the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_dainr.trajectory import angle_step

__all__ = ["AngleRule", "Centre", "Ranked", "candidate_rules", "estimate_centre", "rank_rules"]

_RADII = (1.0, 2.0, 3.0)
_WINDOW = 89
_WINDOWS = 2
_SPREAD = 144
_RIDGE = 1e-3
_FITS = 0.2
_MOST_COILS = 6


@dataclass(frozen=True)
class AngleRule:
    """A rule of spoke angles, as :func:`napari_dainr.trajectory.angle_step` takes it."""

    scheme: str
    tiny_number: int = 7
    full_circle: bool = False

    def step(self, n_spokes: int) -> float:
        """Angle from one spoke to the next, degrees."""
        return angle_step(self.scheme, n_spokes, tiny_number=self.tiny_number, full_circle=self.full_circle)

    def __str__(self) -> str:
        number = f" N = {self.tiny_number}" if self.scheme == "tiny-golden" else ""
        return f"{self.scheme} angle{number}{' through 360°' if self.full_circle else ''}"


@dataclass(frozen=True)
class Ranked:
    """A rule, and the part of the energy near the centre that it leaves unexplained (0: none, 1: all)."""

    rule: AngleRule
    unexplained: float


@dataclass(frozen=True)
class Centre:
    """Where spokes agree best.

    Parameters
    ----------
    sample
        Sample of a spoke at the k-space centre, from 0; lies between samples.
    difference
        Relative difference of consecutive spokes there; near 1 where they have nothing in common.
    """

    sample: float
    difference: float

    @property
    def clear(self) -> bool:
        """Whether spokes have a common value at all."""
        return self.difference < 0.3


def candidate_rules() -> tuple[AngleRule, ...]:
    """Golden, tiny golden with N = 2 … 10, and uniform angles, each through 180° and 360°.

    Tiny golden N = 2 through 360° is missing: 360°/(τ + 1) = 360° − 360°/τ is the mirror image of the golden angle.
    """
    rules = [AngleRule("golden", full_circle=full) for full in (False, True)]
    rules += [AngleRule("tiny-golden", n, full) for n in range(2, 11) for full in (False, True) if n > 2 or not full]
    rules += [AngleRule("uniform", full_circle=full) for full in (False, True)]
    return tuple(rules)


def _virtual_coils(kdata: NDArray[np.complex64], middle: int, reach: int) -> NDArray[np.complex128]:
    """(spoke, coil, readout): the coils that hold most of the central region, scaled."""
    data = kdata / np.float32(np.abs(kdata).max())
    if len(data) > _MOST_COILS:
        near = data[:, :, max(0, middle - reach) : middle + reach + 1].reshape(len(data), -1).astype(np.complex128)
        vectors = np.linalg.eigh(near @ near.conj().T)[1][:, ::-1][:, :_MOST_COILS].astype(np.complex64)
        data = np.tensordot(vectors.conj().T, data, axes=1)
    return np.ascontiguousarray(data.transpose(1, 0, 2)).astype(np.complex128)


def _between(data: NDArray[np.complex128], at: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Values at positions between samples, by the Fourier series of each spoke; (…, readout) → (…, len(at))."""
    waves = np.exp(-2j * np.pi * np.fft.fftfreq(data.shape[-1])[:, None] * at)
    return np.asarray(np.fft.ifft(data, axis=-1) @ waves)


def _brightest_sample(kdata: NDArray[np.complex64]) -> int:
    energy = np.zeros(kdata.shape[1:])
    unit = np.float32(np.abs(kdata).max())
    for coil in kdata:
        energy += np.abs(coil / unit) ** 2
    return int(np.argmax(np.median(energy, axis=0)))


def estimate_centre(kdata: NDArray[np.complex64]) -> Centre:
    """Find the sample that all spokes have in common, whatever their angles.

    All spokes pass through one point of k-space, where consecutive spokes hold the same value in every coil (up to one
    phase, where there are several coils).

    Parameters
    ----------
    kdata : (coil, spoke, readout) complex64
        Spokes in order of time.
    """
    middle = _brightest_sample(kdata)
    data = _virtual_coils(kdata, middle, 8)
    spokes = np.unique(np.linspace(0, len(data) - 2, min(len(data) - 1, 400)).round().astype(int))
    at = np.clip(middle + np.arange(-2.0, 2.0001, 0.05), 0, kdata.shape[-1] - 1)
    one, other = _between(data[spokes], at), _between(data[spokes + 1], at)
    product = (one.conj() * other).sum(axis=1)
    energy = (np.abs(one) ** 2 + np.abs(other) ** 2).sum(axis=1)
    common = np.abs(product) if data.shape[1] > 1 else product.real
    total = energy.sum(axis=0)
    # Where all spokes are empty, they do not agree.
    difference = np.divide((energy - 2 * common).sum(axis=0), total, out=np.ones_like(total), where=total > 0)
    best = int(np.argmin(difference))
    return Centre(float(at[best]), float(np.sqrt(max(difference[best], 0.0))))


def rank_rules(
    kdata: NDArray[np.complex64],
    numbers: NDArray[np.integer],
    n_spokes: int,
    centre: float,
    samples_per_cycle: float,
    rules: Sequence[AngleRule] | None = None,
) -> list[Ranked]:
    """Score rules of the spoke angles, best first.

    Parameters
    ----------
    kdata : (coil, spoke, readout) complex64
        Finite; spokes in order of time.
    numbers : (spoke,) int
        Number of each spoke in the scan, from 0: spokes may have been left out.
    n_spokes
        Spokes of the scan, those left out among them.
    centre
        Sample at the k-space centre.
    samples_per_cycle
        Samples of a spoke for one cycle per field of view: the oversampling of the readout.
    """
    reach = max(_RADII) * samples_per_cycle
    data = _virtual_coils(kdata, round(centre), int(np.ceil(reach)) + 1)
    radii = [r for r in _RADII if centre - r * samples_per_cycle >= 0]
    radii = [r for r in radii if centre + r * samples_per_cycle <= kdata.shape[-1] - 1]
    t = np.array([sign * r * samples_per_cycle for r in radii for sign in (1, -1)])
    values = _between(data, centre + t).reshape(len(data), data.shape[1], len(radii), 2)
    sets = _sets_of_spokes(len(data))
    ranked = []
    for rule in candidate_rules() if rules is None else rules:
        angles = np.deg2rad((np.asarray(numbers, dtype=np.float64) * rule.step(n_spokes)) % 360.0)
        missed = total = 0.0
        # Neighbours in a steady turn agree at any step, so a stretch of it tells nothing.
        for chosen in sets[-1:] if rule.scheme == "uniform" else sets:
            for index, radius in enumerate(radii):
                lost, energy = _left_out_error(angles[chosen], values[chosen, :, index], radius)
                # Every circle counts alike, though the inner ones hold more energy.
                missed += lost / energy if energy > 0 else 1.0
                total += 1.0
        ranked.append(Ranked(rule, missed / total if total else 1.0))
    return _full_circle_first(sorted(ranked, key=lambda one: one.unexplained))


def _full_circle_first(ranked: list[Ranked]) -> list[Ranked]:
    """Uniform angles through 360° before those through 180°, where they fit at all.

    Spokes that turn steadily are smooth in time, so a series for half the circle follows them through the full circle
    as well, and through motion even better. The reverse does not hold: through 360° every place is measured twice, and
    spokes that turn through 180° contradict it.
    """
    half, full = AngleRule("uniform"), AngleRule("uniform", full_circle=True)
    for one in ranked:
        if ranked[0].rule == half and one.rule == full and one.unexplained < _FITS:
            return [one, *(other for other in ranked if other is not one)]
    return ranked


def _sets_of_spokes(count: int) -> list[NDArray[np.intp]]:
    """Stretches of consecutive spokes, in which little moves, and spokes spread over the whole scan."""
    spread = np.unique(np.linspace(0, count - 1, min(count, _SPREAD)).round().astype(np.intp))
    if count <= _WINDOW:
        return [spread]
    starts = np.unique(np.linspace(0, count - _WINDOW, _WINDOWS).round().astype(int))
    return [np.arange(start, start + _WINDOW, dtype=np.intp) for start in starts] + [spread]


def _left_out_error(angles: NDArray[np.float64], values: NDArray[np.complex128], radius: float) -> tuple[float, float]:
    """Energy that the series of all other samples does not foretell, and the whole energy; values (spoke, coil, 2)."""
    order = int(np.ceil(np.pi * radius)) + 2
    phi = np.concatenate([angles, angles + np.pi])
    samples = np.concatenate([values[..., 0], values[..., 1]])
    basis = np.exp(1j * phi[:, None] * np.arange(-order, order + 1))
    normal = basis.conj().T @ basis + _RIDGE * len(phi) * np.eye(2 * order + 1)
    inverse = np.linalg.inv(normal)
    residual = samples - basis @ (inverse @ (basis.conj().T @ samples))
    leverage = ((basis @ inverse) * basis.conj()).sum(axis=1).real
    alone = np.maximum(1.0 - leverage, 1e-6)
    missed = float((np.abs(residual / alone[:, None]) ** 2).sum())
    return missed, float((np.abs(samples) ** 2).sum())
