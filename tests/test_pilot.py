"""The small fit that tells how soon a solver converges: noise as in the whole, and iterations as in the whole."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_dainr.data import BinnedKSpace, bin_spokes
from napari_dainr.errors import DainrError
from napari_dainr.methods.config import GraspConfig, LowrankConfig
from napari_dainr.methods.fit import fit, make_method
from napari_dainr.methods.primal_dual import noise_level
from napari_dainr.methods.problem import make_problem
from napari_dainr.phantom import cine_phantom, liver_phantom, simulate_kspace
from napari_dainr.pilot import FRAMES, SIDE, pilot_steps, small_of


def series(matrix: tuple[int, int], n_frames: int, spokes: int, snr: float = 30.0, liver: bool = False) -> BinnedKSpace:
    image = liver_phantom(matrix, n_frames)[0] if liver else cine_phantom(matrix, n_frames, 0)
    return bin_spokes(simulate_kspace(image, spokes_per_frame=spokes, n_coils=4, snr=snr), spokes)


@pytest.mark.parametrize(
    ("matrix", "spokes", "snr"), [((96, 73), 9, 10.0), ((61, 84), 5, 40.0), ((120, 120), 13, 25.0)]
)
def test_noise_and_undersampling_are_those_of_the_whole(matrix: tuple[int, int], spokes: int, snr: float) -> None:
    binned = series(matrix, 6, spokes, snr)
    small = small_of(binned)
    shrink = max(matrix) / SIDE
    assert max(small.matrix) == SIDE
    assert small.acceleration == pytest.approx(binned.acceleration, rel=0.3)
    assert np.abs(small.ktraj / np.asarray(small.matrix)).max() < 0.52, "but for the rounding of the matrix"
    whole, little = make_problem(binned), make_problem(small)
    # The same object is brighter by the ratio of the sides where as many samples have fewer pixels to say.
    assert little.unit == pytest.approx(shrink * whole.unit, rel=0.35)
    noise = noise_level(little) * little.unit
    assert noise == pytest.approx(shrink * noise_level(whole) * whole.unit, rel=0.15)


def test_a_small_series_is_taken_as_it_is() -> None:
    binned = series((30, 24), 4, 5)
    small = small_of(binned)
    assert small.matrix == (30, 24)
    np.testing.assert_array_equal(small.kdata, binned.kdata)


def test_of_a_long_series_the_middle_is_taken() -> None:
    binned = series((16, 16), FRAMES + 6, 2)
    small = small_of(binned)
    assert small.n_frames == FRAMES
    np.testing.assert_array_equal(small.times_s, binned.times_s[3 : 3 + FRAMES])


@pytest.mark.parametrize(
    ("method", "tolerance", "liver", "spokes"),
    [("grasp", 2e-3, False, 8), ("lowrank", 1e-3, False, 8), ("lowrank", 1e-3, True, 8)],
)
def test_a_whole_fit_converges_when_the_pilot_says(method: str, tolerance: float, liver: bool, spokes: int) -> None:
    binned = series((72, 60), 8 if liver else 6, spokes, liver=liver)
    config = (GraspConfig if method == "grasp" else LowrankConfig)(tolerance=tolerance)
    whole, problem = make_method(method, config, 0), make_problem(binned)
    steps = sum(1 for _ in fit(whole, problem, whole.start(problem)))
    assert 15 < steps < config.n_steps, "or there is nothing to tell"
    endless = make_method(method, config.model_copy(update={"tolerance": 0.0}), 0)
    told = pilot_steps(endless, tolerance, config.n_steps, binned, threading.Event())
    assert told == pytest.approx(steps, rel=0.35)


def test_never_more_than_the_most() -> None:
    binned = series((48, 48), 4, 5)
    assert pilot_steps(make_method("grasp", GraspConfig(tolerance=0), 0), 1e-9, 7, binned, threading.Event()) == 7


def test_a_pilot_can_be_stopped() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(DainrError, match="stopped"):
        pilot_steps(make_method("grasp", GraspConfig(), 0), 1e-3, 10, series((16, 16), 3, 5), stop)
