"""A series as an animation: one window for all frames, true speed, a caption below."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError
from napari_dainr.io.atomic import atomic_write
from napari_dainr.io.caption import above_and_below, enlargement, grey, white_level

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["frame_delays_ms", "save_animation", "step_of", "write_gif"]

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


def save_animation(pictures: Sequence[Image], delays_ms: Sequence[int], path: Path) -> None:
    """Write 8-bit grey pictures of one size as a GIF that repeats for ever.

    Consecutive pictures must differ, because the encoder merges those that do not; the read-back finds out.

    Raises
    ------
    ExportError
        If it cannot be written, or frames or delays do not read back the same.
    """
    from PIL import Image

    def write(temporary: Path) -> None:
        pictures[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=list(pictures[1:]),
            duration=list(delays_ms) if len(pictures) > 1 else delays_ms[0],
            loop=0,
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
                if not np.array_equal(np.asarray(file.convert("L")), np.asarray(picture)):
                    raise ValueError(f"frame {number + 1} differs")

    atomic_write(path, write, verify, sum(picture.width * picture.height for picture in pictures))


def write_gif(series: ImageSeries, path: Path, *, fps: float | None = None) -> None:
    """Write magnitudes as an animation, 0 … 99.9th percentile of the whole series on black … white.

    Parameters
    ----------
    series
        Images under 256 pixels are enlarged by an integer factor, pixels that are not square by one for each side.
    path
        A ``.gif`` file.
    fps
        Frames per second, 50 at most; by default true speed, but at least 20 ms per frame.

    Raises
    ------
    InputError
        If no animation can have that speed.
    ExportError
        If it cannot be written or does not read back the same.
    """
    if fps is not None:
        step_s = step_of(fps, path.name)
    else:
        step_s = max(series.frame_step_s, SHORTEST_S)
        if step_s > LONGEST_S:
            raise InputError(f"{path.name}: a frame takes {step_s:g} s, more than a GIF can show; give fps.")
    magnitude = series.magnitude
    white, factors, n = white_level(magnitude), enlargement(magnitude.shape, series.pixel_mm), series.n_frames
    panel = [grey(frame, white, factors) for frame in magnitude]
    captions = [
        # The number of the frame also keeps equal frames apart.
        [
            f"{series.method}   frame {number + 1}/{n}",
            f"t = {time:.3f} s" + ("   interpolated" if drawn else ""),
            RESEARCH_USE,
        ]
        for number, (time, drawn) in enumerate(zip(series.times_s, series.interpolated, strict=True))
    ]
    save_animation(above_and_below([panel], [], captions), frame_delays_ms(n, step_s), path)
