"""Arrays of NumPy that can be counted, for whoever forecasts what a run takes.

PyTorch tells a dispatch mode of every tensor; NumPy tells nobody but tracemalloc. That is no way here: numba takes the
memory of its kernels from ``PyMem_RawMalloc`` without the GIL, and up to Python 3.12.8 and 3.13.1 a thread that starts
or stops tracemalloc crashes the others at that moment (CPython issue 128679), such as a fit in a viewer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["empty", "told_of_arrays"]

Listener = Callable[[NDArray[Any]], None]


class _Listeners(threading.local):
    """Who counts in this thread."""

    def __init__(self) -> None:
        self.all: list[Listener] = []


_listeners = _Listeners()


def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """``numpy.empty``, told to all who count in this thread: for arrays that grow with the data."""
    array = np.empty(shape, dtype)
    for listener in _listeners.all:
        listener(array)
    return array


@contextlib.contextmanager
def told_of_arrays(listener: Listener) -> Iterator[None]:
    """``listener`` is called with every array that this thread makes by `empty` while this lasts."""
    _listeners.all.append(listener)
    try:
        yield
    finally:
        _listeners.all.remove(listener)
