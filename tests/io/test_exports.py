"""Exports, read back by the library of each format."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_dainr import RESEARCH_USE
from napari_dainr.errors import ExportError, InputError
from napari_dainr.io import atomic, export_series

from .exported import STEP_S, make_series, read_gif, tree


def image_part(frames: NDArray[np.uint8], shown: tuple[int, int]) -> NDArray[np.uint8]:
    """The image in the frames of a GIF: at the top, in the middle."""
    left = (frames.shape[2] - shown[1]) // 2
    return frames[:, : shown[0], left : left + shown[1]]


def test_suffix_in_capitals(tmp_path: Path) -> None:
    series = make_series()
    export_series(series, tmp_path / "OUT.NPY")
    assert np.load(tmp_path / "OUT.NPY").tobytes() == series.image.tobytes()


def test_npy_is_the_image_bit_for_bit(tmp_path: Path) -> None:
    series = make_series()
    series.image[0, 0, 0] = complex(-0.0, 1e-42)  # the sign of zero and a denormal number
    export_series(series, tmp_path / "out.npy")
    found = np.load(tmp_path / "out.npy")
    assert found.dtype == np.complex64 and found.shape == (5, 33, 21)
    assert found.tobytes() == series.image.tobytes()


def test_npy_of_an_image_that_is_not_contiguous(tmp_path: Path) -> None:
    series = make_series()
    series = replace(series, image=np.asfortranarray(series.image))
    export_series(series, tmp_path / "out.npy")
    found = np.load(tmp_path / "out.npy")
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, series.image)


def test_npz(tmp_path: Path) -> None:
    series = make_series()
    export_series(series, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as found:
        assert found["image"].tobytes() == series.image.tobytes() and found["image"].dtype == np.complex64
        np.testing.assert_array_equal(found["times_s"], series.times_s)
        np.testing.assert_array_equal(found["interpolated"], [False, True, False, True, False])
        assert found["pixel_mm"].tolist() == [1.7, 1.25]
        assert found["frame_duration_s"] == series.frame_duration_s
        assert found["method"] == "dainr"
        assert found["note"] == RESEARCH_USE


@pytest.mark.parametrize("suffix", [".tif", ".tiff"])
def test_tiff(tmp_path: Path, suffix: str) -> None:
    series = make_series()
    path = tmp_path / f"out{suffix}"
    export_series(series, path)
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej and file.series[0].axes == "TYX"
        found, facts, page = file.asarray(), file.imagej_metadata, file.pages.first
        assert page.photometric == tifffile.PHOTOMETRIC.MINISBLACK
        across, down = (page.tags[name].value for name in ("XResolution", "YResolution"))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.abs(series.image))
    assert facts is not None
    assert facts["unit"] == "mm" and facts["finterval"] == pytest.approx(STEP_S, rel=1e-6)
    assert across[0] / across[1] == pytest.approx(1 / 1.25, rel=1e-6)  # pixels per mm
    assert down[0] / down[1] == pytest.approx(1 / 1.7, rel=1e-6)
    info = json.loads(facts["Info"])
    assert info["note"] == RESEARCH_USE and info["method"] == "dainr"
    assert info["times_s"] == series.times_s.tolist()
    assert info["interpolated"] == [False, True, False, True, False]


def test_tiff_of_three_frames_is_no_colour_image(tmp_path: Path) -> None:
    series = make_series(n_frames=3)
    export_series(series, tmp_path / "out.tif")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), np.abs(series.image))


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti(tmp_path: Path, suffix: str) -> None:
    series = make_series()
    path = tmp_path / f"out.b{suffix}"
    export_series(series, path)
    found = nibabel.load(path)
    assert found.shape == (21, 33, 1, 5) and found.get_data_dtype() == np.float32
    data = np.asarray(found.dataobj)
    for frame in range(5):
        assert data[2 + frame, 3, 0, frame] == np.abs(np.complex64(9 - 2j))  # (x, y), not (y, x), nothing turned
    np.testing.assert_array_equal(data[:, :, 0].transpose(2, 1, 0), np.abs(series.image))
    assert found.header.get_xyzt_units() == ("mm", "sec")
    np.testing.assert_allclose(found.header.get_zooms(), (1.25, 1.7, 1.0, STEP_S), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.affine[:3, :3], axis=0), [1.25, 1.7, 1.0], rtol=1e-6)
    # Columns from left to right and rows from top to bottom, as viewers show an axial slice; centre pixel at 0.
    assert nibabel.aff2axcodes(found.affine) == ("L", "P", "S")
    np.testing.assert_allclose(found.affine @ [10, 16, 0, 1], [0, 0, 0, 1], atol=1e-5)
    assert float(found.header["toffset"]) == pytest.approx(series.times_s[0])
    assert RESEARCH_USE.encode() in bytes(found.header["descrip"])

    facts = json.loads((tmp_path / "out.b.json").read_text(encoding="utf-8"))
    assert facts["times_s"] == series.times_s.tolist() and facts["frame_step_s"] == pytest.approx(STEP_S)
    assert facts["interpolated"] == [False, True, False, True, False]
    assert facts["method"] == "dainr" and facts["note"] == RESEARCH_USE
    assert "arbitrary units" in facts["intensity"] and facts["orientation"].startswith("Unknown")


def test_nifti_leaves_a_json_file_of_others_alone(tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text('{"method": "dainr"}', encoding="utf-8")
    with pytest.raises(ExportError, match=r"^out\.json: would be replaced"):
        export_series(make_series(), tmp_path / "out.nii.gz")
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
    assert (tmp_path / "out.json").read_text(encoding="utf-8") == '{"method": "dainr"}'


def test_nifti_replaces_its_own_sidecar(tmp_path: Path) -> None:
    for n_frames in (5, 4):
        export_series(make_series(n_frames=n_frames), tmp_path / "out.nii.gz")
    assert len(json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["times_s"]) == 4


def test_nifti_and_its_sidecar_are_placed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("out.nii.gz", "out.json"):
        export_series(make_series(), tmp_path / "out.nii.gz")
        before = tree(tmp_path)
        replace_file = os.replace

        def fail(a: Path, b: Path, name: str = name, replace_file: Any = replace_file) -> None:
            if b == tmp_path / name and ".kept" not in str(a):
                raise OSError(5, "Input/output error")
            replace_file(a, b)

        with monkeypatch.context() as patch:
            patch.setattr(atomic.os, "replace", fail)
            with pytest.raises(ExportError, match=r"^out\.nii\.gz: could not be put in its place"):
                export_series(make_series(n_frames=3), tmp_path / "out.nii.gz")
        assert tree(tmp_path) == before


def test_gif_shows_every_pixel_in_one_window(tmp_path: Path) -> None:
    series = make_series(pixel_mm=(1.5, 1.5))
    export_series(series, tmp_path / "out.gif")
    frames, _, _ = read_gif(tmp_path / "out.gif")
    factor = 13  # ceil(256 / 21)
    shown = image_part(frames, (33 * factor, 21 * factor))
    magnitude = np.abs(series.image)
    meant = np.clip(magnitude / np.percentile(magnitude, 99.9), 0, 1) * 255
    np.testing.assert_allclose(shown[:, factor // 2 :: factor, factor // 2 :: factor], meant, atol=0.51)
    blocks = shown.reshape(5, 33, factor, 21, factor)
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    assert frames.shape[1] > shown.shape[1]  # the caption is below, not over the image


def test_gif_keeps_the_proportion_of_pixels(tmp_path: Path) -> None:
    series = make_series(n_frames=1, size=(20, 31), pixel_mm=(3.0, 1.5))
    export_series(series, tmp_path / "out.gif")
    frames, _, _ = read_gif(tmp_path / "out.gif")
    shown = image_part(frames, (20 * 18, 31 * 9))
    meant = np.abs(series.image) / np.percentile(np.abs(series.image), 99.9)
    np.testing.assert_allclose(shown[:, 9::18, 4::9], np.clip(meant, 0, 1) * 255, atol=0.51)


def test_large_images_are_not_enlarged(tmp_path: Path) -> None:
    export_series(make_series(n_frames=1, size=(257, 300), pixel_mm=(1, 1)), tmp_path / "out.gif")
    with Image.open(tmp_path / "out.gif") as file:
        assert file.width == 300 and 257 < file.height < 340


@pytest.mark.parametrize(
    ("step_s", "options", "seconds"),
    [
        (0.0351, {}, 23 * 0.0351),  # true speed
        (0.5, {}, 23 * 0.5),
        (0.004, {}, 23 * 0.02),  # faster than players go
        (0.0351, {"fps": 15}, 23 / 15),
        (0.0351, {"fps": 50}, 23 / 50),
    ],
)
def test_gif_lasts_as_long_as_it_should(
    tmp_path: Path, step_s: float, options: dict[str, float], seconds: float
) -> None:
    export_series(make_series(n_frames=23, size=(9, 30), step_s=step_s), tmp_path / "out.gif", **options)
    frames, delays, info = read_gif(tmp_path / "out.gif")
    assert len(frames) == 23
    assert abs(sum(delays) - 1000 * seconds) <= 10
    assert min(delays) >= 20 and max(delays) - min(delays) <= 10
    assert info["loop"] == 0


def test_identical_frames_are_not_merged(tmp_path: Path) -> None:
    series = make_series(n_frames=7, step_s=1e-6)  # the same time in the caption, too
    series.image[:] = series.image[0]
    series.interpolated[:] = False
    export_series(series, tmp_path / "out.gif", fps=20)
    frames, delays, _ = read_gif(tmp_path / "out.gif")
    assert len(frames) == 7 and delays == [50] * 7


def test_caption_says_what_must_be_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    draw_text = ImageDraw.ImageDraw.text

    def record(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, **options: Any) -> None:
        left, top, right, bottom = self.textbbox(xy, text, font=options["font"], anchor=options["anchor"])
        assert left >= 0 and top >= 0 and right <= self.im.size[0] and bottom <= self.im.size[1], f"{text!r} is cut"
        lines.append(text)
        draw_text(self, xy, text, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    export_series(make_series(), tmp_path / "out.gif")
    assert {RESEARCH_USE, "dainr"} <= set(lines)  # drawn once, and the same in every picture
    times = ["t = 0.018 s", "t = 0.053 s", "t = 0.088 s", "t = 0.123 s", "t = 0.158 s"]
    assert sorted(line for line in lines if line.startswith("t = ")) == times
    assert lines.count("interpolated") == 2
    frames, _, _ = read_gif(tmp_path / "out.gif")
    assert (frames[:, -20:] == frames[0, -20:]).all() and frames[0, -20:].max() > 150


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), 51, 1e-4, True, "10"])
def test_speeds_that_no_gif_has(tmp_path: Path, fps: Any) -> None:
    with pytest.raises(InputError, match=r"^out\.gif: fps is"):
        export_series(make_series(), tmp_path / "out.gif", fps=fps)


def test_unknown_option(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="colour"):
        export_series(make_series(), tmp_path / "out.gif", colour="red")


@pytest.mark.parametrize("bad", ["empty", "nan", "pixel", "step"])
def test_series_that_cannot_be_written(tmp_path: Path, bad: str) -> None:
    series = make_series(n_frames=0 if bad == "empty" else 5)
    if bad == "nan":
        series.image[2, 3, 4] = np.nan
    if bad == "pixel":
        series = replace(series, pixel_mm=(0.0, 1.0))
    if bad == "step":
        series = replace(series, times_s=np.zeros(5))
    with pytest.raises(InputError, match=r"^out\.tif: the "):
        export_series(series, tmp_path / "out.tif")
    assert not list(tmp_path.iterdir())


def test_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="folder"):
        export_series(make_series(), tmp_path / "no" / "out.npy")
