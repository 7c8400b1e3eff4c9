"""Side-by-side animations and position–time figures."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.errors import ExportError, InputError
from napari_dainr.io import atomic
from napari_dainr.io.pictures import side_by_side_gif, xt_figure
from napari_dainr.phantom import cine_phantom

STEP_S = 0.04
CANARY = "Zebulon7"


def series_of(image: NDArray[Any], interpolated: bool = False, step_s: float = STEP_S) -> ImageSeries:
    n = len(image)
    marks = (np.arange(n) % 2 == 1) & interpolated
    info = {"recipe": {"data": f"/home/{CANARY}.h5"}}
    times_s = np.asarray(0.02 + step_s * np.arange(n), dtype=np.float64)
    return ImageSeries(image.astype(np.complex64), times_s, (2.0, 2.0), step_s, marks, "dainr", info)


@pytest.fixture(scope="module")
def truth() -> NDArray[np.complex64]:
    return cine_phantom((37, 45), 6)


@pytest.fixture(scope="module")
def noisy(truth: NDArray[np.complex64]) -> NDArray[np.complex64]:
    rng = np.random.default_rng(3)
    return (truth + 0.1 * rng.standard_normal(truth.shape)).astype(np.complex64)


def frames_of(path: Path) -> NDArray[np.uint8]:
    frames = []
    with Image.open(path) as file:
        for number in range(getattr(file, "n_frames", 1)):
            file.seek(number)
            frames.append(np.asarray(file.convert("L")))
    return np.stack(frames)


def grey_of(image: NDArray[Any]) -> NDArray[np.float64]:
    magnitude = np.abs(image)
    return np.clip(magnitude / np.percentile(magnitude, 99.9), 0, 1) * 255


def test_panels_stand_side_by_side_in_the_order_given(
    tmp_path: Path, truth: NDArray[np.complex64], noisy: NDArray[np.complex64]
) -> None:
    path = tmp_path / "cine.gif"
    # A panel does not know the unit of its series: 1000 times as much signal looks the same.
    side_by_side_gif([("noisy", series_of(noisy)), ("truth", series_of(1000 * truth))], path, fps=12.5)
    frames = frames_of(path)
    factor = 7  # ceil(256 / 37)
    height, width, gap = 37 * factor, 45 * factor, 6
    assert frames.shape[0] == 6 and frames.shape[2] == 2 * width + gap
    # The label is as high as the strip above; find it where the first sample of the image must be.
    for left, image in ((0, noisy), (width + gap, truth)):
        meant = grey_of(image)
        found = [
            top
            for top in range(frames.shape[1] - height + 1)
            if np.allclose(
                frames[:, top + 3 : top + height : factor, left + 3 : left + width : factor], meant, rtol=0, atol=0.51
            )
        ]
        assert found and found[0] >= 13, "the panel is not there, or its label is over it"
        assert found[-1] + height <= frames.shape[1] - 2 * 13, "no room for a caption"
    with Image.open(path) as file:
        assert file.info["loop"] == 0 and file.info["duration"] == 80


def test_labels_and_captions(tmp_path: Path, truth: NDArray[np.complex64], monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    draw_text = ImageDraw.ImageDraw.text

    def record(self: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, **options: Any) -> None:
        left, top, right, bottom = self.textbbox(xy, text, font=options["font"], anchor=options["anchor"])
        assert left >= 0 and top >= 0 and right <= self.im.size[0] and bottom <= self.im.size[1], f"{text!r} is cut"
        lines.append(text)
        draw_text(self, xy, text, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    long = "a method with a name that is much longer than its picture is wide"
    side_by_side_gif([("A", series_of(truth)), (long, series_of(truth, interpolated=True))], tmp_path / "a.gif", 10)
    assert "A" in lines and long in lines and lines.count(RESEARCH_USE) == 6
    drawn = [line for line in lines if f"interpolated: {long}" in line]
    assert [line.split("   ")[0] for line in drawn] == ["t = 0.060 s", "t = 0.140 s", "t = 0.220 s"]


def test_still_series_keep_their_frames(tmp_path: Path, truth: NDArray[np.complex64]) -> None:
    still = np.repeat(truth[:1], 9, axis=0)
    side_by_side_gif([("A", series_of(still)), ("B", series_of(still))], tmp_path / "a.gif", 25)
    assert len(frames_of(tmp_path / "a.gif")) == 9


@pytest.mark.parametrize("bad", ["none", "size", "frames", "times", "nan", "fps"])
def test_series_that_do_not_go_together(tmp_path: Path, truth: NDArray[np.complex64], bad: str) -> None:
    other, step_s = truth.copy(), STEP_S
    if bad == "size":
        other = other[:, :-1]
    if bad == "frames":
        other = other[:-1]
    if bad == "times":
        step_s = 0.06
    if bad == "nan":
        other[0, 0, 0] = np.nan
    pair = [] if bad == "none" else [("A", series_of(truth)), ("B", series_of(other, step_s=step_s))]
    with pytest.raises(InputError, match=r"^a\.gif: "):
        side_by_side_gif(pair, tmp_path / "a.gif", 80 if bad == "fps" else 10)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that were drawn."""
    figures: list[Any] = []
    savefig = Figure.savefig

    def keep(self: Figure, *args: Any, **options: Any) -> None:
        figures.append(self)
        savefig(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_xt_figure_shows_the_row_that_moves(tmp_path: Path, drawn: list[Any]) -> None:
    rng = np.random.default_rng(5)
    truth = np.ones((8, 21, 13))
    truth[:, 11] = 4  # bright, but still
    truth[:, 6] += rng.random((8, 13))
    truth[:, 15] += 0.3 * rng.random((8, 13))
    noisy = series_of(5 * truth + 0.01 * rng.random(truth.shape))
    part = series_of(truth, interpolated=True)
    xt_figure([("Noisy", noisy), ("Part", part)], truth, tmp_path / "xt.png")
    (figure,) = drawn
    strips = [axis for axis in figure.axes if axis.get_ylabel() == "x (mm)"]
    assert [axis.get_title(loc="left") for axis in strips] == ["Truth", "Noisy", "Part (4 of 8 frames interpolated)"]
    assert strips[-1].get_xlabel() == "time (s)"
    for axis, image in zip(strips, (truth, np.abs(noisy.image), truth), strict=True):
        (mesh,) = axis.collections
        np.testing.assert_allclose(mesh.get_array(), image[:, 6].T / np.percentile(image, 99.9), rtol=1e-5)
        assert mesh.get_clim() == (0, 1)
        np.testing.assert_allclose(axis.get_xlim(), (0, 0.32), atol=1e-12)  # from the first to the last frame's border
        np.testing.assert_allclose(axis.get_ylim(), (13, -13))  # 13 pixels of 2 mm, pixel 0 on top
    assert "row 6, y = −8.0 mm" in figure.get_suptitle()
    assert figure.get_supxlabel() == RESEARCH_USE


def test_xt_figure_without_truth_takes_the_first_series(tmp_path: Path, drawn: list[Any]) -> None:
    image = np.ones((4, 9, 11))
    image[2, 7] = 3
    other = np.ones((6, 9, 11))
    other[3, 1] = 9
    xt_figure([("A", series_of(image)), ("B", series_of(other))], None, tmp_path / "xt.png")
    assert "row 7," in drawn[0].get_suptitle()
    assert len([axis for axis in drawn[0].axes if axis.get_ylabel() == "x (mm)"]) == 2


def test_nothing_is_cut_off_or_written_over(
    tmp_path: Path, truth: NDArray[np.complex64], noisy: NDArray[np.complex64], drawn: list[Any]
) -> None:
    xt_figure([("A", series_of(noisy)), ("B", series_of(truth, True))], np.abs(truth), tmp_path / "xt.png")
    (figure,) = drawn
    renderer = figure.canvas.get_renderer()
    page = figure.bbox
    for axis in figure.axes:
        box = axis.get_tightbbox(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
    boxes = [axis.get_tightbbox(renderer) for axis in figure.axes if axis.get_ylabel() == "x (mm)"]
    assert all(below.y1 <= above.y0 for above, below in pairwise(boxes))
    footer = figure._supxlabel.get_window_extent(renderer)
    assert footer.y1 <= boxes[-1].y0 and footer.y0 >= 0
    with Image.open(tmp_path / "xt.png") as file:
        assert file.size == (int(page.width), int(page.height))
        assert file.info["Description"] == RESEARCH_USE


def test_pictures_name_no_file(tmp_path: Path, truth: NDArray[np.complex64], noisy: NDArray[np.complex64]) -> None:
    pair = [("A", series_of(truth)), ("B", series_of(noisy))]
    side_by_side_gif(pair, tmp_path / f"{CANARY}.gif", 10)
    xt_figure(pair, None, tmp_path / f"{CANARY}.png")
    for path in tmp_path.iterdir():
        assert CANARY.encode() not in path.read_bytes()
    with Image.open(tmp_path / f"{CANARY}.png") as file:
        assert CANARY not in str(file.info)


@pytest.mark.parametrize("bad", ["none", "suffix", "truth", "size"])
def test_figures_that_cannot_be_drawn(tmp_path: Path, truth: NDArray[np.complex64], bad: str) -> None:
    pair = [("A", series_of(truth)), ("B", series_of(truth[:, :-1] if bad == "size" else truth))]
    name = "xt.bmp" if bad == "suffix" else "xt.png"
    with pytest.raises(InputError, match=rf"^{name}: "):
        xt_figure([] if bad == "none" else pair, np.abs(truth[:-1]) if bad == "truth" else None, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_old_figure_is_unharmed_when_writing_fails(
    tmp_path: Path, truth: NDArray[np.complex64], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "xt.png"
    path.write_bytes(b"before")

    def cut(written: Path, _flags: int) -> None:
        written.write_bytes(written.read_bytes()[:-400])

    monkeypatch.setattr(atomic, "_sync", cut)
    with pytest.raises(ExportError, match="does not read back"):
        xt_figure([("A", series_of(truth))], None, path)
    assert path.read_bytes() == b"before" and [p.name for p in tmp_path.iterdir()] == ["xt.png"]
