"""One process at a time writes to a folder: a lock that the system gives up when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import IO

from napari_dainr.errors import InputError

__all__ = ["LOCK", "FolderLock"]

LOCK = ".writing.lock"
"""Name of the file in the folder. What a killed process leaves of it locks nothing."""

_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class FolderLock:
    """The right to write to one folder, against other processes and other threads of this one.

    The lock is the system's own on an open file: ``flock`` on Linux and macOS, ``msvcrt.locking`` on Windows. Where the
    file system of the folder knows no locks, as some network drives, nobody is kept out, and :attr:`kept` says so.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self.kept = False
        """Whether others are kept out."""

    def take(self) -> None:
        """Take the lock; the folder exists. Nothing is changed where it is held already by this object.

        Raises
        ------
        InputError
            If another process, or another run of this one, is writing to the folder.
        OSError
            If no file can be made in the folder.
        """
        path = self._folder / LOCK
        while self._file is None:
            file = path.open("ab")
            try:
                self.kept = _lock(file)
            except OSError as error:
                file.close()
                if error.errno not in _TAKEN:
                    raise
                raise InputError(
                    f"{self._folder.name}: another process is writing to this folder; "
                    "wait until it has ended, or choose another folder."
                ) from None
            # Who held the lock may have taken the file away between our opening it and our locking it.
            if _is_still(file, path):
                self._file = file
            else:
                file.close()

    def check(self) -> None:
        """Raise InputError if somebody else writes to the folder."""
        if self._file is not None or not os.path.lexists(self._folder / LOCK):
            return
        with contextlib.suppress(OSError):  # told when it is going to be written
            self.take()
            self.release()

    def release(self) -> None:
        """Let others write; nothing happens where the lock is not held."""
        if self._file is None:
            return
        path = self._folder / LOCK
        if os.name == "nt":
            self._file.close()  # there, an open file cannot be taken away
        with contextlib.suppress(OSError):
            path.unlink()
        self._file.close()
        self._file = None


if os.name == "nt":  # pragma: no cover (not run where coverage is measured)
    import msvcrt

    def _lock(file: IO[bytes]) -> bool:
        """Lock an open file; raises OSError where it is locked, returns False where that is not possible."""
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        return True

    def _is_still(file: IO[bytes], path: Path) -> bool:
        """An open file cannot be taken away on Windows."""
        return True
else:
    import fcntl

    def _lock(file: IO[bytes]) -> bool:
        """Lock an open file; raises OSError where it is locked, returns False where that is not possible."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
                return False
            raise
        return True

    def _is_still(file: IO[bytes], path: Path) -> bool:
        """Whether the path still leads to the open file."""
        try:
            return os.path.samestat(os.fstat(file.fileno()), path.stat())
        except FileNotFoundError:
            return False
