"""From a table of single readouts with counters to the spokes of one scan: the same for every format with such a table.

Runs in the reader's child, before samples are read, so that only what is used is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError

__all__ = ["COUNTERS", "Arrangement", "arrange", "frame_hint", "places", "require", "same_shape"]

COUNTERS = ("line", "partition", "slice", "contrast", "set", "phase", "repetition", "average")
"""What is counted for each readout; one number per readout and counter."""


def require(condition: bool, message: str) -> None:
    """Raise InputError with the message unless the condition holds."""
    if not condition:
        raise InputError(message)


@dataclass(frozen=True)
class Arrangement:
    """Which readout is which spoke.

    Parameters
    ----------
    rows : (third, spoke) intp
        Rows of the table; along a spoke axis in order of acquisition.
    reference
        The slice or partition whose times and counters stand for all: the first slice, the central partition.
    facts
        JSON-able: ``third``, ``numbers`` (of slices or partitions), ``chosen`` (counter → [number, how many there are,
        whether the user chose]),
        ``averages``, ``spokes_per_frame``, ``incomplete`` (readouts cut off so that all thirds hold equally many),
        ``same_lines``, ``stride`` (readouts from one spoke of a third to its next).
    lines, frames : (spoke,) int64 or None
        As in :class:`napari_dainr.acquired.Acquired`.
    """

    rows: NDArray[np.intp]
    reference: int
    facts: dict[str, Any] = field(default_factory=dict)
    lines: NDArray[np.int64] | None = None
    frames: NDArray[np.int64] | None = None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Counters for the parent, by the names of Acquired."""
        pairs = (("lines", self.lines), ("frames", self.frames))
        return {name: values for name, values in pairs if values is not None}


def same_shape(samples: NDArray[Any], coils: NDArray[Any]) -> tuple[NDArray[np.bool_], int, int]:
    """Readouts that have the shape most of them have.

    Returns
    -------
    keep : (row,) bool
    samples, coils : int
        The shape.

    Raises
    ------
    InputError
        If more than a tenth are of another shape: then it is not clear which of them are the scan.
    """
    shapes = samples.astype(np.int64) * (1 << 32) + coils.astype(np.int64)
    distinct, counts = np.unique(shapes, return_counts=True)
    best = int(distinct[np.argmax(counts)])
    keep: NDArray[np.bool_] = shapes == best
    others = int(len(shapes) - counts.max())
    require(
        others <= 0.1 * len(shapes),
        f"the number of samples or coils differs between readouts ({counts.max()} have {best >> 32} samples and "
        f"{best & 0xFFFFFFFF} coils, {others} have not); spokes must be equally long, split the file.",
    )
    return keep, best >> 32, best & 0xFFFFFFFF


def _chosen(values: NDArray[np.int64], what: str, wanted: int | None, flag: str) -> tuple[int, int]:
    """The number to read of a counter, and how many there are."""
    distinct = np.unique(values)
    if wanted is None:
        return int(distinct[0]), len(distinct)
    require(
        wanted in distinct,
        f"holds no {what} {wanted}; there are {len(distinct)}, from {distinct[0]} to {distinct[-1]}, correct {flag}.",
    )
    return wanted, len(distinct)


def arrange(
    counters: dict[str, NDArray[Any]],
    centre_partition: int | None = None,
    contrast: int | None = None,
    set_number: int | None = None,
) -> Arrangement:
    """Sort readouts into slices or partitions and spokes, in order of acquisition.

    Parameters
    ----------
    counters : counter → (row,) integers
        All of :data:`COUNTERS`; rows are in order of acquisition. Averages, repetitions and phases are kept as spokes
        of their own, never added up.
    centre_partition
        Number of the partition at kz = 0, by the header.
    contrast, set_number
        Which contrast (echo) and which set to read; by default the first of each.

    Raises
    ------
    InputError
        If slices or partitions hold unequal numbers of spokes, or there are several of both.
    """
    table = {name: np.asarray(counters[name]).astype(np.int64) for name in COUNTERS}
    keep = np.ones(len(table["line"]), dtype=bool)
    chosen: dict[str, tuple[int, int, bool]] = {}
    for name, wanted, flag in (("contrast", contrast, "--contrast"), ("set", set_number, "--set-number")):
        number, count = _chosen(table[name][keep], name, wanted, flag)
        if count > 1:
            chosen[name] = (number, count, wanted is not None)
        keep &= table[name] == number
    kept = np.flatnonzero(keep)
    thirds = {name: np.unique(table[name][kept]) for name in ("slice", "partition")}
    require(
        len(thirds["slice"]) == 1 or len(thirds["partition"]) == 1,
        f"holds {len(thirds['slice'])} slabs of {len(thirds['partition'])} partitions; only one slab can be read, "
        "split the file.",
    )
    third: Literal["slice", "partition"] = "partition" if len(thirds["partition"]) > 1 else "slice"
    numbers, number_of = np.unique(table[third][kept], return_inverse=True)
    counts = np.bincount(number_of)
    spokes = int(counts.min())
    require(
        int(counts.max()) - spokes <= 1,
        f"{third}s hold {spokes} to {counts.max()} spokes; they must hold equally many.",
    )
    order = np.argsort(number_of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rows = kept[np.stack([order[start : start + spokes] for start in starts])]
    reference = 0
    if third == "partition":
        middle = centre_partition if centre_partition is not None else int(numbers[len(numbers) // 2])
        reference = int(np.argmin(np.abs(numbers - middle)))
    lines = table["line"][rows]
    facts: dict[str, Any] = {
        "third": third,
        "numbers": numbers.tolist(),
        "chosen": chosen,
        "averages": len(np.unique(table["average"][kept])),
        "spokes_per_frame": frame_hint(table["repetition"][rows[reference]], table["phase"][rows[reference]]),
        "incomplete": int(counts.sum() - spokes * len(numbers)),
        "stride": int(np.median(np.diff(rows[reference]))) if spokes > 1 else 1,
        "same_lines": bool((lines == lines[reference]).all()),
    }
    return Arrangement(
        rows=rows,
        reference=reference,
        facts=facts,
        lines=lines[reference] if facts["same_lines"] else None,
        frames=_frames(table["repetition"][rows[reference]], table["phase"][rows[reference]]),
    )


def places(table: NDArray[Any], third: str) -> dict[str, NDArray[np.float64]]:
    """Where slices lie in the patient, by the headers of their readouts (LPS, position in mm).

    Parameters
    ----------
    table : (third, spoke, 4, 3)
        Of each readout the direction of x, that of y, the position, and the direction through the slice.
    third
        "slice", or "partition": then all readouts are of one slab.

    Returns
    -------
    ``planes`` (slice, 3, 3) float64: x, y and position of each slice, or of the one slab; ``through`` (3,) of a slab.
    Zeros where the headers say nothing, or where those of one slice differ, as in sequences that turn the slice.
    """
    values = np.asarray(table, dtype=np.float64)
    if third == "partition":
        values = values.reshape(1, -1, 4, 3)
    first = values[:, 0]
    same = np.isfinite(values).all() and np.allclose(values, first[:, None], rtol=0, atol=1e-3)
    said = bool(same) and bool((np.abs(np.linalg.norm(first[:, :2], axis=-1) - 1) < 1e-3).all())
    first = first if said else np.zeros_like(first)
    found = {"planes": np.ascontiguousarray(first[:, :3])}
    return found if third == "slice" else found | {"through": np.ascontiguousarray(first[0, 3])}


def frame_hint(*counters: NDArray[np.int64]) -> int | None:
    """Spokes per frame, if one of the counters (spoke,) numbers equal blocks of consecutive spokes."""
    for values in counters:
        starts = np.flatnonzero(np.diff(values)) + 1
        if len(starts) == 0 or not (np.diff(values)[starts - 1] == 1).all():
            continue
        blocks = np.diff(np.concatenate([[0], starts, [len(values)]]))
        if (blocks[:-1] == blocks[0]).all() and blocks[-1] <= blocks[0] and blocks[0] > 1:
            return int(blocks[0])
    return None


def _frames(repetition: NDArray[np.int64], phase: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Frame of each spoke: cardiac phases within repetitions, where either counts; None for a single one."""
    frames = repetition * (int(phase.max()) + 1) + phase
    return frames if len(np.unique(frames)) > 1 else None
