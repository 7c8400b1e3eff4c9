"""Cines, decoded by Pillow and by ffmpeg and compared with the array."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from threading import Event
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from napari_dainr import RESEARCH_USE
from napari_dainr.cli import main
from napari_dainr.data import ImageSeries
from napari_dainr.errors import ExportError, InputError, ResourceError
from napari_dainr.io import export_series, mp4
from napari_dainr.io.cine import Cine, first_picture, timing, write_cine
from napari_dainr.io.cine_drawing import Outline
from napari_dainr.io.cine_options import CineOptions, cine_options
from napari_dainr.io.series import save_series

BOX = np.array([[2.0, 3.0], [2.0, 9.0], [8.0, 9.0], [8.0, 3.0]])


def make_cine(n: int = 7, size: tuple[int, int] = (33, 27), step_s: float = 0.1, **more: Any) -> Cine:
    """A smooth blob that walks along x, odd and not square."""
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.stack([np.exp(-((y - 12) ** 2 + (x - 5 - 2 * frame) ** 2) / 30) for frame in range(n)])
    values: dict[str, Any] = {
        "image": image.astype(np.float32),
        "method": "DA-INR",
        "pixel_mm": (1.5, 1.5),
        "times_s": 0.05 + step_s * np.arange(n),
        "interpolated": np.arange(n) % 2 == 1,
    }
    return Cine(**(values | more))


def gif(path: Path) -> tuple[NDArray[np.uint8], list[int], int | None]:
    """(frame, y, x, 3) red, green, blue; delays in ms; how often it is repeated."""
    with Image.open(path) as file:
        frames, delays = [], []
        for number in range(getattr(file, "n_frames", 1)):
            file.seek(number)
            frames.append(np.asarray(file.convert("RGB")))
            delays.append(int(file.info["duration"]))
        file.seek(0)
        return np.stack(frames), delays, file.info.get("loop")


def film(path: Path) -> tuple[NDArray[np.uint8], dict[str, Any]]:
    """(frame, y, x, 3) red, green, blue and facts, as ffmpeg decodes and tells them by itself."""
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-i", str(path)]
    done = subprocess.run([*ffmpeg, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    said = re.search(r"Video: (\w+).*? (yuv\w+).*? (\d+)x(\d+).*? ([\d.]+) fps", done.stderr.decode())
    assert said is not None
    width, height = int(said[3]), int(said[4])
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    return frames, {"codec": said[1], "pix_fmt": said[2], "fps": float(said[5])}


def image_of(frames: NDArray[np.uint8], shown: tuple[int, int], width: int | None = None) -> NDArray[np.uint8]:
    """The image in the pictures: at the top, in the middle."""
    left = ((frames.shape[2] if width is None else width) - shown[1]) // 2
    return frames[:, : shown[0], left : left + shown[1]]


def meant(cine: Cine, low: float, high: float) -> NDArray[np.float64]:
    return 255 * np.clip((cine.image.astype(float) - low) / (high - low), 0, 1)


def test_window_and_size_are_exact_in_a_gif(tmp_path: Path) -> None:
    cine = make_cine()
    write_cine(cine, tmp_path / "a.gif", CineOptions(window=(0.1, 0.7), enlarge=3))
    frames, delays, loop = gif(tmp_path / "a.gif")
    shown = image_of(frames, (99, 81))
    np.testing.assert_allclose(shown[:, 1::3, 1::3, 0], meant(cine, 0.1, 0.7), atol=0.51)
    blocks = shown.reshape(7, 33, 3, 27, 3, 3)
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    assert delays == [100] * 7 and loop == 0


def test_crop_is_that_part_of_the_array(tmp_path: Path) -> None:
    cine = make_cine()
    write_cine(cine, tmp_path / "a.gif", CineOptions(window=(0, 1), crop=(4, 20, 3, 26), enlarge=2))
    frames, _, _ = gif(tmp_path / "a.gif")
    shown = image_of(frames, (32, 46))
    np.testing.assert_allclose(shown[:, ::2, ::2, 0], meant(cine, 0, 1)[:, 4:20, 3:26], atol=0.51)


def test_outlines_stand_where_the_region_is(tmp_path: Path) -> None:
    cine = make_cine(outlines=[Outline(BOX, "#D55E00", "aorta"), Outline(BOX + 12, "#0072B2", "portal vein")])
    write_cine(cine, tmp_path / "a.gif", CineOptions(window=(0, 1), enlarge=4))
    frames, _, _ = gif(tmp_path / "a.gif")
    shown = image_of(frames, (132, 108))
    aorta = (shown == (0xD5, 0x5E, 0x00)).all(axis=-1)
    ys, xs = np.nonzero(aorta[0])
    centre = lambda pixel: 4 * pixel + 1.5  # noqa: E731  middle of the block of a pixel
    assert abs(ys.min() - centre(2)) <= 1 and abs(ys.max() - centre(8)) <= 1
    assert abs(xs.min() - centre(3)) <= 1 and abs(xs.max() - centre(9)) <= 1
    assert (aorta == aorta[0]).all() and not aorta[0, round(centre(5)), round(centre(6))]
    vein = (shown[0] == (0x00, 0x72, 0xB2)).all(axis=-1)
    assert vein.any() and abs(np.nonzero(vein)[0].min() - centre(14)) <= 1
    rest = ~(aorta | (shown == (0x00, 0x72, 0xB2)).all(axis=-1))
    full = meant(cine, 0, 1).repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_allclose(shown[..., 0][rest], full[rest], atol=1.02)  # two colours less, 254 greys


def test_outlines_can_be_left_out(tmp_path: Path) -> None:
    cine = make_cine(outlines=[Outline(BOX, "#d55e00", "aorta")])
    write_cine(cine, tmp_path / "a.gif", CineOptions(regions=False))
    frames, _, _ = gif(tmp_path / "a.gif")
    assert (frames[..., 0] == frames[..., 1]).all() and (frames[..., 1] == frames[..., 2]).all()


@pytest.mark.parametrize(
    ("options", "total_s", "n"),
    [
        ({}, 0.7, 7),
        ({"speed": 2.0}, 0.35, 7),
        ({"fps": 4}, 7 / 4, 7),
        ({"cycle_s": 1.4}, 1.4, 7),
        ({"back_and_forth": True}, 1.2, 12),
        ({"back_and_forth": True, "cycle_s": 2.4}, 2.4, 12),
        ({"times_s": (0.14, 0.46)}, 0.4, 4),
    ],
)
def test_time_of_a_cycle(tmp_path: Path, options: dict[str, Any], total_s: float, n: int) -> None:
    write_cine(make_cine(), tmp_path / "a.gif", CineOptions(**options))
    frames, delays, _ = gif(tmp_path / "a.gif")
    assert len(frames) == n and abs(sum(delays) - 1000 * total_s) <= 5
    write_cine(make_cine(), tmp_path / "a.mp4", CineOptions(**options))
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4")) == (n, pytest.approx(total_s, abs=0.02))


def test_back_and_forth_turns_round(tmp_path: Path) -> None:
    cine = make_cine(5)
    write_cine(cine, tmp_path / "a.gif", CineOptions(back_and_forth=True, enlarge=1, window=(0, 1)))
    frames, _, _ = gif(tmp_path / "a.gif")
    shown = image_of(frames, (33, 27))[..., 0]
    np.testing.assert_allclose(shown, meant(cine, 0, 1)[[0, 1, 2, 3, 4, 3, 2, 1]], atol=0.51)


@pytest.mark.parametrize(("loop", "repeats"), [(0, 0), (1, None), (3, 2)])
def test_how_often_a_gif_plays(tmp_path: Path, loop: int, repeats: int | None) -> None:
    write_cine(make_cine(3), tmp_path / "a.gif", CineOptions(loop=loop))
    assert gif(tmp_path / "a.gif")[2] == repeats


def test_equal_pictures_are_shown_as_long_as_all_of_them(tmp_path: Path) -> None:
    cine = make_cine(6, image=np.repeat(make_cine(2).image, 3, axis=0), interpolated=None)
    write_cine(cine, tmp_path / "a.gif", CineOptions(time_stamp=False, frame_number=False))
    frames, delays, _ = gif(tmp_path / "a.gif")
    assert len(frames) == 2 and delays == [300, 300]


@pytest.mark.parametrize("outlines", [(), (Outline(BOX, "#d55e00", "aorta"),)], ids=["grey", "colour"])
@pytest.mark.parametrize("size", [(301, 259), (300, 301), (258, 320)])
def test_film_is_the_array(tmp_path: Path, size: tuple[int, int], outlines: tuple[Outline, ...]) -> None:
    cine = make_cine(6, size, outlines=outlines)
    options = CineOptions(window=(0, 1), fps=12.5)
    write_cine(cine, tmp_path / "a.mp4", options)
    frames, facts = film(tmp_path / "a.mp4")
    one = first_picture(cine, options, "a.mp4")
    height, width = one.shape[:2]
    assert frames.shape == (6, height + height % 2, width + width % 2, 3), "padded by one line at most"
    assert facts["codec"] == "h264" and facts["fps"] == 12.5 and facts["pix_fmt"].startswith("yuv420p")
    assert np.abs(frames[0, :height, :width].astype(int) - one).mean() < 3
    shown = image_of(frames, size, width)[..., 1].astype(float)
    inside = np.ones(size, bool)
    if outlines:
        inside[:14, :14] = False  # colour has half the samples, so it runs over
    error = (shown - meant(cine, 0, 1))[:, inside]
    assert np.abs(error).mean() < 1.5 and np.abs(error.mean()) < 1.0, "grey levels are kept"


def test_film_holds_several_cycles(tmp_path: Path) -> None:
    write_cine(make_cine(4), tmp_path / "a.mp4", CineOptions(loop=3, fps=10))
    frames, _ = film(tmp_path / "a.mp4")
    assert len(frames) == 12
    assert np.abs(frames[4].astype(int) - frames[0]).mean() < 3 < np.abs(frames[3].astype(int) - frames[0]).max()


def test_everything_about_a_film_says_research_use_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "Zebulon7"
    folder.mkdir()
    write_cine(make_cine(3), folder / "Zebulon7.mp4")
    data = (folder / "Zebulon7.mp4").read_bytes()
    assert RESEARCH_USE.encode() in data and b"zebulon7" not in data.lower()


def test_an_even_picture_is_not_touched() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (6, 8), dtype=np.uint8)
    assert mp4.even(picture) is picture
    odd = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert mp4.even(odd).shape == (6, 8, 3)
    np.testing.assert_array_equal(mp4.even(odd)[:5, :7], odd)


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_stop_leaves_nothing_and_keeps_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    stop, told = Event(), []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        if done == 3:
            stop.set()

    with pytest.raises(ExportError, match="cancelled"):
        write_cine(make_cine(), path, progress=progress, stop=stop)
    assert told[-1] == (3, 14) and path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_progress_goes_to_the_end(tmp_path: Path, suffix: str) -> None:
    told: list[tuple[int, int]] = []
    write_cine(make_cine(), tmp_path / f"a{suffix}", progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (14, 14) and [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_film_that_ffmpeg_cannot_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mp4, "_TV", "scale=nonsense=1")
    with pytest.raises(ExportError, match=r"^a\.mp4: ffmpeg could not write it"):
        write_cine(make_cine(), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_a_film_that_does_not_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    popen = subprocess.Popen

    def cut(command: list[str], **more: Any) -> Any:
        if "-c:v" in command:
            command = [*command[:-2], "-frames:v", "3", *command[-2:]]
        return popen(command, **more)

    monkeypatch.setattr(mp4.subprocess, "Popen", cut)
    with pytest.raises(ExportError, match=r"does not read back \(ValueError: 3 frames instead of 7\)"):
        write_cine(make_cine(), tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_without_the_extra_the_sentence_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(ResourceError, match=r"napari-dainr\[mp4\]"):
        write_cine(make_cine(), tmp_path / "a.mp4")
    write_cine(make_cine(), tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fps": 0}, "fps is 0"),
        ({"fps": True}, "fps is True"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"fps": 10, "cycle_s": 1}, "leave one out"),
        ({"fps": 10, "speed": 2.0}, "factor on the true speed"),
        ({"window": (1.0, 1.0)}, "smaller to a larger"),
        ({"times_s": (3.0, 1.0)}, "earlier to a later"),
        ({"enlarge": 17}, "enlarge is 17"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic'"),
        ({"colour": "red"}, "colour is no option"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=r"^a\.gif: ") as caught:
        cine_options("a.gif", **options)
    assert words in str(caught.value) and str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("cine", "options", "words"),
    [
        (make_cine(), {"crop": (0, 34, 0, 5)}, "33 rows and 27 columns"),
        (make_cine(), {"crop": (5, 5, 0, 5)}, "crop"),
        (make_cine(), {"times_s": (5.0, 9.0)}, "no frame lies between"),
        (make_cine(times_s=None), {"times_s": (0.0, 9.0)}, "not known"),
        (make_cine(), {"fps": 51}, "fps"),
        (make_cine(image=np.zeros((3, 4), np.float32)), {}, "axes"),
        (make_cine(image=np.zeros((0, 4, 4), np.float32)), {}, "axes"),
        (make_cine(image=np.zeros((7, 4, 4), np.complex64)), {}, "complex"),
        (make_cine(times_s=np.arange(3.0)), {}, "3 times for 7 frames"),
        (make_cine(size=(600, 500)), {"enlarge": 16}, "enlarge less"),
    ],
)
def test_what_cannot_be_shown(tmp_path: Path, cine: Cine, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=r"^a\.gif: ") as caught:
        write_cine(cine, tmp_path / "a.gif", CineOptions(**options))
    assert words in str(caught.value) and not list(tmp_path.iterdir())


def test_film_has_other_speeds(tmp_path: Path) -> None:
    assert timing(make_cine(), CineOptions(fps=100), "a.mp4").step_s == 0.01
    with pytest.raises(InputError, match="choose"):
        timing(make_cine(), CineOptions(fps=500), "a.mp4")
    fast = timing(make_cine(step_s=0.001), CineOptions(), "a.mp4")
    assert fast.step_s == 1 / 120 and "0.12 × true speed" in fast.remark


def test_speed_is_said_unless_it_is_true() -> None:
    assert timing(make_cine(), CineOptions(), "a.gif").remark == ""
    assert "2 × true speed" in timing(make_cine(), CineOptions(speed=2.0), "a.gif").remark
    assert timing(make_cine(times_s=None), CineOptions(fps=5), "a.gif").remark == ""


def test_layers_without_times_nor_millimetres(tmp_path: Path) -> None:
    image = np.arange(5 * 9 * 7).reshape(5, 9, 7).astype(np.uint16)
    write_cine(Cine(image), tmp_path / "a.gif", CineOptions(window=(0, 314), enlarge=1))
    frames, delays, _ = gif(tmp_path / "a.gif")
    assert delays == [100] * 5
    np.testing.assert_allclose(image_of(frames, (9, 7))[..., 0], 255 * image.astype(float) / 314, atol=0.51)


def test_nan_is_black(tmp_path: Path) -> None:
    cine = make_cine()
    cine.image[:, 3, 4] = np.nan
    for how in ("nearest", "bilinear", "fourier"):
        options = CineOptions(window=(0.0, 1.0), enlarge=2, interpolation=how)
        assert first_picture(cine, options, "a.gif").max() <= 255
    picture = first_picture(cine, CineOptions(window=(-1.0, 1.0), enlarge=1), "a.gif")
    left = (picture.shape[1] - 27) // 2
    assert (picture[3, left + 4] == 0).all() and (picture[3, left + 20] > 100).all()


def test_a_series_by_its_suffix_and_from_the_command_line(tmp_path: Path) -> None:
    cine = make_cine()
    series = ImageSeries(
        cine.image.astype(np.complex64), cine.times_s, (1.5, 1.5), 0.1, np.zeros(7, bool), "grasp"
    )  # fmt: skip
    export_series(series, tmp_path / "a.mp4", fps=7)
    assert film(tmp_path / "a.mp4")[1]["fps"] == 7
    (tmp_path / "run").mkdir()
    save_series(series, tmp_path / "run")
    (tmp_path / "run" / "recipe.json").write_text("{}")
    arguments = ["--fps", "4", "--window", "0", "0.5", "--crop", "1", "30", "2", "25", "--loop", "2"]
    arguments += ["--times", "0.1", "0.5", "--enlarge", "2", "--interpolation", "fourier", "--no-scale-bar"]
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "b.gif"), *arguments]) == 0
    frames, delays, loop = gif(tmp_path / "b.gif")
    assert len(frames) == 4 and delays == [250] * 4 and loop == 1
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "b.npy"), "--loop", "2"]) == 2
