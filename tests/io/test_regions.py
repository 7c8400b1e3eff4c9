"""Regions on disk: what comes back, what ImageJ and NIfTI tools will read, and one sentence for every wrong file."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import roifile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis import PixelGrid, Region, RegionSet
from napari_dainr.analysis.masks import region_mask
from napari_dainr.analysis.phases import Phase
from napari_dainr.analysis.regions import box_corners, ellipse_corners
from napari_dainr.data import ImageSeries
from napari_dainr.errors import ExportError, InputError
from napari_dainr.io import export_series
from napari_dainr.io.imagej import load_imagej, to_roi, write_imagej
from napari_dainr.io.labels import load_labels, write_labels
from napari_dainr.io.regions import export_regions, import_regions, load_regions, other_field, save_regions

PLACE = PixelGrid((37, 30), (1.5, 1.5), (0.75, 0.0))
OBLONG = PixelGrid((37, 30), (1.5, 0.8), (0.75, 0.0))
IMAGE = np.random.default_rng(0).random((5, 37, 30), dtype=np.float32)


def every_kind() -> RegionSet:
    """All kinds, roles, and names that files do not like."""
    hand = np.array([[8.0, 8.3], [40.2, 9.0], [20.1, 33.7], [11.0, 12.0]])
    return RegionSet(
        (
            Region(ellipse_corners((30, 20), (9.1, 5.2)), kind="ellipse", role="AO"),
            Region(ellipse_corners((30, 20), (9.1, 5.2), 33), kind="ellipse", role="PV", name="vena portæ"),
            Region(ellipse_corners((30, 20), (9.1, 5.2), 33), kind="rectangle", role="LV", locked=True, name="a/b:c"),
            Region(box_corners(10.1, 10.2, 30.3, 33.4), kind="rectangle", name="Ä 😀"),
            Region(hand, kind="freehand", role="LIVER"),
            Region(hand, kind="polygon", role="LIVER"),
            Region(hand, kind="threshold", outline="freehand", fraction=0.3, role="MYO"),
            Region(np.array([[22.4, 21.0]]), kind="voxel"),
            Region(ellipse_corners((30, 20), (9, 5), 33) @ np.array([[1, 0.3], [0, 1]]), kind="ellipse"),
        ),
        PLACE,
    )


@pytest.mark.parametrize("suffix", [".json", ".zip"])
@pytest.mark.parametrize("place", [PLACE, OBLONG], ids=["square pixels", "oblong pixels"])
def test_regions_come_back_as_they_were(tmp_path: Path, suffix: str, place: PixelGrid) -> None:
    path = tmp_path / f"rois{suffix}"
    regions = RegionSet(every_kind().regions, place)
    said = export_regions(regions, path, place)
    assert said == ([] if suffix == ".json" else ["Myocardium: ImageJ shows the outline within which the threshold "
                                                  "chooses."])  # fmt: skip
    assert import_regions(path, place) == (regions, [])
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["rois.json", "rois.zip", "rois.nii.gz"])
def test_what_was_set_by_hand_is_kept_or_said_to_be_lost(tmp_path: Path, name: str) -> None:
    vessel = Region(box_corners(10.1, 10.2, 20.3, 23.4), kind="rectangle", role="AO", arrival_s=8.25)
    vein = Region(box_corners(30, 10.2, 40.3, 23.4), kind="rectangle", role="PV")
    regions = RegionSet((vessel, vein), PLACE, (0.5, 6.0), (Phase("Early arterial", 8.25, 14), Phase("Later", 14, 30)))
    said = export_regions(regions, tmp_path / name, PLACE)
    back, _ = import_regions(tmp_path / name, PLACE)
    assert [region.arrival_s for region in back] == [8.25, None]
    if name == "rois.json":
        assert (back, said) == (regions, [])
    else:
        assert [line.split(" set by hand ")[0] for line in said] == ["The baseline", "The phases"]


def test_one_region_as_roi(tmp_path: Path) -> None:
    region = every_kind().regions[1]
    write_imagej(RegionSet((region,)), tmp_path / "one.roi", PLACE)
    back, remarks = load_imagej(tmp_path / "one.roi", PLACE)
    assert back.regions == (region,) and remarks == []
    with pytest.raises(InputError, match="holds one region, not 9"):
        write_imagej(every_kind(), tmp_path / "many.roi", PLACE)


def test_imagej_sees_shapes_half_a_pixel_on_and_names() -> None:
    place = PixelGrid((20, 20), (2.0, 2.0))
    oval = to_roi(Region(box_corners(4, 6, 12, 20), kind="ellipse", role="AO", name="one"), place)
    again = roifile.ImagejRoi.frombytes(oval.tobytes())
    assert again.roitype == roifile.ROI_TYPE.OVAL and again.name == "one"
    assert (again.xd, again.yd, again.widthd, again.heightd) == (3.5, 2.5, 7.0, 4.0)
    assert (again.left, again.top, again.right, again.bottom) == (3, 2, 11, 7)
    assert again.properties["note"] == RESEARCH_USE
    assert again.hexcolor(again.stroke_color) == "#d55e00"
    turned = to_roi(Region(ellipse_corners((20, 20), (4, 8), 90), kind="ellipse"), place)
    assert turned.roitype == roifile.ROI_TYPE.OVAL  # upright after all
    turned = to_roi(Region(ellipse_corners((20, 20), (4, 8), 30), kind="ellipse"), place)
    assert turned.subtype == roifile.ROI_SUBTYPE.ELLIPSE
    assert np.hypot(turned.x2 - turned.x1, turned.y2 - turned.y1) == pytest.approx(8)  # long axis, pixels


@settings(max_examples=60, deadline=None)
@given(
    centre=st.tuples(st.floats(5, 45), st.floats(5, 35)),
    radii=st.tuples(st.floats(0.5, 9), st.floats(0.5, 9)),
    angle=st.floats(-180, 180), kind=st.sampled_from(["ellipse", "rectangle"]),
)  # fmt: skip
def test_shapes_without_our_property_are_read_as_imagej_draws_them(
    centre: tuple[float, float], radii: tuple[float, float], angle: float, kind: str
) -> None:
    region = Region(ellipse_corners(centre, radii, angle), kind=kind)
    roi = to_roi(region, PLACE)
    roi.props = ""
    found = _read_bytes(roi.tobytes())
    assert found.kind == kind
    np.testing.assert_allclose(found.vertices.mean(axis=0), centre, atol=1e-4)
    one, other = (np.sort(np.hypot(*(r.vertices - np.roll(r.vertices, 1, axis=0)).T)) for r in (region, found))
    np.testing.assert_allclose(one, other, atol=1e-3)
    apart = region_mask(region, PLACE).full() ^ region_mask(found, PLACE).full()
    grown = [
        region_mask(Region(ellipse_corners(centre, (radii[0] + d, radii[1] + d), angle), kind=kind), PLACE).full()
        for d in (-2e-3, 2e-3)
    ]
    assert not (apart & ~(grown[0] ^ grown[1])).any()


def _read_bytes(data: bytes) -> Region:
    from napari_dainr.io.imagej import _regions_of

    (region,) = _regions_of(roifile.ImagejRoi.frombytes(data), "entry", PLACE)
    return region


def test_what_was_moved_in_imagej_has_its_new_place_and_its_old_role() -> None:
    region = every_kind().regions[6]
    roi = to_roi(region, PLACE)
    assert roi.subpixel_coordinates is not None
    roi.subpixel_coordinates += np.float32([2, -1])
    moved = _read_bytes(roi.tobytes())
    assert (moved.id, moved.role, moved.kind, moved.fraction) == (region.id, "MYO", "threshold", 0.3)
    np.testing.assert_allclose(moved.vertices, region.vertices + np.array([-1.5, 3.0]), atol=1e-4)
    roi = to_roi(region, PLACE)
    roi.name = "renamed"
    renamed = _read_bytes(roi.tobytes())
    assert renamed == region.changed(name="renamed")


def test_rois_of_imagej_itself(tmp_path: Path) -> None:
    """Whole-number shapes, several points, parts with holes; lines are left out with a sentence."""
    place = PixelGrid((20, 20), (1.0, 1.0))
    box = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=3, top=5, right=8, bottom=7, name="box")
    points = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.POINT, left=2, top=4, right=9, bottom=9, n_coordinates=2)
    points.integer_coordinates = np.array([[0, 0], [6, 4]], np.int32)
    triangle = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.POLYGON, left=1, top=1, right=9, bottom=9, n_coordinates=3)
    triangle.integer_coordinates = np.array([[0, 0], [8, 0], [0, 8]], np.int32)
    line = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, x1=1, y1=1, x2=5, y2=5)
    ring = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=2, top=2, right=10, bottom=10)
    path = [0, 2, 2, 1, 10, 2, 1, 10, 10, 1, 2, 10, 4, 0, 4, 4, 1, 8, 4, 1, 8, 8, 1, 4, 8, 4]
    ring.multi_coordinates, ring.shape_roi_size = np.array(path, np.float32), len(path)
    with zipfile.ZipFile(tmp_path / "theirs.zip", "w") as archive:
        for name, roi in {"box": box, "pts": points, "tri": triangle, "line": line, "ring": ring}.items():
            archive.writestr(f"{name}.roi", roi.tobytes())
        archive.writestr("notes.txt", "not a ROI")
    regions, remarks = load_imagej(tmp_path / "theirs.zip", place)
    assert [r.name for r in regions] == ["box", "pts 1", "pts 2", "tri", "ring"]
    assert remarks == ["line: is a line ROI, which has no area; it was left out."]
    masks = [region_mask(r, place).full() for r in regions]
    assert masks[0].sum() == 10 and masks[0][5:7, 3:8].all()
    assert np.argwhere(masks[1]).tolist() == [[4, 2]] and np.argwhere(masks[2]).tolist() == [[8, 8]]
    hole = np.zeros((20, 20), bool)
    hole[2:10, 2:10] = True
    hole[4:8, 4:8] = False
    np.testing.assert_array_equal(masks[4], hole)
    assert masks[3].sum() == 28 and masks[3][1, 1:8].all()  # 7 + 6 + … + 1


def label_image(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_label_mask_gives_the_pixels_again(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mask{suffix}"
    kept = RegionSet(tuple(every_kind().regions[i] for i in (4, 0, 7)))
    said = export_regions(kept, path, PLACE, IMAGE)
    back, _ = import_regions(path, PLACE)
    assert [(r.name, r.role, r.id) for r in back] == [(r.name, r.role, r.id) for r in kept]
    labels = label_image(path)
    assert labels.shape == (30, 37, 1) and labels.dtype == np.uint16
    for value, (region, again) in enumerate(zip(kept, back, strict=True), start=1):
        np.testing.assert_array_equal(region_mask(again, PLACE).full(), np.equal(labels[:, :, 0].T, value))
        lost = region_mask(region, PLACE).n - int((labels == value).sum())
        assert (lost > 0) == any(s.startswith(f"{region.name}: {lost} of") for s in said)
    assert RESEARCH_USE.encode() in nibabel.load(path).header["descrip"].tobytes()
    assert json.loads((tmp_path / "mask.json").read_text())["note"] == RESEARCH_USE


def test_label_mask_lies_over_the_exported_series(tmp_path: Path) -> None:
    series = ImageSeries(IMAGE.astype(np.complex64), np.arange(5.0), (1.5, 0.8), 1.0, np.zeros(5, bool), "nufft")
    export_series(series, tmp_path / "cine.nii.gz")
    place = PixelGrid.of(series)
    write_labels(RegionSet((Region(place.to_mm([[4, 9]]), kind="voxel"),)), tmp_path / "mask.nii.gz", place)
    image, mask = nibabel.load(tmp_path / "cine.nii.gz"), nibabel.load(tmp_path / "mask.nii.gz")
    np.testing.assert_allclose(image.affine, mask.affine)
    inside = np.asarray(mask.dataobj)[..., 0] == 1
    np.testing.assert_array_equal(np.asarray(image.dataobj)[:, :, 0, 2][inside], IMAGE[2, 4, 9])


def test_mask_that_another_tool_turned_round_is_turned_back(tmp_path: Path) -> None:
    place = PixelGrid((7, 5), (1.0, 1.0))
    pixels = np.zeros((7, 5), np.uint8)
    pixels[1, 0], pixels[5:, 2:4] = 1, 4
    flipped = np.ascontiguousarray(pixels.T[::-1, :, None])  # x the other way, and said so
    nibabel.save(nibabel.Nifti1Image(flipped, np.diag([1.0, -1, 1, 1])), tmp_path / "turned.nii")
    regions = load_labels(tmp_path / "turned.nii", place)
    assert [r.name for r in regions] == ["Label 1", "Label 4"]
    np.testing.assert_array_equal(region_mask(regions.regions[1], place).full(), pixels == 4)


def test_overlap_and_absence_are_said(tmp_path: Path) -> None:
    regions = RegionSet(
        (
            Region(box_corners(1, 1, 9, 9), kind="rectangle", name="below"),
            Region(box_corners(1, 1, 9, 9), kind="rectangle", name="above"),
            Region(np.array([[999.0, 1.0]]), kind="voxel", name="away"),
            Region(box_corners(30, 30, 99, 99), kind="rectangle", name="edge"),
        )
    )
    said = write_labels(regions, tmp_path / "m.nii", PLACE)
    n = region_mask(regions.regions[0], PLACE).n
    assert said == [
        "away: lies outside the image; move it.",
        "edge: a part of it lies outside the image and is not in the mask.",
        f"below: {n} of {n} pixels went to a region later in the list.",
    ]


def junk(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def nifti(values: np.ndarray) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.0, -1, 1, 1])), path)
        return path

    return write


def zipped(entries: dict[str, bytes]) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        return path

    return write


WHOLE = to_roi(Region(np.array([[8.0, 8.3], [40.2, 9.0], [20.1, 33.7]])), PLACE).tobytes()


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("a.json", lambda p: p, "cannot be read"),
        ("a.json", lambda p: junk(p, b"\xff\xfe\x00"), "not JSON"),
        ("a.json", lambda p: junk(p, b"{}"), "no regions of this program"),
        ("a.txt", lambda p: junk(p, b""), "cannot tell the format"),
        ("a.roi", lambda p: p, "cannot be read"),
        ("a.roi", lambda p: junk(p, b""), "not an ImageJ ROI"),
        ("a.roi", lambda p: junk(p, WHOLE[:70]), "not an ImageJ ROI"),
        ("a.roi", lambda p: junk(p, b"x" * 200), "not an ImageJ ROI"),
        ("a.zip", lambda p: junk(p, b"PK\x03\x04 nothing"), "not a zip"),
        ("a.zip", zipped({"a.txt": b""}), "holds no region"),
        ("a.zip", zipped({"a.roi": b"Iout"}), "not an ImageJ ROI"),
        ("a.nii", lambda p: p, "no such file"),
        ("a.nii", lambda p: junk(p, b"x" * 500), "not a NIfTI"),
        ("a.nii.gz", lambda p: junk(p, b"\x1f\x8bxxxx"), "not a NIfTI"),
        ("a.nii", nifti(np.zeros((30, 37, 1), np.uint8)), "holds no label"),
        ("a.nii", nifti(np.ones((37, 30, 1), np.uint8)), "30 × 37 pixels"),
        ("a.nii", nifti(np.ones((30, 37, 4), np.uint8)), "one slice"),
        ("a.nii", nifti(np.full((30, 37, 1), 0.5, np.float32)), "not whole numbers"),
        ("a.nii", nifti(np.full((30, 37, 1), -1, np.int16)), "below 0"),
        ("a.nii", nifti(np.arange(1110, dtype=np.int16).reshape(30, 37, 1)), "1109 labels"),
    ],
)
def test_wrong_files_get_one_sentence(tmp_path: Path, name: str, make: Callable[[Path], Path], words: str) -> None:
    path = make(tmp_path / name)
    with pytest.raises(InputError) as caught:
        import_regions(path, PLACE)
    said = str(caught.value)
    assert said.startswith(f"{name}: ") and words in said and said.endswith(".") and "\n" not in said
    assert str(tmp_path) not in said


def test_every_truncated_roi_is_an_error_or_a_region(tmp_path: Path) -> None:
    for length in range(0, len(WHOLE), 3):
        path = junk(tmp_path / "cut.roi", WHOLE[:length])
        try:
            regions, _ = load_imagej(path, PLACE)
        except InputError:
            continue
        else:
            assert len(regions) == 1


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text("{}")
    with pytest.raises(ExportError, match=r"m\.json"):
        write_labels(every_kind(), tmp_path / "m.nii", PLACE, IMAGE)
    assert not (tmp_path / "m.nii").exists()
    old = junk(tmp_path / "r.zip", b"old")
    with pytest.raises(InputError, match="no regions"):
        export_regions(RegionSet(), old, PLACE)
    assert old.read_bytes() == b"old"


def test_same_regions_same_bytes_without_a_date(tmp_path: Path) -> None:
    regions = every_kind()
    for name in ("a", "b"):
        write_imagej(regions, tmp_path / f"{name}.zip", PLACE)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}
        assert len(set(archive.namelist())) == len(regions)
        assert not any(set(name) & set("/\\:") for name in archive.namelist())


def test_another_field_of_view_is_said(tmp_path: Path) -> None:
    save_regions(every_kind(), tmp_path / "r.json")
    regions = load_regions(tmp_path / "r.json")
    assert other_field(regions, PixelGrid((74, 60), (0.75, 0.75)), "r.json") is None
    _, said = import_regions(tmp_path / "r.json", PixelGrid((37, 30), (2.0, 2.0)))
    assert len(said) == 1 and "56 × 45 mm" in said[0] and "74 × 60 mm" in said[0]
