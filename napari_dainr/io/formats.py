"""Formats of raw data: which reader takes a file, decided by its content."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from napari_dainr.acquired import Acquired
from napari_dainr.errors import InputError, printable
from napari_dainr.importing import ImportOptions
from napari_dainr.io.child import plain_file

__all__ = ["FORMATS", "Format", "format_of", "read_acquired"]

_START_BYTES = 4096
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Format:
    """One format of raw data.

    Parameters
    ----------
    name : str
        For people.
    reader : str
        ``module:function`` of the parent's side below :mod:`napari_dainr.io`; called as ``function(path, options,
        timeout_s)`` and returns :class:`~napari_dainr.acquired.Acquired`.
    recognises
        Whether a file is of this format, by its path and its first 4096 bytes.
    """

    name: str
    reader: str
    recognises: Callable[[Path, bytes], bool]


def _is_hdf5(path: Path, start: bytes) -> bool:
    named = path.suffix.lower() in (".h5", ".hdf5")
    return named or any(start[at : at + 8] == _HDF5 for at in (0, 512, 1024, 2048))


def _is_matlab(path: Path, start: bytes) -> bool:
    return start.startswith((b"MATLAB 5.0", b"MATLAB 7.3")) or path.suffix.lower() == ".mat"


def _is_npz(path: Path, start: bytes) -> bool:
    return path.suffix.lower() == ".npz" or (start.startswith(b"PK\x03\x04") and b".npy" in start[:64])


def _is_bart(path: Path, start: bytes) -> bool:
    suffix = path.suffix.lower()
    return suffix == ".cfl" or (suffix == ".hdr" and start.startswith(b"# Dimensions"))


def _is_twix(path: Path, start: bytes) -> bool:
    """VD, VE and XA begin with a table of measurements, VA and VB with the length of the header and its first part."""
    if len(start) < 32:
        return False
    first, second = struct.unpack("<II", start[:8])
    offset = struct.unpack("<Q", start[16:24])[0]
    table = first < 10000 and 0 < second <= 64 and 9736 <= offset < path.stat().st_size
    return table or start[8:15] == b"Config\0" or path.suffix.lower() == ".dat"


FORMATS: tuple[Format, ...] = (
    Format("MATLAB", "arrays:read_matlab", _is_matlab),
    Format("HDF5", "arrays:read_hdf5", _is_hdf5),
    Format("npz", "arrays:read_npz", _is_npz),
    Format("BART", "bart:read_bart", _is_bart),
    Format("MRD version 2", "mrd2:read_mrd2", lambda path, start: start.startswith(b"yardl")),
    Format("Siemens twix", "twix:read_twix", _is_twix),
)
"""Asked one after the other; the first that recognises a file reads it."""

_ELSEWHERE: tuple[tuple[Callable[[Path, bytes], bool], str], ...] = (
    (
        lambda path, start: path.suffix.lower() == ".seq" or start.lstrip().startswith(b"# Pulseq"),
        "is a Pulseq sequence, which says where samples lie but holds none; read the raw file and give this one "
        "with --trajectory-file.",
    ),
    (
        lambda path, start: path.suffix.lower() in (".lab", ".sin", ".list", ".data", ".raw"),
        "looks like Philips raw data, which is not read; convert it to ISMRMRD first (docs/how-to/raw-data.md).",
    ),
    (
        lambda path, start: path.suffix.lower() == ".7",
        "looks like a GE P-file, which is not read; convert it to ISMRMRD first (docs/how-to/raw-data.md).",
    ),
    (
        lambda path, start: start[128:132] == b"DICM" or path.suffix.lower() in (".dcm", ".ima"),
        "holds finished DICOM images; give the raw data (k-space) of the scan.",
    ),
    (
        lambda path, start: path.name.lower().endswith((".nii", ".nii.gz")),
        "holds finished NIfTI images; give the raw data (k-space) of the scan.",
    ),
)
"""What people give by mistake, and what to do then."""


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_START_BYTES)


def _recognised(path: Path, start: bytes) -> Format | None:
    return next((known for known in FORMATS if known.recognises(path, start)), None)


def format_of(path: Path) -> Format | None:
    """The format of a file; None for one that no reader takes, or that cannot be opened."""
    try:
        plain_file(path)
        return _recognised(path, _start(path))
    except (InputError, OSError):
        return None


def read_acquired(path: Path, options: ImportOptions | None = None, *, timeout_s: float | None = None) -> Acquired:
    """What a raw file holds, before anything is decided.

    Raises
    ------
    InputError
        One sentence that names the file and what is wrong with it.
    ResourceError
        If it does not fit into memory.
    """
    options = options or ImportOptions()
    path = Path(path)
    plain_file(path)
    start = _start(path)
    try:
        known = _recognised(path, start)
        if known is not None:
            module, _, function = known.reader.partition(":")
            reader: Callable[..., Acquired] = getattr(import_module(f"napari_dainr.io.{module}"), function)
            acquired = reader(path, options, timeout_s)
            own = known.name == "BART" and Path(options.trajectory_file or "").suffix.lower() in (".cfl", ".hdr")
            if options.trajectory_file is None or own:
                return acquired
            from napari_dainr.io.seq import with_sequence

            return with_sequence(acquired, Path(options.trajectory_file), timeout_s)
        for is_that, sentence in _ELSEWHERE:
            if is_that(path, start):
                raise InputError(sentence)
        names = ", ".join(known.name for known in FORMATS)
        raise InputError(f"is no raw data that can be read; what can be is {names}.")
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(printable(path.name)) else f"{path.name}: {text}") from None
