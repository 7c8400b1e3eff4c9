"""Cropped spokes and left-out frames: what stays is untouched and at its own time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dainr.bench.retrospective import (
    centre_crop,
    coarse_matrix,
    every_kth_frame,
    unmeasured_frames,
)
from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.errors import InputError
from napari_dainr.methods.problem import density_compensated, make_problem
from napari_dainr.phantom import band_limit, simulate_kspace


def test_the_papers_sizes() -> None:
    assert [coarse_matrix((128, 128), r)[0] for r in (1.2, 1.5, 2.0)] == [106, 86, 64]


@given(n=st.integers(16, 300), ratio=st.floats(1, 3))
def test_coarse_matrix_keeps_parity_and_is_the_nearest(n: int, ratio: float) -> None:
    coarse = coarse_matrix((n, n), ratio)[0]
    assert (coarse - n) % 2 == 0
    assert abs(coarse - n / ratio) <= 1 + 1e-9
    assert round(coarse * (n / coarse)) == n


def test_ratios_that_cannot_be() -> None:
    with pytest.raises(InputError, match="no single ratio"):
        coarse_matrix((33, 28), 1.5)
    with pytest.raises(InputError, match="too few pixels"):
        coarse_matrix((4, 4), 9)
    with pytest.raises(InputError, match="only be made coarser"):
        coarse_matrix((4, 4), 0.5)


def test_crop_keeps_all_samples_of_the_band_and_no_others(tiny_kspace: KSpace) -> None:
    square = simulate_kspace(np.ones((2, 33, 33)), spokes_per_frame=7, n_coils=2, snr=np.inf)
    part = centre_crop(square, 1.5)
    assert part.matrix == (23, 23)
    assert part.fov_mm == square.fov_mm
    radius = np.linalg.norm(square.ktraj.astype(float), axis=-1)
    kept = (radius <= 11.5 + 1e-3).all(axis=0)
    assert 0 < kept.sum() < square.n_readout
    assert np.array_equal(part.ktraj, square.ktraj[:, kept])
    assert np.array_equal(part.kdata, square.kdata[..., kept])
    assert np.array_equal(centre_crop(tiny_kspace, 1).kdata, tiny_kspace.kdata)


def test_cropped_data_show_the_band_limited_object() -> None:
    y, x = np.meshgrid(np.arange(48) - 24, np.arange(48) - 24, indexing="ij")
    disc = np.exp(-(((y - 5) / 11.0) ** 4 + ((x + 3) / 13.0) ** 4))[None].astype(np.complex64)
    part = centre_crop(simulate_kspace(disc, spokes_per_frame=120, n_coils=4, snr=np.inf), 1.5)
    problem = make_problem(bin_spokes(part, 120), threads=1)
    found = density_compensated(problem).abs().numpy()[0]
    true = np.abs(band_limit(disc, (32, 32)))[0]
    error = found * (found * true).sum() / (found**2).sum() - true
    assert np.sqrt((error**2).mean()) < 0.03 * true.max()


@settings(max_examples=20, deadline=None)
@given(k=st.integers(1, 3), spokes=st.integers(3, 9))
def test_left_out_frames_change_nothing_in_the_others(tiny_kspace: KSpace, k: int, spokes: int) -> None:
    whole = bin_spokes(tiny_kspace, spokes)
    part = bin_spokes(every_kth_frame(tiny_kspace, spokes, k), spokes)
    assert np.array_equal(part.kdata, whole.kdata[::k])
    assert np.array_equal(part.ktraj, whole.ktraj[::k])
    assert np.allclose(part.times_s, whole.times_s[::k], rtol=0, atol=1e-12)
    assert part.frame_duration_s == pytest.approx(whole.frame_duration_s)


def test_too_few_frames_or_spokes(tiny_kspace: KSpace) -> None:
    with pytest.raises(InputError, match="fewer than two"):
        every_kth_frame(tiny_kspace, 8, 5)
    with pytest.raises(InputError, match="3 or more"):
        every_kth_frame(tiny_kspace, 2, 2)


@pytest.mark.parametrize(("n", "k", "expected"), [(7, 2, [1, 3, 5]), (8, 3, [1, 2, 4, 5]), (5, 1, []), (2, 3, [])])
def test_unmeasured_frames_lie_between_measured_ones(n: int, k: int, expected: list[int]) -> None:
    assert unmeasured_frames(n, k).tolist() == expected
