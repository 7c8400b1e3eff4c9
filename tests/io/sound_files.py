"""A sound file of every raw format, to be damaged."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from napari_dainr.importing import ImportOptions

from . import mrd2_writer, seq_writer, twix_writer
from .array_writers import WRITERS, radial_scan

__all__ = ["HEADER", "MAKERS", "Sound"]

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Sound:
    """A scan that can be read.

    Parameters
    ----------
    damaged
        The file that is to be damaged, of the stem of ``given``.
    given
        The file that the reader is given.
    structure
        Byte ranges where the format keeps its sizes and offsets.
    options
        What the user says of it.
    """

    damaged: Path
    given: Path
    structure: Ranges = ((0, 2048),)
    options: ImportOptions = field(default_factory=ImportOptions)


def _kdata(coils: int, spokes: int, samples: int) -> Any:
    rng = np.random.default_rng(5)
    shape = (coils, spokes, samples)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def _twix(folder: Path, modern: bool) -> Sound:
    path = folder / "scan.dat"
    protocol = {
        "alTR[0]": "5000",
        "sKSpace.lBaseResolution": "13",
        "sKSpace.ucTrajectory": "2",
        "sSliceArray.asSlice[0].dReadoutFOV": "260",
    }
    data = _kdata(3, 21, 26)
    lines = [twix_writer.Line(data[:, i], 2 * i, counters={"line": i}) for i in range(21)]
    noise = twix_writer.Line(data[:, 0], flags=("noise",))
    twix_writer.write(path, twix_writer.Measurement([noise, *lines], protocol), modern=modern)
    start = path.read_bytes().find(b"MeasYaps")
    first = 20512 if modern else 10272
    return Sound(path, path, ((0, 200), (start, start + 400), (first, first + 240), (first, path.stat().st_size)))


def _mrd2(folder: Path) -> Sound:
    pytest.importorskip("mrd")
    path = folder / "scan.mrd"
    data = _kdata(3, 21, 26)
    mrd2_writer.write(path, [mrd2_writer.acquisition(data[:, i], 2 * i) for i in range(21)])
    size, types = path.stat().st_size, path.read_bytes().find(b'"types"')
    return Sound(path, path, ((0, 64), (size - 22 * 700, size - 21 * 640), (types, size)))


def _ismrmrd(folder: Path, scan: Path) -> Sound:
    path = folder / "scan.h5"
    path.write_bytes(scan.read_bytes())
    return Sound(path, path)


def _seq(folder: Path) -> Sound:
    """A sequence beside a sound Siemens file of as many spokes."""
    pytest.importorskip("pypulseq")
    given = _twix(folder, True).given
    path = folder / "scan.seq"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seq_writer.write(path, np.arange(21) * 111.246, 26, 0.26)
    blocks = path.read_bytes().find(b"[BLOCKS]")
    structure = ((0, 200), (blocks, blocks + 600), (blocks, path.stat().st_size))
    return Sound(path, given, structure, ImportOptions(trajectory_file=str(path)))


def _array(folder: Path, name: str) -> Sound:
    path = folder / name
    options = WRITERS[name](path, *radial_scan())
    if path.suffix != ".npz":
        return Sound(path, path, options=options)
    return Sound(path, path, ((0, 300), (path.stat().st_size - 500, path.stat().st_size)), options)


def _bart(folder: Path, damaged: str) -> Sound:
    given = _array(folder, "scan.cfl")
    structure = ((0, 60),) if damaged == ".hdr" else ((0, given.given.stat().st_size),)
    return Sound(given.given.with_suffix(damaged), given.given, structure, given.options)


_SPACE = (
    "<{0}><matrixSize><x>16</x><y>9</y><z>1</z></matrixSize>"
    "<fieldOfView_mm><x>160</x><y>90</y><z>5</z></fieldOfView_mm></{0}>"
)
HEADER = (
    "<ismrmrdHeader xmlns='http://www.ismrm.org/ISMRMRD'><experimentalConditions><H1resonanceFrequency_Hz>1"
    f"</H1resonanceFrequency_Hz></experimentalConditions><encoding>{_SPACE.format('encodedSpace')}"
    f"{_SPACE.format('reconSpace')}<encodingLimits/><trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"
)
"""A header of ISMRMRD."""


def _fastmri(folder: Path) -> Sound:
    path = folder / "scan.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = _kdata(3, 16, 9)[None]
        file["ismrmrd_header"] = HEADER
    start = path.read_bytes().find(b"<ismrmrdHeader")
    return Sound(path, path, ((0, 2048), (start, start + len(HEADER))), ImportOptions(radial_spokes=5))


def _fastmri_breast(folder: Path) -> Sound:
    path = folder / "scan.h5"
    values = np.random.default_rng(6).standard_normal((2, 8, 16, 2, 36)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["kspace"] = values
    return Sound(path, path)


MAKERS: dict[str, Callable[[Path, Path], Sound]] = {
    "ismrmrd": _ismrmrd,
    "twix VE": lambda folder, scan: _twix(folder, True),
    "twix VB": lambda folder, scan: _twix(folder, False),
    "mrd2": lambda folder, scan: _mrd2(folder),
    "seq": lambda folder, scan: _seq(folder),
    "mat 5": lambda folder, scan: _array(folder, "scan.mat"),
    "mat 5 zipped": lambda folder, scan: _array(folder, "zipped.mat"),
    "mat 7.3": lambda folder, scan: _array(folder, "new.mat"),
    "hdf5": lambda folder, scan: _array(folder, "scan.h5"),
    "fastmri": lambda folder, scan: _fastmri(folder),
    "fastmri breast": lambda folder, scan: _fastmri_breast(folder),
    "npz": lambda folder, scan: _array(folder, "scan.npz"),
    "bart hdr": lambda folder, scan: _bart(folder, ".hdr"),
    "bart cfl": lambda folder, scan: _bart(folder, ".cfl"),
}
"""Format → what writes a sound file of it into a folder; also given a file of ISMRMRD."""
