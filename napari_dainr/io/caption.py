"""Grey pictures of frames and the strip of text below them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

__all__ = ["above_and_below", "enlargement", "grey", "text_font", "white_level"]

SMALLEST_SIDE = 256
"""Pixels that the smaller side of a shown frame has at least."""
_STRETCH = 8
"""Pixels may be shown this much longer than wide, and not more: a wrong size must not fill the memory."""

_BAR, _TEXT, _FAINT = 28, 245, 200
_LEADING = 1.35


def white_level(magnitude: NDArray[np.float32]) -> float:
    """The 99.9th percentile of all finite samples of a series, the magnitude shown white; 1 if there is no signal."""
    finite = magnitude[np.isfinite(magnitude)]
    level = float(np.percentile(finite, 99.9)) if finite.size else 0.0
    if level <= 0 and finite.size:
        level = float(finite.max())  # a few bright pixels in an otherwise empty image
    return level if level > 0 else 1.0


def enlargement(shape: tuple[int, ...], pixel_mm: tuple[float, float]) -> tuple[int, int]:
    """Integer factors along y and x that make both sides at least 256 pixels, in the proportion of the pixel's sides.

    The factors are equal for square pixels, and as near to the true proportion as whole numbers come otherwise.
    """
    least = max(min(pixel_mm), max(pixel_mm) / _STRETCH)
    scale = 0
    while True:
        scale += 1
        factor_y, factor_x = (max(1, round(scale * size / least)) for size in pixel_mm)
        if min(factor_y * shape[-2], factor_x * shape[-1]) >= SMALLEST_SIDE:
            return factor_y, factor_x


def grey(frame: NDArray[np.float32], white: float, factors: tuple[int, int]) -> NDArray[np.uint8]:
    """(y, x) magnitude → grey values, 0 … ``white`` on 0 … 255; each sample becomes a block of ``factors`` pixels."""
    scaled = np.clip(np.nan_to_num(frame / white, nan=0.0), 0, 1)
    return np.rint(255 * scaled).astype(np.uint8).repeat(factors[0], axis=0).repeat(factors[1], axis=1)


@lru_cache
def text_font(size: int) -> FreeTypeFont:
    """A sans-serif font that looks the same everywhere: the one that comes with matplotlib."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size)


def _strip(width: int, lines: Sequence[tuple[float, float, str, int]], font: FreeTypeFont, n_lines: int) -> Image:
    """A bar of text; each entry is (centre x, line, text, grey)."""
    from PIL import Image, ImageDraw

    step = round(font.size * _LEADING)
    bar = Image.new("L", (width, n_lines * step + round(0.6 * font.size)), _BAR)
    draw = ImageDraw.Draw(bar)
    for centre, line, text, level in lines:
        draw.text((centre, round(0.3 * font.size) + (line + 0.5) * step), text, fill=level, font=font, anchor="mm")
    return bar


def above_and_below(
    panels: Sequence[Sequence[NDArray[np.uint8]]], labels: Sequence[str], captions: Sequence[Sequence[str]]
) -> list[Image]:
    """Put panels side by side, with labels above and a caption below; never over the image.

    Parameters
    ----------
    panels : per panel, per frame, (y, x) uint8
        All of one size.
    labels
        One per panel, or none at all.
    captions
        Lines of text per frame; the last line is fainter. As many lines in each frame.

    Returns
    -------
    list of 8-bit grey pictures
        All of one size, wide enough for every line.
    """
    from PIL import Image

    height, width = panels[0][0].shape
    gap = 0 if len(panels) == 1 else 6
    font = text_font(max(13, min(18, (width * len(panels)) // 36)))
    margin = round(1.2 * font.size)
    cell = max([width, *(ceil(font.getlength(label)) + margin for label in labels)])
    whole = len(panels) * cell + (len(panels) - 1) * gap
    total = max([whole, *(ceil(font.getlength(line)) + margin for lines in captions for line in lines)])
    lefts = [(total - whole) // 2 + number * (cell + gap) + (cell - width) // 2 for number in range(len(panels))]
    entries = [(left + width / 2, 0, label, _TEXT) for left, label in zip(lefts, labels, strict=False)]
    top = _strip(total, entries, font, 1) if labels else Image.new("L", (total, 0))
    pictures = []
    for number, lines in enumerate(captions):
        last = len(lines) - 1
        text = [(total / 2, line, words, _FAINT if line == last else _TEXT) for line, words in enumerate(lines)]
        bottom = _strip(total, text, font, len(lines))
        picture = Image.new("L", (total, top.height + height + bottom.height), _BAR)
        picture.paste(top, (0, 0))
        for left, frames in zip(lefts, panels, strict=True):
            picture.paste(Image.fromarray(frames[number]), (left, top.height))
        picture.paste(bottom, (0, top.height + height))
        pictures.append(picture)
    return pictures
