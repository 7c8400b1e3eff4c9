"""curves, xt and compare as a user types them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import map_coordinates

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis import PixelGrid, Region, RegionSet
from napari_dainr.analysis.masks import region_mask
from napari_dainr.analysis.phases import Phase
from napari_dainr.analysis.regions import box_corners, ellipse_corners
from napari_dainr.cli import main
from napari_dainr.data import ImageSeries
from napari_dainr.io.imagej import write_imagej
from napari_dainr.io.regions import load_regions, save_regions
from napari_dainr.io.series import save_series
from napari_dainr.metrics import score
from napari_dainr.recipe import Recipe, save_recipe

SHAPE, PIXEL = (19, 16), (2.0, 1.5)
TIMES = 2.0 + 4.0 * np.arange(30)


def make_run(folder: Path, method: str, truth: np.ndarray, noise: float, upsample: int = 1) -> ImageSeries:
    """A run folder with a series, as ``recon`` leaves it."""
    n = (len(truth) - 1) * upsample + 1
    position = np.arange(n) / upsample
    image = np.stack([np.stack([np.interp(position, np.arange(len(truth)), line) for line in row], -1)
                      for row in truth.reshape(len(truth), *SHAPE).transpose(1, 2, 0)]).transpose(1, 0, 2)  # fmt: skip
    image = image + noise * np.random.default_rng(3).normal(size=image.shape)
    times = np.interp(position, np.arange(len(truth)), TIMES)
    series = ImageSeries(image.astype(np.complex64), times, PIXEL, 4.0, position % 1 != 0, method, {})
    save_series(series, folder)
    save_recipe(Recipe(data="cine.h5", spokes_per_frame=13, method=method), folder / "recipe.json")
    return series


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``nufft`` (noisy) and ``dainr`` (finer in time) of one bolus that passes an ellipse, regions, and the truth."""
    folder = tmp_path_factory.mktemp("john_doe")
    place = PixelGrid(SHAPE, PIXEL, (1.0, 0.0))
    vessel = Region(ellipse_corners((20, 12), (7, 6)), kind="ellipse", role="AO")
    inside = region_mask(vessel, place).full()
    truth = np.full((30, *SHAPE), 10.0)
    truth[:, inside] = np.interp(TIMES, [2, 34, 50, 118], [20, 20, 80, 40])[:, None]
    np.save(folder / "truth.npy", truth.astype(np.float32))
    make_run(folder / "nufft", "nufft", truth, 0.5)
    make_run(folder / "dainr", "dainr", truth, 0.0, upsample=2)
    bright = Region(box_corners(5, 3, 33, 21), kind="threshold", outline="rectangle", fraction=0.1, name="bright")
    save_regions(RegionSet((vessel, bright), place), folder / "R.json")
    write_imagej(RegionSet((vessel,), place), folder / "R.zip", place)
    return folder


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail with one line that names no folder."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("napari-dainr: ") and lines[0].endswith(".")
        assert "john_doe" not in lines[0]
        return lines[0]

    return run


def rows(path: Path) -> list[dict[str, str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return list(csv.DictReader(lines))


def test_curves_and_quantities(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, table = tmp_path / "C.csv", tmp_path / "Q.csv"
    command = ["curves", str(runs / "nufft"), str(runs / "dainr"), "--rois", str(runs / "R.json"), "-o", str(out),
               "--quantities", str(table), "--baseline", "2", "34", "--auc", "30"]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr()
    assert RESEARCH_USE in said.out and "baseline 2 to 34 s (given)" in said.out and said.err == ""
    got = rows(out)
    assert len(got) == 2 * (30 + 59)
    assert [row["recon"] for row in got[::30]][:2] == ["NuFFT", "NuFFT"] and got[-1]["recon"] == "DA-INR"
    smooth = [row for row in got if row["recon"] == "DA-INR" and row["roi"] == "Aorta"]
    wanted = np.interp([float(row["t_s"]) for row in smooth], [2, 34, 50, 118], [20, 20, 80, 40])
    np.testing.assert_allclose([float(row["mean"]) for row in smooth], wanted, rtol=1e-6)
    np.testing.assert_allclose([float(row["re_percent"]) for row in smooth], 100 * (wanted / 20 - 1), atol=1e-4)
    assert [row["interpolated"] for row in smooth[:4]] == ["0", "1", "0", "1"]
    # The brightest tenth is chosen in the first run; all runs are read in those pixels.
    assert len({row["n"] for row in got if row["roi"] == "bright"}) == 1
    found = {(row["recon"], row["roi"]): row for row in rows(table)}
    exact = found["DA-INR", "Aorta"]
    assert float(exact["bolus_arrival_time_s"]) == pytest.approx(34, rel=1e-5)
    assert float(exact["time_to_peak_s"]) == pytest.approx(16, rel=1e-5)
    assert float(exact["wash_in_slope"]) == pytest.approx(60 / 16, rel=1e-5)
    assert float(exact["wash_out_slope"]) == pytest.approx(-40 / 68, rel=1e-5)
    assert float(exact["peak_relative_enhancement"]) == pytest.approx(300, rel=1e-5)
    fall = 60 - 40 / 68 * 14
    assert float(exact["auc"]) == pytest.approx(60 * 16 / 2 + (60 + fall) / 2 * 14, rel=1e-5)
    assert "john_doe" not in out.read_text() + table.read_text()


def test_what_was_set_by_hand_comes_with_the_regions(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fails: Callable[..., str]
) -> None:
    regions = load_regions(runs / "R.json")
    vessel = regions.regions[0].changed(arrival_s=40.0)
    file, table = tmp_path / "R.json", tmp_path / "Q.csv"
    save_regions(replace(regions.put(vessel), baseline_s=(2.0, 20.0)), file)
    command = ["curves", str(runs / "dainr"), "--rois", str(file), "-o", str(tmp_path / "C.csv"), "--quantities",
               str(table), "--auc", "30"]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "Aorta: bolus arrival by hand, 40 s" in said and "baseline 2 to 20 s (by hand)" in said
    aorta, bright = rows(table)
    assert (float(aorta["bolus_arrival_time_s"]), float(aorta["time_to_peak_s"])) == pytest.approx((40, 10), rel=1e-6)
    assert aorta["onset_method"].startswith("by hand") and bright["onset_method"].startswith("intersection")
    assert float(aorta["auc_to_s"]) == pytest.approx(70)
    assert main([*command, "--arrival", "AO", "42", "--arrival", "bright", "33.5", "--baseline", "2", "30"]) == 0
    assert "baseline 2 to 30 s (given)" in capsys.readouterr().out
    assert [float(row["bolus_arrival_time_s"]) for row in rows(table)] == [42, 33.5]
    assert "no region of that name or role; it has Aorta, bright" in fails(*command, "--arrival", "PV", "3")
    assert "is no number" in fails(*command, "--arrival", "AO", "soon")
    assert "finite" in fails(*command, "--arrival", "AO", "nan")
    save_regions(replace(regions, baseline_s=(900.0, 950.0)), file)
    assert "the baseline set by hand, 900 950: holds no frame" in fails(*command)


def test_phases_are_printed_and_written(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fails: Callable[..., str]
) -> None:
    regions = load_regions(runs / "R.json")
    file, table = tmp_path / "R.json", tmp_path / "P.csv"
    command = ["curves", str(runs / "nufft"), str(runs / "dainr"), "--rois", str(file), "-o", str(tmp_path / "C.csv"),
               "--baseline", "2", "34"]  # fmt: skip
    save_regions(regions, file)
    assert main(command) == 0
    assert "phases" not in capsys.readouterr().out, "there is no portal vein"
    said = fails(*command, "--phases", table)
    assert "none of NuFFT to write: draw a portal vein (PV) region" in said and not table.exists()
    late = Region(ellipse_corners((20, 12), (7, 6)), kind="ellipse", role="PV", arrival_s=42.0)
    save_regions(regions.put(late), file)
    assert main([*command, "--phases", str(table), "--agent", "extracellular"]) == 0
    got = [row for row in rows(table) if row["recon"] == "DA-INR"]
    assert [row["phase"] for row in got] == ["Precontrast", "Early arterial", "Late arterial", "Portal venous"]
    assert [float(row["from_s"]) for row in got] == pytest.approx([2, 34, 42, 46], rel=1e-5)
    assert [float(row["to_s"]) for row in got] == pytest.approx([34, 42, 46, 118], rel=1e-5)
    assert "# phases of DA-INR: Suggested from the curves, extracellular agent; not a diagnosis." in table.read_text()
    assert RESEARCH_USE in table.read_text()
    said = capsys.readouterr().out
    assert "phases of DA-INR: Precontrast 2.0 to 34.0 s, Early arterial 34.0 to 42.0 s" in said
    by_hand = (Phase("Before", 0.0, 50.0), Phase("After", 50.0, 118.0))
    save_regions(replace(regions, phases=by_hand), file)
    assert main([*command, "--phases", str(table.with_suffix(".tsv"))]) == 0
    assert capsys.readouterr().out.count("Before 0.0 to 50.0 s, After 50.0 to 118.0 s. Set by hand") == 2
    assert table.with_suffix(".tsv").read_text().startswith("recon\tphase\tfrom_s\tto_s\nNuFFT\tBefore\t0.0\t50.0\n")


def test_curves_of_measured_frames_from_imagej_regions(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "C.tsv"
    command = ["curves", str(runs / "dainr"), "--rois", str(runs / "R.zip"), "-o", str(out), "--measured-only"]
    assert main(command) == 0
    lines = out.read_text().splitlines()
    assert len(lines) == 1 + 30 + 1 and lines[-1] == RESEARCH_USE
    assert {line.split("\t")[5] for line in lines[1:-1]} == {"0"}


def test_same_method_twice_has_numbers(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["curves", *[str(runs / "nufft")] * 2, "--rois", str(runs / "R.json"), "-o", str(tmp_path / "C.csv")]
    assert main(command) == 0
    assert {row["recon"] for row in rows(tmp_path / "C.csv")} == {"NuFFT 1", "NuFFT 2"}
    assert "(suggested)" in capsys.readouterr().out


def region_file(path: Path, *regions: Region) -> Path:
    save_regions(RegionSet(regions), path)
    return path


def test_curves_warns_of_few_pixels_and_parts_outside(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = Region(np.array([[5.0, 6.0]]), kind="voxel", name="dot")
    edge = Region(box_corners(-9, -9, 9, 9), kind="rectangle", name="edge")
    regions = region_file(tmp_path / "r.json", few, edge)
    assert main(["curves", str(runs / "nufft"), "--rois", str(regions), "-o", str(tmp_path / "C.csv")]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "napari-dainr: dot: holds only 1 pixel; its mean is noisy and its SD says little.",
        "napari-dainr: edge: a part of it lies outside the image and does not count.",
    ]


def test_curves_mistakes(runs: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    out = tmp_path / "C.csv"
    away = region_file(tmp_path / "away.json", Region(box_corners(900, 9, 990, 99), kind="rectangle", name="away"))
    small = region_file(tmp_path / "small.json", Region(box_corners(3.1, 3.1, 3.2, 3.2), kind="rectangle", name="s"))
    none = region_file(tmp_path / "none.json")
    run = runs / "nufft"
    assert "away: lies outside the image" in fails("curves", run, "--rois", away, "-o", out)
    assert "s: holds no pixel" in fails("curves", run, "--rois", small, "-o", out)
    assert "holds no regions" in fails("curves", run, "--rois", none, "-o", out)
    assert "holds no frame of NuFFT" in fails(
        "curves", run, "--rois", runs / "R.json", "-o", out, "--baseline", 500, 600
    )
    assert "R.csv" in fails("curves", run, "--rois", tmp_path / "R.csv", "-o", out)
    assert "C.xls" in fails("curves", run, "--rois", runs / "R.json", "-o", tmp_path / "C.xls")
    assert "series.json" in fails("curves", tmp_path, "--rois", runs / "R.json", "-o", out)
    assert "above 0" in fails("curves", run, "--rois", runs / "R.json", "-o", out, "--quantities", out, "--auc", 0)
    assert not out.exists()


def test_xt_equals_scipy(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "s.npy"
    line = ["--line", "1", "2", "17", "13.5", "3", "8", "--unit", "px"]
    assert main(["xt", str(runs / "nufft"), *line, "-o", str(out)]) == 0
    assert "30 frames" in capsys.readouterr().out
    facts = json.loads((tmp_path / "s.json").read_text())
    at = np.array(facts["distance_mm"])
    corners = np.array([[1, 2], [17, 13.5], [3, 8]])
    along = np.concatenate([[0], np.cumsum(np.hypot(*(np.diff(corners, axis=0) * PIXEL).T))])
    points = np.stack([np.interp(at, along, corners[:, axis]) for axis in (0, 1)])
    image = np.abs(np.load(runs / "nufft" / "series.npy")).astype(float)
    wanted = np.stack([map_coordinates(frame, points, order=1) for frame in image])
    np.testing.assert_allclose(np.load(out), wanted, atol=1e-6 * wanted.max())
    np.testing.assert_allclose(facts["vertices_mm"], corners * PIXEL + (1.0, 0.0))
    assert "john_doe" not in (tmp_path / "s.json").read_text()


def test_xt_in_millimetres_as_figure_of_all_runs(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.png"
    assert main(["xt", str(runs / "nufft"), str(runs / "dainr"), "--line", "-3", "2", "30", "20", "-o", str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.text["Description"] == RESEARCH_USE and picture.height > 500


def test_xt_mistakes(runs: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    run, out = runs / "nufft", tmp_path / "s.npy"
    assert "3 numbers" in fails("xt", run, "--line", 1, 2, 3, "-o", out)
    assert "5 numbers" in fails("xt", run, "--line", 1, 2, 3, 4, 5, "-o", out)
    assert "no length" in fails("xt", run, "--line", 1, 2, 1, 2, "-o", out)
    assert "outside the image" in fails("xt", run, "--line", -9, -9, -5, 20, "-o", out)
    assert "one series" in fails("xt", run, run, "--line", 1, 2, 3, 4, "-o", out)
    assert "above 0" in fails("xt", run, "--line", 1, 2, 3, 4, "--step", 0, "-o", out)
    assert "s.jpg" in fails("xt", run, "--line", 1, 2, 3, 4, "-o", tmp_path / "s.jpg")
    assert not list(tmp_path.iterdir())


def test_compare_with_the_truth(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "c"
    command = ["compare", str(runs / "nufft"), str(runs / "dainr"), "--truth", str(runs / "truth.npy")]
    assert main([*command, "-o", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("against truth") and lines[1].startswith("NuFFT") and lines[-1] == RESEARCH_USE
    facts = json.loads((out / "scores.json").read_text())
    truth = np.load(runs / "truth.npy")
    noisy = np.load(runs / "nufft" / "series.npy")
    for key, value in score(noisy, truth).items():
        assert facts["runs"][0][key] == pytest.approx(value, abs=1e-5)
    assert [run["frames"] for run in facts["runs"]] == [30, 30]
    assert facts["runs"][1]["nrmse_fit"] < 1e-5 < facts["runs"][0]["nrmse_fit"]
    error = np.load(out / "error-1.npy")
    assert np.sqrt((error**2).sum() / (truth**2).sum()) == pytest.approx(facts["runs"][0]["nrmse_fit"], rel=1e-4)
    with Image.open(out / "errors.png") as picture:
        assert picture.text["Description"] == RESEARCH_USE
    assert sorted(item.name for item in out.iterdir()) == ["error-1.npy", "error-2.npy", "errors.png", "scores.json"]


def test_compare_with_the_first_run_as_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs / "nufft"), str(runs / "dainr"), "--json", "--roi", "1", "12", "2", "14"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["against"] == "NuFFT" and [run["name"] for run in facts["runs"]] == ["DA-INR"]
    assert facts["note"] == RESEARCH_USE


def test_compare_mistakes(runs: Path, tmp_path: Path, fails: Callable[..., str]) -> None:
    truth = runs / "truth.npy"
    other = tmp_path / "other"
    save_series(
        ImageSeries(np.ones((3, 8, 8), np.complex64), np.arange(3.0), PIXEL, 1.0, np.zeros(3, bool), "grasp"), other
    )
    save_recipe(Recipe(data="cine.h5", spokes_per_frame=13, method="grasp"), other / "recipe.json")
    np.save(tmp_path / "short.npy", np.load(truth)[:7])
    np.save(tmp_path / "text.npy", np.array(["a"]))
    assert "with itself" in fails("compare", runs / "nufft")
    assert "8 × 8" in fails("compare", runs / "nufft", other)
    assert "short.npy: has 7 frames" in fails("compare", runs / "nufft", "--truth", tmp_path / "short.npy")
    assert "text.npy" in fails("compare", runs / "nufft", "--truth", tmp_path / "text.npy")
    assert "--frame 99" in fails("compare", runs / "nufft", "--truth", truth, "-o", tmp_path / "c", "--frame", 99)
    assert "gain" in fails("compare", runs / "nufft", "--truth", truth, "-o", tmp_path / "c", "--gain", 0)
    assert "roi" in fails("compare", runs / "nufft", "--truth", truth, "--roi", 0, 90, 0, 5)


def test_one_run_that_does_not_fit_leaves_the_others(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    save_series(
        ImageSeries(np.ones((3, 8, 8), np.complex64), np.arange(3.0), PIXEL, 1.0, np.zeros(3, bool), "grasp"), other
    )
    command = ["compare", str(runs / "nufft"), str(other), "--truth", str(runs / "truth.npy")]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("NuFFT") and "draw one of them again" in lines[2]
