"""The deformation field: the determinant against warps known by formula, the model's field against its own image."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dainr.cli import main
from napari_dainr.data import KSpace
from napari_dainr.deformation import DeformationSeries, deformation, jacobian_determinant, save_deformation
from napari_dainr.engine import render
from napari_dainr.errors import InputError
from napari_dainr.fitted import QUICK_VOXELS, FittedModel
from napari_dainr.recipe import Finished, Progress, Recipe, run

SMALL = {"n_steps": 25, "feature_steps": 8, "width": 16, "depth": 2, "n_min": 4, "table_log2": 10}


def fit(kspace: KSpace, folder: Path, **changes: Any) -> Finished:
    values: dict[str, Any] = {"data": "memory", "spokes_per_frame": 8, "settings": SMALL, "threads": 2}
    *_, last = run(Recipe.model_validate(values | changes), folder, kspace=kspace)
    assert isinstance(last, Finished)
    return last


@pytest.fixture(scope="module")
def dainr_run(tiny_kspace: KSpace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short fit of two networks, 5 frames of 33 × 28."""
    folder = tmp_path_factory.mktemp("runs") / "dainr"
    fit(tiny_kspace, folder)
    return folder


def grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.meshgrid(np.arange(height, dtype=float), np.arange(width, dtype=float), indexing="ij")
    return y, x


# -------------------------------------------------------------------- the determinant


@given(
    size=st.tuples(st.integers(3, 12), st.integers(3, 12)),
    matrix=st.lists(st.floats(-2, 2), min_size=4, max_size=4),
    shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
)
@settings(deadline=None, max_examples=60)
def test_affine_warps_are_exact(size: tuple[int, int], matrix: list[float], shift: tuple[float, float]) -> None:
    """x ↦ M x + s has the determinant of M everywhere, at the border too."""
    y, x = grid(*size)
    m = np.array(matrix).reshape(2, 2)
    warped = np.stack([m[0, 0] * y + m[0, 1] * x + shift[0], m[1, 0] * y + m[1, 1] * x + shift[1]], axis=-1)
    found = jacobian_determinant(warped - np.stack([y, x], axis=-1))
    determinant = m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
    np.testing.assert_allclose(found, determinant, atol=1e-9 * (1 + np.abs(shift).max()))


def test_a_rotation_keeps_area_and_a_mirror_turns_the_sign() -> None:
    y, x = grid(9, 14)
    c, s = np.cos(0.7), np.sin(0.7)
    turn = np.stack([c * y - s * x - y, s * y + c * x - x], axis=-1)
    np.testing.assert_allclose(jacobian_determinant(turn), 1)
    mirror = np.stack([-2 * y, np.zeros_like(x)], axis=-1)
    np.testing.assert_allclose(jacobian_determinant(mirror), -1)


def test_quadratic_warps_are_exact_to_the_border() -> None:
    y, x = grid(11, 7)
    field = np.stack([0.02 * y**2 + 0.01 * x * y, -0.03 * x**2], axis=-1)
    expected = (1 + 0.04 * y + 0.01 * x) * (1 - 0.06 * x)
    np.testing.assert_allclose(jacobian_determinant(field), expected)


def test_a_wave_converges_with_the_square_of_the_pixel() -> None:
    """Δ = (a sin ky, b cos kx·y): errors fall by 4 when the pixels are halved."""

    def error(n: int) -> float:
        y, x = grid(n, n)
        h = 1 / n
        field = np.stack([0.05 * np.sin(5 * y * h), 0.04 * np.cos(4 * x * h) * y * h], axis=-1) / h
        u_y = 0.25 * np.cos(5 * y * h)
        v_x = -0.16 * np.sin(4 * x * h) * y * h
        return float(np.abs(jacobian_determinant(field) - (1 + u_y) * (1 + v_x)).max())

    assert 3.5 < error(40) / error(80) < 4.5


def test_axes_in_front_are_frames() -> None:
    rng = np.random.default_rng(1)
    field = rng.normal(size=(4, 5, 6, 2))
    np.testing.assert_array_equal(jacobian_determinant(field)[2], jacobian_determinant(field[2]))


@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 3), (2, 5, 2), (4, 5, 2, 2)])
def test_what_is_no_field_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="shape"):
        jacobian_determinant(np.zeros(shape))


# -------------------------------------------------------------------- the series


def test_lengths_arrows_and_folding() -> None:
    field = np.zeros((2, 7, 8, 2), np.float32)
    field[1, ..., 0], field[1, ..., 1] = 3, 4
    series = DeformationSeries(field, np.arange(2.0), np.arange(2.0), (1.0, 2.0))
    np.testing.assert_allclose(series.magnitude_mm[1], np.hypot(3, 8), rtol=1e-6)
    assert series.magnitude_mm[0].max() == 0
    assert series.folded == 0
    arrows = series.arrows(3)
    rows, columns = np.unique(arrows[:, 0, 1]), np.unique(arrows[:, 0, 2])
    assert rows.tolist() == [0, 3, 6]
    assert columns.tolist() == [0, 3, 6]
    assert len(arrows) == 2 * 3 * 3
    second = arrows[:, 0, 0] == 1
    np.testing.assert_array_equal(arrows[second, 1], np.broadcast_to([0, 3, 4], (9, 3)))
    assert np.abs(arrows[~second, 1]).max() == 0


def test_the_middle_frame_is_the_canonical_one(dainr_run: Path) -> None:
    series = deformation(dainr_run)
    assert series.displacement.shape == (5, 33, 28, 2)
    np.testing.assert_allclose(series.pixel_mm, (10, 10))
    np.testing.assert_allclose(series.times_s, 0.04 + 0.08 * np.arange(5), rtol=1e-6)
    assert np.abs(series.displacement[2]).max() == 0
    assert np.abs(series.displacement[0]).max() > 0
    np.testing.assert_allclose(series.jacobian[2], 1)


def test_the_field_is_the_one_that_the_image_is_drawn_with(tiny_kspace: KSpace, tmp_path: Path) -> None:
    """Without features a frame is the canonical network at x + Δ: ask that network there and compare images."""
    fit(tiny_kspace, tmp_path / "run", settings=SMALL | {"feature": "none", "members": 1, "n_steps": 60})
    model = FittedModel(tmp_path / "run")
    series = deformation(tmp_path / "run", [3.0])
    (y, x), (height, width) = grid(33, 28), (33, 28)
    place = np.stack([y + series.displacement[0, ..., 0], x + series.displacement[0, ..., 1]], axis=-1)
    coords = 2 * (place - [height // 2, width // 2]) / [height, width]
    with torch.no_grad():
        drawn = model.state.fields[0].canonical(torch.from_numpy(coords.reshape(-1, 2).astype(np.float32)), None)
    drawn = torch.view_as_complex(drawn.contiguous()).reshape(33, 28)
    np.testing.assert_allclose(drawn.numpy(), model.method.image(model.state)[3].numpy(), atol=2e-4)


def test_between_frames_and_outside(dainr_run: Path) -> None:
    series = deformation(dainr_run, [0.5, 2.0])
    assert series.times_s[0] == pytest.approx(0.08)
    np.testing.assert_array_equal(series.displacement[1], deformation(dainr_run).displacement[2])
    for frames in ([4.01], [-0.5], [float("nan")], []):
        with pytest.raises(InputError, match="from 0 to 4"):
            deformation(dainr_run, frames)


def test_runs_without_a_field(tiny_kspace: KSpace, tmp_path: Path) -> None:
    fit(tiny_kspace, tmp_path / "nufft", method="nufft", settings={})
    with pytest.raises(InputError, match=r"nufft: NuFFT has no deformation field"):
        deformation(tmp_path / "nufft")
    stop = threading.Event()
    stop.set()
    recipe = Recipe.model_validate({"data": "memory", "spokes_per_frame": 8, "settings": SMALL})
    list(run(recipe, tmp_path / "early", kspace=tiny_kspace, stop=stop))
    with pytest.raises(InputError, match="before the deformation was fitted"):
        deformation(tmp_path / "early")
    with pytest.raises(InputError, match="not a run folder"):
        deformation(tmp_path / "nothing")


@pytest.mark.parametrize("stage", ["k-space residual", "DynRes"])
def test_a_fit_stopped_among_its_features_has_no_field(tiny_kspace: KSpace, tmp_path: Path, stage: str) -> None:
    recipe = Recipe.model_validate({"data": "memory", "spokes_per_frame": 8, "settings": SMALL})
    stop, seen = threading.Event(), []
    for event in run(recipe, tmp_path / "run", kspace=tiny_kspace, stop=stop):
        if isinstance(event, Progress):
            seen.append(event.stage)
            if event.stage.startswith(stage):
                stop.set()
    assert seen[-1].startswith(stage)
    with pytest.raises(InputError, match="before the deformation was fitted"):
        deformation(tmp_path / "run")


def test_the_command_writes_what_the_function_gives(
    dainr_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["deformation", str(dainr_run), "-o", str(tmp_path / "d.npz"), "--frames", "0", "1.5"]) == 0
    assert "2 frames of 33 × 28" in capsys.readouterr().out
    series = deformation(dainr_run, [0, 1.5])
    with np.load(tmp_path / "d.npz") as found:
        np.testing.assert_array_equal(found["displacement_px"], series.displacement)
        np.testing.assert_array_equal(found["jacobian"], series.jacobian)
        np.testing.assert_array_equal(found["magnitude_mm"], series.magnitude_mm)
        assert "Not for diagnostic use" in str(found["notice"])
    assert main(["deformation", str(dainr_run), "-o", str(tmp_path / "d.npy")]) == 2
    assert ".npz" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"\.npz"):
        save_deformation(series, tmp_path / "d.txt")


# -------------------------------------------------------------------- drawing a fitted run


@pytest.mark.parametrize(("scale", "upsample"), [(1.0, 1), (1.5, 3), (0.5, 2)])
@pytest.mark.parametrize("method", ["dainr", "grasp"])
def test_exact_drawings_are_those_of_the_command_render(
    tiny_kspace: KSpace, dainr_run: Path, tmp_path: Path, method: str, scale: float, upsample: int
) -> None:
    source = dainr_run
    if method == "grasp":
        source = tmp_path / "grasp"
        fit(tiny_kspace, source, method="grasp", settings={"n_steps": 10})
    expected = render(source, tmp_path / "again", scale, upsample)
    model = FittedModel(source)
    before = torch.get_num_threads()
    drawing = model.draw(scale, upsample)
    assert torch.get_num_threads() == before
    assert drawing is not None
    assert drawing.exact
    assert drawing.series.image.shape == model.shape(scale, upsample)
    np.testing.assert_array_equal(drawing.series.image, expected.image)
    np.testing.assert_array_equal(drawing.series.times_s, expected.times_s)
    np.testing.assert_array_equal(drawing.series.interpolated, expected.interpolated)
    assert drawing.series.pixel_mm == expected.pixel_mm
    assert drawing.series.info == expected.info


def test_a_quick_drawing_is_one_network_and_says_so(dainr_run: Path) -> None:
    model = FittedModel(dainr_run)
    quick, exact = model.draw(quick=True), model.draw()
    assert quick is not None
    assert exact is not None
    assert not quick.exact
    assert "1 network" in quick.note
    assert exact.note == ""
    np.testing.assert_array_equal(quick.series.times_s, exact.series.times_s)
    assert not np.array_equal(quick.series.image, exact.series.image)
    first = model.method.preview(model.state)
    np.testing.assert_array_equal(quick.series.image, (first * model.unit).numpy())


def test_a_large_quick_drawing_has_fewer_pixels(dainr_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_dainr.fitted.QUICK_VOXELS", 9 * 33 * 28)
    assert QUICK_VOXELS == 69 * 128 * 128
    quick = FittedModel(dainr_run).draw(4.0, 2, quick=True)
    assert quick is not None
    assert quick.series.image.shape == (9, 33, 28)
    assert quick.series.pixel_mm == pytest.approx((10, 10))
    assert "33 × 28 of 132 × 112 pixels" in quick.note


def test_a_stopped_drawing_is_none_and_leaves_the_threads_to_the_fit(dainr_run: Path) -> None:
    stop = threading.Event()
    stop.set()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert FittedModel(dainr_run).draw(stop=stop) is None
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
