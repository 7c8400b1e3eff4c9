"""How frames are enlarged and what stands around them."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageDraw
from scipy.ndimage import map_coordinates

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import Region, RegionSet, ellipse_corners
from napari_dainr.io.cine_drawing import Outline, Painter, kernel, nice_length
from napari_dainr.io.cine_options import CineOptions
from napari_dainr.io.cine_regions import region_outlines


def painter(
    n: int = 3, size: tuple[int, int] = (40, 33), options: CineOptions | None = None, **more: object
) -> Painter:
    image = np.random.default_rng(1).random((n, *size)).astype(np.float32)
    facts = {
        "pixel_mm": (1.5, 1.5),
        "times_s": 0.25 + 0.5 * np.arange(n),
        "interpolated": np.arange(n) % 2 == 1,
        "method": "GRASP",
    }
    return Painter(image, options or CineOptions(enlarge=8), **(facts | more))  # type: ignore[arg-type]


@given(n=st.integers(2, 17), factor=st.integers(1, 7))
@settings(deadline=None)
def test_bilinear_is_map_coordinates(n: int, factor: int) -> None:
    line = np.random.default_rng(n).random(n)
    at = (np.arange(n * factor) + 0.5) / factor - 0.5
    expected = map_coordinates(line, [at], order=1, mode="nearest")
    np.testing.assert_allclose(kernel(n, factor, "bilinear") @ line, expected, atol=1e-6)


@given(n=st.integers(2, 17), factor=st.integers(1, 7))
@settings(deadline=None)
def test_fourier_is_the_sum_of_waves(n: int, factor: int) -> None:
    """The trigonometric polynomial through the samples, written out: an even length's last wave half on either side."""
    line = np.random.default_rng(n).random(n)
    at = (np.arange(n * factor) + 0.5) / factor - 0.5
    waves = np.fft.fft(line) / n
    expected = np.zeros(n * factor)
    for k in range(n):
        if 2 * k == n:
            expected += (waves[k] * np.cos(np.pi * at)).real
        else:
            expected += (waves[k] * np.exp(2j * np.pi * at * (k if 2 * k < n else k - n) / n)).real
    np.testing.assert_allclose(kernel(n, factor, "fourier") @ line, expected, atol=2e-5)


@given(n=st.integers(1, 20), factor=st.integers(1, 9), how=st.sampled_from(["nearest", "bilinear", "fourier"]))
@settings(deadline=None)
def test_a_constant_stays_and_mean_is_kept(n: int, factor: int, how: str) -> None:
    weights = kernel(n, factor, how)
    assert weights.shape == (n * factor, n)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    if how != "bilinear":
        np.testing.assert_allclose(weights.sum(axis=0), factor, atol=1e-4)
    if factor == 1:
        np.testing.assert_allclose(weights, np.eye(n), atol=1e-6)


@pytest.mark.parametrize("how", ["bilinear", "fourier"])
def test_an_enlarged_crop_is_the_crop_of_the_enlarged(how: str) -> None:
    whole = painter(options=CineOptions(window=(0, 1), enlarge=3, interpolation=how))
    part = painter(options=CineOptions(window=(0, 1), enlarge=3, interpolation=how, crop=(7, 31, 4, 29)))
    left = (whole.width - whole.shown[1]) // 2
    left_part = (part.width - part.shown[1]) // 2
    expected = whole.picture(0)[21:93, left + 12 : left + 87]
    np.testing.assert_allclose(part.picture(0)[:72, left_part : left_part + 75].astype(int), expected, atol=1)


@given(st.floats(1e-3, 1e5))
def test_a_nice_length_is_round_and_not_too_short(largest: float) -> None:
    length = nice_length(largest)
    digits = f"{length:e}".split("e")[0].rstrip("0").rstrip(".")
    assert digits in ("1", "2", "5") and length <= largest * (1 + 1e-9) and length > largest / 2.51


@pytest.mark.parametrize(("size", "pixel_mm", "enlarge"), [((60, 90), (2.0, 2.0), 4), ((64, 50), (3.0, 1.5), 3)])
def test_the_scale_bar_is_as_long_as_it_says(
    size: tuple[int, int], pixel_mm: tuple[float, float], enlarge: int
) -> None:
    one = painter(size=size, pixel_mm=pixel_mm, options=CineOptions(enlarge=enlarge))
    assert one.bar_mm is not None
    field_mm = size[1] * pixel_mm[1]
    assert 0.1 * field_mm < one.bar_mm <= 0.3 * field_mm
    strip = one.picture(0)[one.shown[0] :]
    runs = [len(run) for run in "".join("x" if v > 240 else " " for v in _bar_row(strip, one.bar_pixels)).split()]
    assert max(runs) == one.bar_pixels == round(one.bar_mm * one.shown[1] / field_mm)


def _bar_row(strip: np.ndarray, length: int) -> np.ndarray:
    """The row of the strip with the longest bright run."""
    return max(
        strip, key=lambda row: max(len(r) for r in "".join("x" if v > 240 else " " for v in row).split() or [""])
    )


def test_words_below_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    draw_text = ImageDraw.ImageDraw.text

    def record(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, **options: object) -> None:
        left, top, right, bottom = self.textbbox(xy, text, font=options["font"], anchor=options["anchor"])
        assert left >= 0 and top >= 0 and right <= self.im.size[0] and bottom <= self.im.size[1], f"{text!r} is cut"
        lines.append(text)
        draw_text(self, xy, text, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    region = Outline(np.array([[3.0, 3.0], [9.0, 3.0], [9.0, 9.0]]), "#d55e00", "a region with quite a long name, here")
    other = Outline(region.points, "#0072b2", "portal vein")
    painter(outlines=[region, other], remark="plays at 2 × true speed").picture(1)
    assert set(lines) == {
        "GRASP", "frame 2/3", "t = 0.750 s", "interpolated", "10 mm", region.name, "portal vein", RESEARCH_USE,
        "enlarged ×8, pixels as blocks   plays at 2 × true speed",
    }  # fmt: skip
    lines.clear()
    none = CineOptions(enlarge=1, **dict.fromkeys(("time_stamp", "frame_number", "scale_bar", "method_name"), False))
    one = painter(options=none, interpolated=np.zeros(3, bool))
    one.picture(0)
    assert lines == [RESEARCH_USE], "which cannot be left out"
    assert one.width > one.shown[1] and one.height < 80


def test_interpolated_frames_are_marked_and_only_those() -> None:
    quiet = CineOptions(enlarge=8, time_stamp=False, frame_number=False)
    one = painter(options=quiet)
    strips = [one.picture(index)[one.shown[0] :] for index in range(3)]
    assert (strips[0] == strips[2]).all() and (strips[0] != strips[1]).any()


def test_all_pictures_have_one_size_and_the_image_in_the_middle() -> None:
    one = painter(n=12)
    sizes = {one.picture(index).shape for index in range(12)}
    assert sizes == {(one.height, one.width)}
    assert one.shown == (320, 264) and one.width >= 264


def test_dashes_leave_gaps() -> None:
    square = np.array([[5.0, 5.0], [5.0, 35.0], [35.0, 35.0], [35.0, 5.0]])
    full, dashed = (
        painter(outlines=[Outline(square, "#d55e00", dashes=dashes)], options=CineOptions(enlarge=4)).picture(0)
        for dashes in ((), (6, 6))
    )
    drawn = [int((picture == 255).sum()) for picture in (full, dashed)]
    assert 0.4 * drawn[0] < drawn[1] < 0.65 * drawn[0]


def test_more_colours_than_a_palette_has() -> None:
    many = [
        Outline(np.array([[k % 30, 2.0], [k % 30, 9.0]]), f"#{k:02x}10{255 - k:02x}", closed=False) for k in range(90)
    ]
    one = painter(outlines=many)
    assert one.palette.shape == (256, 3) and one.in_colour(one.picture(0)).shape == (one.height, one.width, 3)


def test_regions_become_outlines() -> None:
    geometry = PixelGrid((40, 33), (1.5, 2.0), (10.0, -4.0))
    centre = geometry.to_mm((20.0, 12.0))
    regions = RegionSet(
        (
            Region(ellipse_corners(centre, (9.0, 12.0)), "ellipse", "AO", "aorta"),
            Region(centre[None], "voxel", "PV", "probe"),
        )
    )
    ellipse, voxel = region_outlines(regions, geometry)
    np.testing.assert_allclose(np.hypot(*((ellipse.points - (20, 12)) / 6).T), 1, atol=1e-9)
    assert (ellipse.colour.lower(), ellipse.name, ellipse.dashes) == ("#d55e00", "aorta", ())
    np.testing.assert_allclose(voxel.points.min(axis=0), (19.5, 11.5))
    np.testing.assert_allclose(voxel.points.max(axis=0), (20.5, 12.5))
    assert voxel.dashes and all(length >= 1 for length in voxel.dashes)


def test_nothing_larger_than_memory() -> None:
    with pytest.raises(ValueError, match="enlarge less"):
        painter(size=(900, 700), options=CineOptions(enlarge=16))
    assert ceil(painter(size=(20, 20), options=CineOptions()).shown[0]) >= 256
