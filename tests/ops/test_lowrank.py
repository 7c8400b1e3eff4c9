"""Partitions, and the maps on singular values, against NumPy's singular value decomposition and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_dainr.ops.lowrank import (
    CHUNK,
    Partition,
    clip_singular_values,
    in_chunks,
    nuclear_norm,
    singular_values,
)


def some_matrices(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("start", [(0, 0), (2, 4), (4, 1)])
@pytest.mark.parametrize("block", [None, 5, 64])
def test_partition_holds_every_pixel_once(block: int | None, start: tuple[int, int]) -> None:
    series = some_matrices(3, 33, 28)
    partition = Partition((33, 28), block, start)
    blocks = partition.split(series)
    assert blocks.shape[1] == 3
    assert torch.equal(partition.join(blocks), series)
    assert int((blocks != 0).sum()) == series.numel()


def test_join_is_the_adjoint_of_split() -> None:
    partition = Partition((11, 7), 4, (2, 1))
    series = some_matrices(2, 11, 7)
    blocks = some_matrices(len(partition.split(series)), 2, 16, seed=1)
    left = torch.vdot(partition.split(series).flatten(), blocks.flatten())
    right = torch.vdot(series.flatten(), partition.join(blocks).flatten())
    assert abs(left - right) < 1e-5 * abs(left)


def test_shift_moves_the_seams() -> None:
    ramp = torch.arange(8.0).reshape(1, 1, 8).expand(1, 8, 8) + 0j
    plain, shifted = Partition((8, 8), 4).split(ramp), Partition((8, 8), 4, (2, 2)).split(ramp)
    assert plain[0].real.unique().tolist() == [0, 1, 2, 3]
    assert shifted[4].real.unique().tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("shape", [(4, 5, 16), (3, 9, 4), (2, 1, 7)])
def test_clipping_is_the_closed_form(shape: tuple[int, int, int]) -> None:
    matrices = some_matrices(*shape)
    u, s, v = np.linalg.svd(matrices.numpy().astype(complex), full_matrices=False)
    radius = float(np.median(s))
    clipped = (u * np.minimum(s, radius)[:, None, :]) @ v
    assert np.allclose(clip_singular_values(matrices, radius).numpy(), clipped, atol=2e-5)


def test_what_clipping_takes_away_is_the_prox_of_the_nuclear_norm() -> None:
    """Moreau: no nearby matrix has a smaller ½‖Z − M‖² + λ‖Z‖_*, with the norm from NumPy."""
    matrix, lam = some_matrices(6, 11), 2.5

    def value(z: Tensor) -> float:
        norm = np.linalg.svd(z.numpy().astype(complex), compute_uv=False).sum()
        return float(0.5 * (np.abs((z - matrix).numpy().astype(complex)) ** 2).sum() + lam * norm)

    found = matrix - clip_singular_values(matrix, lam)
    assert np.linalg.matrix_rank(found.numpy(), tol=1e-4) < 6
    for seed in range(20):
        step = some_matrices(6, 11, seed=seed + 1)
        assert value(found + 1e-2 * step) > value(found)


@pytest.mark.parametrize("size", [0.0, 1e-25, 1e-12, 1e12])
def test_extreme_sizes_stay_finite(size: float) -> None:
    matrices = some_matrices(3, 6, 9) * size
    for result in (clip_singular_values(matrices, 0.5), nuclear_norm(matrices)):
        assert bool(torch.isfinite(torch.view_as_real(result) if result.is_complex() else result).all())
    if size < 1:
        assert torch.allclose(clip_singular_values(matrices, 0.5), matrices, rtol=1e-5)


def test_singular_values_are_numpys() -> None:
    matrices = some_matrices(3, 6, 20)
    assert np.allclose(singular_values(matrices).numpy()[:, ::-1], np.linalg.svd(matrices.numpy(), compute_uv=False))


def test_gradient_of_the_nuclear_norm_against_finite_differences() -> None:
    matrix = some_matrices(5, 13).requires_grad_()
    nuclear_norm(matrix).backward()
    assert matrix.grad is not None

    def norm(z: Tensor) -> float:
        return float(np.linalg.svd(z.detach().numpy().astype(complex), compute_uv=False).sum())

    for seed in range(5):
        direction = some_matrices(5, 13, seed=seed + 1)
        slope = (norm(matrix + 1e-3 * direction) - norm(matrix - 1e-3 * direction)) / 2e-3
        assert float(torch.vdot(matrix.grad.flatten(), direction.flatten()).real) == pytest.approx(slope, rel=1e-3)


def test_a_still_series_has_a_subgradient() -> None:
    """At rank 1, where the norm has a kink: ‖Z‖_* ≥ ‖M‖_* + ⟨G, Z − M⟩ for every Z."""
    still = some_matrices(1, 13).expand(6, 13).clone().requires_grad_()
    nuclear_norm(still).backward()
    assert still.grad is not None
    assert float(torch.linalg.matrix_norm(still.grad, 2)) == pytest.approx(1, rel=1e-4)
    here = float(nuclear_norm(still.detach()))
    for seed in range(10):
        other = still.detach() + some_matrices(6, 13, seed=seed + 1)
        gain = float(torch.vdot(still.grad.flatten(), (other - still.detach()).flatten()).real)
        assert float(nuclear_norm(other)) >= here + gain - 1e-3


def test_chunks_change_nothing() -> None:
    blocks = some_matrices(2 * CHUNK + 3, 4, 9)
    together = in_chunks(lambda some: clip_singular_values(some, 1.0), blocks)
    assert torch.allclose(together, clip_singular_values(blocks, 1.0), atol=1e-6)
    for first in range(0, len(blocks), CHUNK):  # the same bits from any group of whole chunks
        alone = in_chunks(lambda some: clip_singular_values(some, 1.0), blocks[first : first + CHUNK])
        assert torch.equal(alone, together[first : first + CHUNK])
