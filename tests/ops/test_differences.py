"""Differences in time and in the plane: their adjoints, the norms that step sizes rely on, and their clipping."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from napari_dainr.ops.spatial import clip_gradient, spatial_gradient, spatial_gradient_adjoint
from napari_dainr.ops.temporal import clip_difference, temporal_difference, temporal_difference_adjoint


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(5, 3, 4), (1, 7, 2), (2, 1, 5)])
@pytest.mark.parametrize(
    ("forward", "adjoint", "bound"),
    [
        (temporal_difference, temporal_difference_adjoint, 4.0),
        (spatial_gradient, spatial_gradient_adjoint, 8.0),
    ],
)
def test_adjoint_and_norm(
    shape: tuple[int, int, int], forward: Callable[[Tensor], Tensor], adjoint: Callable[[Tensor], Tensor], bound: float
) -> None:
    x = draw(*shape)
    d = draw(*forward(x).shape, seed=1)
    left, right = torch.vdot(forward(x).flatten(), d.flatten()), torch.vdot(x.flatten(), adjoint(d).flatten())
    assert adjoint(d).shape == x.shape and abs(left - right) < 1e-5 * (1 + abs(left))
    for _ in range(30):
        x = adjoint(forward(x))
        norm = float(torch.linalg.vector_norm(x))
        x = x / max(norm, 1e-30)
    assert norm <= bound * (1 + 1e-5)


def test_gradient_is_to_the_next_pixel_around_the_edges() -> None:
    x = torch.arange(6.0).reshape(1, 2, 3)
    along_y, along_x = spatial_gradient(x)
    assert along_y.tolist() == [[[3, 3, 3], [-3, -3, -3]]] and along_x.tolist() == [[[1, 1, -2], [1, 1, -2]]]


@pytest.mark.parametrize("bound", [0.3, 2.0])
def test_clipping_projects_on_the_ball(bound: float) -> None:
    """The nearest point of modulus (of length, over both directions) at most ``bound``, phase and direction kept."""
    difference = draw(4, 5, 3)
    clipped = clip_difference(difference, bound)
    assert torch.allclose(clipped.abs(), difference.abs().clamp(max=bound), atol=1e-6)
    assert torch.allclose(clipped * difference.conj(), clipped.abs() * difference.abs() + 0j, atol=1e-5)
    gradient = draw(2, 3, 5, 4, seed=2)
    clipped, length = clip_gradient(gradient, bound), torch.linalg.vector_norm(gradient, dim=0)
    assert torch.allclose(torch.linalg.vector_norm(clipped, dim=0), length.clamp(max=bound), atol=1e-6)
    assert torch.allclose(clipped * length, gradient * length.clamp(max=bound), atol=1e-5)


def test_clipping_to_nothing() -> None:
    assert not clip_difference(draw(2, 3, 3), 0.0).any()
