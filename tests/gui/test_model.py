"""The state machine and what follows from the form; no Qt."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.gui._layers import display_limits
from napari_dainr.gui._loss_plot import smooth
from napari_dainr.gui._model import TRANSITIONS, Action, Model, Phase, Source


@pytest.fixture
def model(tiny_kspace: KSpace) -> Model:
    model = Model()
    model.set_data(tiny_kspace, Source(sample="cine"))
    return model


@given(st.lists(st.sampled_from(list(Action)), max_size=40))
def test_any_walk_stays_within_the_table(actions: list[Action]) -> None:
    """No sequence of actions leads where the table does not; at every stop the buttons agree with it."""
    model = Model()
    for action in actions:
        before = model.phase
        went = model.apply(action)
        assert model.phase is (TRANSITIONS[before, action] if went else before)
        buttons = model.buttons
        assert buttons["pause"].enabled == (model.phase in (Phase.RUNNING, Phase.PAUSED))
        assert buttons["stop"].enabled == buttons["pause"].enabled
        assert buttons["open"].enabled != model.busy
        assert not buttons["start"].enabled  # there is no data


def test_every_phase_can_be_left_and_reached() -> None:
    reached = set(TRANSITIONS.values())
    left = {phase for phase, _ in TRANSITIONS}
    assert left == set(Phase)
    assert reached == set(Phase) - {Phase.EMPTY}


def test_a_fit_never_meets_other_data() -> None:
    for phase in (Phase.RUNNING, Phase.PAUSED, Phase.STOPPING):
        assert (phase, Action.LOAD) not in TRANSITIONS
        assert (phase, Action.START) not in TRANSITIONS
        assert TRANSITIONS[phase, Action.FAIL] is Phase.FAILED


def test_read_out_is_what_binning_gives(model: Model) -> None:
    kspace = model.kspace
    assert kspace is not None
    for n, k, r in itertools.product((1, 3, 7, 40), (1, 3), (0.5, 1.5)):
        model.form.spokes_per_frame, model.form.upsample, model.form.scale = n, k, r
        read_out = model.read_out
        assert read_out is not None
        binned = bin_spokes(kspace, n)
        assert read_out.n_frames == binned.n_frames
        assert read_out.frame_s == pytest.approx(binned.frame_duration_s)
        assert read_out.acceleration == pytest.approx(binned.acceleration)
        assert read_out.drawn_frames == (binned.n_frames - 1) * k + 1
        assert read_out.drawn_matrix == (round(33 * r), round(28 * r))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("spokes_per_frame", 0, "greater than or equal to 1"),
        ("spokes_per_frame", 41, "only 40 spokes"),
        ("slice_index", 1, "holds 1 slices"),
        ("scale", 9.0, "less than or equal to 4"),
        ("upsample", 0, "greater than or equal to 1"),
        ("seed", -1, "greater than or equal to 0"),
        ("settings", {"n_steps": 0}, "greater than or equal to 1"),
        ("settings", {"unheard_of": 1}, "not permitted"),
    ],
)
def test_a_bad_value_is_named_and_blocks_the_start(model: Model, field: str, value: object, reason: str) -> None:
    assert model.apply(Action.LOAD)
    assert model.apply(Action.LOADED)
    assert model.buttons["start"].enabled
    setattr(model.form, field, value)
    assert any(reason in problem for problem in model.problems.values()), model.problems
    assert not model.buttons["start"].enabled
    assert not model.buttons["save_recipe"].enabled


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=60), st.integers(1, 80))
def test_smooth_is_the_running_geometric_mean(values: list[float], width: int) -> None:
    array = np.asarray(values)
    expected = [np.exp(np.mean(np.log(array[max(0, i + 1 - width) : i + 1]))) for i in range(array.size)]
    np.testing.assert_allclose(smooth(array, width), expected, rtol=1e-9)


def test_display_limits_of_odd_series() -> None:
    assert display_limits(np.zeros((2, 3, 3), np.float32)) == (0.0, 1.0)
    assert display_limits(np.full((2, 3, 3), np.nan, np.float32)) == (0.0, 1.0)
    large = np.random.default_rng(0).rayleigh(size=(30, 128, 128)).astype(np.float32)
    assert display_limits(large)[1] == pytest.approx(np.percentile(large, 99.9), rel=0.03)
