"""Large arrays that live in a file, of which only what is worked on is in memory.

A file in the system's folder for temporary files, without a name from its first moment on, so that it is gone with the
process however that ends. It is mapped into memory: code that reads and writes it sees an array. Pages that are let go
stay in the system's cache as long as there is room and are written to the disk when there is not. So results are the
same to the bit, and the memory that is needed does not grow with the array.

docs/adr/0017-memory-and-frames.md has the reasons and what it costs.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_dainr.counted import empty
from napari_dainr.errors import ResourceError

if TYPE_CHECKING:
    import torch

__all__ = ["BOUND", "is_paged", "let_go", "let_go_all", "paged_empty", "paged_from", "room", "stacked"]

BOUND = 64 << 20
"""Bytes above which an array lives in a file."""

_lock = threading.Lock()
_maps: dict[int, weakref.ref[mmap.mmap]] = {}  # by the address of the first byte


class _Bound(threading.local):
    """Of this thread: a forecast beside a fit tries another."""

    def __init__(self) -> None:
        self.n_bytes = BOUND


_bound = _Bound()


@contextlib.contextmanager
def paged_from(n_bytes: int) -> Iterator[None]:
    """Another bound for what this thread makes while this lasts: for forecasts, tests and benchmarks."""
    before, _bound.n_bytes = _bound.n_bytes, n_bytes
    try:
        yield
    finally:
        _bound.n_bytes = before


def is_paged(n_bytes: float) -> bool:
    """Whether an array of so many bytes lives in a file."""
    return n_bytes > _bound.n_bytes


def room(shape: tuple[int, ...], dtype: DTypeLike = np.complex64) -> NDArray[Any]:
    """An array of zeros that is yet to be filled: in a file if it is large, else in memory.

    Raises
    ------
    ResourceError
        If the disk has no room for it.
    """
    dtype = np.dtype(dtype)
    n_bytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
    if not is_paged(n_bytes):
        array = empty(shape, dtype)
        array[...] = 0
        return array
    try:
        with tempfile.TemporaryFile(prefix="napari-dainr-") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)  # else a full disk would kill the process later
            else:
                file.truncate(n_bytes)
            mapped = mmap.mmap(file.fileno(), n_bytes)
    except OSError as error:
        raise ResourceError(
            f"An array of this series needs {n_bytes / 1e9:.1f} GB of temporary files, which cannot be had "
            f"({error.strerror}): free some room, or set TMPDIR to a folder on a larger disk."
        ) from None
    array = np.frombuffer(mapped, dtype).reshape(shape)
    address = array.__array_interface__["data"][0]
    with _lock:
        _maps[address] = weakref.ref(mapped, lambda _: _maps.pop(address, None))
    return array


def paged_empty(like: torch.Tensor, shape: tuple[int, ...] | None = None) -> torch.Tensor:
    """Zeros of the type and device of a tensor and of its shape or another; in a file if large and on the CPU."""
    import torch

    shape = tuple(like.shape) if shape is None else shape
    n_bytes = like.element_size() * int(np.prod(shape, dtype=np.int64))
    if like.device.type != "cpu" or not is_paged(n_bytes):
        return like.new_zeros(shape)
    return torch.from_numpy(room(shape, torch.empty(0, dtype=like.dtype).numpy().dtype))


def stacked(made: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    """``torch.stack`` of what is made of each row, in a file if that is large."""
    first = made(rows[0])
    whole = paged_empty(first, (len(rows), *first.shape))
    whole[0] = first
    for number in range(1, len(rows)):
        whole[number] = made(rows[number])
        let_go_all(number)
    return whole


def let_go(array: NDArray[Any]) -> None:
    """What of an array of `room` is in memory need not stay there. Of other arrays, nothing is done."""
    with _lock:
        found = _maps.get(array.__array_interface__["data"][0])
    _advise(found)


def let_go_all(turn: int = 0) -> None:
    """`let_go` of all arrays of this process; at every sixteenth turn, for loops whose turns touch little."""
    if not _maps or turn % 16:
        return
    with _lock:
        found = list(_maps.values())
    for one in found:
        _advise(one)


def _advise(found: weakref.ref[mmap.mmap] | None) -> None:
    mapped = found() if found is not None else None
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):  # Windows takes pages away by itself
        mapped.madvise(mmap.MADV_DONTNEED)
