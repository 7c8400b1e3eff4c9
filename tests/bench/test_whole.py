"""A whole benchmark on a phantom of 32 × 32 pixels, from the command line."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from skimage.metrics import structural_similarity

from napari_dainr.bench.job import Job, Measured, job_for
from napari_dainr.bench.runner import Runner
from napari_dainr.bench.suite import DataItem, load_suite, make_items, method_choice
from napari_dainr.cli import main
from napari_dainr.recipe import Finished, run

GRASP = {"method": "grasp", "settings": {"n_steps": 15, "tolerance": 0}}
SUITE = {
    "data": [{"name": "beat", "phantom": "cine", "matrix": 32, "frames": 6, "coils": 3, "noisy_frames": 0.02}],
    "methods": ["nufft", GRASP],
    "studies": {
        "methods": {},
        "lambda": {"factors": [0.5]},
        "spatial": {"ratios": [2.0], "methods": [GRASP]},
        "temporal": {"factors": [2], "methods": [GRASP]},
    },
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds ``suite.json`` and the benchmark ``out`` made from it."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "suite.json").write_text(json.dumps(SUITE), encoding="utf-8")
    assert main(bench_of(folder)) == 0
    return folder


def bench_of(folder: Path, *more: str) -> list[str]:
    flags = ["--suite", str(folder / "suite.json"), "-o", str(folder / "out"), "--quiet", "--threads", "1"]
    return ["bench", *flags, "--snapshot", "0.02", *more]


def item_of(folder: Path) -> DataItem:
    (item,) = make_items(load_suite(folder / "suite.json"), folder / "out" / "data")
    return item


def table_rows(report: str, heading: str) -> dict[str, list[str]]:
    """First cell → other cells of the first table behind a heading."""
    lines = report.split(heading, 1)[1].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| ---"))
    rows = {}
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        first, *others = (cell.strip().strip("*") for cell in line.strip("|").split("|"))
        rows[first] = others
    return rows


def independent(recon: NDArray[Any], truth: NDArray[Any]) -> tuple[float, float]:
    """psnr_fit and ssim_fit by their definition, not by the code under test."""
    r, t = np.abs(recon).astype(float), truth.astype(float)
    fitted = r * np.vdot(r, t) / np.vdot(r, r) / t.max()
    t = t / t.max()
    psnr = [-10 * np.log10(((a - b) ** 2).mean()) for a, b in zip(fitted, t, strict=True)]
    ssim = [structural_similarity(a, b, data_range=1.0) for a, b in zip(fitted, t, strict=True)]
    return float(np.mean(psnr)), float(np.mean(ssim))


def runs_of(folder: Path) -> list[tuple[Job, Measured]]:
    found = []
    for place in sorted((folder / "out" / "runs").iterdir()):
        if (place / "job.json").exists():
            done = Measured.load(place)
            assert done is not None
            found.append((Job.from_json((place / "job.json").read_text(encoding="utf-8")), done))
    return found


def test_report_holds_the_figures_of_the_runs(whole: Path) -> None:
    report = (whole / "out" / "report.md").read_text(encoding="utf-8")
    item = item_of(whole)
    assert item.truth is not None
    rows = table_rows(report, "### beat")
    assert list(rows) == ["NuFFT", "GRASP"]
    for job, done in runs_of(whole):
        if job.crop > 1 or job.keep_every > 1 or "lam_factor" in job.recipe.settings:
            continue
        psnr, ssim = independent(done.series().image, item.truth)
        row = rows["NuFFT" if job.recipe.method == "nufft" else "GRASP"]
        assert float(row[0]) == pytest.approx(psnr, abs=0.006)
        assert float(row[1]) == pytest.approx(ssim, abs=6e-5)
        assert done.seconds > done.fit_s > 0
        assert done.peak_bytes > 50e6
    assert float(rows["GRASP"][0]) > float(rows["NuFFT"][0]) + 5
    assert "psnr, noisy ref. (dB)" in report
    assert str(whole) not in report
    assert "$ napari-dainr bench --suite suite.json --threads 1 -o DIR" in report


def test_no_folder_is_named_in_what_a_benchmark_leaves(whole: Path) -> None:
    """A folder may name a person; recipe.json of a run folder alone keeps the paths, so that it can be run again."""
    carriers = [
        path for path in (whole / "out").rglob("*") if path.is_file() and str(whole).encode() in path.read_bytes()
    ]
    assert {path.name for path in carriers} == {"recipe.json"}


def test_pictures_are_there_in_both_forms(whole: Path) -> None:
    report = (whole / "out" / "report.md").read_text(encoding="utf-8")
    page = (whole / "out" / "report.html").read_text(encoding="utf-8")
    pictures = re.findall(r"\]\((pictures/[^)]+\.png)\)", report)
    assert len(pictures) >= 6
    assert all((whole / "out" / picture).is_file() for picture in pictures)
    assert page.count("data:image/png;base64,") == len(pictures)
    assert "Not for diagnostic use" in report


def test_sweep_is_about_the_chosen_lambda(whole: Path) -> None:
    report = (whole / "out" / "report.md").read_text(encoding="utf-8")
    lines = [line for line in report.split("## λ of GRASP")[1].splitlines() if line.startswith("| beat")]
    half, one = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    assert (half[1], one[1]) == ("0.5", "1")
    assert float(one[2]) == pytest.approx(2 * float(half[2]), rel=0.1)
    assert "the default is" in report


def test_frames_that_were_left_out_are_the_ones_that_are_judged(whole: Path) -> None:
    report = (whole / "out" / "report.md").read_text(encoding="utf-8")
    item = item_of(whole)
    assert item.truth is not None
    ((_, done),) = [(job, done) for job, done in runs_of(whole) if job.keep_every == 2]
    series = done.series()
    assert series.n_frames == 5
    assert series.interpolated.tolist() == [False, True, False, True, False]
    between = (series.image[[0, 2]] + series.image[[2, 4]]) / 2
    psnr, ssim = independent(between, item.truth[[1, 3]])
    row = table_rows(report, "## Temporal interpolation")["GRASP, linear"]
    assert float(row[0]) == pytest.approx(psnr, abs=0.006)
    assert float(row[1]) == pytest.approx(ssim, abs=6e-5)


def test_finer_pixels_are_drawn_from_the_cropped_spokes(whole: Path) -> None:
    report = (whole / "out" / "report.md").read_text(encoding="utf-8")
    item = item_of(whole)
    assert item.truth is not None
    ((_, done),) = [(job, done) for job, done in runs_of(whole) if job.crop == 2]
    coarse = done.series().image
    assert coarse.shape == (6, 16, 16)
    at = (np.arange(32) - 16) / 2 + 8
    grid = np.stack(np.meshgrid(at, at, indexing="ij"))
    bilinear = np.stack(
        [map_coordinates(f.real, grid, order=1, mode="nearest") for f in coarse]
    ) + 1j * np.stack([map_coordinates(f.imag, grid, order=1, mode="nearest") for f in coarse])  # fmt: skip
    rows = table_rows(report, "## Spatial interpolation")
    psnr, ssim = independent(bilinear, item.truth)
    assert float(rows["bilinear GRASP"][0]) == pytest.approx(psnr, abs=0.006)
    assert float(rows["bilinear GRASP"][1]) == pytest.approx(ssim, abs=6e-5)
    waves = np.exp(2j * np.pi * np.outer((np.arange(32) - 16) / 32, np.arange(16) - 8))
    small = np.exp(-2j * np.pi * np.outer(np.arange(16) - 8, (np.arange(16) - 8) / 16))
    sinc = waves @ (small @ coarse @ small.T) @ waves.T
    psnr, ssim = independent(sinc, item.truth)
    assert float(rows["zero-filled GRASP"][0]) == pytest.approx(psnr, abs=0.006)


def test_curve_ends_with_the_result_and_states_are_gone(whole: Path) -> None:
    (grasp,) = [
        done for job, done in runs_of(whole)
        if job.recipe.method == "grasp" and job.crop == job.keep_every == 1 and "lam_factor" not in job.recipe.settings
    ]  # fmt: skip
    points = json.loads((grasp.folder / "curve.json").read_text(encoding="utf-8"))["figures"]["points"]
    assert points, "with a state every 20 ms some lie before the end"
    seconds = [point[0] for point in points]
    assert seconds == sorted(seconds)
    assert seconds[-1] <= grasp.fit_s
    assert not (grasp.folder / "snapshots").exists()


def test_finished_fits_are_not_made_again_and_changed_ones_are(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {done.folder: (done.folder / "result.json").stat().st_mtime_ns for _, done in runs_of(whole)}
    flags = [
        flag for flag in bench_of(whole, "--studies", "methods", "--page", str(whole / "page.md")) if flag != "--quiet"
    ]
    assert main(flags) == 0
    assert "0 fits made, 2 found" in capsys.readouterr().out
    assert {done.folder: (done.folder / "result.json").stat().st_mtime_ns for _, done in runs_of(whole)} == before
    page = (whole / "page.md").read_text(encoding="utf-8")
    assert all((whole / picture).is_file() for picture in re.findall(r"\]\((page/[^)]+)\)", page))
    item, choice = item_of(whole), method_choice("grasp")
    job = job_for(item, choice)
    changed = replace(choice, settings={"lam_factor": 2.0})
    keys = {
        job.key,
        job_for(item, changed).key,
        job_for(item, choice, seed=1).key,
        job_for(item, choice, budget_s=1).key,
    }
    assert len(keys) == 4
    # The default said aloud is still the default.
    assert job_for(item, replace(choice, settings={"lam_factor": 1.0})).key == job.key


def test_interrupted_fit_goes_on_and_a_budget_ends_one(whole: Path) -> None:
    item = item_of(whole)
    choice = replace(method_choice("grasp"), settings={"n_steps": 300, "tolerance": 0})
    runner = Runner(whole / "again", snapshot_s=0.05, quiet=True)
    job = job_for(item, choice, threads=1)
    folder = job.folder(runner.runs)
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(job.as_json(paths=True), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_dainr.bench.child", str(folder), "0.05"], stdout=subprocess.DEVNULL
    )
    while not (folder / "clock.json").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Measured.load(folder) is None, "it was finished before it could be interrupted"
    done = runner(job, "GRASP")
    assert done is not None
    assert done.step == 300
    assert "resumed at step" in (folder / "run" / "log.txt").read_text(encoding="utf-8")
    *_, straight = run(job.recipe)
    assert isinstance(straight, Finished)
    assert np.array_equal(done.series().image, straight.series.image)
    short = runner(job_for(item, choice, threads=1, budget_s=done.fit_s / 4), "GRASP")
    assert short is not None
    assert short.stopped
    assert short.step < 300


def test_fits_made_ahead_are_found_afterwards(whole: Path) -> None:
    item = item_of(whole)
    runner = Runner(whole / "ahead", quiet=True)
    found = []

    def study() -> None:
        found[:] = [runner(job_for(item, method_choice("nufft"), seed=seed, threads=1), "NuFFT") for seed in (5, 6, 5)]

    runner.ahead(study, 2)
    assert found == [None, None, None]
    assert (runner.made, runner.found) == (2, 0)
    study()
    assert (runner.made, runner.found) == (2, 3)
    assert all(isinstance(one, Measured) for one in found)
    assert not list((whole / "ahead").glob("*/snapshots"))


def test_fit_that_cannot_be_made_is_named(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    item = replace(item_of(whole), spokes_per_frame=10_000)
    runner = Runner(whole / "bad", quiet=True)
    assert runner(job_for(item, method_choice("nufft")), "NuFFT") is None
    ((name, reason),) = runner.failed.items()
    assert name == "beat-nufft (NuFFT)"
    assert "spokes per frame is 10000" in reason
    assert "is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--data", "cine", "--suite", "x.json"], "both given"),
        (["--data", "cine", "--budget", "0"], "--budget"),
        (["--data", "cine", "--studies", "magic"], "'magic'"),
        (["--data", "cine", "--methods", "magic"], "method is 'magic'"),
        (["--data", "none.h5"], "no such file"),
        (["--data", "cine", "--page", "page.html"], ".md"),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *flags, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("napari-dainr: ")
    assert error.count("\n") == 1
    assert said in error
