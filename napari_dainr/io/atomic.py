"""Writing files so that they are either whole and checked, or not there at all."""

from __future__ import annotations

import contextlib
import ctypes
import filecmp
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from napari_dainr.errors import DainrError, ExportError, reason_of
from napari_dainr.io.failpoints import reached

__all__ = [
    "atomic_files",
    "atomic_folder",
    "atomic_write",
    "clear_unfinished",
    "copy_file",
    "is_unfinished",
    "write_bytes",
    "write_text",
]

_MARGIN = 1.2
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}(\.[^.]+){0,2}")


def is_unfinished(path: Path) -> bool:
    """Whether a file or folder is what the functions here leave behind where the process is killed."""
    return _TEMPORARY.fullmatch(path.name) is not None


def clear_unfinished(folder: Path) -> None:
    """Take away what killed processes left in a folder that nobody else writes to."""
    for path in folder.iterdir():
        if is_unfinished(path):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        _sync(folder, os.O_RDONLY)


def _sync_all(path: Path) -> None:
    """A file, or a folder with all that is in it."""
    if not path.is_dir():
        _sync(path, os.O_RDWR)
        return
    for inner in sorted(path.iterdir()):
        _sync_all(inner)
    _sync_folder(path)


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


def _check_place(path: Path, needed_bytes: int) -> None:
    if not os.path.isdir(path.parent):
        raise ExportError(f"{path.name}: the folder to write it to does not exist; make it or choose another.")
    _check_room(path.parent, path.name, needed_bytes)


def _check_no_folder(path: Path) -> None:
    if not path.name or os.path.isdir(path):
        raise ExportError(f"{path.name or path}: is a folder; give a file name.")


def _temporary(path: Path) -> Path:
    """A name beside a file or folder that nobody has, with the same suffix."""
    suffix = "".join(path.suffixes[-2:])
    return path.parent / f".{path.name[:40].removesuffix(suffix)}.{secrets.token_hex(6)}{suffix}"


def atomic_write(
    path: Path,
    writer: Callable[[Path], None],
    verify: Callable[[Path], None],
    needed_bytes: int,
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
    _check_no_folder(path)
    _check_place(path, needed_bytes)
    temporary = _temporary(path)
    reached(f"begin {path.name}")
    try:
        _write_and_check(temporary, writer, verify, path.name)
        reached(f"verified {path.name}")
        os.replace(temporary, path)
        reached(f"replaced {path.name}")
        _sync_folder(path.parent)
        reached(f"settled {path.name}")
    except OSError as error:
        raise _not_placed(path, error) from error
    finally:
        # Gone already when all went well; if the folder itself is sealed, the error on its way says so.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def atomic_files(
    paths: Sequence[Path],
    writer: Callable[[Path], None],
    verify: Callable[[Path], None],
    needed_bytes: int,
) -> None:
    """Write files that belong together: all are whole and checked before the first is put in its place.

    If one cannot be put in its place, those before it are as they were. Only an end of the process between two
    renames can leave a new file beside an old one, each of them whole.

    Parameters
    ----------
    paths
        Where the files shall be, in one folder; errors name the first.
    writer
        Writes files of these names into the folder that it is given.
    verify
        Opens them again in the folder that it is given, and raises an exception if they are not what was meant.
    needed_bytes
        Expected size of all of them.

    Raises
    ------
    ExportError
        One sentence; nothing temporary is left.
    """
    paths = [Path(path) for path in paths]
    for path in paths:
        _check_no_folder(path)
    first = paths[0]
    _check_place(first, needed_bytes)
    temporary = _temporary(first)
    try:
        temporary.mkdir()
        _write_and_check(temporary, writer, verify, first.name)
        _replace_all(temporary, paths)
        _sync_folder(first.parent)
    except OSError as error:
        raise _not_placed(first, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def atomic_folder(
    path: Path,
    writer: Callable[[Path], None],
    verify: Callable[[Path], None],
    needed_bytes: int,
    *,
    ours: Callable[[Path], bool],
) -> None:
    """Write a folder beside its final place, check it, and only then put it there as a whole.

    Parameters
    ----------
    path
        Where the folder shall be; one that is there already stays as it is unless everything went well.
    writer
        Fills the empty folder that it is given.
    verify
        Opens what is in it again and raises an exception if it is not what was meant.
    needed_bytes
        Expected size of all files.
    ours
        Whether a folder that is there already holds nothing but what may be replaced.

    Raises
    ------
    ExportError
        One sentence; nothing temporary is left.
    """
    path = Path(path)
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or not ours(path)):
        raise ExportError(f"{path.name}: something else has that name; choose another name or move it.")
    _check_place(path, needed_bytes)
    temporary = _temporary(path)
    try:
        temporary.mkdir()
        _write_and_check(temporary, writer, verify, path.name)
        _replace_folder(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _not_placed(path, error) from error
    finally:
        # After an exchange this is the old folder.
        shutil.rmtree(temporary, ignore_errors=True)


def _not_placed(path: Path, error: OSError) -> ExportError:
    return ExportError(f"{path.name}: could not be put in its place ({reason_of(error)}); choose another place.")


def _replace_all(temporary: Path, paths: Sequence[Path]) -> None:
    kept = temporary / ".kept"
    kept.mkdir()
    for path in paths:
        if os.path.lexists(path):
            try:
                os.link(path, kept / path.name, follow_symlinks=False)
            except (OSError, NotImplementedError):  # file systems without hard links
                shutil.copy2(path, kept / path.name)
    placed: list[Path] = []
    try:
        for path in paths:
            os.replace(temporary / path.name, path)
            placed.append(path)
            reached(f"replaced {path.name}")
    except OSError:
        for path in placed:
            old = kept / path.name
            if os.path.lexists(old):
                os.replace(old, path)
            else:
                path.unlink()
        raise


def _replace_folder(temporary: Path, path: Path) -> None:
    if not os.path.lexists(path):
        os.rename(temporary, path)
        return
    if _exchange(temporary, path):
        return
    # Where two folders cannot change places in one step, there is a moment with the old one under another name.
    old = temporary.with_name(f"{temporary.name}.old")
    os.rename(path, old)
    try:
        os.rename(temporary, path)
    except OSError:
        os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchange(a: Path, b: Path) -> bool:
    """Let two paths change places in one step; False where the system or the file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    at_current_folder, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of renameat2(2)
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(at_current_folder, os.fsencode(a), at_current_folder, os.fsencode(b), exchange) == 0)


def _write_and_check(
    temporary: Path, writer: Callable[[Path], None], verify: Callable[[Path], None], name: str
) -> None:
    try:
        writer(temporary)
        reached(f"written {name}")
        _sync_all(temporary)
    except DainrError:
        raise
    except Exception as error:
        raise ExportError(f"{name}: cannot be written ({reason_of(error)}); make room or move it.") from error
    try:
        verify(temporary)
    except Exception as error:
        raise ExportError(f"{name}: what was written does not read back ({reason_of(error)}); try again.") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file of these bytes atomically; raises ExportError."""

    def write(temporary: Path) -> None:
        with temporary.open("xb") as file:
            file.write(data)

    def verify(written: Path) -> None:
        if written.read_bytes() != data:
            raise ValueError("the bytes differ")

    atomic_write(path, write, verify, len(data))


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; raises ExportError."""
    write_bytes(path, text.encode("utf-8"))


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes atomically, and nothing else of it; raises ExportError."""

    def write(temporary: Path) -> None:
        shutil.copyfile(source, temporary)

    def verify(written: Path) -> None:
        if not filecmp.cmp(source, written, shallow=False):
            raise ValueError("the bytes differ")

    try:
        size = source.stat().st_size
    except OSError as error:
        raise ExportError(f"{target.name}: what shall be copied cannot be read ({reason_of(error)}).") from None
    atomic_write(target, write, verify, size)
