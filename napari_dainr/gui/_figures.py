"""Figures as words: how long, how much."""

from __future__ import annotations

__all__ = ["duration", "gigabytes"]


def duration(seconds: float) -> str:
    """For instance ``28 s``, ``12 min``, ``1.5 h``."""
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    if seconds >= 90:
        return f"{seconds / 60:.0f} min"
    return f"{max(0.0, seconds):.0f} s"


def gigabytes(n_bytes: float) -> str:
    """For instance ``1.1 GB`` or ``840 MB``."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"
