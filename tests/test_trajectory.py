"""Trajectories: golden angle in full precision, weights that invert the transform, and units told apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_dainr.errors import InputError
from napari_dainr.trajectory import (
    GOLDEN_ANGLE_DEG,
    Geometry,
    fibonacci_numbers,
    is_radial,
    radial_ktraj,
    ramp_dcf,
    spoke_angles,
    to_cycles_per_fov,
)


def _dft(ktraj: NDArray[np.floating], matrix: tuple[int, int]) -> NDArray[np.complex128]:
    """The whole transform as a (sample, pixel) matrix, written out from its definition."""
    k = ktraj.reshape(-1, 2).astype(np.float64)
    y, x = np.meshgrid(*(np.arange(n) - n // 2 for n in matrix), indexing="ij")
    phase = k[:, :1] * y.ravel() / matrix[0] + k[:, 1:] * x.ravel() / matrix[1]
    return np.exp(-2j * np.pi * phase) / np.sqrt(matrix[0] * matrix[1])


def test_golden_angle_does_not_drift() -> None:
    assert pytest.approx(111.24611797498108, abs=1e-12) == GOLDEN_ANGLE_DEG
    k = radial_ktraj(5000, 8, (4, 4))
    angle = 4999 * 180 / ((1 + np.sqrt(5)) / 2) % 360
    assert spoke_angles(k[-1]) == pytest.approx(angle, abs=1e-4)


@pytest.mark.parametrize(("n_readout", "matrix"), [(16, (8, 8)), (17, (9, 7)), (20, (7, 10))])
def test_spokes_run_through_the_centre_from_edge_to_edge(n_readout: int, matrix: tuple[int, int]) -> None:
    k = radial_ktraj(9, n_readout, matrix, first=90.0, oversampling=n_readout / max(matrix))
    assert k.shape == (9, n_readout, 2)
    assert k.dtype == np.float32
    assert (k[:, n_readout // 2] == 0).all()
    # the first spoke at 90 degrees runs along +ky
    assert k[0, -1, 0] > 0
    assert abs(k[0, -1, 1]) < 1e-5
    edge = (n_readout // 2) * max(matrix) / n_readout
    assert k[0, 0, 0] == pytest.approx(-edge * matrix[0] / max(matrix))


@pytest.mark.parametrize(("matrix", "n_spokes"), [((20, 20), 89), ((25, 25), 89), ((24, 18), 89)])
def test_weights_make_the_adjoint_an_inverse(matrix: tuple[int, int], n_spokes: int) -> None:
    ktraj = radial_ktraj(n_spokes, 2 * max(matrix), matrix)
    weights = ramp_dcf(ktraj[None], matrix)[0].ravel()
    y, x = np.meshgrid(*((np.arange(n) - n // 2) / n for n in matrix), indexing="ij")
    image = (np.exp(-90 * (y**2 + x**2)) + 0.7j * np.exp(-120 * ((y - 0.15) ** 2 + (x + 0.1) ** 2))).ravel()
    transform = _dft(ktraj, matrix)
    back = transform.conj().T @ (weights * (transform @ image))
    assert np.linalg.norm(back - image) < 0.04 * np.linalg.norm(image)
    assert abs(np.vdot(image, back) / np.vdot(image, image) - 1) < 0.01


@settings(max_examples=25, deadline=None)
@given(n_spokes=st.integers(1, 60), ny=st.integers(6, 40), nx=st.integers(6, 40), odd=st.booleans())
def test_weights_add_up_to_the_disc(n_spokes: int, ny: int, nx: int, odd: bool) -> None:
    n_readout = 2 * max(ny, nx) + odd
    ktraj = radial_ktraj(n_spokes, n_readout, (ny, nx))
    weights = ramp_dcf(ktraj[None], (ny, nx))
    radius = n_readout / (4 * max(ny, nx))  # fractions of the matrix; the last samples stand for half a step more
    assert weights.sum() == pytest.approx(np.pi * radius**2 * ny * nx, rel=0.02)
    one = ramp_dcf(radial_ktraj(n_spokes, n_readout, (ny, ny))[None], (ny, ny))
    two = ramp_dcf(radial_ktraj(2 * n_spokes, n_readout, (ny, ny))[None], (ny, ny))
    np.testing.assert_allclose(two[0, :n_spokes], one[0] / 2, rtol=2e-3, atol=1e-6)


def test_centre_sample_weighs_its_share_of_the_disc() -> None:
    n = 12
    weights = ramp_dcf(radial_ktraj(n, 32, (16, 16))[None], (16, 16))[0]
    assert weights[:, 16].sum() == pytest.approx(np.pi * 0.25**2, rel=1e-5)


def test_only_straight_central_spokes_are_radial() -> None:
    radial = radial_ktraj(7, 32, (16, 16))
    assert is_radial(radial)
    assert is_radial(radial / 16 + 0.5 / 16 / 2)  # another unit and half a sample off centre, as measured ones are
    assert not is_radial(radial + 8)
    turn = np.linspace(0, 4 * np.pi, 32)
    spiral = np.stack([turn * np.sin(turn), turn * np.cos(turn)], axis=-1)[None]
    assert not is_radial(spiral)
    lines = np.stack(np.broadcast_arrays(np.arange(-4, 4)[:, None], np.arange(-8, 8)[None]), axis=-1)
    assert not is_radial(lines.astype(float))
    assert not is_radial(np.full((3, 8, 2), np.nan))


def test_fibonacci_numbers() -> None:
    assert fibonacci_numbers(34) == [1, 2, 3, 5, 8, 13, 21, 34]
    assert fibonacci_numbers(0) == []


UNITS = {
    "cycles per field of view": 1.0,
    "cycles per encoded field of view": 2.0,
    "cycles per encoded pixel": 1 / 128,
    "cycles per pixel": 1 / 64,
    "radians per pixel": 2 * np.pi / 64,
    "cycles per metre": 1000 / 220,
    "cycles per millimetre": 1 / 220,
}


@pytest.mark.parametrize(("unit", "per_cycle"), UNITS.items())
def test_units_are_told_apart_and_converted(unit: str, per_cycle: float) -> None:
    truth = radial_ktraj(11, 128, (64, 64))
    geometry = Geometry((64, 64), (220.0, 220.0), (128, 128), (440.0, 440.0))
    ktraj, found, doubt = to_cycles_per_fov(truth * per_cycle, geometry)
    assert (found, doubt) == (unit, None)
    np.testing.assert_allclose(ktraj, truth, rtol=1e-5, atol=1e-5)


def test_oblong_field_of_view_keeps_its_shape() -> None:
    truth = radial_ktraj(11, 128, (48, 64))
    geometry = Geometry((48, 64), (165.0, 220.0), (96, 128), (330.0, 440.0))
    physical = truth / np.array([165.0, 220.0])
    ktraj, found, _ = to_cycles_per_fov(physical, geometry)
    assert found == "cycles per millimetre"
    np.testing.assert_allclose(ktraj, truth, rtol=1e-5, atol=1e-5)
    ktraj, found, doubt = to_cycles_per_fov(truth, geometry)
    assert (found, doubt) == ("cycles per field of view", None)
    np.testing.assert_array_equal(ktraj, truth)


def test_a_header_that_forgets_oversampling_raises_a_doubt_not_a_wrong_scale() -> None:
    truth = radial_ktraj(11, 128, (64, 64))
    geometry = Geometry((64, 64), (220.0, 220.0), (64, 64), (220.0, 220.0))
    ktraj, found, doubt = to_cycles_per_fov(truth, geometry)
    assert found == "cycles per field of view"
    assert doubt
    np.testing.assert_allclose(ktraj, truth)


def test_an_unknown_unit_is_an_error() -> None:
    truth = radial_ktraj(11, 128, (64, 64))
    with pytest.raises(InputError, match="fits no known unit"):
        to_cycles_per_fov(truth * 17.0, Geometry((64, 64), (220.0, 220.0), (128, 128), (440.0, 440.0)))
