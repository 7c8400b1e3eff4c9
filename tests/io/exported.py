"""What the tests of exports share: a series without symmetry, and ways to look into what was written."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_dainr.data import ImageSeries
from napari_dainr.io import EXPORTS

STEP_S = 0.0351
CANARY = "Zebulon7"
BESIDE = {".nii": "json", ".nii.gz": "json", ".cfl": "hdr"}
"""Suffix → that of the file which belongs to it."""
FOLDERS = (".dcm", ".zarr")
ALONE = [suffix for suffix in EXPORTS if suffix not in FOLDERS]


def make_series(
    n_frames: int = 5,
    size: tuple[int, int] = (33, 21),
    pixel_mm: tuple[float, float] = (1.7, 1.25),
    step_s: float = STEP_S,
    seed: int = 0,
) -> ImageSeries:
    """Noise with one bright pixel near a corner that walks along x: no symmetry hides a swapped or turned axis."""
    rng = np.random.default_rng(seed)
    image = (rng.standard_normal((n_frames, *size)) + 1j * rng.standard_normal((n_frames, *size))) * 0.2
    for frame in range(n_frames):
        image[frame, 3, 2 + frame] = 9 - 2j
    return ImageSeries(
        image=image.astype(np.complex64),
        times_s=np.asarray(0.0176 + step_s * np.arange(n_frames), dtype=np.float64),
        pixel_mm=pixel_mm,
        frame_duration_s=2 * step_s,
        interpolated=np.arange(n_frames) % 2 == 1,
        method="dainr",
        info={"recipe": {"data": f"/home/{CANARY}/{CANARY}.h5", "name": CANARY}, "file": CANARY},
    )


def read_gif(path: Path) -> tuple[NDArray[np.uint8], list[int], dict[str, Any]]:
    frames, delays = [], []
    with Image.open(path) as file:
        for number in range(getattr(file, "n_frames", 1)):
            file.seek(number)
            delays.append(int(file.info["duration"]))
            frames.append(np.asarray(file.convert("L")))
        return np.stack(frames), delays, {str(key): value for key, value in file.info.items()}


def everything_in(path: Path) -> bytes:
    """The bytes of a file, and of what is packed in it."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        data += gzip.decompress(data)
    if path.suffix == ".npz":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            data += b"".join(name.encode() + packed.read(name) for name in packed.namelist())
    return data


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
