"""Pictures as an animation: delays that keep the time, and a file that is read back."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_dainr import RESEARCH_USE
from napari_dainr.errors import InputError
from napari_dainr.io.atomic import atomic_write

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["frame_delays_ms", "save_animation", "step_of"]

SHORTEST_S, LONGEST_S = 0.02, 655.0
"""Bounds of a frame's delay: players slow down below 20 ms, and 65535 hundredths is the most that the format holds."""


def frame_delays_ms(n_frames: int, step_s: float) -> list[int]:
    """Delays in whole 10 ms steps whose sum, up to any frame, is within 5 ms of the true time."""
    ends = np.floor(np.arange(n_frames + 1) * step_s * 100 + 0.5).astype(int)
    return [int(delay) * 10 for delay in np.diff(ends)]


def step_of(fps: float, name: str) -> float:
    """Seconds per frame for frames per second; raises InputError if no animation can have that."""
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not isfinite(fps) or fps <= 0:
        raise InputError(f"{name}: fps is {fps!r}; it must be a number above 0.")
    if not SHORTEST_S <= 1 / fps <= LONGEST_S:
        raise InputError(f"{name}: fps is {fps:g}; choose {1 / LONGEST_S:.2g} to {1 / SHORTEST_S:g}.")
    return 1 / fps


def save_animation(pictures: Sequence[Image], delays_ms: Sequence[int], path: Path, cycles: int = 0) -> None:
    """Write pictures of one size, 8-bit grey or with one palette, as a GIF.

    Consecutive pictures must differ, because the encoder merges those that do not; the read-back finds out.
    ``cycles`` says how often it plays; 0: for ever.

    Raises
    ------
    ExportError
        If it cannot be written, or frames or delays do not read back the same.
    """
    from PIL import Image

    # The format counts repetitions after the first time; without a count it plays once.
    repeats = None if cycles == 1 else max(0, cycles - 1)
    mode = "L" if pictures[0].mode == "L" else "RGB"

    def write(temporary: Path) -> None:
        pictures[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=list(pictures[1:]),
            duration=list(delays_ms) if len(pictures) > 1 else delays_ms[0],
            loop=repeats,
            optimize=False,
            comment=RESEARCH_USE.encode("ascii"),
        )

    def verify(written: Path) -> None:
        with Image.open(written) as file:
            n_frames = getattr(file, "n_frames", 1)
            if n_frames != len(pictures):
                raise ValueError(f"{n_frames} frames instead of {len(pictures)}")
            for number, (picture, delay) in enumerate(zip(pictures, delays_ms, strict=True)):
                file.seek(number)
                if file.info.get("duration") != delay:
                    raise ValueError(f"frame {number + 1} has another delay")
                if not np.array_equal(np.asarray(file.convert(mode)), np.asarray(picture.convert(mode))):
                    raise ValueError(f"frame {number + 1} differs")

    atomic_write(path, write, verify, sum(picture.width * picture.height for picture in pictures))
