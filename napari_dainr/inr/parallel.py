"""Threads for compiled kernels: a pool of our own, because kernels that release the GIL need no more.

numba's own parallel layers are not used: which ones exist differs between machines, one of them aborts the process when
two Python threads call it, and another competes with PyTorch's OpenMP threads.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait

from napari_dainr.machine import cores

__all__ = ["get_threads", "run_parts", "set_threads", "threads_for_a_trial"]

_lock = threading.Lock()
_threads = cores()
_trials: tuple[tuple[object, int], ...] = ()  # those under way by their begin; replaced whole, as it is read unlocked
_pool: ThreadPoolExecutor | None = None


def get_threads() -> int:
    """Threads that one call of a kernel uses, the calling thread among them."""
    trials = _trials
    return trials[-1][1] if trials else _threads


def set_threads(n_threads: int) -> None:
    """Set how many threads one call of a kernel uses, in the whole process. Results do not depend on it.

    Raises
    ------
    ValueError
        If ``n_threads`` is less than 1.
    """
    global _threads, _trials
    if n_threads < 1:
        raise ValueError(f"n_threads must be at least 1, got {n_threads}")
    with _lock:
        _trials = ()
        _threads = n_threads
        _new_pool()


def _new_pool() -> None:
    global _pool
    if _pool is not None:
        _pool.shutdown(wait=False)  # what it was given is still finished
        _pool = None


@contextlib.contextmanager
def threads_for_a_trial(n_threads: int) -> Iterator[None]:
    """Another number of threads inside, for a measurement; it gives way for good to whoever calls `set_threads`.

    So a trial that ends in the middle of a fit leaves the fit its threads.
    """
    global _trials
    mine = (object(), n_threads)
    with _lock:
        _trials = (*_trials, mine)
        _new_pool()
    try:
        yield
    finally:
        with _lock:
            if mine in _trials:
                _trials = tuple(trial for trial in _trials if trial is not mine)
                _new_pool()


def run_parts(work: Callable[[int], None], n_parts: int) -> None:
    """Call ``work(0)`` … ``work(n_parts − 1)``, side by side, the last one on the calling thread.

    ``work`` must release the GIL to gain anything, must not call this function itself, and may be called in any order.
    """
    global _pool
    if n_parts < 1:
        return
    futures = []
    if n_parts > 1:
        with _lock:
            if _pool is None:
                _pool = ThreadPoolExecutor(max(1, get_threads() - 1), "dainr-kernel")
            futures = [_pool.submit(work, part) for part in range(n_parts - 1)]
    try:
        work(n_parts - 1)
    finally:
        wait(futures)  # all of them: what is left running would write into arrays that are given up
        for future in futures:
            future.result()
