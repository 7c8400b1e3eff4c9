"""How much memory a process has taken."""

from __future__ import annotations

from pathlib import Path

__all__ = ["gpu_memory", "peak_memory"]


def peak_memory(process: int | None = None) -> int:
    """Largest resident size so far of a process, or of this one, bytes; 0 where the system does not say.

    Not ``ru_maxrss``: that starts from what the parent process had.
    """
    try:
        for line in Path(f"/proc/{process or 'self'}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def gpu_memory(device: str) -> int:
    """Largest memory that torch has taken on a GPU so far, bytes; 0 on the CPU."""
    if not device.startswith("cuda"):
        return 0
    import torch

    return int(torch.cuda.max_memory_allocated(device))
