"""A series as a cine: GIF or MP4 drawn from the array, never from a screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from napari_dainr.data import ImageSeries
from napari_dainr.errors import ExportError, InputError
from napari_dainr.io.cine_drawing import Outline, Painter
from napari_dainr.io.cine_options import CineOptions
from napari_dainr.io.gif import LONGEST_S, SHORTEST_S, frame_delays_ms, save_animation, step_of

__all__ = ["CINE_SUFFIXES", "Cine", "Timing", "export_cine", "first_picture", "timing", "write_cine"]

CINE_SUFFIXES: dict[str, str] = {
    ".gif": "animation, 256 colours, no loss but the rounding to 8 bits",
    ".mp4": "H.264 film, small; needs the extra mp4",
}
FASTEST_MP4_S, SLOWEST_MP4_S = 1 / 120, 20.0
"""Bounds of a frame's time in a film; players follow no faster, and lose their seek bar when slower."""
DEFAULT_STEP_S = 0.1
"""Seconds per frame where the true time between frames is not known."""
MOST_BYTES = 2 * 10**9
"""Pictures of an animation are held in memory at 1 byte a pixel."""
_AHEAD = 8

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Cine:
    """What is shown: real images with what the caption needs.

    Parameters
    ----------
    image : (frame, y, x) real
        Any unit; NaN is drawn black.
    method : str
        Name of the method or layer, for the caption.
    pixel_mm : (y, x) or None
        Pixel size in millimetres; None if not known, then there is no scale bar.
    times_s : (frame,) or None
        Seconds; None if not known, then there are no time stamps and no true speed.
    interpolated : (frame,) bool or None
        Frames that were drawn between measured ones.
    outlines
        Regions.
    step_s : float or None
        True seconds from frame to frame; None: what ``times_s`` say.
    """

    image: NDArray[np.generic]
    method: str = ""
    pixel_mm: tuple[float, float] | None = None
    times_s: NDArray[np.float64] | None = None
    interpolated: NDArray[np.bool_] | None = None
    outlines: Sequence[Outline] = ()
    step_s: float | None = None

    @classmethod
    def of(cls, series: ImageSeries, outlines: Sequence[Outline] = ()) -> Cine:
        """The magnitude of a series."""
        return cls(
            image=series.magnitude,
            method=series.method,
            pixel_mm=series.pixel_mm,
            times_s=series.times_s,
            interpolated=series.interpolated,
            outlines=outlines,
            step_s=series.frame_step_s,
        )

    @property
    def true_step_s(self) -> float | None:
        """Seconds from frame to frame; None if not known."""
        if self.step_s is not None:
            return self.step_s
        if self.times_s is None or len(self.times_s) < 2:
            return None
        step = float(np.median(np.diff(self.times_s)))
        return step if np.isfinite(step) and step > 0 else None


@dataclass(frozen=True)
class Timing:
    """Which frames are shown in one cycle, how long each, and what the caption says about it."""

    order: tuple[int, ...]
    step_s: float
    remark: str


def timing(cine: Cine, options: CineOptions, name: str) -> Timing:
    """Order and speed of a cine in the file called ``name``.

    A format has a shortest and a longest time per frame. A speed that was asked for and lies outside is an error; the
    true speed is brought inside, and the caption says how fast it plays.

    Raises
    ------
    InputError
        If the format cannot have that speed, or no frame lies in the times that were chosen.
    """
    n = len(cine.image)
    frames = list(range(n))
    if options.times_s is not None:
        if cine.times_s is None:
            raise InputError(f"{name}: the times of the frames are not known; leave the choice of times out.")
        low, high = options.times_s
        frames = [i for i in frames if low - 1e-9 <= cine.times_s[i] <= high + 1e-9]
        if not frames:
            first, last = cine.times_s[0], cine.times_s[-1]
            raise InputError(
                f"{name}: no frame lies between {low:g} and {high:g} s; choose times in {first:.3f} to {last:.3f} s."
            )
    order = frames + frames[-2:0:-1] if options.back_and_forth and len(frames) > 2 else frames
    true = cine.true_step_s
    film = name.lower().endswith(".mp4")
    shortest, longest = (FASTEST_MP4_S, SLOWEST_MP4_S) if film else (SHORTEST_S, LONGEST_S)
    if options.fps is not None or options.cycle_s is not None:
        fps = options.fps if options.fps is not None else len(order) / (options.cycle_s or 1)
        if not film:
            step_s = step_of(fps, name)
        elif shortest <= 1 / fps <= longest:
            step_s = 1 / fps
        else:
            raise InputError(f"{name}: fps is {fps:g}; choose {1 / longest:.2g} to {1 / shortest:g}.")
    else:
        wanted = (DEFAULT_STEP_S if true is None else true) / options.speed
        step_s = min(max(wanted, shortest), longest)
    remark = ""
    if true is not None:
        ratio = true / step_s
        remark = "" if abs(ratio - 1) < 5e-3 else f"plays at {ratio:.3g} × true speed"
    return Timing(tuple(order), step_s, remark)


def _check(cine: Cine, options: CineOptions, name: str) -> None:
    shape = cine.image.shape
    if len(shape) != 3 or not all(shape) or cine.image.dtype.kind not in "buif":
        raise InputError(
            f"{name}: the image is {cine.image.dtype} {shape}; a cine needs real numbers with axes (frame, y, x)."
        )
    for field, values in (("times", cine.times_s), ("marks of interpolated frames", cine.interpolated)):
        if values is not None and len(values) != shape[0]:
            raise InputError(f"{name}: there are {len(values)} {field} for {shape[0]} frames; they must match.")
    if options.crop is not None:
        y0, y1, x0, x1 = options.crop
        if not (0 <= y0 < y1 <= shape[1] and 0 <= x0 < x1 <= shape[2]):
            raise InputError(
                f"{name}: crop is {y0} {y1} {x0} {x1}, but the image has {shape[1]} rows and {shape[2]} columns; "
                "stay inside."
            )


def _painter(cine: Cine, options: CineOptions, when: Timing, name: str) -> Painter:
    marks = cine.interpolated
    try:
        return Painter(
            cine.image,
            options,
            pixel_mm=cine.pixel_mm,
            times_s=cine.times_s,
            interpolated=np.zeros(len(cine.image), bool) if marks is None else marks,
            method=cine.method,
            outlines=cine.outlines,
            remark=when.remark,
        )
    except ValueError as error:
        raise InputError(f"{name}: {error}.") from None


def first_picture(cine: Cine, options: CineOptions, name: str, frame: int | None = None) -> NDArray[np.uint8]:
    """One frame as it will be in the file, (y, x, 3) uint8; by default the first that is shown.

    Raises
    ------
    InputError
        If it cannot be drawn with these options.
    """
    _check(cine, options, name)
    when = timing(cine, options, name)
    painter = _painter(cine, options, when, name)
    return painter.in_colour(painter.picture(when.order[0] if frame is None else frame))


def write_cine(
    cine: Cine,
    path: Path,
    options: CineOptions | None = None,
    *,
    progress: Progress | None = None,
    stop: Event | None = None,
    threads: int | None = None,
) -> None:
    """Write a cine, read it back and compare.

    Parameters
    ----------
    cine
        At least one frame.
    path
        ``.gif`` or ``.mp4``; what is there already stays as it is unless everything went well.
    options
        By default true speed, 0 … 99.9th percentile, enlarged to 256 pixels, with everything in the caption.
    progress
        Called with (frames done, of all) from this thread.
    stop
        Once it is set, the export ends with ExportError and leaves nothing behind.
    threads
        CPU threads that may draw and pack; a window that is to stay alive needs one for itself. Default: all cores.

    Raises
    ------
    InputError
        If series and options do not go together.
    ResourceError
        If MP4 is asked for and the extra is not installed.
    ExportError
        If it cannot be written or does not read back, or was stopped.
    """
    path, options = Path(path), options or CineOptions()
    suffix = path.suffix.lower()
    if suffix not in CINE_SUFFIXES:
        raise InputError(f"{path.name}: a cine is a GIF or an MP4 film; end the name in .gif or .mp4.")
    _check(cine, options, path.name)
    when = timing(cine, options, path.name)
    painter = _painter(cine, options, when, path.name)
    painter.threads = min(painter.threads, threads or painter.threads)
    if suffix == ".mp4":
        _write_film(painter, when, path, options, progress, stop, threads)
    else:
        _write_gif(painter, when, path, options, progress, stop)


def export_cine(series: ImageSeries, path: Path, **options: object) -> None:
    """Write a series as a cine; ``options`` are fields of :class:`CineOptions`."""
    from napari_dainr.io.cine_options import cine_options

    write_cine(Cine.of(series), path, cine_options(Path(path).name, **options))


def _drawn(
    painter: Painter, order: Sequence[int], name: str, progress: Callable[[int], None], stop: Event | None
) -> Iterator[NDArray[np.uint8]]:
    """Pictures in order, drawn a few ahead on all cores."""
    with ThreadPoolExecutor(painter.threads, thread_name_prefix="cine") as pool:
        waiting = [pool.submit(painter.picture, index) for index in order[:_AHEAD]]
        try:
            for number in range(len(order)):
                if stop is not None and stop.is_set():
                    raise ExportError(f"{name}: the export was cancelled; nothing was written.")
                picture = waiting.pop(0).result()
                if number + _AHEAD < len(order):
                    waiting.append(pool.submit(painter.picture, order[number + _AHEAD]))
                progress(number + 1)
                yield picture
        finally:
            for future in waiting:
                future.cancel()


def _write_gif(
    painter: Painter, when: Timing, path: Path, options: CineOptions, progress: Progress | None, stop: Event | None
) -> None:
    from PIL import Image

    n = len(when.order)
    if n * painter.width * painter.height > MOST_BYTES:
        raise InputError(
            f"{path.name}: {n} pictures of {painter.width} × {painter.height} pixels are too much for a GIF; "
            "enlarge less, crop, choose fewer frames, or write an MP4."
        )
    palette = painter.palette.tobytes()
    pictures: list[Image.Image] = []
    delays: list[int] = []
    last: NDArray[np.uint8] | None = None
    pace = frame_delays_ms(n, when.step_s)
    told = _half(progress, 2 * n, 0)
    for number, picture in enumerate(_drawn(painter, when.order, path.name, told, stop)):
        # A GIF cannot hold two equal pictures in a row: the first is shown for as long as both.
        if last is not None and np.array_equal(last, picture) and delays[-1] + pace[number] <= 1000 * LONGEST_S:
            delays[-1] += pace[number]
            continue
        image = Image.fromarray(picture)
        if painter.has_colours:
            image.putpalette(palette)
        pictures.append(image)
        delays.append(pace[number])
        last = picture
    save_animation(pictures, delays, path, cycles=options.loop)
    if progress is not None:
        progress(2 * n, 2 * n)


def _half(progress: Progress | None, total: int, before: int) -> Callable[[int], None]:
    return (lambda done: None) if progress is None else (lambda done: progress(before + done, total))


def _write_film(
    painter: Painter,
    when: Timing,
    path: Path,
    options: CineOptions,
    progress: Progress | None,
    stop: Event | None,
    threads: int | None,
) -> None:
    from napari_dainr.io.mp4 import write_mp4

    order = when.order * max(1, options.loop)
    n = len(order)
    convert = painter.in_colour if painter.has_colours else _as_it_is

    def frames(before: int) -> Iterator[NDArray[np.uint8]]:
        return map(convert, _drawn(painter, order, path.name, _half(progress, 2 * n, before), stop))

    fps = Fraction(1 / when.step_s).limit_denominator(100_000)
    shape = (painter.height, painter.width, 3) if painter.has_colours else (painter.height, painter.width)
    write_mp4(path, lambda: frames(0), shape, n, fps, again=lambda: frames(n), threads=threads)


def _as_it_is(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture
