"""RING: delays of phantoms found again, with noise and motion, and beside BART's own trajectories and estimates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_dainr.acquired import Acquired
from napari_dainr.bench.bart import read_cfl
from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions, kspace_of
from napari_dainr.preparation.delays import Delays, corrected_ktraj, estimate_delays
from napari_dainr.trajectory import radial_ktraj

Objects = dict[str, NDArray[np.complex64]]
MATRIX, FOV = (48, 40), (300.0, 250.0)
SPOKES, READOUT = 120, 96


def _delays(sxx: float, syy: float, sxy: float) -> Delays:
    return Delays(sxx, syy, sxy, 0.0, 0.0, 0.0, 0)


def _found(delays: Delays) -> NDArray[np.float64]:
    return np.array([delays.sxx, delays.syy, delays.sxy])


def _shifted(planned: NDArray[np.float32], s: tuple[float, float, float]) -> NDArray[np.float64]:
    """Every spoke moved by S n samples, written out: S for vectors (x, y), in millimetres of k-space."""
    position = planned / np.asarray(FOV)
    step = np.linalg.norm(np.diff(position, axis=1), axis=-1).mean()
    angle = np.arctan2(position[:, -1, 0] - position[:, 0, 0], position[:, -1, 1] - position[:, 0, 1])
    dx = s[0] * np.cos(angle) + s[2] * np.sin(angle)
    dy = s[2] * np.cos(angle) + s[1] * np.sin(angle)
    return (position + step * np.stack([dy, dx], axis=-1)[:, None]) * np.asarray(FOV)


@pytest.mark.parametrize("coils", [1, 6])
@settings(max_examples=4, deadline=None)
@given(s=st.tuples(st.floats(-2.5, 2.5), st.floats(-2.5, 2.5), st.floats(-1.2, 1.2)), first=st.floats(0, 180))
def test_without_noise(
    measure: Callable[..., NDArray[np.complex64]],
    objects: Objects,
    coils: int,
    s: tuple[float, float, float],
    first: float,
) -> None:
    planned = radial_ktraj(SPOKES, READOUT, MATRIX, first=first)
    kdata = measure(objects["cine"][:1], _shifted(planned, s), coils=coils)
    found = estimate_delays(kdata, planned, FOV)
    np.testing.assert_allclose(_found(found), s, atol=0.01)
    np.testing.assert_allclose(corrected_ktraj(planned, found, FOV), _shifted(planned, s), atol=0.01)
    assert found.mismatch < 0.01


@pytest.mark.parametrize("s", [(0.31, -0.12, 0.2), (1.5, 1.0, -0.5)])
@pytest.mark.parametrize("name", ["cine", "liver"])
def test_with_noise_and_motion(
    measure: Callable[..., NDArray[np.complex64]], objects: Objects, name: str, s: tuple[float, float, float]
) -> None:
    planned = radial_ktraj(SPOKES, READOUT, MATRIX)
    for seed in range(2):
        kdata = measure(objects[name], _shifted(planned, s), snr=20.0, seed=seed)
        found = estimate_delays(kdata, planned, FOV)
        np.testing.assert_allclose(_found(found), s, atol=0.05)
        assert found.mismatch <= found.mismatch_before * 1.05


@pytest.mark.slow
def test_the_error_that_is_told_is_the_scatter(measure: Callable[..., NDArray[np.complex64]], objects: Objects) -> None:
    planned = radial_ktraj(SPOKES, READOUT, MATRIX)
    clean = measure(objects["cine"][:1], _shifted(planned, (0.4, 0.1, 0.0)))
    found = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        noise = 0.06 * (rng.standard_normal(clean.shape) + 1j * rng.standard_normal(clean.shape))
        found.append(estimate_delays((clean + noise).astype(np.complex64), planned, FOV))
    scatter = np.std([_found(one) for one in found], axis=0).max()
    told = np.median([one.error for one in found])
    assert scatter / 4 < told < scatter * 4


def test_a_phase_of_each_spoke_does_no_harm(measure: Callable[..., NDArray[np.complex64]], objects: Objects) -> None:
    planned = radial_ktraj(SPOKES, READOUT, MATRIX)
    s = (0.4, -0.2, 0.1)
    kdata = measure(objects["cine"][:1], _shifted(planned, s))
    turn = np.exp(1j * np.random.default_rng(0).uniform(-0.5, 0.5, SPOKES))
    found = estimate_delays((kdata * turn[:, None]).astype(np.complex64), planned, FOV)
    np.testing.assert_allclose(_found(found), s, atol=0.01)


def test_uniform_angles_and_a_shifted_centre(measure: Callable[..., NDArray[np.complex64]], objects: Objects) -> None:
    # A centre that lies half a sample later is Sxx = Syy = −½.
    planned = radial_ktraj(90, READOUT, MATRIX, angle_deg=2.0)
    kdata = measure(objects["liver"][:1], radial_ktraj(90, READOUT, MATRIX, angle_deg=2.0, centre=READOUT / 2 + 0.5))
    np.testing.assert_allclose(_found(estimate_delays(kdata, planned, FOV)), (-0.5, -0.5, 0.0), atol=0.01)


def test_spokes_that_do_not_cross() -> None:
    planned = radial_ktraj(20, 32, (16, 16), angle_deg=0.5)
    with pytest.raises(InputError, match="too few spokes cross"):
        estimate_delays(np.ones((2, 20, 32), np.complex64), planned, (100.0, 100.0))


def test_real_data_has_no_delay(shared_data: Path) -> None:
    from napari_dainr.io import read_kspace

    kspace = read_kspace(shared_data / "cine_13.h5")
    found = estimate_delays(kspace.kdata[0], kspace.ktraj, kspace.fov_mm)
    assert found.largest < 0.03, str(found)


@pytest.mark.parametrize("delays", [(0.3, 0.1, 0.2), (1.5, 1.0, -0.5), (-0.3, 0.15, 0.1)])
def test_beside_bart(bart: Callable[..., str], tmp_path: Path, delays: tuple[float, float, float]) -> None:
    """BART's phantom on BART's delayed trajectory; its own RING estimate of the same data is no better."""
    text = ":".join(map(str, delays))
    common = ("-D", "-r", "-c", "-y15", "-x128", "-o2")
    bart("traj", *common, "-O", f"-q{text}", "measured")
    bart("traj", *common, "planned")
    bart("phantom", "-k", "-s8", "-t", "measured", "kdata")
    theirs = np.array(
        [float(v) for v in bart("estdelay", "-R", "planned", "kdata").strip().splitlines()[-1].split(":")]
    )
    kdata = read_cfl(tmp_path / "kdata").squeeze().transpose(2, 1, 0)
    measured, planned = (
        read_cfl(tmp_path / name).real.squeeze()[1::-1].transpose(2, 1, 0) for name in ("measured", "planned")
    )
    fov = (100.0, 100.0)
    found = estimate_delays(kdata, planned, fov)
    # BART's first axis of a delay is the second of its files.
    ours = np.array([found.syy, found.sxx, found.sxy])
    step = np.linalg.norm(np.diff(planned, axis=1), axis=-1).mean()
    moved = corrected_ktraj(planned, found, fov)
    assert np.linalg.norm(moved - measured) / np.linalg.norm(measured) < 1e-4
    # BART counts its delays in cycles of its own field of view; with -o2 a sample is half of one.
    scale = np.linalg.norm(measured - planned, axis=-1).max() / step / np.abs(np.linalg.eigvalsh(_matrix(delays))).max()
    assert np.abs(ours / scale - delays).max() < 0.01
    assert np.abs(ours / scale - delays).max() < np.abs(theirs - delays).max() + 1e-3


def _matrix(s: tuple[float, float, float]) -> NDArray[np.float64]:
    return np.array([[s[0], s[2]], [s[2], s[1]]])


def test_delays_of_an_import_are_said_and_corrected_only_when_asked(
    measure: Callable[..., NDArray[np.complex64]], objects: Objects
) -> None:
    planned = radial_ktraj(SPOKES, READOUT, MATRIX)
    s = (0.31, -0.12, 0.2)
    kdata = measure(objects["cine"], _shifted(planned, s), snr=20.0)
    values = {"format": "test", "name": "x", "matrix": MATRIX, "fov_mm": FOV, "encoded_fov_mm": (600.0, 500.0)}
    acquired = Acquired(
        kdata=kdata[None], ktraj=planned, trajectory_unit="cycles per field of view", tr_s=0.004, **values
    )
    as_it_is = kspace_of(acquired)
    np.testing.assert_array_equal(as_it_is.ktraj, planned)
    assert "correct with delays ring" in as_it_is.assumed["gradient delays"]
    corrected = kspace_of(acquired, ImportOptions(delays="ring"))
    np.testing.assert_allclose(corrected.ktraj, _shifted(planned, s), atol=0.05)
    assert corrected.detected["gradient delays"].startswith("corrected by RING")
    again = kspace_of(replace(acquired, ktraj=corrected.ktraj), ImportOptions(delays="ring"))
    assert again.detected["gradient delays"].startswith("none to correct")
    np.testing.assert_array_equal(again.ktraj, corrected.ktraj)


def test_a_real_scan_agrees_better_with_its_delays(shared_data: Path) -> None:
    from napari_dainr.io import read_kspace

    path = shared_data / "twix" / "meas_MID00118_FID33075_sol24.dat"
    kspace = read_kspace(path, ImportOptions(angles="uniform"))
    found = estimate_delays(kspace.kdata[0], kspace.ktraj, kspace.fov_mm)
    assert found.clear and found.mismatch < 0.5 * found.mismatch_before
    # Each half of the spokes tells the same.
    for half in (slice(0, None, 2), slice(1, None, 2)):
        part = estimate_delays(kspace.kdata[0][:, half], kspace.ktraj[half], kspace.fov_mm)
        np.testing.assert_allclose(_found(part), _found(found), atol=0.03)
