"""The child's side of reading Siemens raw data (twix): measured lines in, plain arrays and whitelisted facts out.

The layout of headers and the meaning of flags are twixtools'. Lines are taken one by one in order of acquisition, with
nothing averaged, cropped or regridded: twixtools' own maps average over the counters Seg and Ave, in which radial
sequences count spokes. The protocol holds names and dates of birth; it is not parsed but searched for the few numbers
of :data:`_PROTOCOL`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.io.child import Extracted
from napari_dainr.io.readouts import arrange, places, require, same_shape

__all__ = ["NOT_IMAGING", "extract"]


def _part_of_twixtools(name: str) -> Any:
    """One module of twixtools alone: the package loads pyplot and half of SciPy, 1.6 s for each file that is read."""
    package = find_spec("twixtools")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("twixtools is not installed", name="twixtools")
    spec = spec_from_file_location(f"{__name__}.{name}", Path(package.origin).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"twixtools has no {name}", name="twixtools")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hdr_def, mdh_def = _part_of_twixtools("hdr_def"), _part_of_twixtools("mdh_def")

NOT_IMAGING = {
    "noise": ("NOISEADJSCAN",),
    "phase correction": ("PHASCOR", "SLICE_ACCEL_PHASCOR"),
    "phase stabilization": ("REFPHASESTABSCAN", "PHASESTABSCAN"),
    "feedback": ("RTFEEDBACK", "HPFEEDBACK"),
    "navigator": ("PACE",),
    "dummy": ("RETRO_DUMMYSCAN", "noname60"),
    "adjustment": ("TAGFLAG1", "B1_CONTROLLOOP", "MDH_VOP"),
    "calibration": ("PATREFSCAN", "SLICE_ACCEL_REFSCAN"),
}
"""Kinds of lines that are not image data → names of the flags, as twixtools calls them."""

_PROTOCOL = {
    "tr_us": r"alTR\[0\]",
    "base": r"sKSpace\.lBaseResolution",
    "lines": r"sKSpace\.lPhaseEncodingLines",
    "partitions": r"sKSpace\.lPartitions",
    "dimension": r"sKSpace\.ucDimension",
    "trajectory": r"sKSpace\.ucTrajectory",
    "read_fov_mm": r"sSliceArray\.asSlice\[0\]\.dReadoutFOV",
    "phase_fov_mm": r"sSliceArray\.asSlice\[0\]\.dPhaseFOV",
    "thickness_mm": r"sSliceArray\.asSlice\[0\]\.dThickness",
    "images_per_slab": r"sKSpace\.lImagesPerSlab",
    "dwell_ns": r"sRXSPEC\.alDwellTime\[0\]",
}
"""The numbers of the protocol that may leave this module, and their names in its ASCCONV part."""

_MAX_HEADER_BYTES = 256 << 20
_COUNTERS = {
    "line": "Lin",
    "partition": "Par",
    "slice": "Sli",
    "contrast": "Eco",
    "set": "Set",
    "phase": "Phs",
    "repetition": "Rep",
    "average": "Ave",
}


@dataclass(frozen=True)
class _Lines:
    """Lines of one measurement: where each begins, and its header as twixtools defines it."""

    starts: NDArray[np.int64]
    heads: NDArray[Any]
    ended: bool

    def flagged(self, *names: str) -> NDArray[np.bool_]:
        mask = np.uint64(sum(1 << mdh_def.mask_dict[name] for name in names))
        marked: NDArray[np.bool_] = self.heads["EvalInfoMask"] & mask != 0
        return marked


def _measurements(file: BinaryIO, size: int) -> tuple[list[tuple[int, int]], bool]:
    """(start, end) of each measurement, and whether the layout is that of VD and later."""
    first, count = np.frombuffer(file.read(8).ljust(8, b"\0"), "<u4").tolist()
    if not (first < 10000 and (count <= hdr_def.max_raidfile_entries or first < 8)):
        return [(0, size)], False
    require(
        0 < count <= hdr_def.max_raidfile_entries,
        f"its table lists {count} measurements where 1 to 64 are possible; it is damaged or no Siemens raw data.",
    )
    file.seek(0)
    raw = file.read(hdr_def.MultiRaidFileHeader.itemsize)
    require(len(raw) == hdr_def.MultiRaidFileHeader.itemsize, "ends within its table of measurements; copy it again.")
    entries = np.frombuffer(raw, hdr_def.MultiRaidFileHeader)[0]["entry"][:count]
    spans = []
    for number, entry in enumerate(entries):
        start, length = int(entry["off_"]), int(entry["len_"])
        require(
            0 < start < size,
            f"measurement {number} is said to begin at byte {start} of {size}; the file is truncated, copy it again.",
        )
        # Some scanners leave the length of a single measurement at 0.
        end = start + length if length else size
        require(
            end <= size,
            f"measurement {number} is said to end at byte {end} of {size}; the file is truncated, copy it again.",
        )
        spans.append((start, end))
    return spans, True


def _protocol(file: BinaryIO, start: int, end: int) -> tuple[dict[str, Any], int]:
    """Whitelisted numbers of the protocol, and where the lines begin."""
    file.seek(start)
    length = int(np.frombuffer(file.read(4).ljust(4, b"\0"), "<u4")[0])
    require(
        16 < length <= min(end - start, _MAX_HEADER_BYTES),
        "the length of its header is impossible; it is truncated or no Siemens raw data, copy it again.",
    )
    text = file.read(length - 4)
    # The protocol occurs several times in the header; MeasYaps is the one that was measured.
    at = text.find(b"MeasYaps\0")
    begin = text.find(b"### ASCCONV BEGIN", max(at, 0))
    stop = text.find(b"### ASCCONV END ###", begin)
    require(begin >= 0 and stop > begin, "its header holds no protocol; it is damaged or no Siemens raw data.")
    ascconv = text[begin:stop].decode("latin-1")
    facts: dict[str, Any] = {}
    for name, pattern in _PROTOCOL.items():
        found = re.search(rf"^\s*{pattern}\s*=\s*(0x[0-9a-fA-F]{{1,8}}|[-+0-9.eE]{{1,24}})\s*$", ascconv, re.MULTILINE)
        if found:
            facts[name] = _number(found[1])
    oversampling = re.search(rb'"flReadoutOSFactor">\s*\{\s*(?:<Precision>\s*\d+)?\s*([0-9.]{1,16})\s*\}', text)
    facts["oversampling"] = _number(oversampling[1].decode()) if oversampling else None
    # Of the two names only these answers leave the child.
    names = dict(re.findall(r'^\s*(tSequenceFileName|tProtocolName)\s*=\s*"+([^"\n]*)', ascconv, re.MULTILINE))
    facts["pulseq"] = "pulseq" in names.get("tSequenceFileName", "").lower()
    facts["coil_adjustment"] = "adjcoilsens" in names.get("tProtocolName", "").lower()
    return facts, start + length


def _number(text: str) -> float | None:
    try:
        value = float(int(text, 16)) if text.startswith("0x") else float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _walk(file: BinaryIO, start: int, end: int, modern: bool) -> _Lines:
    """Headers of all lines with samples, up to the mark of the end."""
    kind = mdh_def.Scan_header if modern else mdh_def.VB17_header
    layout = np.dtype(kind)
    mask_at, samples_at = layout.fields["EvalInfoMask"][1], layout.fields["SamplesInScan"][1]
    per_coil = np.dtype(mdh_def.Channel_header).itemsize if modern else layout.itemsize
    before = layout.itemsize if modern else 0
    last, other = 1 << mdh_def.mask_dict["ACQEND"], 1 << mdh_def.mask_dict["SYNCDATA"]
    starts, heads, position, ended = [], bytearray(), start, False
    while position + layout.itemsize <= end:
        file.seek(position)
        head = file.read(layout.itemsize)
        flags = int.from_bytes(head[mask_at : mask_at + 8], "little")
        if flags & last:
            ended = True
            break
        samples = int.from_bytes(head[samples_at : samples_at + 2], "little")
        coils = int.from_bytes(head[samples_at + 2 : samples_at + 4], "little")
        if flags & other:
            length = int.from_bytes(head[:4], "little") & 0x1FFFFFF
        elif not any(head):
            break  # zeros that fill up the last block of a measurement which was stopped
        else:
            length = before + coils * (per_coil + 8 * samples)
            starts.append(position)
            heads += head
        number = len(starts)
        require(
            length >= layout.itemsize and (bool(flags & other) or (samples > 0 and coils > 0)),
            f"line {number} has an impossible length; the file is damaged, copy it again.",
        )
        require(
            position + length <= end,
            f"ends within line {number} of its data; the file is truncated, copy it again.",
        )
        position += length
    return _Lines(np.asarray(starts, dtype=np.int64), np.frombuffer(bytes(heads), layout), ended)


def _samples(file: BinaryIO, start: int, samples: int, coils: int, modern: bool) -> NDArray[np.complex64]:
    """(coil, sample) of one line."""
    channel = mdh_def.Channel_header if modern else mdh_def.VB17_header
    layout = np.dtype([("head", np.void, np.dtype(channel).itemsize), ("data", "<c8", (samples,))])
    file.seek(start + (np.dtype(mdh_def.Scan_header).itemsize if modern else 0))
    raw = file.read(layout.itemsize * coils)
    return np.frombuffer(raw, layout)["data"].astype(np.complex64, copy=False)


def _noise(file: BinaryIO, lines: _Lines, coils: int, modern: bool) -> NDArray[np.complex64] | None:
    """(coil, sample) of all noise lines with as many coils, or None."""
    rows = np.flatnonzero(lines.flagged("NOISEADJSCAN") & (lines.heads["UsedChannels"] == coils))
    parts = [_samples(file, int(lines.starts[i]), int(lines.heads["SamplesInScan"][i]), coils, modern) for i in rows]
    return np.concatenate(parts, axis=1) if parts else None


def _noise_dwell_us(samples: int, adjustment: bool, modern: bool) -> float:
    """Dwell time of a noise line by its length: the rule of the siemens_to_ismrmrd converter (130 Hz per pixel)."""
    if adjustment:
        return 5.0
    return (76800 // samples) / 10.0 if modern else 1e6 / samples / 130.0


def _image_rows(lines: _Lines) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Which lines are image data, and how many others there are, by kind."""
    keep = np.ones(len(lines.starts), dtype=bool)
    also_image = lines.flagged("PATREFANDIMASCAN")
    left_out = {}
    for kind, names in NOT_IMAGING.items():
        marked = keep & lines.flagged(*names)
        if kind == "calibration":
            marked &= ~also_image
        if marked.any():
            left_out[kind] = int(marked.sum())
            keep &= ~marked
    return keep, left_out


def _measurement_number(wanted: str | None, count: int) -> int:
    if wanted is None:
        return count - 1
    require(
        wanted.isascii() and wanted.isdigit() and int(wanted) < count,
        f"holds {count} measurements, numbered from 0; correct the number that was chosen with --dataset.",
    )
    return int(wanted)


def extract(
    path: Path, dataset: str | None = None, contrast: int | None = None, set_number: int | None = None
) -> Extracted:
    """Read the image lines of one measurement of a Siemens raw file.

    Parameters
    ----------
    dataset
        Number of the measurement, from 0; the last by default, which is the scan itself in files of VD and later.
    contrast, set_number
        As in :func:`napari_dainr.io.readouts.arrange`.

    Returns
    -------
    arrays
        ``kdata`` (third, coil, spoke, readout) complex64, reflected lines turned round; ``ticks`` (spoke,) int64, of
        2.5 ms; ``noise`` (coil, sample) complex64 if there is a noise scan; counters as in Acquired.
    facts
        Numbers of the protocol, of the line headers and counts.

    Raises
    ------
    InputError
        One sentence, without the file's name.
    """
    size = os.path.getsize(path)
    with path.open("rb") as file:
        spans, modern = _measurements(file, size)
        number = _measurement_number(dataset, len(spans))
        facts, data_start = _protocol(file, *spans[number])
        lines = _walk(file, data_start, spans[number][1], modern)
        require(len(lines.starts) > 0, "its measurement holds no lines; give the file of the scan itself.")
        keep, left_out = _image_rows(lines)
        require(bool(keep.any()), "holds no image lines, only calibration data; choose another with --dataset.")
        arrays, found = _assemble(file, lines, np.flatnonzero(keep), left_out, modern, (contrast, set_number))
        facts |= found | {"dataset": number, "datasets": len(spans), "dataset_chosen": dataset is not None}
        coils = facts["coils"] = arrays["kdata"].shape[1]
        others: list[int] = []
        for other in (number, *(n for n in range(len(spans)) if n != number)):
            noise, facts["noise_dwell_us"] = _noise_of(file, spans[other], coils, modern, others)
            if noise is not None:
                arrays["noise"] = noise
                break
        facts["noise_of_other_coils"] = 0 if "noise" in arrays else max(others, default=0)
        facts["ended"] = lines.ended
        return arrays, facts


def _noise_of(
    file: BinaryIO, span: tuple[int, int], coils: int, modern: bool, others: list[int]
) -> tuple[NDArray[np.complex64] | None, float | None]:
    """Noise samples of one measurement, and their dwell time in µs; else ``others`` gets how many coils they have."""
    try:
        protocol, start = _protocol(file, *span)
        lines = _walk(file, start, span[1], modern)
    except InputError:
        return None, None  # a damaged calibration beside a sound scan
    noise = _noise(file, lines, coils, modern) if len(lines.starts) else None
    if noise is None:
        if len(lines.starts):
            others.extend(map(int, lines.heads["UsedChannels"][lines.flagged("NOISEADJSCAN")]))
        return None, None
    same = lines.flagged("NOISEADJSCAN") & (lines.heads["UsedChannels"] == coils)
    samples = int(lines.heads["SamplesInScan"][same][0])
    return noise, _noise_dwell_us(samples, bool(protocol["coil_adjustment"]), modern)


def _assemble(
    file: BinaryIO,
    lines: _Lines,
    rows: NDArray[np.intp],
    left_out: dict[str, int],
    modern: bool,
    wanted: tuple[int | None, int | None],
) -> Extracted:
    """Samples of the image lines, sorted into slices or partitions and spokes."""
    keep, samples, coils = same_shape(lines.heads["SamplesInScan"][rows], lines.heads["UsedChannels"][rows])
    if not keep.all():
        left_out["other length"] = int((~keep).sum())
    rows = rows[keep]
    heads = lines.heads[rows]
    counters = {name: heads["Counter"][field] for name, field in _COUNTERS.items()}
    plan = arrange(counters, int(heads["CenterPar"][0]), *wanted)
    pre, post = int(heads["CutOff"]["Pre"].max()), int(heads["CutOff"]["Post"].max())
    require(samples - pre - post >= 4, f"spokes of {samples} samples are cut off by {pre} and {post}; it is damaged.")
    reflected = _Lines(lines.starts[rows], heads, True).flagged("REFLECT")
    kdata = np.empty((len(plan.rows), coils, plan.rows.shape[1], samples - pre - post), dtype=np.complex64)
    for third, spokes in enumerate(plan.rows):
        for spoke, row in enumerate(spokes):
            values = _samples(file, int(lines.starts[rows[row]]), samples, coils, modern)
            values = values[:, ::-1] if reflected[row] else values
            kdata[third, :, spoke] = values[:, pre : samples - post]
    if plan.facts["incomplete"]:
        left_out["incomplete"] = plan.facts["incomplete"]
    used = heads[plan.rows[plan.reference]]
    facts = plan.facts | {
        "left_out": left_out,
        "centre_column": int(np.bincount(used["CenterCol"]).argmax()) - pre,
        "centre_line": int(used["CenterLin"][0]),
        "centre_partition": int(used["CenterPar"][0]),
        "reflected": int(reflected[plan.rows].sum()),
    }
    where = places(_directions(heads["SliceData"])[plan.rows], plan.facts["third"])
    return {"kdata": kdata, "ticks": used["TimeStamp"].astype(np.int64), **where, **plan.arrays()}, facts


def _directions(said: NDArray[Any]) -> NDArray[np.float64]:
    """(line, 4, 3): directions of readout and of phase encoding, position (mm), direction of the slice.

    Siemens keeps the rotation of a slice as a quaternion (w, x, y, z); the columns of its matrix are the directions of
    phase encoding, readout and slice in patient coordinates sagittal, coronal, transverse, which are DICOM's left,
    back, head (siemens_to_ismrmrd, and twixtools, which turns the first two round).
    """
    w, x, y, z = np.asarray(said["Quaternion"], dtype=np.float64).T
    phase = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)], axis=-1)
    read = np.stack([2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w)], axis=-1)
    through = np.stack([2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)], axis=-1)
    position = np.stack([said["SlicePos"][name] for name in ("Sag", "Cor", "Tra")], axis=-1).astype(np.float64)
    # Without a rotation the line says nothing of its place.
    known = np.abs(w * w + x * x + y * y + z * z - 1) < 1e-3
    return np.stack([read, phase, position, through], axis=1) * known[:, None, None]
