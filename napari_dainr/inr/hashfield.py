"""A hash-encoded field over space and time: (x, y, t) → (Re, Im), all of it learned (Feng et al. [12], Fig. 2 a)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from napari_dainr.inr.coordinates import frame_coordinate, grid_points, pixel_coordinates
from napari_dainr.inr.fitting import side_by_side, sum_gradients
from napari_dainr.inr.hashgrid import HashGrid, HashGridSpec
from napari_dainr.inr.networks import Mlp
from napari_dainr.inr.parallel import get_threads
from napari_dainr.machine import sent

__all__ = ["DrawnFrames", "HashField", "open_levels"]

T = TypeVar("T")


def _dealt(work: Callable[[int], T], n: int, device: torch.device) -> list[T]:
    """``[work(0), …, work(n − 1)]``, dealt out to as many threads as there are, in turn within each."""
    groups = max(1, min(n, get_threads()))
    edges = [n * group // groups for group in range(groups + 1)]
    parts = side_by_side(lambda g: [work(i) for i in range(edges[g], edges[g + 1])], groups, device)
    return [item for part in parts for item in part]


def open_levels(levels: int, progress: float) -> list[float]:
    """Weights of the hash levels, coarse to fine: the first half is open, the others open in turn, each gradually.

    Parameters
    ----------
    progress : float
        0 at the start of the opening, 1 when every level is open.
    """
    first = (levels + 1) // 2
    position = first + (levels - first) * min(max(progress, 0.0), 1.0)
    return [min(max(position - level, 0.0), 1.0) for level in range(levels)]


class DrawnFrames:
    """Frames drawn for a step of a fit, and the way back from their gradient to that of the field's parameters.

    One pass of the hash encoding serves all frames; the perceptron sees one frame at a time, on a thread each.
    """

    def __init__(self, field: HashField, points: Tensor, weights: list[float] | None, n_frames: int) -> None:
        self._field = field
        self._n = n_frames
        self._code = field.grid(points)
        self._leaves = [
            part.detach().requires_grad_() for part in self._code.reshape(n_frames, -1, self._code.shape[1])
        ]
        scale = field.level_scale(weights)
        self._outputs = _dealt(
            lambda frame: field.network(self._leaves[frame] if scale is None else self._leaves[frame] * scale),
            n_frames,
            points.device,
        )

    def image(self, matrix: tuple[int, int]) -> Tensor:
        """(frame, y, x) complex, a leaf that wants a gradient."""
        pixels = torch.stack([output.detach() for output in self._outputs])
        return torch.view_as_complex(pixels).reshape(self._n, *matrix).requires_grad_()

    def gradients(self, slope: Tensor) -> list[Tensor]:
        """Gradients of the field's parameters, in their order, from that of the image, (frame, y, x) complex."""
        slopes = torch.view_as_real(slope.resolve_conj()).reshape(self._n, -1, 2)
        network = list(self._field.network.parameters())
        parts = _dealt(
            lambda frame: torch.autograd.grad(self._outputs[frame], [self._leaves[frame], *network], slopes[frame]),
            self._n,
            slope.device,
        )
        code_slope = torch.cat([part[0] for part in parts])
        (table,) = torch.autograd.grad(self._code, [self._field.grid.table], code_slope)
        return [table, *sum_gradients([part[1:] for part in parts])]


class HashField(nn.Module):
    """Multiresolution hash encoding of (t, y, x), then a perceptron to (Re, Im).

    Parameters
    ----------
    spec : HashGridSpec
        Of 3 dimensions.
    width, depth : int
        Neurons per hidden layer, hidden layers.
    time_extent : float
        How much of the box [−1, 1] the frames span. The grid has as many cells across time as across the image; in a
        part of the box, fewer cells cover all frames, so that neighbouring frames share entries of the table.
    """

    def __init__(
        self, spec: HashGridSpec, width: int, depth: int, time_extent: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.grid = HashGrid(spec, generator)
        self.network = Mlp(spec.width, 2, width, depth, generator)
        self.time_extent = time_extent

    def level_scale(self, weights: list[float] | None) -> Tensor | None:
        """(L·F,) factors on the encoding; None where every level is open."""
        if weights is None or all(weight == 1 for weight in weights):
            return None
        scale = sent(torch.tensor(weights), self.grid.table.device)
        return scale.repeat_interleave(self.grid.spec.features)

    def points(self, frames: Tensor, n_frames: int, matrix: tuple[int, int]) -> Tensor:
        """(n · y · x, 3) positions (t, y, x) of all pixels at fractional frame indices."""
        device = self.grid.table.device
        times = sent(frame_coordinate(frames, n_frames), device) * self.time_extent
        return grid_points(times, *(pixel_coordinates(n, device) for n in matrix))

    def draw(
        self, frames: Tensor, n_frames: int, matrix: tuple[int, int], weights: list[float] | None = None
    ) -> DrawnFrames:
        """Frames with what their gradient needs."""
        return DrawnFrames(self, self.points(frames, n_frames, matrix), weights, int(frames.numel()))

    @torch.no_grad()
    def render(
        self, frames: Tensor, n_frames: int, matrix: tuple[int, int], weights: list[float] | None = None
    ) -> Tensor:
        """(n, y, x) complex, without gradient; a few frames at a time, as the encoding of all can be large."""
        scale = self.level_scale(weights)
        some = max(1, get_threads(), math.ceil(2**18 / (matrix[0] * matrix[1])))
        drawn = []
        for first in range(0, int(frames.numel()), some):
            chunk = frames[first : first + some]
            code = self.grid(self.points(chunk, n_frames, matrix))
            code = code if scale is None else code * scale
            rows = code.reshape(chunk.numel(), -1, code.shape[1])
            drawn += _dealt(lambda i, rows=rows: self.network(rows[i]), chunk.numel(), code.device)  # type: ignore[misc]
        return torch.view_as_complex(torch.stack(drawn).contiguous()).reshape(-1, *matrix)
