"""Regions as ImageJ files: ``.roi`` for one, ``.zip`` for any number.

ImageJ counts pixels from their corners: its (x, y) is the pixel position used here plus one half. Shapes are written as
ImageJ's own (oval, ellipse, rectangle, rotated rectangle, polygon, freehand, point), so that it can edit them. What it
has no word for – role, kind, lock, threshold, and the exact vertices – stands in a property of the ROI, and is used
again as long as the shape was not edited there.
"""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.outlines import joined, region_outline
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import Region, RegionSet, box_corners, read_region
from napari_dainr.errors import InputError, reason_of
from napari_dainr.io.atomic import atomic_write

__all__ = ["load_imagej", "write_imagej"]

_PROPERTY = "napari-dainr"
_MOST_ENTRIES, _MOST_BYTES = 10_000, 16_000_000
_CORNER = 0.5
_AREAS = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
_SQUARE = 1e-4
"""Pixels by which corners may miss a right angle or an upright side."""


def write_imagej(regions: RegionSet, path: Path, geometry: PixelGrid) -> None:
    """Write regions for ImageJ.

    Parameters
    ----------
    regions
        One for ``.roi``, one or more for ``.zip``.
    path
        The file.
    geometry
        Of the series, whose pixels ImageJ counts.

    Raises
    ------
    InputError
        If there is no region, more than one for a ``.roi``, or the suffix is another one.
    ExportError
        If it cannot be written or does not read back the same.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".roi", ".zip"):
        raise InputError(f"{path.name}: cannot tell the format to write; end the name in .roi or .zip.")
    if not len(regions):
        raise InputError(f"{path.name}: there are no regions to write; draw one.")
    if suffix == ".roi" and len(regions) > 1:
        raise InputError(f"{path.name}: a .roi file holds one region, not {len(regions)}; end the name in .zip.")
    files: dict[str, bytes] = {}
    for region in regions:
        files[_entry_name(region.name, files)] = to_roi(region, geometry).tobytes()

    def write(temporary: Path) -> None:
        if suffix == ".roi":
            temporary.write_bytes(next(iter(files.values())))
            return
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                # A fixed date: when a region was written is nobody's business, and the same regions give the same file.
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)

    def verify(written: Path) -> None:
        if [data for _, data in _entries(written)] != list(files.values()):
            raise ValueError("the regions differ")

    atomic_write(path, write, verify, sum(map(len, files.values())) + 4096)


def _entry_name(name: str, taken: dict[str, bytes]) -> str:
    """What ImageJ shows: the name without what a file name cannot hold, numbered where it would stand there twice."""
    plain = "".join("_" if char in '/\\:*?"<>|' or ord(char) < 32 else char for char in name).strip(" .") or "region"
    number, wanted = 1, f"{plain[:100]}.roi"
    while wanted in taken:
        number += 1
        wanted = f"{plain[:100]} ({number}).roi"
    return wanted


def to_roi(region: Region, geometry: PixelGrid) -> ImagejRoi:
    """A region as an ImageJ ROI on an image of this geometry."""
    points = geometry.to_pixels(region.vertices)[:, ::-1] + _CORNER  # (x, y), from the corner of pixel (0, 0)
    roi = _drawn(region, geometry, points)
    # roifile counts characters, ImageJ units of 16 bits: others than those of the basic plane would upset the length.
    roi.name = "".join(char if ord(char) < 0x10000 else "_" for char in region.name)
    colour = bytes.fromhex(region.colour[1:])
    roi.stroke_color = b"\xff" + colour
    facts = {"region": region.to_facts(), "geometry": geometry.to_facts()}
    # ASCII and in one line, as ImageJ's properties want it.
    roi.props = f"{_PROPERTY}: {json.dumps(facts)}\nnote: {RESEARCH_USE}\n"
    return roi


def _drawn(region: Region, geometry: PixelGrid, points: NDArray[np.float64]) -> ImagejRoi:
    if region.outline == "voxel":
        return _with_points(ROI_TYPE.POINT, points)
    if region.outline in ("rectangle", "ellipse"):
        upright = _upright(points)
        if upright is not None:
            return _boxed(ROI_TYPE.RECT if region.outline == "rectangle" else ROI_TYPE.OVAL, *upright)
        outline = geometry.to_pixels(region_outline(region, 72))[:, ::-1] + _CORNER
        first, second = points[1] - points[0], points[3] - points[0]
        long, short = np.hypot(*first), np.hypot(*second)
        if long * short > 0 and abs(first @ second) <= _SQUARE * (long + short):
            return _turned(region.outline, points, outline, float(long), float(short))
        return _with_points(ROI_TYPE.POLYGON, outline)
    return _with_points(ROI_TYPE.FREEHAND if region.outline == "freehand" else ROI_TYPE.POLYGON, points)


def _upright(points: NDArray[np.float64]) -> tuple[float, float, float, float] | None:
    """(x, y, width, height) of corners that are those of an upright box, else None."""
    low, high = points.min(axis=0), points.max(axis=0)
    at_edges = (np.abs(points - low) <= _SQUARE) | (np.abs(points - high) <= _SQUARE)
    neighbours = np.abs(points - np.roll(points, 1, axis=0))
    if not at_edges.all() or (neighbours.min(axis=1) > _SQUARE).any():
        return None
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _boxed(kind: ROI_TYPE, x: float, y: float, width: float, height: float) -> ImagejRoi:
    roi = ImagejRoi(roitype=kind, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION, xd=x, yd=y, widthd=width, heightd=height)
    roi.left, roi.top, roi.right, roi.bottom = _bounds(np.array([[x, y], [x + width, y + height]]))
    return roi


def _bounds(points: NDArray[np.float64]) -> tuple[int, int, int, int]:
    if np.abs(points).max() > 30_000:
        raise InputError("region: lies too far outside the image for ImageJ, which counts to 32 767; move it.")
    low, high = np.floor(points.min(axis=0)).astype(int), np.ceil(points.max(axis=0)).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _with_points(kind: ROI_TYPE, points: NDArray[np.float64]) -> ImagejRoi:
    roi = ImagejRoi(roitype=kind, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION, n_coordinates=len(points))
    roi.left, roi.top, roi.right, roi.bottom = _bounds(points)
    roi.subpixel_coordinates = points.astype(np.float32)
    roi.integer_coordinates = (np.floor(points) - (roi.left, roi.top)).astype(np.int32)
    return roi


def _turned(
    outline: str, corners: NDArray[np.float64], points: NDArray[np.float64], long: float, short: float
) -> ImagejRoi:
    """An ellipse (ends of its long axis, aspect ratio) or a rectangle (ends of its middle line, width) at an angle."""
    roi = _with_points(ROI_TYPE.FREEHAND, points)
    ends = (corners[0] + corners[3]) / 2, (corners[1] + corners[2]) / 2
    if outline == "ellipse":
        roi.subtype = ROI_SUBTYPE.ELLIPSE
        if short > long:
            ends = (corners[0] + corners[1]) / 2, (corners[2] + corners[3]) / 2
        _set_float(roi, min(long, short) / max(long, short))
    else:
        roi.subtype = ROI_SUBTYPE.ROTATED_RECT
        _set_float(roi, short)
    (roi.x1, roi.y1), (roi.x2, roi.y2) = ((float(x), float(y)) for x, y in ends)
    return roi


def _set_float(roi: ImagejRoi, value: float) -> None:
    """The four bytes that ImageJ reads as one number for these two shapes, and roifile as three."""
    style, head, arc = struct.unpack(">BBh", struct.pack(">f", value))
    roi.arrow_style_or_aspect_ratio, roi.arrow_head_size, roi.rounded_rect_arc_size = style, head, arc


def _get_float(roi: ImagejRoi) -> float:
    packed = struct.pack(">BBh", roi.arrow_style_or_aspect_ratio, roi.arrow_head_size, roi.rounded_rect_arc_size)
    return float(struct.unpack(">f", packed)[0])


def load_imagej(path: Path, geometry: PixelGrid) -> tuple[RegionSet, list[str]]:
    """Read a ``.roi`` or ``.zip`` file of ImageJ.

    Parameters
    ----------
    path
        The file.
    geometry
        Of the series on whose pixels the ROIs lie. A region that this program wrote and nobody edited comes back as it
        was, in the millimetres it was drawn in.

    Returns
    -------
    RegionSet, list of str
        The regions, and one sentence for every ROI that is none (lines, text).

    Raises
    ------
    InputError
        If the file cannot be read or holds no region.
    """
    path = Path(path)
    regions = RegionSet((), geometry)
    remarks: list[str] = []
    for name, data in _entries(path):
        try:
            roi = ImagejRoi.frombytes(data)
            found = _regions_of(roi, name, geometry)
        except InputError as error:
            raise InputError(f"{path.name}: {error}") from None
        except Exception as error:  # roifile raises what it likes for damaged bytes
            said = reason_of(error)
            raise InputError(f"{path.name}: {name} is not an ImageJ ROI that can be read ({said}).") from None
        if not found:
            remarks.append(f"{name}: is a {roi.roitype.name.lower()} ROI, which has no area; it was left out.")
        for region in found:
            if regions.get(region.id) is not None:
                region = region.duplicate()
            regions = regions.put(region)
    if not len(regions):
        why = f" ({remarks[0].rstrip('.')})" if remarks else ""
        raise InputError(f"{path.name}: holds no region{why}; give a file of areas or points.")
    return regions, remarks


def _entries(path: Path) -> list[tuple[str, bytes]]:
    """Name and bytes of every ROI in a file."""
    try:
        if path.suffix.lower() != ".zip":
            if path.stat().st_size > _MOST_BYTES:
                raise InputError(f"{path.name}: is too large for an ImageJ ROI; give another file.")
            return [(path.stem, path.read_bytes())]
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if info.filename.lower().endswith(".roi")]
            if len(infos) > _MOST_ENTRIES or any(info.file_size > _MOST_BYTES for info in infos):
                raise InputError(f"{path.name}: holds too many or too large entries for ROIs; give another file.")
            return [(Path(info.filename).stem, archive.read(info)) for info in infos]
    except OSError as error:
        raise InputError(f"{path.name}: cannot be read ({reason_of(error)}); give a .roi or .zip of ImageJ.") from None
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, ValueError):
        raise InputError(f"{path.name}: is not a zip of ImageJ ROIs, or is damaged; save it again.") from None


def _regions_of(roi: ImagejRoi, entry: str, geometry: PixelGrid) -> list[Region]:
    """Usually one; one per point of a multi-point ROI; none for lines and text."""
    ours = _ours(roi)
    if ours is not None:
        region, place = ours
        if _shape_bytes(to_roi(region, place)) == _shape_bytes(roi):
            return [region.changed(name=roi.name) if roi.name != to_roi(region, place).name else region]
        geometry = place
    read = _shape(roi)
    if read is None:
        return []
    kind, shapes = read
    found = []
    for number, points in enumerate(shapes):
        name = (roi.name or entry) + (f" {number + 1}" if len(shapes) > 1 else "")
        vertices = geometry.to_mm(points[:, ::-1] - _CORNER)
        found.append(Region(vertices=vertices, kind=kind, name=name))
    if ours is not None and len(found) == 1:
        before, _ = ours
        keep: dict[str, Any] = {key: getattr(before, key) for key in ("id", "role", "locked", "arrival_s")}
        if before.kind == "threshold" and kind != "voxel":
            keep |= {"kind": "threshold", "outline": kind, "fraction": before.fraction}
        found = [found[0].changed(**keep)]
    return found


def _ours(roi: ImagejRoi) -> tuple[Region, PixelGrid] | None:
    """The region as it was when this program wrote the file, and the geometry it was written for."""
    for line in roi.props.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == _PROPERTY:
            try:
                facts = json.loads(value)
                return read_region(facts["region"]), PixelGrid.from_facts(facts["geometry"])
            except (InputError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                return None  # somebody's text: the shape itself counts
    return None


def _shape_bytes(roi: ImagejRoi) -> bytes:
    """What of a ROI says where it lies."""
    plain = ImagejRoi.frombytes(roi.tobytes())
    bare = ImagejRoi(version=229, byteorder=">")
    for key in ("roitype", "subtype", "xd", "yd", "widthd", "heightd", "x1", "y1", "x2", "y2", "n_coordinates",
                "subpixel_coordinates", "arrow_style_or_aspect_ratio", "arrow_head_size",
                "rounded_rect_arc_size"):  # fmt: skip
        setattr(bare, key, getattr(plain, key))
    bare.options = plain.options & ROI_OPTIONS.SUB_PIXEL_RESOLUTION
    return bare.tobytes()


def _shape(roi: ImagejRoi) -> tuple[str, list[NDArray[np.float64]]] | None:
    """Kind and corners (x, y), from the corner of pixel (0, 0); None for what has no area."""
    if roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE):
        return None
    if roi.composite:
        rings = [np.asarray(ring, np.float64) for ring in roi.coordinates(multi=True) if len(ring) >= 3]
        return ("polygon", [joined(rings)]) if rings else None
    if roi.roitype in (ROI_TYPE.RECT, ROI_TYPE.OVAL):
        left, top, width, height = (
            (roi.xd, roi.yd, roi.widthd, roi.heightd)
            if roi.subpixelrect
            else (roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top)
        )
        corners = box_corners(top, left, top + height, left + width)[:, ::-1]
        return ("rectangle" if roi.roitype == ROI_TYPE.RECT else "ellipse"), [corners]
    if roi.roitype == ROI_TYPE.FREEHAND and roi.subtype in (ROI_SUBTYPE.ELLIPSE, ROI_SUBTYPE.ROTATED_RECT):
        start, end = np.array([roi.x1, roi.y1]), np.array([roi.x2, roi.y2])
        length, value = float(np.hypot(*(end - start))), _get_float(roi)
        turned = roi.subtype == ROI_SUBTYPE.ROTATED_RECT
        width = value if turned else length * value
        across = np.array([-(end - start)[1], (end - start)[0]]) / max(length, 1e-12) * width / 2
        corners = np.stack([start - across, end - across, end + across, start + across])
        return ("rectangle" if turned else "ellipse"), [corners]
    if roi.roitype == ROI_TYPE.POINT:
        # A point without sub-pixel precision names a pixel, not its corner.
        shift = 0.0 if roi.subpixelresolution else _CORNER
        points = np.asarray(roi.coordinates(), np.float64) + shift
        return "voxel", [point[None] for point in points]
    if roi.roitype in _AREAS:
        points = np.asarray(roi.coordinates(), np.float64)
        return ("polygon" if roi.roitype == ROI_TYPE.POLYGON else "freehand"), [points]
    return None
