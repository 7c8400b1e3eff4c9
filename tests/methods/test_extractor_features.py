"""DA-INR with a pretrained extractor: the maps reach the network, and stopping, saving and drawing work as before."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_dainr.data import KSpace
from napari_dainr.errors import InputError
from napari_dainr.inr.extractors import ARCHITECTURES, BUNDLED, load_extractor
from napari_dainr.inr.parallel import get_threads, set_threads
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import DainrConfig, method_config
from napari_dainr.methods.config.dainr import WITH_WEIGHTS
from napari_dainr.methods.dainr import DainrMethod, DainrState
from napari_dainr.methods.extractor_features import STEPS, Extraction, as_channels, draw_extracted
from napari_dainr.methods.problem import density_compensated
from napari_dainr.recipe import Finished, Notice, recipe_from, run

SMALL = {"width": 24, "depth": 2, "n_min": 4, "table_log2": 10, "feature_steps": 6, "n_steps": 8, "members": 2}
WIDTH = 6
SMALLEST = {"edsr": (8, 2), "mdsr": (8, 2, 2), "rdn": (8, 6, 2, 2), "swinir": (12, [2, 2], 3, 4, 24, 3, False)}
"""Sizes of a small network of each architecture of Table V."""


@pytest.fixture(autouse=True)
def threads_as_in_the_engine() -> Iterator[None]:
    before, ours = torch.get_num_threads(), get_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    set_threads(ours)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small EDSR with weights that keep images in order of magnitude; the layout is that of the public release."""
    draw = torch.Generator().manual_seed(0)

    def conv(name: str, n_in: int, n_out: int) -> dict[str, Tensor]:
        weight = torch.randn(n_out, n_in, 3, 3, generator=draw) / (9 * n_in) ** 0.5
        return {f"{name}.weight": weight, f"{name}.bias": 0.1 * torch.randn(n_out, generator=draw)}

    # Maps of the image itself, of its blurred copies, and a random one; and a body that changes them a little.
    tensors = {"sub_mean.weight": torch.eye(3)[..., None, None], "sub_mean.bias": -torch.tensor([114.4, 111.5, 103.0])}
    tensors |= conv("head.0", 3, WIDTH)
    for channel in range(2):
        tensors["head.0.weight"][[channel, 2 + channel]] = 0
        tensors["head.0.weight"][channel, channel, 1, 1] = 1
        tensors["head.0.weight"][2 + channel, channel] = 1 / 9
    for name in ("body.0.body.0", "body.0.body.2", "body.1.body.0", "body.1.body.2", "body.2"):
        tensors |= conv(name, WIDTH, WIDTH)
    tensors["body.2.weight"] *= 0.2
    path = tmp_path_factory.mktemp("weights") / "edsr.pt"
    torch.save(tensors, path)
    return path


def method_for(weights: Path, **changes: object) -> DainrMethod:
    values = {**SMALL, "feature": "nufft", "extractor": "edsr", "extractor_weights": str(weights), **changes}
    return DainrMethod(DainrConfig.model_validate(values))


def go(method: DainrMethod, problem: Problem, state: DainrState, steps: int = 10_000) -> DainrState:
    while steps and not method.done(state):
        method.step(problem, state)
        steps -= 1
    return state


def test_the_network_sees_the_maps_of_each_frame(tiny_problem: Problem, weights: Path) -> None:
    method = method_for(weights)
    state = method.start(tiny_problem)
    while state.images is not None:
        assert method.step(tiny_problem, state) == {}
    assert state.features is not None and state.features.shape == (5, 33, 28, WIDTH)
    assert state.step == STEPS
    extractor = load_extractor("edsr", weights)
    shown = density_compensated(tiny_problem).abs()[:, None].expand(-1, 3, -1, -1)
    maps = torch.stack([extractor(image[None])[0] for image in shown])
    # One centre per map and one size for all, from the middle frame.
    centre = maps[2].mean(dim=(1, 2))[:, None, None]
    size = float(np.percentile((maps[2] - centre).abs().numpy(), 99.9))
    expected = ((maps - centre) / size).permute(0, 2, 3, 1)
    assert torch.allclose(state.features.float(), expected, atol=4e-3 * float(expected.abs().max()))
    field = state.fields[0]
    grid = sum(method._hash_spec(state.matrix, 2).features for _ in range(method._hash_spec(state.matrix, 2).levels))
    assert next(iter(field.canonical.network.parameters())).shape[1] == grid + WIDTH  # type: ignore[union-attr]


@pytest.mark.parametrize("architecture", SMALLEST)
def test_each_extractor_beats_nufft_and_resumes(
    tiny_problem: Problem, fitted_psnr: Callable[[Tensor], float], nufft_psnr: float, tmp_path: Path, architecture: str
) -> None:
    """Every row of Table V, with small networks of random weights; stopped among the frames and in the fit."""
    torch.manual_seed(0)
    torch.save(ARCHITECTURES[architecture](*SMALLEST[architecture]).state_dict(), tmp_path / "small.pt")
    changes = {"extractor": architecture, "n_steps": 100, "members": 1, "learning_rate": 1e-2}
    method = method_for(tmp_path / "small.pt", **changes)
    straight = go(method, tiny_problem, method.start(tiny_problem))
    assert fitted_psnr(method.image(straight)) > nufft_psnr + 2
    set_threads(1)  # one frame per step, so that extraction is divided
    for stop in (3, STEPS + 60):
        stopped = go(method, tiny_problem, method.start(tiny_problem), stop)
        assert (stopped.images is None) == (stop > STEPS)
        packed = {name: tensor.clone() for name, tensor in method.pack(stopped).items()}
        other = method_for(tmp_path / "small.pt", **changes)
        resumed = go(other, tiny_problem, other.unpack(packed, torch.device("cpu")))
        assert torch.equal(other.image(resumed), method.image(straight)), stop


def test_beats_nufft_when_the_complex_image_is_shown(
    tiny_problem: Problem, fitted_psnr: Callable[[Tensor], float], nufft_psnr: float, weights: Path
) -> None:
    method = method_for(weights, n_steps=100, width=32, depth=3, members=1, extractor_input="complex")
    state = go(method, tiny_problem, method.start(tiny_problem))
    assert fitted_psnr(method.image(state)) > nufft_psnr + 4


def test_the_image_follows_the_maps(tiny_problem: Problem, weights: Path) -> None:
    """With other maps the fitted network draws another image: the features are not ignored."""
    method = method_for(weights, n_steps=30)
    state = go(method, tiny_problem, method.start(tiny_problem))
    before = method.image(state)
    assert state.features is not None
    state.features = state.features.flip(0)
    change = (method.image(state) - before).abs().mean() / before.abs().mean()
    assert float(change) > 0.02


@pytest.mark.parametrize("feature", ["nufft", "grasp"])
def test_stopped_anywhere_it_goes_on_bit_by_bit(tiny_problem: Problem, weights: Path, feature: str) -> None:
    method = method_for(weights, feature=feature)
    straight = go(method, tiny_problem, method.start(tiny_problem))
    expected = method.image(straight)
    before_fit = 6 if feature == "grasp" else 0
    for stop in {before_fit // 2, before_fit + 3, before_fit + STEPS + 2}:
        set_threads(1)  # one frame per step, so that extraction is divided
        state = go(method, tiny_problem, method.start(tiny_problem), stop)
        packed = {name: tensor.clone() for name, tensor in method.pack(state).items()}
        other = method_for(weights, feature=feature)
        set_threads(3)
        resumed = go(other, tiny_problem, other.unpack(packed, torch.device("cpu")))
        assert torch.equal(other.image(resumed), expected), stop


def test_a_stop_during_extraction_keeps_what_is_done(tiny_problem: Problem, weights: Path) -> None:
    set_threads(1)
    method = method_for(weights)
    state = go(method, tiny_problem, method.start(tiny_problem), 2)
    assert (state.n_extracted, method.stage(state)) == (2, "EDSR features")
    images = density_compensated(tiny_problem)
    assert torch.equal(method.preview(state), images) and torch.equal(method.image(state), images)
    between = method.image(state, torch.tensor([0.5]), 1.5)
    assert between.shape == (1, 50, 42)
    packed = method.pack(state)
    assert set(packed) >= {"images", "features", "n_extracted"}
    done = go(method, tiny_problem, state)
    assert "images" not in method.pack(done) and method.stage(done) == "DA-INR"


def test_more_threads_give_the_same_maps(tiny_problem: Problem, weights: Path) -> None:
    found = []
    for threads in (1, 3):
        set_threads(threads)
        method = method_for(weights)
        state = method.start(tiny_problem)
        while state.images is not None:
            method.step(tiny_problem, state)
        assert state.features is not None
        found.append(state.features)
    assert torch.equal(found[0], found[1])


def test_the_series_is_let_go_once_it_has_been_looked_at(tiny_problem: Problem, weights: Path) -> None:
    method = method_for(weights)
    state = method.start(tiny_problem)
    assert state.images is not None
    series = weakref.ref(state.images)
    go(method, tiny_problem, state)
    assert state.images is None and series() is None


def test_a_fitted_run_is_drawn_without_the_weights(tiny_problem: Problem, weights: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.pt"
    gone.write_bytes(weights.read_bytes())
    method = method_for(gone)
    state = go(method, tiny_problem, method.start(tiny_problem))
    packed = method.pack(state)
    gone.unlink()
    again = method_for(gone)
    drawn = again.image(again.unpack(packed, torch.device("cpu")), torch.tensor([0.0, 1.25]), 1.5)
    assert torch.equal(drawn, method.image(state, torch.tensor([0.0, 1.25]), 1.5))
    assert drawn.shape == (2, 50, 42)


def test_a_mere_name_is_found_where_weights_are_kept(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_DAINR_WEIGHTS", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "mine.pt").write_bytes(weights.read_bytes())
    assert method_for(Path("mine.pt"))._extraction.n_features(torch.device("cpu")) == WIDTH
    (tmp_path / "here" / "mine.pt").write_bytes(b"not weights, but nearer")
    with pytest.raises(InputError, match=r"^mine\.pt: holds no named tensors"):
        method_for(Path("mine.pt"))._extraction.n_features(torch.device("cpu"))
    with pytest.raises(InputError, match=r"^other\.pt: there is no such file"):
        method_for(Path("other.pt"))._extraction.n_features(torch.device("cpu"))


@pytest.mark.parametrize("upsampling", ["bilinear", "fourier"])
def test_maps_are_drawn_at_other_frames_and_scales(upsampling: str) -> None:
    features = torch.randn(3, 9, 8, 20, generator=torch.Generator().manual_seed(0)).half()

    def drawn(frame: float, matrix: tuple[int, int], series: Tensor = features) -> Tensor:
        return draw_extracted(series, torch.tensor(frame), matrix, upsampling, 2.0)

    for frame in range(3):
        assert torch.equal(drawn(float(frame), (9, 8)), 2 * features[frame].float())
    mixed = 2 * (0.75 * features[1].float() + 0.25 * features[2].float())
    assert torch.allclose(drawn(1.25, (9, 8)), mixed, atol=1e-6)
    assert torch.equal(drawn(7.0, (9, 8)), drawn(2.0, (9, 8)))  # no further than the last frame
    # Each map by itself, the centre pixel n // 2 kept in place, a constant kept.
    large = drawn(0.0, (18, 16))
    assert torch.allclose(large[9, 8], 2 * features[0, 4, 4].float(), atol=0.3 if upsampling == "fourier" else 1e-5)
    level = torch.ones(1, 9, 8, 20).half() * torch.arange(20).half()
    assert torch.allclose(drawn(0.0, (13, 12), level), 2 * torch.arange(20.0).expand(13, 12, 20), atol=1e-4)
    ramp = torch.arange(9.0).view(1, 9, 1, 1).expand(1, 9, 8, 1).half()
    if upsampling == "bilinear":
        rows = drawn(0.0, (18, 8), ramp)[:, 0, 0]  # row i shows row (i − 9) / 2 + 4, times the gain of 2
        assert torch.allclose(rows, (torch.arange(18.0) - 1).clamp(0, 16), atol=1e-4)


def test_what_the_extractor_is_shown() -> None:
    images = torch.tensor([[[3 + 4j, -0.5]]]) / 5
    assert torch.allclose(as_channels(images, 3, "magnitude"), torch.tensor([1, 0.1]).expand(1, 3, 1, 2))
    assert torch.allclose(as_channels(images, 1, "complex"), torch.tensor([1, 0.1]).expand(1, 1, 1, 2))
    channels = as_channels(images, 3, "complex")[0, :, 0, 0]
    assert torch.allclose(channels, torch.tensor([0.8, 0.9, 1.0]))
    parts = as_channels(images, 2, "magnitude")[0, :, 0, 0]
    assert torch.allclose(parts, torch.tensor([0.6, 0.8]))


def test_settings_that_do_not_fit_are_refused(weights: Path) -> None:
    assert set(BUNDLED) == set(WITH_WEIGHTS)
    choices = set(DainrConfig.model_json_schema()["properties"]["extractor"]["enum"])
    assert set(ARCHITECTURES) == choices - {"none", "auto"}
    with pytest.raises(InputError, match="extractor_weights is '': extractor mdsr needs the path"):
        method_config("dainr", "paper", {"extractor": "mdsr"})
    with pytest.raises(InputError, match="extractor is 'edsr': the feature is none"):
        method_config("dainr", "fast", {"extractor": "edsr", "extractor_weights": str(weights), "feature": "none"})
    for wrong in ("not a hash", "1bc9", "0" * 65):
        with pytest.raises(InputError, match=r"extractor_sha256 is .*: give the 64 hexadecimal digits"):
            method_config("dainr", "fast", {"extractor_sha256": wrong})
    exact = method_config("dainr", "fast", {"extractor_sha256": " 1BC95232 "})
    assert isinstance(exact, DainrConfig) and exact.extractor_sha256 == "1bc95232"
    paper = method_config("dainr", "paper")
    assert isinstance(paper, DainrConfig) and (paper.feature, paper.extractor) == ("nufft", "none")


def test_weights_are_looked_at_before_the_fit(tiny_problem: Problem, tmp_path: Path) -> None:
    absent = tmp_path / "absent.pt"
    for feature in ("nufft", "grasp"):
        with pytest.raises(InputError, match=r"absent\.pt: there is no such file"):
            method_for(absent, feature=feature).start(tiny_problem)


def test_frames_in_parallel_stay_within_memory(tiny_problem: Problem, weights: Path) -> None:
    """Images so large that two side by side would take too much are extracted one after the other."""
    set_threads(8)
    config = method_for(weights).config
    extraction = Extraction(config)
    extractor = extraction.extractor(torch.device("cpu"))
    extractor.working_floats = 1 << 24
    images = torch.ones(4, 16, 8, dtype=torch.complex64)
    features = extraction.begin(images)
    assert extraction.go_on(tiny_problem, images, None, features, 0, 4) == 1
    extractor.working_floats = 10
    assert extraction.go_on(tiny_problem, images, None, features, 1, 3) == 4


def test_a_recipe_with_an_extractor_runs(tiny_kspace: KSpace, weights: Path, tmp_path: Path) -> None:
    settings = {**SMALL, "feature": "nufft", "extractor": "edsr", "extractor_weights": str(weights)}
    recipe = recipe_from({"data": "tiny.h5", "method": "dainr", "spokes_per_frame": 8, "settings": settings})
    events = list(run(recipe, tmp_path / "run", kspace=tiny_kspace))
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.series.image.shape == (5, 33, 28) and bool(np.isfinite(last.series.image).all())
    stages = {event.stage for event in events if hasattr(event, "stage")}
    assert stages == {"EDSR features", "DA-INR"}
    told = [event.text for event in events if isinstance(event, Notice)]
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert f"features by EDSR: 6 maps, edsr.pt, SHA-256 {digest}" in told
    # A folder may name a person: results carry the file's name alone; recipe.json keeps the path, to run again.
    assert last.series.info["recipe"]["settings"]["extractor_weights"] == "edsr.pt"
    folder = str(weights.parent)
    carriers = [
        path for path in (tmp_path / "run").rglob("*") if path.is_file() and folder.encode() in path.read_bytes()
    ]
    assert [path.name for path in carriers] == ["recipe.json"]


def test_without_the_papers_extractor_the_log_says_so(tiny_kspace: KSpace) -> None:
    settings = {**SMALL, "n_steps": 1, "levels": 4}
    values = {"data": "tiny.h5", "method": "dainr", "preset": "paper", "spokes_per_frame": 8, "settings": settings}
    told = [event.text for event in run(recipe_from(values), kspace=tiny_kspace) if isinstance(event, Notice)]
    assert any("MDSR" in text and "extractor_weights" in text for text in told)
