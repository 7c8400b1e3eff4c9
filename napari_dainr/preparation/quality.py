"""Numbers that tell whether k-space is sound: angles, centre, delays, coils, noise, streaks. They change nothing."""

from __future__ import annotations

from dataclasses import dataclass

import finufft
import numpy as np
from numpy.typing import NDArray

from napari_dainr.data import KSpace
from napari_dainr.errors import InputError
from napari_dainr.preparation.angles import Centre, estimate_centre
from napari_dainr.preparation.delays import Delays, estimate_delays
from napari_dainr.preparation.screening import spoke_magnitudes
from napari_dainr.trajectory import ramp_dcf, spoke_angles

__all__ = ["Quality", "quality"]

_STREAK_SPOKES = 34
_SMALL = 96
_NEIGHBOURS = 10
_UNUSUAL = 1.5


@dataclass(frozen=True, eq=False)
class Quality:
    """What was found in one slice.

    Parameters
    ----------
    angles_deg : (spoke,)
        Direction of each spoke as a line, [0, 180), in order of time.
    largest_gap_deg
        Largest angle between neighbouring directions, of all spokes together.
    nyquist_fraction
        Spokes in the whole scan over the π/2 · matrix that a still image needs.
    centre, delays
        What spokes have in common; None where there are too few spokes.
    brightness : (spoke,)
        Peak of each spoke, root sum of squares over coils, over the median of all.
    unusual_spokes
        Spokes whose peak differs from the median of their neighbours by more than half of it.
    coil_energy : (coil,)
        Share of the whole energy.
    coil_noise : (coil,)
        Standard deviation of complex samples at the ends of the spokes, units of the data; an upper bound of the noise.
    signal_to_noise
        Median peak of the spokes over the noise, both root sums of squares over coils.
    streak_ratio : (coil,)
        Σ|I − I_low| / Σ|I_low| of an image from a few spokes and its low-pass, after Xue et al., MRM 67:470, 2012.
    streaky_coils
        Coils whose ratio stands out from the others: above 1.3 times their median and three deviations.
    profile : (readout,)
        Median over spokes of the root sum of squares over coils.
    """

    angles_deg: NDArray[np.float64]
    largest_gap_deg: float
    nyquist_fraction: float
    centre: Centre | None
    delays: Delays | None
    brightness: NDArray[np.float64]
    unusual_spokes: tuple[int, ...]
    coil_energy: NDArray[np.float64]
    coil_noise: NDArray[np.float64]
    signal_to_noise: float
    streak_ratio: NDArray[np.float64]
    streaky_coils: tuple[int, ...]
    profile: NDArray[np.float64]

    def rows(self) -> list[tuple[str, str]]:
        """(name, text) of each finding, for people."""
        rows = [
            ("largest gap between angles", f"{self.largest_gap_deg:.3f}°"),
            ("spokes over Nyquist", f"{self.nyquist_fraction:.2f} for one image of the whole scan"),
            ("centre over noise", f"{self.signal_to_noise:.0f}"),
            ("energy of coils", f"{100 * self.coil_energy.min():.2g} to {100 * self.coil_energy.max():.2g} %"),
            ("streak ratio of coils", f"{self.streak_ratio.min():.2f} to {self.streak_ratio.max():.2f}"),
            ("streak-prone coils", _listed(self.streaky_coils)),
            ("unusual spokes", _listed(self.unusual_spokes)),
        ]
        if self.centre is not None:
            rows.append(
                ("spokes agree at sample", f"{self.centre.sample:.2f}, to {100 * self.centre.difference:.1f} %")
            )
        if self.delays is not None:
            rows.append(("gradient delays", str(self.delays)))
        return rows


def _listed(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, numbers[:12])) + (f", … ({len(numbers)} in all)" if len(numbers) > 12 else "")
    return shown or "none"


def quality(kspace: KSpace, slice_index: int = 0) -> Quality:
    """Measure one slice.

    Raises
    ------
    InputError
        If there is no such slice.
    """
    if not 0 <= slice_index < kspace.n_slices:
        raise InputError(f"{kspace.name}: slice is {slice_index}; choose 0 to {kspace.n_slices - 1}.")
    kdata = kspace.kdata[slice_index]
    unit = float(np.abs(kdata).max()) or 1.0
    magnitude = spoke_magnitudes(kdata, unit).astype(np.float64)
    angles = spoke_angles(kspace.ktraj / np.asarray(kspace.fov_mm)) % 180.0
    ordered = np.sort(angles)
    gaps = np.diff(np.concatenate([ordered, [ordered[0] + 180.0]]))
    peak = magnitude.max(axis=1)
    noise = _noise(kdata / np.float32(unit))
    energy = np.array([float((np.abs(coil / np.float32(unit)) ** 2).sum(dtype=np.float64)) for coil in kdata])
    whole_noise = float(np.sqrt((noise**2).sum()))
    streaks = _streak_ratios(kspace, slice_index)
    return Quality(
        angles_deg=angles,
        largest_gap_deg=float(gaps.max()),
        nyquist_fraction=kspace.n_spokes / (np.pi / 2 * max(kspace.matrix)),
        centre=estimate_centre(kdata) if kspace.n_spokes > 1 else None,
        delays=_delays(kspace, slice_index),
        brightness=peak / max(float(np.median(peak)), 1e-30),
        unusual_spokes=_unusual(peak),
        coil_energy=energy / max(float(energy.sum()), 1e-30),
        coil_noise=noise * unit,
        signal_to_noise=float(np.median(peak)) / max(whole_noise, 1e-30),
        streak_ratio=streaks,
        streaky_coils=_outstanding(streaks),
        profile=np.median(magnitude, axis=0) * unit,
    )


def _noise(kdata: NDArray[np.complex64]) -> NDArray[np.float64]:
    """Per coil, from the outer twentieth of both ends: the median of |n| of complex noise is √ln 2 deviations."""
    ends = max(1, kdata.shape[-1] // 20)
    outer = np.concatenate([kdata[..., :ends], kdata[..., -ends:]], axis=-1)
    return np.median(np.abs(outer).reshape(len(kdata), -1), axis=1).astype(np.float64) / np.sqrt(np.log(2))


def _delays(kspace: KSpace, slice_index: int) -> Delays | None:
    try:
        return estimate_delays(kspace.kdata[slice_index], kspace.ktraj, kspace.fov_mm)
    except InputError:
        return None


def _unusual(peak: NDArray[np.float64]) -> tuple[int, ...]:
    found = []
    for i in range(len(peak)):
        around = np.concatenate([peak[max(0, i - _NEIGHBOURS) : i], peak[i + 1 : i + 1 + _NEIGHBOURS]])
        if len(around) >= 4:
            usual = float(np.median(around))
            if not usual / _UNUSUAL <= peak[i] <= usual * _UNUSUAL:
                found.append(i)
    return tuple(found)


def _streak_ratios(kspace: KSpace, slice_index: int) -> NDArray[np.float64]:
    """One ratio for each coil, from the first spokes and on a small matrix."""
    spokes = min(kspace.n_spokes, _STREAK_SPOKES)
    shrink = min(1.0, _SMALL / max(kspace.matrix))
    small = (max(2, round(kspace.matrix[0] * shrink)), max(2, round(kspace.matrix[1] * shrink)))
    ktraj = kspace.ktraj[:spokes].astype(np.float64)
    weight = ramp_dcf(ktraj[None], small)[0].astype(np.float64)
    radius = np.linalg.norm(ktraj, axis=-1)
    # Spokes lie a cycle apart at n/π cycles from the centre; inside half of it a low-pass image is free of streaks.
    edge = min(spokes / np.pi, 0.5 * max(small))
    window = np.where(radius < edge, 0.5 + 0.5 * np.cos(np.pi * np.minimum(radius / edge, 1.0)), 0.0)
    k = 2 * np.pi * ktraj.reshape(-1, 2) / np.asarray(small)
    inside = (np.abs(k) <= np.pi).all(axis=1)
    points = [np.ascontiguousarray(k[inside, axis]) for axis in range(2)]
    ratios = []
    for coil in kspace.kdata[slice_index, :, :spokes]:
        scaled = coil.astype(np.complex128) / max(float(np.abs(coil).max()), 1e-300)
        both = np.stack([scaled * weight, scaled * weight * window]).reshape(2, -1)[:, inside]
        full, low = finufft.nufft2d1(*points, np.ascontiguousarray(both), small, isign=1, eps=1e-4, nthreads=1)
        ratios.append(float(np.abs(full - low).sum() / max(np.abs(low).sum(), 1e-300)))
    return np.asarray(ratios)


def _outstanding(ratios: NDArray[np.float64]) -> tuple[int, ...]:
    middle = float(np.median(ratios))
    spread = 1.4826 * float(np.median(np.abs(ratios - middle)))
    return tuple(int(i) for i in np.flatnonzero(ratios > max(1.3 * middle, middle + 3 * spread)))
