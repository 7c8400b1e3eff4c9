"""Bad coils and spokes: left out, and the result is that of dropping them by hand, whatever the scale."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dainr.acquired import Acquired
from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions, kspace_of
from napari_dainr.methods.problem import density_compensated, make_problem
from napari_dainr.phantom import cine_phantom, liver_phantom, simulate_kspace
from napari_dainr.preparation.screening import screen


def _acquired(kspace: KSpace) -> Acquired:
    """The phantom as a reader would hand it over."""
    fov = (2 * kspace.fov_mm[0], 2 * kspace.fov_mm[1])
    return Acquired(
        format="test",
        name="phantom",
        kdata=kspace.kdata,
        ktraj=kspace.ktraj,
        trajectory_unit="cycles per field of view",
        matrix=kspace.matrix,
        fov_mm=kspace.fov_mm,
        encoded_fov_mm=fov,
        tr_s=0.004,
    )


@pytest.fixture(scope="module")
def phantom() -> Acquired:
    """52 spokes, 4 coils, a beating heart at SNR 20."""
    truth = cine_phantom((40, 36), n_frames=4)
    return _acquired(simulate_kspace(truth, spokes_per_frame=13, n_coils=4, snr=20.0))


def _by_hand(acquired: Acquired, coils: list[int], spokes: list[int]) -> Acquired:
    kdata = np.delete(np.delete(acquired.kdata, coils, axis=1), spokes, axis=2)
    assert acquired.ktraj is not None
    return replace(acquired, kdata=kdata, ktraj=np.delete(acquired.ktraj, spokes, axis=0))


def _image(kspace: KSpace) -> torch.Tensor:
    problem = make_problem(bin_spokes(kspace, 12), threads=1)
    return density_compensated(problem) * problem.unit


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(["NaN", "Inf", "zero", "bright", "spark"]),
    bad=st.lists(st.integers(0, 51), min_size=1, max_size=3, unique=True),
    exponent=st.sampled_from([-30, -9, 0, 9, 30]),
    seed=st.integers(0, 9),
)
def test_spokes_left_out_are_as_good_as_dropped(
    phantom: Acquired, kind: str, bad: list[int], exponent: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kdata = (phantom.kdata.astype(np.complex128) * 10.0**exponent).astype(np.complex64)
    clean = replace(phantom, kdata=kdata)
    spoiled = kdata.copy()
    largest = np.abs(kdata).max()
    for spoke in bad:
        coil, sample = rng.integers(4), rng.integers(70)
        if kind in ("NaN", "Inf"):
            spoiled[0, coil, spoke, sample] = np.nan if kind == "NaN" else np.inf
        elif kind == "zero":
            spoiled[0, :, spoke] = 0
        elif kind == "bright":
            spoiled[0, :, spoke] *= np.complex64(12)
        else:
            spoiled[0, coil, spoke, 2 + sample // 4] = largest * np.complex64(0.7 + 0.3j)
    found = kspace_of(replace(phantom, kdata=spoiled))
    expected = kspace_of(_by_hand(clean, [], bad))
    assert found.n_spokes == 52 - len(bad)
    assert all(str(spoke) in found.detected["left-out spokes"] for spoke in bad)
    np.testing.assert_array_equal(found.ktraj, expected.ktraj)
    np.testing.assert_allclose(found.spoke_times_s, np.delete(np.arange(52) * 0.004, bad))
    np.testing.assert_allclose(found.kdata, expected.kdata, rtol=1e-6)
    assert np.isfinite(found.kdata).all()


# A power of ten rounds every sample anew, and maps outside the object hang on the last digits of the noise.
@pytest.mark.parametrize(("exponent", "allowed"), [(0, 1e-6), (-30, 1e-3), (-9, 1e-3), (30, 1e-3)])
def test_the_image_is_the_same_at_any_scale(phantom: Acquired, exponent: int, allowed: float) -> None:
    scaled = replace(phantom, kdata=(phantom.kdata.astype(np.complex128) * 10.0**exponent).astype(np.complex64))
    scaled.kdata[0, 2, 7, 20] = np.nan
    reference = _image(kspace_of(_by_hand(phantom, [], [7])))
    image = _image(kspace_of(scaled))
    assert bool(torch.isfinite(image).all())
    error = image / image.abs().max() - reference / reference.abs().max()
    assert float(error.abs().max()) < allowed


def test_what_costs_less_is_left_out(phantom: Acquired) -> None:
    # 20 of 52 spokes bad in one of 4 coils: the coil goes. 5 of 52: the spokes go.
    for count, coils, spokes in ((20, [1], []), (5, [], list(range(5)))):
        kdata = phantom.kdata.copy()
        kdata[0, 1, :count, 3] = np.inf
        found = kspace_of(replace(phantom, kdata=kdata))
        expected = kspace_of(_by_hand(phantom, coils, spokes))
        np.testing.assert_array_equal(found.kdata, expected.kdata)


def test_dead_coil_with_maps_and_noise(phantom: Acquired) -> None:
    kdata = phantom.kdata.copy()
    kdata[:, 0] = 0
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal((4, 900)) + 1j * rng.standard_normal((4, 900))).astype(np.complex64)
    noise[0] = 0
    maps = rng.standard_normal((1, 4, 40, 36)).astype(np.complex64)
    whole = replace(phantom, kdata=kdata, noise=noise, csm=maps)
    half = replace(_by_hand(phantom, [0], []), noise=noise[1:], csm=maps[:, 1:])
    found, expected = kspace_of(whole), kspace_of(half)
    assert "coil 0: all zero" in found.detected["left-out coils"]
    assert "whitened" in found.detected["noise"]
    np.testing.assert_array_equal(found.kdata, expected.kdata)


def test_words_of_the_user(phantom: Acquired) -> None:
    options = ImportOptions(leave_out_coils=(3,), leave_out_spokes=(0, 51))
    found = kspace_of(phantom, options)
    np.testing.assert_array_equal(found.kdata, kspace_of(_by_hand(phantom, [3], [0, 51])).kdata)
    assert found.detected["left-out spokes"] == "spokes 0, 51: as told"
    with pytest.raises(InputError, match="coil 4 cannot be left out: there are 4"):
        kspace_of(phantom, ImportOptions(leave_out_coils=(4,)))
    with pytest.raises(InputError, match="no coil can be used"):
        kspace_of(phantom, ImportOptions(leave_out_coils=(0, 1, 2, 3)))


def test_keep_all_keeps_all(phantom: Acquired) -> None:
    kdata = phantom.kdata.copy()
    kdata[0, :, 9] *= 20
    assert kspace_of(replace(phantom, kdata=kdata)).n_spokes == 51
    assert kspace_of(replace(phantom, kdata=kdata), ImportOptions(keep_all=True)).n_spokes == 52
    kdata[0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN or Inf in coil 0"):
        kspace_of(replace(phantom, kdata=kdata), ImportOptions(keep_all=True))


def test_nothing_at_all(phantom: Acquired) -> None:
    for value in (0, np.nan):
        with pytest.raises(InputError, match="can be used"):
            kspace_of(replace(phantom, kdata=np.full_like(phantom.kdata, value)))


def test_repeated_spokes_are_noticed(phantom: Acquired) -> None:
    kdata = phantom.kdata.copy()
    kdata[:, :, 30] = kdata[:, :, 11]
    found = kspace_of(replace(phantom, kdata=kdata))
    assert found.n_spokes == 52
    assert "spoke 30 holds the samples of spoke 11" in found.detected["repeated spokes"]
    assert "repeated spokes" not in kspace_of(phantom).detected


@pytest.mark.parametrize("snr", [5.0, 40.0, np.inf])
@pytest.mark.parametrize("kind", ["cine", "liver", "box"])
def test_nothing_is_found_where_nothing_is_wrong(kind: str, snr: float) -> None:
    if kind == "box":  # sharp edges put all their energy into two directions
        truth = np.zeros((3, 40, 40), np.complex64)
        truth[:, 8:31, 5:33] = 1
        truth[:, 12:14, 10:28] = 3
    else:
        truth = cine_phantom((40, 40), 3) if kind == "cine" else liver_phantom((40, 40), 3)[0]
    kspace = simulate_kspace(truth, spokes_per_frame=34, n_coils=3, snr=snr)
    found = screen(kspace.kdata)
    assert found.reasons == {} and found.repeated == ()


def test_nothing_is_found_in_real_data(shared_data) -> None:  # type: ignore[no-untyped-def]
    from napari_dainr.io import read_kspace

    for name in ("cine_5", "dce_21"):
        found = read_kspace(shared_data / f"{name}.h5")
        assert not [key for key in found.detected if "left-out" in key or "repeated" in key]
