"""Where pixels and frames sit, and what is drawn between them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from napari_dainr.inr.coordinates import (
    bilinear_resize,
    frame_coordinate,
    frame_indices,
    interpolation_matrix,
    pixel_coordinates,
    pixel_grid,
)


@pytest.mark.parametrize("n", [7, 8, 33])
@pytest.mark.parametrize("scale", [1.5, 2])
def test_centre_pixel_stays_at_zero(n: int, scale: float) -> None:
    for size in (n, round(n * scale)):
        x = pixel_coordinates(size)
        assert float(x[size // 2]) == 0 and float(x[1] - x[0]) == pytest.approx(2 / size)


def test_grid_runs_over_rows_first() -> None:
    grid = pixel_grid((5, 4)).reshape(5, 4, 2)
    assert torch.equal(grid[:, 2, 0], pixel_coordinates(5)) and torch.equal(grid[3, :, 1], pixel_coordinates(4))


def test_frames_sit_about_the_middle_one() -> None:
    assert frame_coordinate(frame_indices(None, 5), 5).tolist() == pytest.approx([-0.8, -0.4, 0, 0.4, 0.8])
    assert frame_indices(torch.tensor([1, 3]), 5).tolist() == [1.0, 3.0]


def test_interpolation_is_exact_for_straight_lines() -> None:
    source, target = torch.linspace(-1, 1, 9), torch.tensor([-1.5, -0.93, 0.0, 0.4, 1.0, 1.2])
    drawn = interpolation_matrix(source, target) @ (3 * source - 1)
    assert torch.allclose(drawn, 3 * target.clamp(-1, 1) - 1, atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [((6, 9), (9, 13)), ((8, 5), (12, 5)), ((7, 7), (4, 4)), ((1, 3), (2, 6))])
def test_bilinear_resize_is_interpolation_about_the_centre_pixel(old: tuple[int, int], new: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.standard_normal((2, *old)) + 1j * rng.standard_normal((2, *old))
    at = [(np.arange(m) - m // 2) * n / m + n // 2 for n, m in zip(old, new, strict=True)]
    grid = np.stack(np.meshgrid(*at, indexing="ij"))
    expected = np.stack([map_coordinates(f.real, grid, order=1, mode="nearest") for f in image]) + 1j * np.stack(
        [map_coordinates(f.imag, grid, order=1, mode="nearest") for f in image]
    )
    found = bilinear_resize(torch.from_numpy(image), new).numpy()
    assert found.dtype == image.dtype and np.allclose(found, expected, atol=1e-12)
    assert np.allclose(found[:, new[0] // 2, new[1] // 2], image[:, old[0] // 2, old[1] // 2])
    single = bilinear_resize(torch.from_numpy(image.real.astype(np.float32)), new)
    assert single.dtype == torch.float32 and np.allclose(single.numpy(), expected.real, atol=1e-5)
