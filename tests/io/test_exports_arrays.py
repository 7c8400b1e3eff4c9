"""OME-Zarr, OME-TIFF, HDF5, ISMRMRD images and BART: numbers, sizes, times and orientation by other readers."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import h5py
import ismrmrd
import numpy as np
import pytest
import tifffile
import yaozarrs
import zarr

from napari_dainr import RESEARCH_USE
from napari_dainr.errors import InputError
from napari_dainr.io import export_series, read_kspace
from napari_dainr.trajectory import radial_ktraj

from .exported import STEP_S, make_series

MARKS = [False, True, False, True, False]


def test_ome_zarr_by_its_validator_and_by_zarr(tmp_path: Path) -> None:
    series, path = make_series(), tmp_path / "out.ome.zarr"
    export_series(series, path)
    yaozarrs.validate_zarr_store(str(path))
    group = zarr.open_group(path, mode="r")
    array = group["0"]
    assert isinstance(array, zarr.Array) and group.metadata.zarr_format == 3
    assert array.dtype == np.float32 and array.metadata.dimension_names == ("t", "y", "x")
    np.testing.assert_array_equal(array[:], np.abs(series.image))
    ome = group.attrs["ome"]
    assert ome["version"] == "0.5" and len(ome["multiscales"]) == 1
    scales = ome["multiscales"][0]
    axes = [(axis["name"], axis["type"], axis["unit"]) for axis in scales["axes"]]
    assert axes == [("t", "time", "second"), ("y", "space", "millimeter"), ("x", "space", "millimeter")]
    scale, shift = scales["datasets"][0]["coordinateTransformations"]
    assert scale["scale"] == [pytest.approx(STEP_S), 1.7, 1.25]
    assert shift["translation"] == [series.times_s[0], 0, 0]
    facts = group.attrs["napari-dainr"]
    assert facts["note"] == RESEARCH_USE and facts["interpolated"] == MARKS
    assert facts["times_s"] == series.times_s.tolist() and facts["orientation"].startswith("Unknown")


def test_a_lost_chunk_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "out.zarr"
    export_series(make_series(), path)
    shutil.rmtree(path / "0" / "c" / "2")
    found = zarr.open_group(path, mode="r")["0"][:]
    assert np.isnan(found[2]).all() and np.isfinite(np.delete(found, 2, axis=0)).all()


def test_ome_tiff(tmp_path: Path) -> None:
    series, path = make_series(), tmp_path / "out.ome.tif"
    export_series(series, path)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome and not file.is_imagej and file.series[0].axes == "TYX"
        np.testing.assert_array_equal(file.asarray(), np.abs(series.image))
        text = file.ome_metadata or ""
    root = ElementTree.fromstring(text)
    space = {"o": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}
    pixels = root.find("o:Image/o:Pixels", space)
    assert pixels is not None and pixels.get("Type") == "float"
    assert (pixels.get("SizeT"), pixels.get("SizeY"), pixels.get("SizeX")) == ("5", "33", "21")
    assert (float(pixels.get("PhysicalSizeX", 0)), pixels.get("PhysicalSizeXUnit")) == (1.25, "mm")
    assert (float(pixels.get("PhysicalSizeY", 0)), pixels.get("PhysicalSizeYUnit")) == (1.7, "mm")
    assert (float(pixels.get("TimeIncrement", 0)), pixels.get("TimeIncrementUnit")) == (pytest.approx(STEP_S), "s")
    planes = pixels.findall("o:Plane", space)
    assert [(float(p.get("DeltaT", 0)), p.get("DeltaTUnit")) for p in planes] == [(t, "s") for t in series.times_s]
    marks = root.find(".//o:MapAnnotation/o:Value/o:M", space)
    assert marks is not None and json.loads(marks.text or "")["interpolated"] == MARKS
    assert RESEARCH_USE in text
    # Version 1 UUIDs hold the network address of the machine.
    assert root.get("UUID", "")[len("urn:uuid:") :][14] == "4"


def test_ome_tiff_of_three_frames_is_no_colour_image(tmp_path: Path) -> None:
    series = make_series(n_frames=3)
    export_series(series, tmp_path / "out.ome.tiff")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.ome.tiff"), np.abs(series.image))


def test_hdf5(tmp_path: Path) -> None:
    series = replace(make_series(), method="dainr µ")
    export_series(series, tmp_path / "out.h5")
    with h5py.File(tmp_path / "out.h5", "r") as file:
        assert set(file) == {"image", "times_s", "pixel_mm", "frame_duration_s", "interpolated"}
        assert file["image"].dtype == np.complex64 and file["image"][()].tobytes() == series.image.tobytes()
        assert file["times_s"][()].tolist() == series.times_s.tolist() and file["times_s"].attrs["unit"] == "s"
        assert file["pixel_mm"][()].tolist() == [1.7, 1.25] and file["pixel_mm"].attrs["axes"] == "y, x"
        assert file["interpolated"][()].tolist() == [0, 1, 0, 1, 0]
        assert file["frame_duration_s"][()] == series.frame_duration_s
        assert file.attrs["method"] == "dainr µ" and file.attrs["schema_version"] == 1
        assert file.attrs["note"].decode() == RESEARCH_USE
        for dataset in file.values():
            # Chunked ones end the process where a disk is full.
            assert dataset.chunks is None and not dataset.external and not dataset.is_virtual


def test_ismrmrd_images(tmp_path: Path) -> None:
    series = replace(make_series(), times_s=np.array([0.01, 0.02, 0.031, 1.0, 7.3]))
    path = tmp_path / "out.mrd"
    export_series(series, path)
    with ismrmrd.Dataset(str(path), mode="r") as file:
        header = ismrmrd.xsd.CreateFromDocument(file.read_xml_header())
        assert file.number_of_images("image_0") == 5
        images = [file.read_image("image_0", number) for number in range(5)]
    space = header.encoding[0].reconSpace
    assert (space.matrixSize.y, space.matrixSize.x) == (33, 21)
    assert (space.fieldOfView_mm.y, space.fieldOfView_mm.x) == pytest.approx((33 * 1.7, 21 * 1.25))
    for number, image in enumerate(images):
        assert image.data_type == ismrmrd.DATATYPE_CXFLOAT and image.image_type == ismrmrd.IMTYPE_COMPLEX
        np.testing.assert_array_equal(image.data[0, 0], series.image[number])  # (coil, z, y, x)
        assert tuple(image.matrix_size) == (21, 33, 1)
        assert tuple(image.field_of_view) == pytest.approx((21 * 1.25, 33 * 1.7, 1))
        assert image.repetition == number and image.image_index == number + 1
        assert image.acquisition_time_stamp * 2.5e-3 == pytest.approx(series.times_s[number], abs=1.26e-3)
        assert (tuple(image.read_dir), tuple(image.phase_dir), tuple(image.slice_dir)) == (
            (1, 0, 0),
            (0, 1, 0),
            (0, 0, 1),
        )
        assert float(image.meta["time_s"]) == series.times_s[number]
        assert image.meta["interpolated"] == str(int(MARKS[number])) and image.meta["ImageComments"] == RESEARCH_USE


@pytest.mark.parametrize("suffix", [".mrd", ".h5", ".cfl"])
def test_images_are_not_taken_for_raw_data(tmp_path: Path, suffix: str) -> None:
    export_series(make_series(), tmp_path / f"out{suffix}")
    with pytest.raises(InputError, match=rf"^out\{suffix}: "):
        read_kspace(tmp_path / f"out{suffix}")


needs_bart = pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")


def bart(folder: Path, *words: str) -> str:
    return subprocess.run(["bart", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


@needs_bart
@pytest.mark.parametrize("n_frames", [5, 400])  # many frames make a header longer than BART reads at once
def test_bart_reads_sizes_and_numbers(tmp_path: Path, n_frames: int) -> None:
    series = make_series(n_frames=5) if n_frames == 5 else make_series(n_frames=5, size=(6, 7))
    if n_frames > 5:
        series = replace(
            series,
            image=np.tile(series.image, (80, 1, 1)),
            times_s=np.arange(400) / 7,
            interpolated=np.zeros(400, bool),
        )
    export_series(series, tmp_path / "out.cfl")
    sizes = bart(tmp_path, "show", "-m", "out").splitlines()[-1].split()[1:]
    ny, nx = series.image.shape[1:]
    assert [int(size) for size in sizes] == [nx, ny, *[1] * 8, n_frames, *[1] * 5]
    rows = bart(tmp_path, "show", "-f", "%+.9e%+.9ei", "out").split()
    found = np.array([complex(row.replace("i", "j")) for row in rows]).reshape(series.image.shape)
    np.testing.assert_allclose(found, series.image, rtol=1e-7)
    facts = json.loads((tmp_path / "out.hdr").read_text().splitlines()[-1])
    assert facts["times_s"] == series.times_s.tolist() and facts["pixel_mm"] == {"x": 1.25, "y": 1.7}
    assert facts["note"] == RESEARCH_USE


@needs_bart
def test_bart_reconstructs_a_point_where_we_put_it(tmp_path: Path) -> None:
    """x is axis 0 and y axis 1: BART's own gridding of k-space by our convention finds the point of our file."""
    n, y, x = 32, 5, 23
    ktraj = radial_ktraj(48, 2 * n, (n, n)).astype(np.float64)
    offset = np.array([y - n // 2, x - n // 2])
    kdata = np.exp(-2j * np.pi * (ktraj @ offset) / n).astype(np.complex64)
    three = np.concatenate([ktraj[..., ::-1], np.zeros_like(ktraj[..., :1])], axis=-1).astype(np.complex64)
    for name, array in (("traj", three.transpose(2, 1, 0)), ("ksp", kdata.T[None])):
        (tmp_path / f"{name}.hdr").write_text(f"# Dimensions\n{' '.join(map(str, array.shape))}\n")
        array.ravel(order="F").tofile(tmp_path / f"{name}.cfl")
    bart(tmp_path, "nufft", "-a", "-d", f"{n}:{n}:1", "traj", "ksp", "theirs")
    theirs = np.abs(np.fromfile(tmp_path / "theirs.cfl", np.complex64).reshape(n, n, order="F"))
    series = make_series(n_frames=1, size=(n, n))
    series.image[:] = 0
    series.image[0, y, x] = 1
    export_series(series, tmp_path / "ours.cfl")
    ours = np.abs(np.fromfile(tmp_path / "ours.cfl", np.complex64).reshape(n, n, order="F"))
    assert np.unravel_index(theirs.argmax(), (n, n)) == np.unravel_index(ours.argmax(), (n, n)) == (x, y)
