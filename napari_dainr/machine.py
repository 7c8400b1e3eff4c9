"""What this process may use of the machine, and what it uses."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

__all__ = ["MemoryWatch", "available_memory", "cores", "memory_in_use", "memory_text", "sent", "torch_on_one_thread"]

_CGROUP = Path("/sys/fs/cgroup")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_in_use(device: str = "cpu") -> int:
    """Bytes that this process holds: resident memory, or on CUDA what torch has allocated of the card."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)


def available_memory(device: str = "cpu") -> int:
    """Bytes that this process may still take: of the machine and of its container, or of the card."""
    if device.startswith("cuda"):
        import torch

        free, _ = torch.cuda.mem_get_info(device)
        # Kept by torch and given to no tensor.
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return min(int(psutil.virtual_memory().available), _left_in_container())


def _left_in_container() -> int:
    """Bytes below the limit of the control group; without one, more than there can be.

    Files that were read count as used, but give way to whoever asks for memory; so they are left in.
    """
    for limit, used, details, given in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        try:
            left = int((_CGROUP / limit).read_text()) - int((_CGROUP / used).read_text())
            of_files = 0
            with contextlib.suppress(OSError):  # a kernel may keep no details
                lines = (line.split() for line in (_CGROUP / details).read_text().splitlines())
                of_files = next((int(line[1]) for line in lines if line[:1] == [given]), 0)
            return max(left + of_files, 0)
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return sys.maxsize


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device; the host does not wait for the device, as it would with ``values.to(device)``.

    What goes to CUDA goes through pinned memory, which PyTorch keeps until the copy is done.
    """
    if device.type == "cuda" and values.device.type == "cpu":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def memory_text(n_bytes: float) -> str:
    """Bytes as people read them, decimal."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"


def give_back_memory() -> None:
    """Let the C library hand pages that nobody uses back to the system; changes nothing else.

    glibc keeps what was freed, for every thread apart, and hardly uses it for arrays of other sizes. Where there is
    no such call (other C libraries give back by themselves), nothing is done.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


class HighestMemory:
    """The most that this process held while this lasted, looked at every two milliseconds; on CUDA by torch.

    ``rise`` is how much more that is than at its begin.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._before = self.highest = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="dainr-memory", daemon=True)

    @property
    def rise(self) -> int:
        return max(self.highest - self._before, 0)

    def __enter__(self) -> HighestMemory:
        self._before = self.highest = memory_in_use(self._device)
        if self._device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            self._thread.start()
        return self

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(0.002):
            self.highest = max(self.highest, int(process.memory_info().rss))

    def __exit__(self, *_: object) -> None:
        if self._device.startswith("cuda"):
            self.highest = max(self.highest, _highest(self._device))
            return
        self._stop.set()
        self._thread.join()
        self.highest = max(self.highest, memory_in_use(self._device))


class MemoryWatch:
    """The most memory that this process held since the watch was made, as far as it was looked at.

    On CUDA, Linux, macOS and Windows the system itself remembers peaks, so that those between two looks count too,
    unless the process had held more before the watch was made.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._highest_before = _highest(device)
        self._peak = self.now()

    def now(self) -> int:
        """Bytes in use at this moment."""
        return memory_in_use(self._device)

    def peak(self) -> int:
        """Bytes in use at most; a look of its own."""
        highest = _highest(self._device)
        self._peak = max(self._peak, self.now(), highest if highest > self._highest_before else 0)
        return self._peak


def _highest(device: str) -> int:
    """The most that this process ever held, bytes."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


_users_lock = threading.Lock()
_users = 0
_torch_threads = 1


@contextlib.contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """Torch keeps to one thread while anybody is in here, in any thread of the process.

    Torch's sums depend on its number of threads, and its waiting threads starve a viewer. The last one to leave gives
    back the number that the first one found, so that a forecast or a drawing which ends in the middle of a fit does
    not change the fit's bits.
    """
    global _users, _torch_threads
    import torch

    with _users_lock:
        if _users == 0:
            _torch_threads = torch.get_num_threads()
        _users += 1
        torch.set_num_threads(1)  # for a thread that is new here too: OpenMP's number is a thread's own
    try:
        yield
    finally:
        with _users_lock:
            _users -= 1
            if _users == 0:
                torch.set_num_threads(_torch_threads)
