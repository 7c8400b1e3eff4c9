"""DynRes: what it sees, its weights in the package, and that what it returns is nearer to the truth."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from napari_dainr.data import bin_spokes
from napari_dainr.errors import InputError
from napari_dainr.inr.extractors import load_extractor
from napari_dainr.inr.extractors.dynres import DynRes, Shown
from napari_dainr.methods.config import DainrConfig, LowrankConfig, method_config
from napari_dainr.methods.lowrank import LowrankMethod
from napari_dainr.methods.primal_dual import noise_level
from napari_dainr.methods.problem import make_problem, weighted_residual
from napari_dainr.phantom import band_limit, cine_phantom, simulate_kspace

ROOT = Path(__file__).resolve().parents[2]


def series(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("n_frames", [1, 2, 7])
def test_the_right_answer_gives_the_truth(n_frames: int) -> None:
    truth, images, residual = (series(seed, n_frames, 21, 16) for seed in range(3))
    shown = Shown(images, residual, 0.01)
    for frame in range(n_frames):
        assert shown.frame(frame).shape == (DynRes.n_channels, 21, 16)
        back = shown.corrected(shown.target(truth[frame], frame), frame)
        assert torch.allclose(back, truth[frame], atol=1e-5)


def test_the_phase_of_the_series_and_the_size_of_errors_do_not_matter() -> None:
    images, residual = 5 + series(0, 6, 20, 17), series(2, 6, 20, 17)
    turn = complex(np.exp(1j))
    one, turned = Shown(images, residual, 0.02), Shown(turn * images, turn * residual, 0.02)
    answer = torch.randn(2, 20, 17)
    for frame in (0, 3):
        assert torch.allclose(one.frame(frame), turned.frame(frame), atol=1e-4)
        assert torch.allclose(turned.corrected(answer, frame), turn * one.corrected(answer, frame), atol=1e-4)
    still = images[:1].expand(6, -1, -1)
    once, thrice = Shown(still, residual, 0.02), Shown(still, 3 * residual, 0.06)
    assert torch.allclose(once.frame(2), thrice.frame(2), atol=1e-4)
    change = [shown.corrected(answer, 2) - still[2] for shown in (once, thrice)]
    assert torch.allclose(3 * change[0], change[1], atol=1e-3)


def test_neighbours_beyond_the_ends_are_the_last_frames() -> None:
    images, residual = series(0, 4, 9, 8), series(1, 4, 9, 8)
    channels = Shown(images, residual, 0.1).frame(0)
    # Beside the images themselves, the smooth phase and the scale are those of the whole series.
    assert torch.equal(channels[0:2], torch.zeros(2, 9, 8)) and torch.equal(channels[4:6], torch.zeros(2, 9, 8))
    assert torch.equal(channels[2:4], channels[6:8]) and torch.equal(channels[6:8], channels[10:12])


def test_weights_come_with_the_package() -> None:
    path = ROOT / "resources" / "dynres.safetensors"
    assert path.stat().st_size <= 5_000_000
    network = load_extractor("dynres")
    assert isinstance(network, DynRes)
    assert network.file == path.name
    assert network.sha256 in (ROOT / "docs" / "how-to" / "feature-extractors.md").read_text()
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(("spokes", "at_least_db"), [(5, 0.7), (13, 0.7)])
def test_it_brings_a_reconstruction_nearer_to_the_truth(spokes: int, at_least_db: float) -> None:
    """On the cine phantom, which it was not trained on."""
    fine = cine_phantom((90, 84), n_frames=10, seed=3)
    matrix = (72, 67)
    kspace = simulate_kspace(fine, spokes_per_frame=spokes, n_coils=6, matrix=matrix, snr=60)
    problem = make_problem(bin_spokes(kspace, spokes))
    truth = torch.from_numpy(np.abs(band_limit(fine, matrix))).float()
    method = LowrankMethod(LowrankConfig(space_factor=0.015, tolerance=1e-3, n_steps=60))
    state = method.start(problem)
    while not method.done(state):
        method.step(problem, state)
    shown = Shown(state.x, weighted_residual(problem, state.x), noise_level(problem))
    network = load_extractor("dynres")
    refined = torch.stack([shown.corrected(network(shown.frame(f)[None])[0], f) for f in range(len(state.x))])

    def error(images: Tensor) -> float:
        found = images.abs()
        factor = (found * truth).sum() / found.square().sum()
        return float((factor * found - truth).square().sum())

    assert 10 * np.log10(error(state.x) / error(refined)) > at_least_db


def test_what_auto_means_and_what_is_refused() -> None:
    used = {feature: DainrConfig(feature=feature).extractor_used for feature in ("lowrank", "grasp", "nufft", "none")}  # type: ignore[arg-type]
    assert used == {"lowrank": "dynres", "grasp": "none", "nufft": "none", "none": "none"}
    assert DainrConfig(extractor="none").extractor_used == "none"
    paper = method_config("dainr", "paper")
    assert isinstance(paper, DainrConfig) and paper.extractor_used == "none"
    for feature in ("nufft", "view-shared", "none"):
        with pytest.raises(InputError, match=f"dynres looks at a reconstruction, not at {feature}; choose feature low"):
            method_config("dainr", "fast", {"feature": feature, "extractor": "dynres"})


def test_the_script_trains_a_network_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three steps on random scenes: the file is one that the package loads, and differs from the beginning."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    for name in ("scenes", "train_extractor"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    script = importlib.import_module("train_extractor")
    monkeypatch.setattr(script, "N_HELD_OUT", 1)
    scene = importlib.import_module("scenes").Scene
    made = [script.seen(scene(*(series(10 * n + k, 3, 44, 44) for k in range(3)), 0.1)) for n in range(3)]
    before = script.fresh_network().state_dict()
    script.train(made, 3, tmp_path / "dynres.safetensors")
    after = load_file(tmp_path / "dynres.safetensors")
    network = load_extractor("dynres", tmp_path / "dynres.safetensors")
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == {
        n: t.shape for n, t in after.items()
    }
    assert not torch.equal(before["linear.weight"], after["linear.weight"])
    assert "3 of 3" in capsys.readouterr().out
