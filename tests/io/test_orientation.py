"""Where a slice lies in the patient: from the raw file through a reconstruction into each export, by other readers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import nibabel
import numpy as np
import pydicom
import pytest
import twixtools
import zarr
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from twixtools.geometry import prs2sct_mdb

from napari_dainr.data import ImageSeries, KSpace
from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.io import export_series, read_kspace
from napari_dainr.io.ismrmrd import write_ismrmrd
from napari_dainr.io.series import load_series, save_series
from napari_dainr.io.twix import read_twix
from napari_dainr.phantom import cine_phantom, simulate_kspace
from napari_dainr.plane import Plane, plane_of
from napari_dainr.recipe import Finished, Recipe, run

from . import mrd2_writer, twix_writer
from .exported import make_series
from .sound_files import HEADER

_PROTOCOL = {
    "alTR[0]": "5000",
    "sKSpace.lBaseResolution": "8",
    "sKSpace.ucTrajectory": "2",
    "sSliceArray.asSlice[0].dReadoutFOV": "260",
}


def oblique(seed: int = 3) -> Plane:
    """A slice turned about all three axes, off the isocentre."""
    turned, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    x, y = (tuple(float(value) for value in vector) for vector in turned.T[:2])
    return Plane(x, y, (-31.25, 12.5, 87.0))  # type: ignore[arg-type]


def place(plane: Plane, series: ImageSeries, row: int, column: int) -> NDArray[np.float64]:
    """(3,) LPS mm of a pixel, written out: pixel (n // 2, n // 2) is at the centre."""
    rows, columns = series.image.shape[1:]
    by_row = np.multiply(plane.along_y, (row - rows // 2) * series.pixel_mm[0])
    by_column = np.multiply(plane.along_x, (column - columns // 2) * series.pixel_mm[1])
    return np.asarray(np.asarray(plane.centre_mm) + by_row + by_column, dtype=np.float64)


def _dicom(path: Path, row: int, column: int) -> Any:
    """PS3.3, C.7.6.2.1.1, equation C.7.6.2.1-1."""
    for file in path.iterdir():
        found = pydicom.dcmread(file)
        assert "made up" not in found.ImageComments
    x, y = np.array(found.ImageOrientationPatient, float).reshape(2, 3)
    down, right = (float(size) for size in found.PixelSpacing)
    return np.array(found.ImagePositionPatient, float) + x * right * column + y * down * row


def _nifti(path: Path, row: int, column: int) -> Any:
    image = nibabel.load(path)
    assert int(image.header["sform_code"]) == int(image.header["qform_code"]) == 1
    assert np.allclose(image.get_qform(), image.get_sform(), atol=1e-3)
    ras = image.affine @ [column, row, 0, 1]
    return ras[:3] * [-1, -1, 1]


def _mrd(path: Path, row: int, column: int) -> Any:
    with ismrmrd.Dataset(str(path), mode="r") as file:
        found = file.read_image("image_0", 0)
    rows, columns = found.data.shape[-2:]
    width, height, _ = found.field_of_view
    assert np.allclose(np.cross(found.read_dir, found.phase_dir), found.slice_dir, atol=1e-5)
    return (
        np.array(found.position)
        + np.array(found.read_dir) * (column - columns // 2) * width / columns
        + np.array(found.phase_dir) * (row - rows // 2) * height / rows
    )


def _from_facts(facts: Any, pixel_mm: tuple[float, float], shape: tuple[int, ...], row: int, column: int) -> Any:
    x, y, centre = np.asarray(facts)
    return centre + y * (row - shape[0] // 2) * pixel_mm[0] + x * (column - shape[1] // 2) * pixel_mm[1]


def _zarr(path: Path, row: int, column: int) -> Any:
    group = zarr.open_group(path, mode="r")
    facts = group.attrs["napari-dainr"]["plane_lps"]
    scale, shift = (
        step[step["type"]] for step in group.attrs["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    )
    told = [facts[name] for name in ("along_x", "along_y", "centre_mm")]
    at = _from_facts(told, (scale[1], scale[2]), group["0"].shape[1:], row, column)
    # In the image's own axes the format says the same.
    assert np.allclose([at @ told[1], at @ told[0]], [shift[1] + scale[1] * row, shift[2] + scale[2] * column])
    return at


def _hdf5(path: Path, row: int, column: int) -> Any:
    with h5py.File(path, "r") as file:
        assert "Measured" in file["image"].attrs["orientation"]
        return _from_facts(file["plane_lps"][()], tuple(file["pixel_mm"]), file["image"].shape[1:], row, column)


def _npz(path: Path, row: int, column: int) -> Any:
    found = np.load(path)
    return _from_facts(found["plane_lps"], tuple(found["pixel_mm"]), found["image"].shape[1:], row, column)


def _cfl(path: Path, row: int, column: int) -> Any:
    facts = json.loads(path.with_suffix(".hdr").read_text().split("# Facts\n")[1].splitlines()[0])
    sizes = [int(n) for n in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    told = [facts["plane_lps"][name] for name in ("along_x", "along_y", "centre_mm")]
    return _from_facts(told, (facts["pixel_mm"]["y"], facts["pixel_mm"]["x"]), (sizes[1], sizes[0]), row, column)


PLACES: dict[str, Callable[[Path, int, int], Any]] = {
    ".dcm": _dicom,
    ".nii": _nifti,
    ".nii.gz": _nifti,
    ".mrd": _mrd,
    ".zarr": _zarr,
    ".h5": _hdf5,
    ".npz": _npz,
    ".cfl": _cfl,
}
"""Suffix → LPS mm of a pixel, as a reader of that format finds it."""


@pytest.mark.parametrize("suffix", PLACES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_pixel_is_where_it_was(tmp_path: Path, suffix: str, seed: int) -> None:
    plane = oblique(seed)
    series = replace(make_series(), plane=plane)
    export_series(series, tmp_path / f"out{suffix}")
    for row, column in ((0, 0), (3, 7), (32, 20)):
        found = PLACES[suffix](tmp_path / f"out{suffix}", row, column)
        np.testing.assert_allclose(found, place(plane, series, row, column), atol=2e-4)


@pytest.mark.parametrize(
    ("suffix", "told"),
    [
        (".dcm", lambda path: pydicom.dcmread(path / "0001.dcm").ImageComments),
        (".nii", lambda path: nibabel.load(path).header["descrip"].tobytes().decode()),
        (".mrd", lambda path: path.read_bytes().decode("latin-1")),
        (".zarr", lambda path: (path / "zarr.json").read_text()),
        (".h5", lambda path: h5py.File(path)["image"].attrs["orientation"]),
        (".cfl", lambda path: path.with_suffix(".hdr").read_text()),
    ],
)
def test_what_is_made_up_is_said(tmp_path: Path, suffix: str, told: Callable[[Path], str]) -> None:
    export_series(make_series(), tmp_path / f"out{suffix}")
    assert "made up" in told(tmp_path / f"out{suffix}").lower()


@pytest.fixture(scope="module")
def scan() -> KSpace:
    return simulate_kspace(cine_phantom((21, 18), 3), spokes_per_frame=8, n_coils=2, tr_s=0.01, fov_mm=(210.0, 180.0))


@pytest.fixture
def raw(scan: KSpace, tmp_path: Path) -> Path:
    write_ismrmrd(replace(scan, planes=(oblique(),)), tmp_path / "raw.h5")
    return tmp_path / "raw.h5"


def test_from_the_raw_file_to_the_run_folder(raw: Path, tmp_path: Path) -> None:
    plane = oblique()
    with ismrmrd.Dataset(str(raw), mode="r") as file:
        head = file.read_acquisition(7).getHead()
        np.testing.assert_allclose(head.read_dir[:], plane.along_x, atol=1e-6)
        np.testing.assert_allclose(head.position[:], plane.centre_mm, atol=1e-4)
    kspace = read_kspace(raw)
    (found,) = kspace.planes
    np.testing.assert_allclose(found.along_y, plane.along_y, atol=1e-6)
    assert "position" in kspace.detected and "position" not in kspace.assumed
    recipe = Recipe.model_validate({"data": "memory", "spokes_per_frame": 8, "method": "nufft", "scale": 1.5})
    *_, end = run(recipe, tmp_path / "run", kspace=kspace)
    assert isinstance(end, Finished)
    again = load_series(tmp_path / "run").plane
    assert again == end.series.plane == found
    from napari_dainr.engine import render

    assert render(tmp_path / "run", tmp_path / "drawn", scale=2.0).plane == found


def test_files_that_do_not_say_it_are_said_not_to(scan: KSpace, tmp_path: Path) -> None:
    write_ismrmrd(scan, tmp_path / "raw.h5")
    kspace = read_kspace(tmp_path / "raw.h5")
    assert kspace.planes == ()
    assert "make up" in kspace.detected["position"]


@pytest.mark.parametrize("what", ["turned in mid-scan", "not a number", "not at right angles", "too long"])
def test_headers_that_contradict_themselves_say_nothing(raw: Path, what: str) -> None:
    with h5py.File(raw, "r+") as file:
        data = file["dataset/data"]
        rows = data[()]
        if what == "turned in mid-scan":
            rows["head"]["read_dir"][5] = rows["head"]["phase_dir"][5]
        elif what == "not a number":
            rows["head"]["position"][5] = np.nan
        elif what == "not at right angles":
            rows["head"]["phase_dir"] = rows["head"]["read_dir"]
        else:
            rows["head"]["read_dir"] *= 2
        data[...] = rows
    kspace = read_kspace(raw)
    assert kspace.planes == () and "make up" in kspace.detected["position"]


def test_each_slice_has_its_own(scan: KSpace, tmp_path: Path) -> None:
    from napari_dainr.data import bin_spokes

    plane = oblique()
    planes = (plane, plane.moved(8.0), plane.moved(16.0))
    kdata = np.concatenate([scan.kdata * factor for factor in (1, 2, 3)])
    write_ismrmrd(replace(scan, kdata=kdata, planes=planes), tmp_path / "raw.h5")
    kspace = read_kspace(tmp_path / "raw.h5")
    for number in range(3):
        found = bin_spokes(kspace, 8, number).plane
        assert found is not None
        np.testing.assert_allclose(found.centre_mm, planes[number].centre_mm, atol=1e-4)


def test_series_of_older_versions_are_read(tmp_path: Path) -> None:
    save_series(make_series(), tmp_path)
    facts = json.loads((tmp_path / "series.json").read_text())
    del facts["plane_lps"]
    (tmp_path / "series.json").write_text(json.dumps(facts))
    assert load_series(tmp_path).plane is None


@pytest.mark.parametrize(
    "facts",
    [
        {"along_x": [1, 0, 0], "along_y": [1, 0, 0], "centre_mm": [0, 0, 0]},
        {"along_x": [2, 0, 0], "along_y": [0, 1, 0], "centre_mm": [0, 0, 0]},
        {"along_x": [1, 0, 0], "along_y": [0, 1, 0], "centre_mm": [0, 0, float("inf")]},
    ],
)
def test_impossible_planes_are_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="impossible"):
        plane_of(facts)


def turned_by(plane: Plane) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """By scipy the quaternion (w, x, y, z) of columns phase encoding, readout and slice; and the slice."""
    read, phase = np.asarray(plane.along_x), np.asarray(plane.along_y)
    through = np.cross(phase, read)
    x, y, z, w = Rotation.from_matrix(np.stack([phase, read, through], axis=1)).as_quat()
    return (float(w), float(x), float(y), float(z)), tuple(float(value) for value in through)


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_of_siemens_files(tmp_path: Path, modern: bool, seed: int) -> None:
    """Several slices, each at its place; the quaternions are another package's."""
    plane = oblique(seed)
    quaternion, through = turned_by(plane)
    lines = [
        twix_writer.Line(
            np.ones((2, 16), np.complex64) * (1 + spoke),
            2 * spoke,
            counters={"line": spoke, "slice": number},
            position=tuple(np.asarray(plane.centre_mm) + 7.5 * number * np.asarray(through)),
            quaternion=quaternion,
        )
        for spoke in range(9)
        for number in range(3)
    ]
    path = twix_writer.write(tmp_path / "scan.dat", twix_writer.Measurement(lines, _PROTOCOL), modern=modern)
    acquired = read_twix(path)
    assert len(acquired.planes) == 3 and "siemens_to_ismrmrd" in acquired.assumed["orientation"]
    for number, found in enumerate(acquired.planes):
        np.testing.assert_allclose(found.along_x, plane.along_x, atol=1e-5)
        np.testing.assert_allclose(found.along_y, plane.along_y, atol=1e-5)
        np.testing.assert_allclose(
            found.centre_mm, np.add(plane.centre_mm, np.multiply(7.5 * number, through)), atol=1e-4
        )


@pytest.mark.parametrize("what", ["no rotation", "too long", "turned in mid-scan", "not a number"])
def test_siemens_lines_that_say_nothing(tmp_path: Path, what: str) -> None:
    quaternion, _ = turned_by(oblique())
    other = {"no rotation": (0.0,) * 4, "too long": (1.0,) * 4, "not a number": (np.nan,) * 4}.get(what, (1.0, 0, 0, 0))
    lines = [
        twix_writer.Line(
            np.ones((2, 16), np.complex64) * (1 + spoke), 2 * spoke, counters={"line": spoke},
            quaternion=quaternion if what == "turned in mid-scan" and spoke < 5 else other,
        )
        for spoke in range(9)
    ]  # fmt: skip
    acquired = read_twix(twix_writer.write(tmp_path / "scan.dat", twix_writer.Measurement(lines, _PROTOCOL)))
    assert acquired.planes == () and "orientation" not in acquired.assumed


@pytest.mark.parametrize("name", ["meas_MID00112_FID33069_sol16_gre2d.dat", "meas_MID00118_FID33075_sol24.dat"])
def test_of_real_siemens_files(shared_data: Path, name: str) -> None:
    """Three sources: the lines, by us and by twixtools; and the protocol, which says normal and position itself."""
    path = shared_data / "twix" / name
    if not path.exists():
        pytest.skip("no Siemens files here")
    twix = twixtools.read_twix(str(path), verbose=False)[-1]
    (found,) = read_twix(path).planes
    said = twix["hdr"]["MeasYaps"]["sSliceArray"]["asSlice"][0]
    normal, position = (
        np.array([float(said[key].get(axis, 0.0)) for axis in ("dSag", "dCor", "dTra")])
        for key in ("sNormal", "sPosition")
    )
    # The slice is phase encoding × readout, so of x along the readout and y along the other it is −(x × y).
    np.testing.assert_allclose(np.cross(found.along_y, found.along_x), normal, atol=1e-5)
    np.testing.assert_allclose(found.centre_mm, position, atol=1e-4)
    assert not float(said.get("dInPlaneRot", 0.0))
    theirs = prs2sct_mdb(twix, 0)
    # They turn the first two columns round: the 180° which are said to be assumed.
    np.testing.assert_allclose(theirs[:, 0], -np.asarray(found.along_y), atol=1e-5)
    np.testing.assert_allclose(theirs[:, 1], -np.asarray(found.along_x), atol=1e-5)
    np.testing.assert_allclose(theirs[:, 2], normal, atol=1e-5)


def _stack_lines(plane: Plane, count: int, spot: int) -> tuple[Any, Any]:
    """Partitions (partition, coil, spoke, sample) of a point in slice ``spot``, and the direction of the slices."""
    kz = np.arange(count) - count // 2
    phase = np.exp(-2j * np.pi * kz * (spot - count // 2) / count)
    data = np.ones((count, 2, 9, 16)) * phase[:, None, None, None]
    return data.astype(np.complex64), turned_by(plane)[1]


def _check_stack(kspace: KSpace, plane: Plane, through: Any, spot: int, step_mm: float) -> None:
    energy = [np.linalg.norm(one) for one in kspace.kdata]
    assert int(np.argmax(energy)) == spot and len(kspace.planes) == len(kspace.kdata)
    expected = np.asarray(plane.centre_mm) + np.asarray(through) * step_mm * (spot - len(kspace.kdata) // 2)
    np.testing.assert_allclose(kspace.planes[spot].centre_mm, expected, atol=1e-3)
    np.testing.assert_allclose(kspace.planes[0].along_y, plane.along_y, atol=1e-5)
    assert "sign of kz" in kspace.assumed["order of the slices"] and "position" in kspace.detected


@pytest.mark.parametrize("kind", ["twix", "ismrmrd", "mrd2"])
@pytest.mark.parametrize("count", [6, 5])
def test_a_point_in_a_stack_of_stars_is_where_it_was(tmp_path: Path, kind: str, count: int) -> None:
    """A point off the middle slice: the slice that shows it lies at the place of the point."""
    plane, spot, step_mm = oblique(4), 1, 2.5
    data, through = _stack_lines(plane, count, spot)
    order = [(spoke, partition) for spoke in range(9) for partition in range(count)]
    options = ImportOptions(angles="golden", keep_all=True)
    if kind == "twix":
        lines = [
            twix_writer.Line(
                data[partition, :, spoke], 2 * spoke, counters={"line": spoke, "partition": partition},
                centre_partition=count // 2, position=plane.centre_mm, quaternion=turned_by(plane)[0],
            )
            for spoke, partition in order
        ]  # fmt: skip
        protocol = _PROTOCOL | {
            "sKSpace.lPartitions": f"{count}",
            "sKSpace.lImagesPerSlab": f"{count}",
            "sSliceArray.asSlice[0].dThickness": f"{count * step_mm}",
        }
        path = twix_writer.write(tmp_path / "scan.dat", twix_writer.Measurement(lines, protocol))
    elif kind == "mrd2":
        mrd = pytest.importorskip("mrd")
        head = mrd2_writer.header()
        encoded = head.encoding[0].encoded_space
        encoded.matrix_size.z, encoded.field_of_view_mm.z = count, count * step_mm
        head.encoding[0].encoding_limits.kspace_encoding_step_2 = mrd.LimitType(
            minimum=0, maximum=count - 1, center=count // 2
        )
        where = {
            name: np.asarray(values, np.float32)
            for name, values in zip(
                ("read_dir", "phase_dir", "slice_dir", "position"),
                (plane.along_x, plane.along_y, through, plane.centre_mm),
                strict=True,
            )
        }
        path = mrd2_writer.write(
            tmp_path / "scan.mrd",
            [
                mrd2_writer.acquisition(
                    data[partition, :, spoke], 2 * spoke, kspace_encode_step_1=spoke, kspace_encode_step_2=partition,
                    **where,
                )
                for spoke, partition in order
            ],
            head,
        )  # fmt: skip
    else:
        path = _ismrmrd_stack(tmp_path / "scan.h5", data, order, plane, through, step_mm)
    _check_stack(read_kspace(path, options), plane, through, spot, step_mm)


def _ismrmrd_stack(path: Path, data: Any, order: Any, plane: Plane, through: Any, step_mm: float) -> Path:
    """By the package ismrmrd."""
    count = len(data)
    limits = f"<kspace_encoding_step_2><minimum>0</minimum><maximum>{count - 1}</maximum><center>{count // 2}</center>"
    header = HEADER.replace("cartesian", "radial").replace(
        "<encodingLimits/>", f"<encodingLimits>{limits}</kspace_encoding_step_2></encodingLimits>"
    )
    first, rest = header.split("</encodedSpace>")
    first = first.replace("<z>5</z>", f"<z>{count * step_mm}</z>").replace("<z>1</z>", f"<z>{count}</z>")
    with ismrmrd.Dataset(str(path), "dataset", mode="w") as file:
        file.write_xml_header((first + "</encodedSpace>" + rest).encode())
        for spoke, partition in order:
            one = ismrmrd.Acquisition.from_array(data[partition, :, spoke])
            one.center_sample = 8
            one.idx.kspace_encode_step_1, one.idx.kspace_encode_step_2 = spoke, partition
            one.read_dir[:], one.phase_dir[:] = plane.along_x, plane.along_y
            one.slice_dir[:], one.position[:] = through, plane.centre_mm
            file.append_acquisition(one)
    return path


def test_of_a_stream_of_mrd_2(tmp_path: Path) -> None:
    """Written by mrd-python; through a reconstruction's binning, slice by slice."""
    pytest.importorskip("mrd")
    plane = oblique(5)
    acquisitions = [
        mrd2_writer.acquisition(
            np.ones((2, 26), np.complex64) * (1 + spoke), 2 * spoke, kspace_encode_step_1=spoke, slice=number,
            read_dir=np.asarray(plane.along_x, np.float32), phase_dir=np.asarray(plane.along_y, np.float32),
            position=np.asarray(plane.moved(8.0 * number).centre_mm, np.float32),
        )
        for spoke in range(9)
        for number in range(2)
    ]  # fmt: skip
    kspace = read_kspace(mrd2_writer.write(tmp_path / "scan.mrd", acquisitions), ImportOptions(keep_all=True))
    assert "by the header" in kspace.detected["position"]
    for number, found in enumerate(kspace.planes):
        np.testing.assert_allclose(found.along_x, plane.along_x, atol=1e-6)
        np.testing.assert_allclose(found.centre_mm, plane.moved(8.0 * number).centre_mm, atol=1e-4)
