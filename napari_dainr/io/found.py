"""What all readers of readout tables say to people about what they found."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.acquired import Partitions
from napari_dainr.errors import InputError
from napari_dainr.plane import Plane

__all__ = [
    "DAY_TICKS",
    "TICK_S",
    "partitions_of",
    "planes_of",
    "said_of_arrangement",
    "tr_between_spokes",
    "what_the_samples_say",
]

TICK_S = 2.5e-3
"""One tick of a time stamp in Siemens raw data and in ISMRMRD files made from it, seconds."""

DAY_TICKS = round(86400 / TICK_S)
"""Time stamps count from midnight."""

_RADIAL_RATIO = 5.0
_CARTESIAN_RATIO = 30.0
_PEAK_RATIO = 10.0
_MIN_READOUTS = 16


def said_of_arrangement(facts: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Sentences (detected, assumed) about the facts of :class:`napari_dainr.io.readouts.Arrangement`."""
    detected: dict[str, str] = {}
    assumed: dict[str, str] = {}
    for counter, (number, count, told) in facts["chosen"].items():
        text = f"number {number} of {count}"
        if told:
            detected[counter] = f"{text}, as told"
        else:
            assumed[counter] = f"{text}, the first"
    if facts["averages"] > 1:
        detected["averages"] = f"{facts['averages']}, each kept as spokes of its own"
    if facts["third"] == "partition":
        detected["partitions"] = f"{len(facts['numbers'])} measured, a stack along kz"
    if facts["left_out"].get("other length"):
        assumed["readouts of another length"] = f"{facts['left_out']['other length']}, which are no spokes"
    if not facts["same_lines"]:
        assumed["lines"] = f"the counters differ between {facts['third']}s; the angles are taken to be the same"
    if facts["noise_of_other_coils"]:
        assumed["noise"] = (
            f"white and equal in all coils: the noise scan is of {facts['noise_of_other_coils']} coils, the data of "
            f"{facts['coils']}, so it is not used"
        )
    return detected, assumed


def tr_between_spokes(facts: dict[str, Any], tr_s: float | None) -> float | None:
    """Time from one spoke to the next, seconds: a sequence counts its TR from one partition to the next."""
    if tr_s is None or not np.isfinite(tr_s) or tr_s <= 0:
        return None
    return tr_s * facts["stride"] if facts["third"] == "partition" else tr_s


def partitions_of(
    facts: dict[str, Any],
    count: int,
    centre: int,
    step_mm: float | None = None,
    through: NDArray[Any] | None = None,
) -> Partitions | None:
    """Where the partitions lie, if the third axis is partitions.

    Parameters
    ----------
    count, centre
        Partitions of the full stack and number of the central one, by the header; a count below what is measured, or a
        centre outside, is replaced by what is measured.
    step_mm
        From slice to slice, by the header; None where it does not say.
    through : (3,) or None
        Direction of the slices, LPS.
    """
    if facts["third"] != "partition":
        return None
    numbers = tuple(int(number) for number in facts["numbers"])
    count = max(count, max(numbers) + 1)
    step: tuple[float, float, float] | None = None
    if through is not None and step_mm and np.isfinite(step_mm) and abs(float(np.linalg.norm(through)) - 1) < 1e-3:
        step = _three(np.asarray(through, np.float64) * abs(step_mm))
    return Partitions(numbers=numbers, count=count, centre=centre if 0 < centre < count else count // 2, step_mm=step)


def planes_of(table: NDArray[Any] | None) -> tuple[Plane, ...]:
    """Planes of slices from (slice, 3, 3): direction of x, of y, centre in mm, LPS; none where they say nothing.

    Headers are of single precision and not always quite at right angles: y is turned to be so, by a thousandth at most.
    """
    if table is None:
        return ()
    planes = []
    for x, y, centre in np.asarray(table, dtype=np.float64):
        if not np.any(x) or not np.any(y):
            return ()
        x = x / np.linalg.norm(x)
        if abs(float(x @ y)) > 1e-3:
            return ()
        y = y - x * float(x @ y)
        y = y / np.linalg.norm(y)
        try:
            planes.append(Plane(_three(x), _three(y), _three(centre)))
        except InputError:
            return ()  # an impossible position says nothing, and is no reason to refuse the samples
    return tuple(planes)


def _three(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(vector[0]), float(vector[1]), float(vector[2])


def what_the_samples_say(kdata: NDArray[np.complex64], kind: str, detected: dict[str, str]) -> str:
    """Correct the kind of trajectory by the energy of the readouts, where header and data contradict each other.

    Each spoke passes the k-space centre, where nearly all energy is, so all spokes are about equally strong; of
    Cartesian lines only the central ones are. Sequences that are written outside the protocol, such as Pulseq's, leave
    "cartesian" in the header whatever they measure.

    Parameters
    ----------
    kdata : (third, coil, spoke, readout)
    kind
        By the header.
    detected
        Gets the evidence where the data decide.

    Returns
    -------
    kind : str
    """
    if kind not in ("cartesian", "unknown", "other") or kdata.shape[2] < _MIN_READOUTS:
        return kind
    third = kdata[kdata.shape[0] // 2]
    profile = np.zeros((kdata.shape[2], kdata.shape[3]))
    with np.errstate(invalid="ignore"):  # damaged samples may be NaN that signal
        for coil in third:
            profile += coil.real.astype(np.float64) ** 2 + coil.imag.astype(np.float64) ** 2
    energy, along = profile.sum(axis=1), profile.sum(axis=0)
    if not np.isfinite(energy).all() or not np.median(energy) > 0 or not np.median(along) > 0:
        return kind
    spread, peak = energy.max() / np.median(energy), along.max() / np.median(along)
    if spread < _RADIAL_RATIO and peak > _PEAK_RATIO:
        said = "" if kind == "unknown" else f", though the header says {kind}"
        detected["readouts"] = f"spokes: the strongest has {spread:.2g} times the energy of the median{said}"
        return "radial"
    if kind in ("unknown", "other") and spread > _CARTESIAN_RATIO:
        detected["readouts"] = f"Cartesian lines: the strongest has {spread:.2g} times the energy of the median"
        return "cartesian"
    return kind
