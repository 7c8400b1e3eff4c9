"""Films in H.264, written and read back by the ffmpeg that the extra ``mp4`` brings."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.errors import ExportError
from napari_dainr.io.atomic import atomic_write
from napari_dainr.optional import require

__all__ = ["even", "write_mp4"]

_QUALITY = 14
"""Constant rate factor; about 45 dB on MR images."""
LEAST_PSNR_DB = 28.0
"""Each frame that is read back is at least this near; a frame of pure noise, the hardest, comes out at about 36 dB."""
_EDGE = 28
"""Grey of the line that makes an odd size even; the same as behind the caption."""
_TV = "scale=in_range=full:out_range=tv:out_color_matrix=bt709"

Frames = Callable[[], Iterator[NDArray[np.uint8]]]


def even(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add a line at the bottom or right where the size is odd, because H.264 has half as many colour samples.

    Nothing is resampled; an even picture is returned as it is.
    """
    more = [(0, picture.shape[0] % 2), (0, picture.shape[1] % 2), (0, 0)][: picture.ndim]
    return np.pad(picture, more, constant_values=_EDGE) if any(end for _, end in more) else picture


def _give_way(process: subprocess.Popen[bytes]) -> None:
    """Let others go first on a busy machine, where the system knows how."""
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):  # it may have ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, 10)


def write_mp4(
    path: Path,
    frames: Frames,
    shape: tuple[int, ...],
    n_frames: int,
    fps: Fraction,
    *,
    again: Frames | None = None,
    threads: int | None = None,
) -> None:
    """Write pictures as a film, read it back and compare every frame.

    Parameters
    ----------
    path
        A ``.mp4`` file.
    frames
        Makes an iterator over pictures, (y, x) grey or (y, x, 3) red, green, blue, uint8.
    shape
        Of each picture. Odd sizes get one more line.
    n_frames
        How many there are.
    fps
        Frames per second.
    again
        Makes them a second time, for the comparison; by default ``frames``.
    threads
        Of ffmpeg, which then also gives way to other programs, as to the window it was started from. Default: its own
        choice.

    Raises
    ------
    ResourceError
        If the extra is not installed.
    ExportError
        If ffmpeg cannot write it, or it does not read back.
    """
    ffmpeg = str(require("imageio_ffmpeg", extra="mp4", purpose="Writing an MP4 film").get_ffmpeg_exe())
    height, width = shape[0] + shape[0] % 2, shape[1] + shape[1] % 2
    kind = "gray" if len(shape) == 2 else "rgb24"
    n_bytes = height * width * (1 if kind == "gray" else 3)
    start = [ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin"]
    pace = [] if threads is None else ["-threads", str(threads)]

    def write(temporary: Path) -> None:
        source = ["-f", "rawvideo", "-pix_fmt", kind, "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
        code = ["-c:v", "libx264", "-preset", "veryfast", "-crf", str(_QUALITY), "-vf", _TV, "-pix_fmt", "yuv420p"]
        colours = ["-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
        about = ["-map_metadata", "-1", "-fflags", "+bitexact", "-metadata", f"comment={RESEARCH_USE}"]
        command = [
            *start[:-1],
            *source,
            *code,
            *pace,
            *colours,
            *about,
            "-movflags",
            "+faststart",
            "-y",
            str(temporary),
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin is not None and process.stderr is not None
            if threads is not None:
                _give_way(process)
            try:
                # A pipe that broke is explained by what ffmpeg says.
                with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                    for picture in frames():
                        pipe.write(np.ascontiguousarray(even(picture)).data)
            except BaseException:
                process.kill()
                raise
            said = process.stderr.read().decode("utf-8", "replace").replace(str(temporary), path.name)
        if process.returncode != 0:
            raise ExportError(f"{path.name}: ffmpeg could not write it ({_reason(said)}); make room or write a .gif.")

    def verify(written: Path) -> None:
        back = [
            *start,
            *pace,
            "-i",
            str(written),
            "-f",
            "rawvideo",
            "-pix_fmt",
            kind,
            "-vf",
            "scale=out_range=full",
            "-",
        ]
        with subprocess.Popen(back, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            if threads is not None:
                _give_way(process)
            try:
                for number, picture in enumerate((again or frames)()):
                    data = process.stdout.read(n_bytes)
                    if len(data) < n_bytes:
                        raise ValueError(f"{number} frames instead of {n_frames}")
                    meant = even(picture)
                    found = np.frombuffer(data, np.uint8).reshape(meant.shape)
                    if _psnr(found, meant) < LEAST_PSNR_DB:
                        raise ValueError(f"frame {number + 1} differs")
                if process.stdout.read(1):
                    raise ValueError(f"more than {n_frames} frames")
            finally:
                process.kill()

    atomic_write(path, write, verify, n_frames * n_bytes // 4)


def _reason(said: str) -> str:
    """What ffmpeg says, without addresses of its parts; the first line that knows of the disk, else the last."""
    full = os.strerror(errno.ENOSPC)
    if full in said:
        return full.lower()
    lines = [re.sub(r"\[[^\]]*\] *", "", line) for line in said.splitlines()]
    return ([line for line in lines if line.strip()] or ["no reason given"])[-1][:200]


def _psnr(found: NDArray[np.uint8], meant: NDArray[np.uint8]) -> float:
    """Of 8-bit pictures, dB; of every other sample in colour, because colour has half the samples."""
    error = found.astype(np.float32) - meant
    mean = float(np.mean(error * error))
    return float(10 * np.log10(255**2 / mean)) if mean > 0 else float("inf")
