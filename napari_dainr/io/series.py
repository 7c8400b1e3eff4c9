"""The image series of a run folder: ``series.npy`` and ``series.json``, tied together by a checksum."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.errors import ExportError, InputError, reason_of
from napari_dainr.io.atomic import atomic_files
from napari_dainr.plane import plane_of

__all__ = ["load_series", "save_series"]

SCHEMA = 1
_ARRAY, _FACTS = "series.npy", "series.json"


def _digest(image: NDArray[np.complex64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).view(np.uint8).data).hexdigest()


def save_series(series: ImageSeries, folder: Path) -> str:
    """Write a series into a run folder, which is made if need be; returns the SHA-256 of its samples.

    Raises
    ------
    ExportError
        If it cannot be written, or ``series.info`` holds something that JSON cannot.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"{folder.name}: the folder cannot be made ({reason_of(error)}); choose another.") from None
    image = np.ascontiguousarray(series.image, dtype=np.complex64)
    digest = _digest(image)
    facts = {
        "schema_version": SCHEMA,
        "note": RESEARCH_USE,
        "method": series.method,
        "shape": list(image.shape),
        "axes": ["frame", "y", "x"],
        "pixel_mm": [float(size) for size in series.pixel_mm],
        "frame_duration_s": float(series.frame_duration_s),
        "times_s": [float(time) for time in series.times_s],
        "interpolated": [bool(mark) for mark in series.interpolated],
        "plane_lps": None if series.plane is None else series.plane.facts(),
        "info": series.info,
        "sha256": digest,
    }
    try:
        text = json.dumps(facts, indent=1, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ExportError(f"{_FACTS}: the facts of the series cannot be written as JSON ({error}).") from None

    def write(beside: Path) -> None:
        with (beside / _ARRAY).open("xb") as file:
            np.save(file, image, allow_pickle=False)
        (beside / _FACTS).write_text(text, encoding="utf-8")

    def verify(beside: Path) -> None:
        if not np.array_equal(np.load(beside / _ARRAY, allow_pickle=False, mmap_mode="r"), image, equal_nan=True):
            raise ValueError("the samples differ")
        if (beside / _FACTS).read_text(encoding="utf-8") != text:
            raise ValueError("the facts differ")

    atomic_files([folder / _ARRAY, folder / _FACTS], write, verify, image.nbytes + len(text))
    return digest


def _array(folder: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(folder / _ARRAY, allow_pickle=False)
        return array
    except OSError:
        raise
    except Exception as error:  # of a damaged header numpy makes nearly anything, from TokenError to MemoryError
        raise InputError(
            f"{folder.name}/{_ARRAY}: is damaged ({type(error).__name__}); resume the run or repeat it."
        ) from None


def load_series(folder: Path) -> ImageSeries:
    """Read the series of a run folder.

    Raises
    ------
    InputError
        If there is none, or it is damaged or not of this kind.
    """
    folder = Path(folder)
    where = f"{folder.name}/{_FACTS}"
    try:
        facts: dict[str, Any] = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        if facts["schema_version"] != SCHEMA:
            found = facts["schema_version"]
            raise InputError(f"{where}: schema_version is {found}, but {SCHEMA} is read; update the program.")
        image = _array(folder)
        if image.dtype != np.complex64 or list(image.shape) != facts["shape"] or _digest(image) != facts["sha256"]:
            raise InputError(
                f"{folder.name}/{_ARRAY}: does not match {_FACTS}, it is damaged or half-written; "
                "resume the run or repeat it."
            )
        pixel_y, pixel_x = facts["pixel_mm"]
        return ImageSeries(
            image=image,
            times_s=np.asarray(facts["times_s"], dtype=np.float64),
            pixel_mm=(float(pixel_y), float(pixel_x)),
            frame_duration_s=float(facts["frame_duration_s"]),
            interpolated=np.asarray(facts["interpolated"], dtype=bool),
            method=str(facts["method"]),
            info=dict(facts["info"]),
            plane=plane_of(facts.get("plane_lps")),  # series of older versions do not say
        )
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(folder.name) else f"{where}: {text}") from None
    except FileNotFoundError as error:
        missing = Path(error.filename or _FACTS).name
        raise InputError(f"{folder.name}: holds no {missing}; give the folder of a finished or stopped run.") from None
    except NotADirectoryError:
        raise InputError(f"{folder.name}: is a file; give the folder of a finished or stopped run.") from None
    except OSError as error:
        raise InputError(f"{folder.name}: cannot be read ({reason_of(error)}).") from None
    except (ValueError, KeyError, TypeError, EOFError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{where}: is not a series of this program ({reason}); repeat the run.") from None
