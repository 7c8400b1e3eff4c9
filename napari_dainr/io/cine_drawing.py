"""Frames of a cine as pictures: window, enlargement, outlines of regions, and the strip of text below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, log10

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.io.caption import enlargement, text_font, white_level
from napari_dainr.io.cine_options import CineOptions
from napari_dainr.machine import cores

__all__ = ["MOST_COLOURS", "Outline", "Painter", "kernel", "nice_length"]

_BAR, _TEXT, _FAINT = 28, 245, 200
MOST_COLOURS = 64
"""Colours of outlines; those beyond are drawn in the last of them, so that at least 192 greys are left."""
_NAMES = {"nearest": "pixels as blocks", "bilinear": "bilinear", "fourier": "Fourier"}
_LARGEST = 2**24
"""Pixels of one picture; more is a mistake in the size, and would fill the memory."""


@dataclass(frozen=True, eq=False)
class Outline:
    """The outline of a region.

    Parameters
    ----------
    points : (n, 2) float
        (y, x) in pixels of the image, where whole numbers are pixel centres.
    colour
        As ``#rrggbb``.
    name
        Shown below the image; may be empty.
    closed
        Whether the last point is joined to the first.
    dashes
        Lengths of line and gap in pixels of the picture, in turns; empty: a full line.
    """

    points: NDArray[np.floating]
    colour: str
    name: str = ""
    closed: bool = True
    dashes: tuple[int, ...] = ()


def kernel(n: int, factor: int, how: str) -> NDArray[np.float32]:
    """Weights (n · factor, n) that enlarge a line of ``n`` samples by a whole factor.

    Samples are the middles of pixels: sample j of the result lies at (j + ½) / factor − ½ on the line. ``fourier`` is
    the trigonometric polynomial through all samples, the half of an even length's highest frequency on either side.
    """
    if how == "nearest" or n == 1:
        return np.repeat(np.eye(n, dtype=np.float32), factor, axis=0)
    at = (np.arange(n * factor) + 0.5) / factor - 0.5
    if how == "bilinear":
        weights = np.clip(1 - np.abs(np.clip(at, 0, n - 1)[:, None] - np.arange(n)), 0, None)
    else:
        distance = at[:, None] - np.arange(n)
        whole = np.abs(distance - np.rint(distance)) < 1e-9
        angle = np.where(whole, 0.5, np.pi * distance / n)  # any angle where the sine is not 0
        weights = np.sin(np.pi * distance) / (n * (np.sin(angle) if n % 2 else np.tan(angle)))
        weights[whole] = np.rint(distance[whole]) % n == 0
    return weights.astype(np.float32)


def nice_length(largest: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above ``largest``."""
    power = 10.0 ** floor(log10(largest))
    return max(step * power for step in (1, 2, 5) if step * power <= largest * (1 + 1e-9))


def _rgb(colour: str) -> tuple[int, int, int]:
    value = int(colour.lstrip("#")[:6], 16)
    return value >> 16, value >> 8 & 255, value & 255


class Painter:
    """Draws frames of one series with one set of options.

    Pictures are (y, x) uint8 *indices* into :attr:`palette`: greys first, then the colours that are used. Without
    colours an index is the grey value itself. All pictures have one size. Safe to use from several threads.

    Parameters
    ----------
    image : (frame, y, x) real
        What is shown; NaN is drawn black.
    options
        ``fps``, ``loop`` and the choice of frames are not looked at here.
    pixel_mm
        (y, x), or None where the size of a pixel is not known.
    times_s : (frame,) or None
        Seconds.
    interpolated : (frame,) bool
    method
        For the caption.
    outlines
        Regions, drawn over the image.
    remark
        Further words for the caption, e.g. the speed.
    """

    def __init__(
        self,
        image: NDArray[np.generic],
        options: CineOptions,
        *,
        pixel_mm: tuple[float, float] | None,
        times_s: NDArray[np.float64] | None,
        interpolated: NDArray[np.bool_],
        method: str,
        outlines: Sequence[Outline] = (),
        remark: str = "",
    ) -> None:
        self._image, self._options = image, options
        self._pixel_mm, self._times_s, self._interpolated = pixel_mm, times_s, interpolated
        self._outlines = [one for one in outlines if len(one.points)] if options.regions else []
        height, width = image.shape[1:]
        self._crop = options.crop or (0, height, 0, width)
        y0, y1, x0, x1 = self._crop
        self.factors = self._choose_factors((y1 - y0, x1 - x0))
        self.shown = ((y1 - y0) * self.factors[0], (x1 - x0) * self.factors[1])
        self._window = options.window or (0.0, white_level(np.asarray(image, dtype=np.float32)))
        self._colours = list(dict.fromkeys(one.colour.lower()[:7] for one in self._outlines))[:MOST_COLOURS]
        self._n_greys = 256 - len(self._colours)
        large = self.factors != (1, 1)
        times = f"×{self.factors[0]}" if self.factors[0] == self.factors[1] else "×{}, ×{}".format(*self.factors)
        stated = f"enlarged {times}, {_NAMES[options.interpolation]}" if large else ""
        self._remark = "   ".join(filter(None, [stated, remark]))
        self._method = method if options.method_name else ""
        self.threads = min(8, cores())
        if large and options.interpolation != "nearest":
            self.threads = 1  # the matrix products have threads of their own, and both together are ten times slower
            self._weights_y = kernel(height, self.factors[0], options.interpolation)[
                y0 * self.factors[0] : y1 * self.factors[0]
            ]
            self._weights_x = kernel(width, self.factors[1], options.interpolation)[
                x0 * self.factors[1] : x1 * self.factors[1]
            ]
        self._lay_out()

    def _choose_factors(self, shape: tuple[int, int]) -> tuple[int, int]:
        sizes = self._pixel_mm or (1.0, 1.0)
        if self._options.enlarge is None:
            return enlargement(shape, sizes)
        least = max(min(sizes), max(sizes) / 8)
        factor_y, factor_x = (max(1, round(self._options.enlarge * size / least)) for size in sizes)
        return factor_y, factor_x

    # ---------------------------------------------------------------- the strip below

    def _lay_out(self) -> None:
        font = text_font(max(13, min(18, self.shown[1] // 36)))
        self._font, self._line_height = font, round(1.35 * font.size)
        margin, gap = round(0.6 * font.size), round(2 * font.size)
        n = len(self._image)
        number = f"frame {n}/{n}" if self._options.frame_number else ""
        times = self._times_s if self._options.time_stamp else None
        stamps = [] if times is None or not len(times) else [self._stamp(0), self._stamp(n - 1)]
        self._mark = "interpolated" if bool(self._interpolated.any()) else ""
        mark = ceil(font.getlength(self._mark) + 2 * font.size) if self._mark else 0
        stamp = max((ceil(font.getlength(text)) for text in stamps), default=0)
        widths = {
            "first": ceil(font.getlength(self._method)) + gap + ceil(font.getlength(number)),
            "second": stamp + mark + gap + self._bar_room(),
            "third": ceil(font.getlength(self._remark)),
            "last": ceil(font.getlength(RESEARCH_USE)),
        }
        self.width = max(self.shown[1], max(widths.values()) + 2 * margin)
        self._margin, self._stamp_width = margin, stamp
        has_first = bool(self._method or number)
        has_second = bool(stamps or self._mark or self._bar_room())
        self._rows: dict[str, int] = {}
        for name, there in (("first", has_first), ("second", has_second), ("third", bool(self._remark))):
            if there:
                self._rows[name] = len(self._rows)
        self._legend = self._lay_out_legend(len(self._rows))
        n_lines = len(self._rows) + (self._legend[-1][1] - len(self._rows) + 1 if self._legend else 0) + 1
        self._rows["last"] = n_lines - 1
        self._strip_height = n_lines * self._line_height + margin
        self.height = self.shown[0] + self._strip_height
        if self.width * self.height > _LARGEST:
            raise ValueError(f"a picture would have {self.width} × {self.height} pixels; enlarge less or crop")
        self._left = (self.width - self.shown[1]) // 2

    def _lay_out_legend(self, first_row: int) -> list[tuple[int, int, Outline]]:
        """(x, row, outline) for every region with a name; as many rows as they need."""
        entries, x, row = [], self._margin, first_row
        named = {one.name: one for one in self._outlines if one.name}
        for one in named.values():
            wide = ceil(self._font.getlength(one.name) + 2 * self._font.size)
            if x > self._margin and x + wide > self.width - self._margin:
                x, row = self._margin, row + 1
            entries.append((x, row, one))
            x += wide
        return entries

    @cached_property
    def bar_mm(self) -> float | None:
        """Length of the scale bar in millimetres; None where there is none."""
        if not self._options.scale_bar or self._pixel_mm is None:
            return None
        return nice_length(0.3 * self._pixel_mm[1] * self.shown[1] / self.factors[1])

    @property
    def bar_pixels(self) -> int:
        """Length of the scale bar in the picture."""
        if self.bar_mm is None or self._pixel_mm is None:
            return 0
        return max(1, round(self.bar_mm / self._pixel_mm[1] * self.factors[1]))

    def _bar_room(self) -> int:
        return 0 if self.bar_mm is None else self.bar_pixels + ceil(self._font.getlength(self._bar_text)) + 8

    @property
    def _bar_text(self) -> str:
        return "" if self.bar_mm is None else f"{self.bar_mm:g} mm"

    def _stamp(self, index: int) -> str:
        return "" if self._times_s is None else f"t = {self._times_s[index]:.3f} s"

    def _levels(self, grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Grey values as indices."""
        if self._n_greys == 256:
            return grey
        return np.rint(grey * ((self._n_greys - 1) / 255)).astype(np.uint8)

    def _index(self, colour: str) -> int:
        known = colour.lower()[:7] in self._colours
        return self._n_greys + (self._colours.index(colour.lower()[:7]) if known else len(self._colours) - 1)

    @property
    def palette(self) -> NDArray[np.uint8]:
        """(256, 3) uint8: red, green, blue of every index."""
        greys = np.rint(np.linspace(0, 255, self._n_greys)).astype(np.uint8)
        colours = np.array([_rgb(colour) for colour in self._colours], np.uint8).reshape(-1, 3)
        return np.concatenate([np.repeat(greys[:, None], 3, axis=1), colours])

    @property
    def has_colours(self) -> bool:
        return bool(self._colours)

    @cached_property
    def _overlay(self) -> NDArray[np.uint8]:
        """(y, x) of the shown image: 0, or the index of the outline that is there."""
        from PIL import Image, ImageDraw

        layer = Image.new("L", (self.shown[1], self.shown[0]), 0)
        draw = ImageDraw.Draw(layer)
        wide = max(1, round(min(self.shown) / 180))
        for one in self._outlines:
            corner = np.array([self._crop[0], self._crop[2]])
            points = (np.asarray(one.points, float) - corner + 0.5) * self.factors - 0.5
            if one.closed and len(points) > 2:
                points = np.vstack([points, points[:1]])
            for piece in _dashed(points, one.dashes):
                draw.line([(float(x), float(y)) for y, x in piece], fill=self._index(one.colour), width=wide)
        return np.asarray(layer)

    @cached_property
    def _still(self) -> NDArray[np.uint8]:
        """The strip without what changes from frame to frame, as indices."""
        from PIL import Image, ImageDraw

        strip = Image.new("L", (self.width, self._strip_height), _BAR)
        draw = ImageDraw.Draw(strip)
        if self._method:
            draw.text((self._margin, self._middle("first")), self._method, fill=_TEXT, font=self._font, anchor="lm")
        if self._remark:
            draw.text((self._margin, self._middle("third")), self._remark, fill=_TEXT, font=self._font, anchor="lm")
        if self.bar_mm is not None:
            right, y = self.width - self._margin, self._middle("second")
            left = right - ceil(self._font.getlength(self._bar_text)) - 8 - self.bar_pixels
            draw.rectangle((left, y - 1, left + self.bar_pixels - 1, y + 1), fill=_TEXT)
            draw.text((right, y), self._bar_text, fill=_TEXT, font=self._font, anchor="rm")
        for x, row, one in self._legend:
            y = self._middle_of(row)
            draw.text((x + round(1.2 * self._font.size), y), one.name, fill=_TEXT, font=self._font, anchor="lm")
        place = (self.width / 2, self._middle("last"))
        draw.text(place, RESEARCH_USE, fill=_FAINT, font=self._font, anchor="mm")
        indices = self._levels(np.asarray(strip)).copy()
        half = round(0.35 * self._font.size)
        for x, row, one in self._legend:
            y = round(self._middle_of(row))
            indices[y - half : y + half + 1, x : x + 2 * half + 1] = self._index(one.colour)
        return indices

    def _middle(self, name: str) -> float:
        return self._middle_of(self._rows[name])

    def _middle_of(self, row: int) -> float:
        return round(0.3 * self._font.size) + (row + 0.5) * self._line_height

    def _strip(self, index: int) -> NDArray[np.uint8]:
        from PIL import Image, ImageDraw

        number = f"frame {index + 1}/{len(self._image)}" if self._options.frame_number else ""
        stamp = self._stamp(index) if self._options.time_stamp else ""
        marked = bool(self._interpolated[index])
        if not (number or stamp or marked):
            return self._still
        moving = Image.new("L", (self.width, self._strip_height), _BAR)
        draw = ImageDraw.Draw(moving)
        if number:
            place = (self.width - self._margin, self._middle("first"))
            draw.text(place, number, fill=_TEXT, font=self._font, anchor="rm")
        if stamp:
            draw.text((self._margin, self._middle("second")), stamp, fill=_TEXT, font=self._font, anchor="lm")
        x = self._margin + self._stamp_width + (round(self._font.size) if self._stamp_width else 0)
        y = round(self._middle("second")) if "second" in self._rows else 0
        if marked:
            half = round(0.35 * self._font.size)
            draw.rectangle((x, y - half, x + 2 * half, y + half), outline=_TEXT, width=2)
            place = (x + round(1.1 * self._font.size), y)
            draw.text(place, self._mark, fill=_TEXT, font=self._font, anchor="lm")
        grey = np.asarray(moving)
        return np.where(grey == _BAR, self._still, self._levels(grey))

    # ---------------------------------------------------------------- the image

    def _shown_image(self, index: int) -> NDArray[np.uint8]:
        y0, y1, x0, x1 = self._crop
        low, high = self._window
        if self.factors == (1, 1) or self._options.interpolation == "nearest":
            part = np.asarray(self._image[index, y0:y1, x0:x1], dtype=np.float32)
            levels = self._as_levels(part, low, high)
            return levels.repeat(self.factors[0], axis=0).repeat(self.factors[1], axis=1)
        frame = np.nan_to_num(np.asarray(self._image[index], dtype=np.float32), nan=low)
        return self._as_levels(self._weights_y @ frame @ self._weights_x.T, low, high)

    def _as_levels(self, values: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
        scaled = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low), 0, 1)
        return np.rint((self._n_greys - 1) * scaled).astype(np.uint8)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """One frame: (height, width) indices into the palette."""
        picture = np.full((self.height, self.width), self._levels(np.array(_BAR, np.uint8)), np.uint8)
        shown = self._shown_image(index)
        if self._outlines:
            shown = np.where(self._overlay > 0, self._overlay, shown)
        picture[: self.shown[0], self._left : self._left + self.shown[1]] = shown
        picture[self.shown[0] :] = self._strip(index)
        return picture

    def in_colour(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Indices (y, x) → red, green, blue (y, x, 3)."""
        return self.palette[picture]


def _dashed(points: NDArray[np.floating], dashes: tuple[int, ...]) -> list[NDArray[np.floating]]:
    """A line in pieces of the given lengths, each second one left out."""
    if not dashes or len(points) < 2:
        return [points]
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    pieces, start, number = [], 0.0, 0
    while start < lengths[-1]:
        end = min(start + max(1, dashes[number % len(dashes)]), lengths[-1])
        if number % 2 == 0:
            between = (lengths > start) & (lengths < end)
            at = np.concatenate([[start], lengths[between], [end]])
            pieces.append(np.stack([np.interp(at, lengths, points[:, axis]) for axis in (0, 1)], axis=1))
        start, number = end, number + 1
    return pieces
