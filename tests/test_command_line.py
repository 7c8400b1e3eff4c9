"""The commands as a user types them: files that come out, exit codes, and one sentence on stderr."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from napari_dainr.cli import main
from napari_dainr.io.series import load_series
from napari_dainr.recipe import Progress, load_recipe, run

FEW = ["--set", "n_steps=6", "--set", "feature_steps=4", "--set", "width=8", "--set", "depth=2"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated file of 6 frames × 5 spokes, 32 × 32, 3 coils, with its truth beside it."""
    folder = tmp_path_factory.mktemp("data")
    arguments = ["--matrix", "32", "--frames", "6", "--coils", "3", "--spokes-per-frame", "5"]
    assert main(["simulate", str(folder / "cine.h5"), *arguments, "--truth", str(folder / "truth.npy")]) == 0
    return folder / "cine.h5"


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail: exit code 2 and one line on stderr, which is returned."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("napari-dainr: ")
        assert lines[0].endswith(".")
        return lines[0]

    return run


@pytest.mark.parametrize("method", ["nufft", "grasp", "dainr"])
def test_recon_metrics_and_rerun(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str) -> None:
    few = FEW if method == "dainr" else []
    command = ["recon", str(data), "--method", method, "--spokes-per-frame", "5", "--quiet", *few]
    assert main([*command, "-o", str(tmp_path / "a")]) == 0
    assert main(["recon", "--recipe", str(tmp_path / "a" / "recipe.json"), "-o", str(tmp_path / "b"), "--quiet"]) == 0
    one, other = ((tmp_path / run / "series.npy").read_bytes() for run in "ab")
    assert one == other
    provenance = json.loads((tmp_path / "a" / "provenance.json").read_text())
    assert str(data.parent) not in json.dumps(provenance)
    capsys.readouterr()
    assert main(["metrics", str(tmp_path / "a"), "--truth", str(data.parent / "truth.npy")]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"psnr", "ssim", "psnr_fit", "ssim_fit", "nrmse_fit"}
    truth, image = np.load(data.parent / "truth.npy"), np.abs(np.load(tmp_path / "a" / "series.npy"))
    error = (image * truth).sum() / (image * image).sum() * image - truth
    assert figures["nrmse_fit"] == pytest.approx(float(np.linalg.norm(error) / np.linalg.norm(truth)), abs=2e-4)


def test_an_interrupted_run_goes_on_with_resume(data: Path, tmp_path: Path) -> None:
    command = ["recon", str(data), "--method", "dainr", "--spokes-per-frame", "5", "--quiet", *FEW]
    assert main([*command, "-o", str(tmp_path / "straight")]) == 0
    stop = threading.Event()
    for event in run(load_recipe(tmp_path / "straight" / "recipe.json"), tmp_path / "stopped", stop=stop):
        if isinstance(event, Progress) and event.step == 6:
            stop.set()
    assert load_series(tmp_path / "stopped").info["step"] == 6
    assert main(["recon", "-o", str(tmp_path / "stopped"), "--resume", "--quiet"]) == 0
    one, other = ((tmp_path / run / "series.npy").read_bytes() for run in ("straight", "stopped"))
    assert one == other


def test_render_needs_no_data(data: Path, tmp_path: Path) -> None:
    local = tmp_path / "copy.h5"
    local.write_bytes(data.read_bytes())
    assert main(["recon", str(local), "--spokes-per-frame", "5", "-o", str(tmp_path / "run"), "--quiet", *FEW]) == 0
    local.unlink()
    render = ["render", str(tmp_path / "run"), "--scale", "1.5", "--upsample", "3", "-o", str(tmp_path / "fine")]
    assert main(render) == 0
    assert np.load(tmp_path / "fine" / "series.npy").shape == (16, 48, 48)
    about = json.loads((tmp_path / "fine" / "series.json").read_text())
    assert about["interpolated"] == [i % 3 != 0 for i in range(16)]
    assert main(["export", str(tmp_path / "fine"), str(tmp_path / "fine.npy")]) == 0
    assert (tmp_path / "fine.npy").is_file()


def test_info_says_what_was_found(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(data)]) == 0
    out = capsys.readouterr().out
    for word in ("coils", "spokes", "TR", "2.700 ms", "FOV", "trajectory", "assumed"):
        assert word in out


def test_not_kspace(fails: Callable[..., str], tmp_path: Path, data: Path) -> None:
    text = tmp_path / "notes.h5"
    text.write_text("hello")
    assert "notes.h5" in fails("info", text)
    assert "missing.h5" in fails("info", tmp_path / "missing.h5")
    cut = tmp_path / "cut.h5"
    cut.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    assert "cut.h5" in fails("recon", cut, "--spokes-per-frame", 5, "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (0.0, "zero")])
def test_bad_coils_are_left_out_and_named(
    tmp_path: Path, data: Path, value: float, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.h5"
    bad.write_bytes(data.read_bytes())
    with h5py.File(bad, "r+") as file:
        rows = file["dataset/data"][:]
        for row in rows:
            samples = row["data"].reshape(3, -1)
            samples[1] = value
            row["data"] = samples.reshape(-1)
        file["dataset/data"][:] = rows
    assert main(["info", str(bad)]) == 0
    (left_out,) = [line for line in capsys.readouterr().out.splitlines() if "left-out coils" in line]
    assert word in left_out
    assert "coil 1" in left_out


def test_settings_that_cannot_be(fails: Callable[..., str], tmp_path: Path, data: Path) -> None:
    recon = ["recon", data, "-o", tmp_path / "run", "--spokes-per-frame"]
    assert "30 spokes" in fails(*recon, 31)
    assert "unknown key 'colour'" in fails(*recon, 5, "--set", "colour=red")
    assert "n_steps" in fails(*recon, 5, "--set", "n_steps=many")
    assert "choose one of nufft" in fails(*recon, 5, "--method", "magic")
    assert "scale" in fails(*recon, 5, "--scale", 9)
    assert "key=value" in fails(*recon, 5, "--set", "colour")
    if not torch.cuda.is_available():
        assert "no GPU" in fails(*recon, 5, "--device", "cuda")
    assert not (tmp_path / "run").exists()


def test_output_that_cannot_be(fails: Callable[..., str], tmp_path: Path, data: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "precious.txt").write_text("mine")
    recon = ["recon", data, "--method", "nufft", "--spokes-per-frame", 5, "-o"]
    assert "already exists" in fails(*recon, tmp_path / "used")
    assert (tmp_path / "used" / "precious.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    assert "cannot be made" in fails(*recon, tmp_path / "file" / "run")
    assert main([str(a) for a in [*recon, tmp_path / "run", "--quiet"]]) == 0
    assert ".nii.gz" in fails("export", tmp_path / "run", tmp_path / "out.xyz")
    assert "scale" in fails("render", tmp_path / "run", "--scale", 10, "-o", tmp_path / "big")
    assert "not a run folder" in fails("render", tmp_path / "used", "-o", tmp_path / "other")


@pytest.mark.parametrize("wrong", [("--frames", -3), ("--frames", 0), ("--matrix", 0), ("--seed", -1), ("--coils", 0)])
def test_what_cannot_be_simulated(fails: Callable[..., str], tmp_path: Path, wrong: tuple[str, int]) -> None:
    fails("simulate", tmp_path / "x.h5", "--matrix", 16, *wrong)
    assert not (tmp_path / "x.h5").exists()


def test_out_of_memory(fails: Callable[..., str], tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("napari_dainr.engine.make_problem", fail)
    assert "ran out of memory" in fails("recon", data, "--spokes-per-frame", 5, "-o", tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "spokes", "grasp", "dainr"),
    [("cine_13", 13, (39.0, 0.955), (39.5, 0.975)), ("cine_5", 5, (35.5, 0.90), (36.2, 0.945))],
)
@pytest.mark.slow
def test_scores_that_the_docs_promise(
    shared_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    spokes: int,
    grasp: tuple[float, float],
    dainr: tuple[float, float],
) -> None:
    for method, (psnr, ssim) in {"grasp": grasp, "dainr": dainr}.items():
        run = str(tmp_path / method)
        file = str(shared_data / f"{name}.h5")
        assert main(["recon", file, "--spokes-per-frame", str(spokes), "--method", method, "-o", run, "--quiet"]) == 0
        capsys.readouterr()
        assert main(["metrics", run, "--truth", str(shared_data / f"{name}.truth.npy")]) == 0
        figures = json.loads(capsys.readouterr().out)
        assert figures["psnr_fit"] >= psnr
        assert figures["ssim_fit"] >= ssim
