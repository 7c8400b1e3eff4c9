"""A series as ISMRMRD images: one image and one header per frame, as reconstructions hand them on to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError
from napari_dainr.io.atomic import atomic_write
from napari_dainr.io.facts import keep_raw_data, orientation_text
from napari_dainr.io.hdf5 import MARK, hdf5_bytes
from napari_dainr.io.ismrmrd import TICK_S
from napari_dainr.plane import Plane

__all__ = ["IMAGES", "write_ismrmrd_images"]

IMAGES = "image_0"
"""Name of the group of images in the group ``dataset``."""

_COMPLEX_FLOAT = 7
_COMPLEX_IMAGE = 5
_MOST = 65535


def write_ismrmrd_images(series: ImageSeries, path: Path) -> None:
    """Write complex images (frame, coil 1, z 1, y, x), headers, and the exact times in each image's attributes.

    The header's time stamp is the centre of the frame in ticks of 2.5 ms; ``repetition`` is the frame. Directions
    and position are the slice's; where they are not known, an axial slice at 0 mm is made up, and ``orientation`` among
    the attributes says so. It is 1 mm thick, because the format wants a number.

    Raises
    ------
    InputError
        If there are more frames or pixels than the header can count.
    ExportError
        If it cannot be written, does not read back the same, or raw data is in its place.
    """
    import h5py
    from ismrmrd.hdf5 import image_header_dtype  # type: ignore[import-untyped,unused-ignore]

    path = Path(path)
    keep_raw_data(path, MARK.encode())
    if max(series.image.shape) > _MOST:
        raise InputError(f"{path.name}: has more than {_MOST} frames or pixels in a row; choose another format.")
    headers = _headers(series, image_header_dtype)
    attributes = [_attributes(series, frame) for frame in range(series.n_frames)]
    headers["attribute_string_len"] = [len(text) for text in attributes]
    pairs = np.dtype([("real", "<f4"), ("imag", "<f4")])
    image = np.ascontiguousarray(series.image, dtype="<c8")
    data = image.view(pairs)[:, None, None]

    def fill(file: Any) -> None:
        group = file.create_group(f"dataset/{IMAGES}")
        text = h5py.string_dtype("utf-8")
        file["dataset"].create_dataset("xml", data=np.array([_xml(series)], dtype=object), dtype=text)
        group.create_dataset("header", data=headers)
        group.create_dataset("attributes", data=np.array(attributes, dtype=object), dtype=text)
        group.create_dataset("data", data=data)

    def write(temporary: Path) -> None:
        temporary.write_bytes(hdf5_bytes(fill))

    def verify(written: Path) -> None:
        with h5py.File(written, "r") as file:
            group = file[f"dataset/{IMAGES}"]
            if not np.array_equal(group["data"][()].view("<c8"), image[:, None, None]):
                raise ValueError("the samples differ")
            if group["header"][()].tobytes() != headers.tobytes():
                raise ValueError("the headers differ")
            if [text.decode() for text in group["attributes"][()]] != attributes:
                raise ValueError("the times differ")
            if file["dataset/xml"][0].decode() != _xml(series):
                raise ValueError("the header differs")

    text_bytes = sum(len(text) + 64 for text in attributes)
    atomic_write(path, write, verify, data.nbytes + headers.nbytes + text_bytes + 16384)


def _headers(series: ImageSeries, dtype: np.dtype[Any]) -> NDArray[Any]:
    frames, rows, columns = series.image.shape
    headers = np.zeros(frames, dtype)
    headers["version"] = 1
    headers["data_type"] = _COMPLEX_FLOAT
    headers["matrix_size"] = columns, rows, 1
    pixel_y, pixel_x = series.pixel_mm
    headers["field_of_view"] = columns * pixel_x, rows * pixel_y, 1.0
    headers["channels"] = 1
    plane = series.plane or Plane((1, 0, 0), (0, 1, 0), (0, 0, 0))
    headers["read_dir"], headers["phase_dir"] = plane.along_x, plane.along_y
    headers["slice_dir"], headers["position"] = plane.normal, plane.centre_mm
    headers["repetition"] = np.arange(frames)
    # Ticks cannot be negative; they count through the day.
    headers["acquisition_time_stamp"] = np.maximum(0, np.rint(np.asarray(series.times_s) / TICK_S)).astype(np.uint32)
    headers["image_type"] = _COMPLEX_IMAGE
    headers["image_index"] = np.arange(1, frames + 1)
    headers["image_series_index"] = 1
    return headers


def _attributes(series: ImageSeries, frame: int) -> str:
    facts = {
        "time_s": repr(float(series.times_s[frame])),
        "frame_duration_s": repr(float(series.frame_duration_s)),
        "interpolated": str(int(series.interpolated[frame])),
        "method": series.method,
        "orientation": orientation_text(series),
        "ImageComments": RESEARCH_USE,
    }
    lines = "".join(f"<meta><name>{name}</name><value>{escape(value)}</value></meta>" for name, value in facts.items())
    return f'<?xml version="1.0"?><ismrmrdMeta>{lines}</ismrmrdMeta>'


def _xml(series: ImageSeries) -> str:
    """The least that the schema of the header wants, true of images."""
    _, rows, columns = series.image.shape
    pixel_y, pixel_x = (float(size) for size in series.pixel_mm)
    space = (
        f"<matrixSize><x>{columns}</x><y>{rows}</y><z>1</z></matrixSize><fieldOfView_mm><x>{columns * pixel_x!r}</x>"
        f"<y>{rows * pixel_y!r}</y><z>1.0</z></fieldOfView_mm>"
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">'
        "<experimentalConditions><H1resonanceFrequency_Hz>0</H1resonanceFrequency_Hz></experimentalConditions>"
        f"<encoding><encodedSpace>{space}</encodedSpace><reconSpace>{space}</reconSpace>"
        "<encodingLimits></encodingLimits><trajectory>radial</trajectory></encoding></ismrmrdHeader>\n"
    )
