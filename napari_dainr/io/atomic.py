"""Writing a file so that it is either whole and checked, or not there at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from napari_dainr.errors import DainrError, ExportError, reason_of

__all__ = ["atomic_write", "write_text"]

_MARGIN = 1.2


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_room(folder: Path, name: str, needed_bytes: int) -> None:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ExportError(f"{name}: its folder cannot be used ({reason_of(error)}); choose another folder.") from None
    if free < needed_bytes * _MARGIN:
        raise ExportError(
            f"{name}: {needed_bytes * _MARGIN / 1e6:.1f} MB are needed, but only {free / 1e6:.1f} MB are free; "
            "make room or choose another folder."
        )


def atomic_write(
    path: Path,
    writer: Callable[[Path], None],
    verify: Callable[[Path], None] | None = None,
    needed_bytes: int = 0,
) -> None:
    """Write a file beside its final place, check it, and only then put it there.

    Parameters
    ----------
    path
        Where the file shall be; what is there already stays as it is unless everything went well.
    writer
        Writes the path it is given (same folder, same suffix, another name).
    verify
        Opens the path it is given again and raises an exception if it is not what was meant.
    needed_bytes
        Expected size; with less than 1.2 times that free nothing is begun.

    Raises
    ------
    ExportError
        One sentence; no temporary file is left.
    """
    path = Path(path)
    name, folder = path.name, path.parent
    if not name or os.path.isdir(path):
        raise ExportError(f"{name or path}: is a folder; give a file name.")
    if not os.path.isdir(folder):
        raise ExportError(f"{name}: the folder to write it to does not exist; make it or choose another.")
    _check_room(folder, name, needed_bytes)
    suffix = "".join(path.suffixes[-2:])
    temporary = folder / f".{name[:40].removesuffix(suffix)}.{secrets.token_hex(6)}{suffix}"
    try:
        _write_and_check(temporary, writer, verify, name)
        os.replace(temporary, path)
        if os.name == "posix":
            _sync(folder, os.O_RDONLY)
    except OSError as error:
        raise ExportError(
            f"{name}: could not be put in its place ({reason_of(error)}); choose another place."
        ) from error
    finally:
        # Gone already when all went well; if the folder itself is sealed, the error on its way says so.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_and_check(
    temporary: Path, writer: Callable[[Path], None], verify: Callable[[Path], None] | None, name: str
) -> None:
    try:
        writer(temporary)
        _sync(temporary, os.O_RDWR)
    except DainrError:
        raise
    except Exception as error:
        raise ExportError(f"{name}: cannot be written ({reason_of(error)}); make room or move it.") from error
    try:
        if verify is not None:
            verify(temporary)
    except Exception as error:
        raise ExportError(f"{name}: what was written does not read back ({reason_of(error)}); try again.") from error


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; raises ExportError."""
    data = text.encode("utf-8")

    def verify(written: Path) -> None:
        if written.read_bytes() != data:
            raise ValueError("the bytes differ")

    atomic_write(path, lambda temporary: _write_bytes(temporary, data), verify, len(data))


def _write_bytes(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
