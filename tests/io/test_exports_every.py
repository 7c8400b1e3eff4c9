"""What holds for every export format: it reads back, the old file survives any failure, and no name goes out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import imageio_ffmpeg
import ismrmrd
import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
import zarr
from numpy.typing import NDArray
from PIL import ImageDraw

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.curves import Curve
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import Region, RegionSet
from napari_dainr.analysis.sections import Strip
from napari_dainr.data import ImageSeries, KSpace
from napari_dainr.errors import ExportError, InputError
from napari_dainr.io import EXPORTS, atomic, export_series
from napari_dainr.io.curves import CurveEntry, write_curves
from napari_dainr.io.export_formats import FORMATS, dialog_filter, format_of, with_suffix
from napari_dainr.io.ismrmrd import write_ismrmrd
from napari_dainr.io.regions import export_regions
from napari_dainr.io.series import save_series
from napari_dainr.io.strips import write_strips
from napari_dainr.trajectory import radial_ktraj

from .exported import ALONE, BESIDE, CANARY, FOLDERS, everything_in, make_series, read_gif, tree

SUFFIXES = pytest.mark.parametrize("suffix", list(EXPORTS))
FORMS = pytest.mark.parametrize("suffix", [*(form.suffixes[0] for form in FORMATS), ".nii"])
"""One suffix of each format, and NIfTI packed and not."""
CINES = (".gif", ".mp4")
CODES = ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
"""ImageJ's facts are in UTF-16, numpy's text in UTF-32."""


def _nifti(path: Path) -> NDArray[Any]:
    return np.asarray(nibabel.load(path).dataobj)[:, :, 0].transpose(2, 1, 0)


def _dicom(path: Path) -> NDArray[Any]:
    files = [pydicom.dcmread(file) for file in sorted(path.iterdir())]
    return np.stack([pydicom.pixels.apply_rescale(file.pixel_array, file) for file in files])


def _cfl(path: Path) -> NDArray[Any]:
    sizes = [int(n) for n in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    return np.fromfile(path, np.complex64).reshape(sizes, order="F").squeeze().T


def _mrd(path: Path) -> NDArray[Any]:
    with ismrmrd.Dataset(str(path), mode="r") as file:
        return np.stack([file.read_image("image_0", i).data[0, 0] for i in range(file.number_of_images("image_0"))])


def _hdf5(path: Path) -> NDArray[Any]:
    with h5py.File(path, "r") as file:
        return file["image"][()]


READERS: dict[str, Callable[[Path], NDArray[Any]]] = {
    ".dcm": _dicom,
    ".nii": _nifti,
    ".nii.gz": _nifti,
    ".zarr": lambda path: zarr.open(path, mode="r")["0"][:],
    ".ome.tif": tifffile.imread,
    ".ome.tiff": tifffile.imread,
    ".tif": tifffile.imread,
    ".tiff": tifffile.imread,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".mrd": _mrd,
    ".cfl": _cfl,
    ".npz": lambda path: np.load(path)["image"],
    ".npy": np.load,
}
"""Suffix → the image by a reader that is not ours, except for ``.cfl``; BART reads that in test_exports_arrays.py."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        mounted = os.name == "posix" and subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk cannot be mounted here; needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def beside(suffix: str) -> list[str]:
    """Names that an export of ``out`` leaves."""
    return sorted(name for name in [f"out{suffix}", f"out.{BESIDE[suffix]}" if suffix in BESIDE else ""] if name)


@SUFFIXES
def test_reads_back_by_a_foreign_reader_and_leaves_nothing_else(tmp_path: Path, suffix: str) -> None:
    series, path = make_series(), tmp_path / f"out{suffix}"
    for _ in range(2):  # the second time over the first
        export_series(series, path)
    assert sorted(p.name for p in tmp_path.iterdir()) == beside(suffix)
    assert path.is_dir() == (suffix in FOLDERS)
    if suffix in CINES:
        return  # test_exports.py and test_cine.py look at pictures
    found, meant = READERS[suffix](path), series.image
    if not np.iscomplexobj(found):
        assert "magnitude" in EXPORTS[suffix]
        meant = np.abs(meant)
    else:
        assert "complex" in EXPORTS[suffix]
    step = float(np.abs(meant).max()) / 65535 if suffix == ".dcm" else 0.0
    assert found.shape == meant.shape and np.abs(found - meant).max() <= 0.5 * step * (1 + 1e-6)


@FORMS
def test_one_frame_of_one_bright_pixel(tmp_path: Path, suffix: str) -> None:
    image = np.zeros((1, 9, 7), np.complex64)
    image[0, 2, 4] = 3j
    series = ImageSeries(image, np.array([0.25]), (2.0, 3.0), 0.5, np.array([False]), "nufft")
    path = tmp_path / f"out{suffix}"
    export_series(series, path)
    if suffix == ".gif":
        frames, delays, _ = read_gif(path)
        assert len(frames) == 1 and delays == [500] and frames.max() == 255
    elif suffix == ".mp4":
        assert imageio_ffmpeg.count_frames_and_secs(str(path)) == (1, pytest.approx(0.5, abs=0.01))
    else:
        found = np.abs(READERS[suffix](path).reshape(9, 7))
        assert found[2, 4] == pytest.approx(3, rel=1e-6) and np.count_nonzero(found) == 1


@FORMS
@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30])
def test_dark_tiny_and_huge_numbers(tmp_path: Path, suffix: str, value: float) -> None:
    series = make_series(n_frames=2, size=(6, 5))
    series = replace(series, image=(series.image * value).astype(np.complex64))
    export_series(series, tmp_path / f"out{suffix}")
    if suffix in CINES:
        return
    found, meant = np.abs(READERS[suffix](tmp_path / f"out{suffix}").astype(complex)), np.abs(series.image)
    np.testing.assert_allclose(found, meant, rtol=1e-6, atol=float(meant.max()) / 131000 if suffix == ".dcm" else 0)


def before_it(folder: Path, suffix: str) -> dict[str, bytes]:
    """An older export in the way of the next."""
    export_series(make_series(n_frames=2, seed=5), folder / f"out{suffix}")
    return tree(folder)


@FORMS
def test_old_file_is_unharmed_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    old = before_it(tmp_path, suffix)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_sync", fail)
    with pytest.raises(ExportError, match=r"^out\S*: cannot be written \(no space left on device\)"):
        export_series(make_series(), tmp_path / f"out{suffix}")
    assert tree(tmp_path) == old
    assert sorted(p.name for p in tmp_path.iterdir()) == beside(suffix)


@FORMS
@pytest.mark.parametrize("part", [0, -1])
def test_a_file_damaged_on_the_way_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, part: int
) -> None:
    """Of formats with several files, the first or the last is damaged."""
    old = before_it(tmp_path, suffix)

    def damage(written: Path) -> None:
        parts = [file for file in sorted(written.rglob("*")) if file.is_file()] or [written]
        data = bytearray(parts[part].read_bytes())
        middle = len(data) // 2
        data[middle : middle + 40] = bytes(byte ^ 0x55 for byte in data[middle : middle + 40])
        parts[part].write_bytes(data)

    monkeypatch.setattr(atomic, "_sync_all", damage)
    with pytest.raises(ExportError, match=r"^out\S*: what was written does not read back"):
        export_series(make_series(), tmp_path / f"out{suffix}")
    assert tree(tmp_path) == old


@FORMS
def test_a_file_cut_short_on_the_way_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    old = before_it(tmp_path, suffix)

    def cut(written: Path) -> None:
        files = [file for file in written.rglob("*") if file.is_file()] or [written]
        largest = max(files, key=lambda file: file.stat().st_size)
        os.truncate(largest, largest.stat().st_size // 2)

    monkeypatch.setattr(atomic, "_sync_all", cut)
    with pytest.raises(ExportError, match=r"^out\S*: what was written does not read back"):
        export_series(make_series(), tmp_path / f"out{suffix}")
    assert tree(tmp_path) == old


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".mrd", ".cfl"])
def test_raw_data_is_never_replaced(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"out{suffix}").write_bytes(b"\x89HDF\r\n\x1a\n raw data of a whole afternoon")
    old = tree(tmp_path)
    with pytest.raises(ExportError, match=r"may be raw data; choose another name"):
        export_series(make_series(), tmp_path / f"out{suffix}")
    assert tree(tmp_path) == old


@pytest.mark.parametrize("suffix", FOLDERS)
@pytest.mark.parametrize("kind", ["file", "foreign folder", "ours and more", "link"])
def test_folders_that_hold_something_else_are_never_replaced(tmp_path: Path, suffix: str, kind: str) -> None:
    path = tmp_path / f"out{suffix}"
    if kind == "file":
        path.write_bytes(b"an image of the scanner")
    elif kind == "link":
        export_series(make_series(), tmp_path / f"real{suffix}")
        path.symlink_to(tmp_path / f"real{suffix}")
    else:
        if kind == "ours and more":
            export_series(make_series(), path)
        else:
            path.mkdir()
        (path / "notes.txt").write_text("do not lose")
    old = tree(tmp_path)
    with pytest.raises(ExportError, match=r"^out\S*: something else has that name"):
        export_series(make_series(n_frames=3), path)
    assert tree(tmp_path) == old


@pytest.mark.parametrize("suffix", ALONE)
def test_a_folder_of_that_name_is_left_alone(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"out{suffix}").mkdir()
    with pytest.raises(ExportError, match=r"is a folder; give a file name"):
        export_series(make_series(), tmp_path / f"out{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == [f"out{suffix}"]


@SUFFIXES
def test_places_that_cannot_be_written(tmp_path: Path, suffix: str) -> None:
    long = f"{'x' * 300}{suffix}"
    for path in (tmp_path / long, Path("/proc") / f"out{suffix}", tmp_path / "no" / f"out{suffix}"):
        with pytest.raises(ExportError) as caught:
            export_series(make_series(n_frames=2, size=(9, 7)), path)
        told = str(caught.value)
        assert told.startswith(f"{path.name}: ") and told.endswith(".") and "/" not in told, told
    (tmp_path / "out").touch()
    with pytest.raises(ExportError):
        export_series(make_series(n_frames=2, size=(9, 7)), tmp_path / "out" / f"out{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@FORMS
@pytest.mark.parametrize("name", ["Größe ½ 😀", "two\nlines", "a b", "-o", "50%", "a.b.c", "x" * 200])
def test_odd_names_are_written(tmp_path: Path, suffix: str, name: str) -> None:
    path = tmp_path / f"{name}{suffix}"
    export_series(make_series(n_frames=2, size=(9, 7)), path)
    assert path.exists() and path in tmp_path.iterdir()


def fill(disk: Path, free: int) -> None:
    """Leave about so many bytes of a disk."""
    (disk / "ballast").unlink(missing_ok=True)
    state = os.statvfs(disk)
    blocks = state.f_bavail - free // state.f_frsize
    with (disk / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, blocks * state.f_frsize)


def fits_or_fails(disk: Path, suffix: str, free: int) -> bool:
    """Export on a disk with so much room; whether it fitted. The old export stays if it did not."""
    path = disk / f"out{suffix}"
    old = before_it(disk, suffix)
    fill(disk, free)
    names = sorted(p.name for p in disk.iterdir())
    big = make_series(n_frames=6, size=(64, 48), seed=9)
    try:
        export_series(big, path)
    except ExportError as error:
        told = str(error)
        (disk / "ballast").unlink()
        assert tree(disk) == old
        assert re.fullmatch(
            r"out\S*: .*(no space left on device|not all of it could be written|are free).*; .*\.", told
        ), told
        fitted = False
    else:
        (disk / "ballast").unlink()
        if suffix not in CINES:
            assert READERS[suffix](path).shape == big.image.shape
        fitted = True
    assert sorted([*(p.name for p in disk.iterdir()), "ballast"]) == names
    return fitted


def room(suffix: str) -> int:
    """Bytes that the export in :func:`fits_or_fails` surely has enough with, beside the old one."""
    return 800_000 if suffix in CINES else 400_000


def sweep(disk: Path, suffix: str, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the question for room beforehand: the disk gets full in the middle of writing.
    monkeypatch.setattr(atomic, "_check_room", lambda *_: None)
    fitted = [fits_or_fails(disk, suffix, int(free)) for free in np.linspace(0, room(suffix), numbers)]
    assert not fitted[0] and fitted[-1] and fitted == sorted(fitted)


@FORMS
def test_full_disk(disk: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(disk, suffix, 3, monkeypatch)


@pytest.mark.slow
@FORMS
def test_full_disk_at_20_sizes(disk: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(disk, suffix, 20, monkeypatch)


@pytest.mark.skipif(os.name != "posix", reason="file size limits are of POSIX")
@FORMS
def test_files_that_may_not_grow(tmp_path: Path, suffix: str) -> None:
    """As on a full disk, for those who cannot mount one."""
    import resource

    old = before_it(tmp_path, suffix)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(ExportError, match=r"^out\S*: "):
            export_series(make_series(n_frames=6, size=(64, 48)), tmp_path / f"out{suffix}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert tree(tmp_path) == old
    assert sorted(p.name for p in tmp_path.iterdir()) == beside(suffix)


@FORMS
def test_room_is_asked_for_before_anything_is_written(disk: Path, suffix: str) -> None:
    if suffix in CINES:
        assert not fits_or_fails(disk, suffix, 0)
        return
    old = before_it(disk, suffix)
    fill(disk, 60_000)
    with pytest.raises(ExportError, match=r"^out\S*: 0\.\d MB are needed, but only 0\.\d MB are free"):
        export_series(make_series(n_frames=6, size=(64, 48)), disk / f"out{suffix}")
    (disk / "ballast").unlink()
    assert tree(disk) == old


ENDLESS = """
import sys
from pathlib import Path
import numpy as np
from napari_dainr.data import ImageSeries
from napari_dainr.io import export_series
path = Path(sys.argv[1])
def series(n):
    image = np.full((n, 40, 30), n, np.complex64)
    return ImageSeries(image, 0.1 * np.arange(n), (1.0, 1.0), 0.1, np.zeros(n, bool), "nufft")
export_series(series(3), path)
print("begun", flush=True)
while True:
    for n in (4, 5, 3):
        export_series(series(n), path)
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".dcm", ".zarr", ".h5", ".npy"])
def test_killed_at_any_moment(tmp_path: Path, suffix: str) -> None:
    """What stands at the path is one export or the other, never a part or a mixture."""
    path, rng = tmp_path / f"out{suffix}", np.random.default_rng(3)
    for _ in range(8):
        command = [sys.executable, "-c", ENDLESS, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdout.readline() == "begun\n"
            time.sleep(float(rng.uniform(0, 0.2)))
            process.kill()
        found = np.abs(READERS[suffix](path))
        assert len(found) in (3, 4, 5)
        np.testing.assert_allclose(found, len(found), rtol=1e-4)


def _curves(path: Path, n: int) -> None:
    values = np.arange(n, dtype=float)
    curve = Curve(values, values, values, values, values, values, 6, np.zeros(n, bool), 1.9)
    write_curves([CurveEntry("NuFFT", "aorta", "AO", curve, 2.0)], path)


def _strip(path: Path, n: int) -> None:
    values = np.arange(n, dtype=float)
    strip = Strip(np.ones((n, 40)), np.arange(40.0), values, np.zeros(n, bool), np.zeros((2, 2)))
    write_strips([("NuFFT", strip)], path)


def _regions(path: Path, n: int) -> None:
    corners = np.array([[1.0, 1.0], [9.0, 1.0], [9.0, 5.0]])
    regions = tuple(Region(corners, kind="polygon", role="AO", name=f"region {i}") for i in range(n))
    export_regions(RegionSet(regions), path, PixelGrid.of(make_series(n_frames=1)))


def _raw(path: Path, n: int) -> None:
    shape = (1, 2, n, 32)
    kdata = np.random.default_rng(n).standard_normal(shape).astype(np.complex64)
    kspace = KSpace(kdata, radial_ktraj(n, 32, (16, 16)), 0.004 * np.arange(n), (16, 16), (240.0, 240.0))
    write_ismrmrd(kspace, path)


def _run(path: Path, n: int) -> None:
    save_series(make_series(n_frames=n, size=(33, 40)), path)


OTHERS: dict[str, tuple[Callable[[Path, int], None], int]] = {
    "curves.csv": (_curves, 3000),
    "curves.tsv": (_curves, 3000),
    "strip.npz": (_strip, 800),
    "strip.npy": (_strip, 800),
    "strip.png": (_strip, 800),
    "rois.json": (_regions, 500),
    "rois.zip": (_regions, 300),
    "raw.h5": (_raw, 300),
    "run": (_run, 26),  # 274 kB of samples: 280 kB hold them, but not the facts as well
}
"""Name → what else is written: writer, and a number with which it is large."""


@pytest.mark.parametrize("name", list(OTHERS))
def test_other_files_on_a_full_disk(disk: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_check_room", lambda *_: None)
    write, number = OTHERS[name]
    write(disk / name, 3)
    old = tree(disk)
    failed = 0
    for free in (0, 30_000, 280_000, 1_500_000):
        fill(disk, free)
        try:
            write(disk / name, number)
        except ExportError as error:
            told = str(error)
            failed += 1
            (disk / "ballast").unlink()
            assert str(disk) not in told and re.search("no space left|not all of it", told), told
            assert tree(disk) == old
        else:
            (disk / "ballast").unlink()
            old = tree(disk)
    assert failed >= 1


SECRETS = [f"{CANARY}{kind}{number}" for number, kind in enumerate("PatientNameIdBirthSiteDeviceScan")][:30]


def test_no_planted_name_goes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 strings as values and keys of the facts, and in the names of folders and files."""
    assert len(set(SECRETS)) == 30
    drawn: list[str] = []
    draw_text = ImageDraw.ImageDraw.text

    def record(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, **options: Any) -> None:
        drawn.append(text)
        draw_text(self, xy, text, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    folder = tmp_path / SECRETS[0] / SECRETS[1]
    folder.mkdir(parents=True)
    info: dict[str, Any] = {"recipe": {"data": f"/home/{SECRETS[2]}/{SECRETS[3]}.h5", "name": SECRETS[4]}}
    info |= {secret: secret for secret in SECRETS[5:15]} | {"deep": [{secret: [secret]} for secret in SECRETS[15:]]}
    series = replace(make_series(), info=info)
    for suffix in EXPORTS:
        export_series(series, folder / f"{SECRETS[6]}-out{suffix}")
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert len(files) >= len(EXPORTS) + 2 + 2 * series.n_frames
    searched = 0
    for file in files:
        data = everything_in(file).lower()
        searched += len(data)
        for code in CODES:
            # All 30 begin alike, so one search finds any of them.
            for secret in (CANARY, tmp_path.name, str(tmp_path), os.sep + "home"):
                assert secret.lower().encode(code) not in data, f"{file.name.partition('-out')[2]} holds {secret}"
    assert searched > 100_000 and drawn and not any(CANARY in text for text in drawn)
    for path in folder.rglob("*"):
        assert path.name.startswith(f"{SECRETS[6]}-out") or CANARY not in path.name


def test_the_search_for_names_finds_them(tmp_path: Path) -> None:
    series = replace(make_series(), method=CANARY)  # the one word of a series that may go out
    for suffix in (".nii.gz", ".npz", ".dcm", ".zarr", ".h5", ".mrd", ".cfl", ".ome.tif", ".tif"):
        export_series(series, tmp_path / f"out{suffix}")
    for suffix in (".json", ".npz", ".dcm", ".zarr", ".h5", ".mrd", ".hdr", ".ome.tif", ".tif"):
        path = tmp_path / f"out{suffix}"
        files = [file for file in path.rglob("*") if file.is_file()] or [path]
        content = b"".join(everything_in(file) for file in files)
        assert any(CANARY.encode(code) in content for code in CODES), suffix


def test_the_same_series_gives_the_same_bytes_at_any_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So no date, host or process number is in it; identifiers of DICOM and OME are made at random."""
    monkeypatch.setattr("pydicom.uid.generate_uid", lambda **_: "2.25.1")
    monkeypatch.setattr("napari_dainr.io.tiff.uuid.uuid4", lambda: "00000000-0000-4000-8000-000000000000")
    for name in ("first", "second"):
        monkeypatch.setattr("napari_dainr.io.dicom.secrets", SimpleNamespace(token_hex=lambda n: "0" * 2 * n))
        (tmp_path / name).mkdir()
        for suffix in EXPORTS:
            export_series(make_series(), tmp_path / name / f"out{suffix}")
        time.sleep(2.1 if name == "first" else 0)  # the clock of zip files goes in steps of two seconds
    first, second = tree(tmp_path / "first"), tree(tmp_path / "second")
    assert first.keys() == second.keys() and [name for name in first if first[name] != second[name]] == []


@pytest.mark.parametrize("suffix", [*FOLDERS, ".nii.gz", ".ome.tif", ".tif", ".h5", ".mrd", ".npz"])
def test_research_note_and_marks_go_with_it(tmp_path: Path, suffix: str) -> None:
    export_series(make_series(), tmp_path / f"out{suffix}")
    content = b"".join(everything_in(file) for file in tmp_path.rglob("*") if file.is_file())
    for text in (RESEARCH_USE, "nterpolated"):
        assert any(text.encode(code) in content for code in CODES), text


@pytest.mark.parametrize(
    "name", ["out.xyz", "out", ".npy", ".nii.gz", "out.gz", "out.npy.bak", ".ome.tif", ".dcm", "zarr"]
)
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        export_series(make_series(), tmp_path / name)
    assert all(suffix in str(caught.value) for suffix in EXPORTS)
    assert not list(tmp_path.iterdir())


@SUFFIXES
def test_options_of_other_formats_are_refused(tmp_path: Path, suffix: str) -> None:
    if suffix not in CINES:
        with pytest.raises(InputError, match=r"fps .*belongs to \.gif, \.mp4"):
            export_series(make_series(), tmp_path / f"out{suffix}", fps=10)
    if suffix != ".dcm":
        with pytest.raises(InputError, match="cardiac"):
            export_series(make_series(), tmp_path / f"out{suffix}", cardiac=True)
    with pytest.raises(InputError, match="nonsense"):
        export_series(make_series(), tmp_path / f"out{suffix}", nonsense=1)
    assert not list(tmp_path.iterdir())


def test_the_longest_suffix_says_the_format() -> None:
    known = {name: format_of(name) for name in ("a.ome.tif", "a.tif", "a.ome.zarr", "A.NII.GZ", "a.nii", "a.b.H5")}
    assert [found and (found[0].title, found[1]) for found in known.values()] == [
        ("OME-TIFF", ".ome.tif"),
        ("TIFF", ".tif"),
        ("OME-Zarr", ".zarr"),
        ("NIfTI", ".nii.gz"),
        ("NIfTI", ".nii"),
        ("HDF5", ".h5"),
    ]


def test_dialogs_offer_every_format_and_add_its_suffix() -> None:
    choices = dialog_filter().split(";;")
    assert len(choices) == len(FORMATS)
    for choice, form in zip(choices, FORMATS, strict=True):
        assert with_suffix("/somewhere/my series", choice) == f"/somewhere/my series{form.suffixes[0]}"
        assert with_suffix(f"C:\\x\\out{form.suffixes[-1]}", choice) == f"C:\\x\\out{form.suffixes[-1]}"
    assert with_suffix("out.npy", choices[0]) == "out.npy"  # a known one is what was typed, and meant
    assert with_suffix("", choices[0]) == ""
