"""DA-INR's two networks: a deformation field into a canonical image, and the canonical image itself (Sec. III)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from napari_dainr.inr.coordinates import grid_points, interpolation_matrix, pixel_coordinates
from napari_dainr.inr.encodings import FrequencyEncoding
from napari_dainr.inr.hashgrid import HashGrid, HashGridSpec
from napari_dainr.inr.networks import Mlp

__all__ = ["CanonicalField", "DeformationField", "DynamicField"]


class DeformationField(nn.Module):
    """Ψ_t, Eq. 5: Δx(x, y, t), zero at t = 0.

    Parameters
    ----------
    space_octaves, time_octaves : int
        I of the frequency encodings of (x, y) and of t.
    hash_spec : HashGridSpec or None
        A 3-D hash encoding of (x, y, t) instead of frequencies (Table IV).
    zero : {"switch", "difference"}
        How Δ = 0 at t = 0 is kept: set to zero there as in Eq. 5, or Δ = Ψ_t(x, t) − Ψ_t(x, 0), which is the same
        at t = 0 but continuous in t, so that frames drawn near t = 0 do not jump.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        generator: torch.Generator,
        *,
        space_octaves: int,
        time_octaves: int,
        hash_spec: HashGridSpec | None = None,
        zero: Literal["switch", "difference"] = "switch",
    ) -> None:
        super().__init__()
        self.zero = zero
        self.grid: HashGrid | None = None
        if hash_spec is not None:
            self.grid = HashGrid(hash_spec, generator)
            n_in = hash_spec.levels * hash_spec.features
        else:
            self.space = FrequencyEncoding(2, space_octaves)
            self.time = FrequencyEncoding(1, time_octaves)
            n_in = self.space.n_out + self.time.n_out
        # The first deformation is close to zero, so that the fit starts from the canonical image itself.
        self.network = Mlp(n_in, 2, width, depth, generator, last_gain=0.01)

    def _raw(self, coords: Tensor, time: Tensor) -> Tensor:
        column = time.expand(coords.shape[0], 1)
        if self.grid is not None:
            features = self.grid(torch.cat([coords, column], dim=1))
        else:
            features = torch.cat([self.space(coords), self.time(column)], dim=1)
        out: Tensor = self.network(features)
        return out

    def forward(self, coords: Tensor, time: Tensor) -> Tensor:
        """(n, 2) positions (y, x) in [−1, 1] at one time, a CPU tensor → (n, 2) displacements in the same unit."""
        if float(time) == 0:
            return torch.zeros_like(coords)
        # A constant that is written on the device: copying a number there would make the host wait.
        return self.moved(coords, coords.new_full((1, 1), float(time)))

    def moved(self, coords: Tensor, time: Tensor) -> Tensor:
        """The same at a time that is not 0, given as (1, 1) on the device of the positions."""
        if self.zero == "switch":
            return self._raw(coords, time)
        return self._raw(coords, time) - self._raw(coords, torch.zeros_like(time))


class CanonicalField(nn.Module):
    """Ψ_x, Eq. 6: deformed position and image features → (Re, Im)."""

    def __init__(
        self,
        width: int,
        depth: int,
        generator: torch.Generator,
        *,
        n_features: int,
        hash_spec: HashGridSpec | None,
        octaves: int,
    ) -> None:
        super().__init__()
        self.encoding: HashGrid | FrequencyEncoding
        if hash_spec is not None:
            self.encoding = HashGrid(hash_spec, generator)
            n_in = hash_spec.levels * hash_spec.features
        else:
            self.encoding = FrequencyEncoding(2, octaves)
            n_in = self.encoding.n_out
        self.network = Mlp(n_in + n_features, 2, width, depth, generator)

    def forward(self, coords: Tensor, features: Tensor | None) -> Tensor:
        """(n, 2) positions in [−1, 1] and (n, c′) features → (n, 2)."""
        x = self.encoding(coords)
        if features is not None:
            x = torch.cat([x, features], dim=1)
        out: Tensor = self.network(x)
        return out


class DynamicField(nn.Module):
    """DA-INR as a function of (matrix, t): deformation on a coarse grid, canonical field on every pixel."""

    def __init__(
        self, deformation: DeformationField, canonical: CanonicalField, matrix: tuple[int, int], coarse: int
    ) -> None:
        super().__init__()
        self.deformation = deformation
        self.canonical = canonical
        self.matrix = matrix
        self.coarse = coarse
        self._grids: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def _grid(self, matrix: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pixel positions (n, 2), coarse positions, and the weights that bring a coarse field to the pixels."""
        if matrix not in self._grids:
            fine = [pixel_coordinates(n, device) for n in matrix]
            knots = []
            for n in self.matrix:
                native = pixel_coordinates(n, device)
                count = max(2, -(-(n - 1) // self.coarse) + 1) if self.coarse > 1 else n
                knots.append(torch.linspace(float(native[0]), float(native[-1]), count, device=device))
            if self.coarse == 1:
                knots = fine
            rows, columns = (interpolation_matrix(k, f) for k, f in zip(knots, fine, strict=True))
            self._grids[matrix] = (grid_points(*fine), grid_points(*knots), rows, columns)
        return self._grids[matrix]

    def displacement(self, time: Tensor, matrix: tuple[int, int] | None = None) -> Tensor:
        """Δx at every pixel, (y, x, 2), last axis (Δy, Δx) in units of half the field of view."""
        matrix = matrix or self.matrix
        points = self._grid(matrix, next(self.parameters()).device)[1]
        return self._fine(self.deformation(points, time), matrix)

    def _fine(self, field: Tensor, matrix: tuple[int, int]) -> Tensor:
        """A deformation on the coarse grid brought to the pixels, (y, x, 2)."""
        _, _, rows, columns = self._grid(matrix, field.device)
        if self.coarse == 1:
            return field.reshape(*matrix, 2)
        field = field.reshape(rows.shape[1], columns.shape[1], 2)
        return torch.einsum("yp,pqc,xq->yxc", rows, field, columns)

    def forward(self, time: Tensor, features: Tensor | None, matrix: tuple[int, int] | None = None) -> Tensor:
        """One frame, Eq. 7: features (y, x, c′) at the same matrix → (y, x) complex."""
        matrix = matrix or self.matrix
        return self._image(self.displacement(time, matrix), features, matrix)

    def moved(self, time: Tensor, features: Tensor | None = None) -> Tensor:
        """One frame at the measured matrix and a time that is not 0, given as (1, 1) on the field's device."""
        points = self._grid(self.matrix, time.device)[1]
        return self._image(self._fine(self.deformation.moved(points, time), self.matrix), features, self.matrix)

    def _image(self, displacement: Tensor, features: Tensor | None, matrix: tuple[int, int]) -> Tensor:
        """The canonical image at displaced pixels, (y, x) complex."""
        position = self._grid(matrix, displacement.device)[0] + displacement.reshape(-1, 2)
        flat = None if features is None else features.reshape(position.shape[0], -1)
        return torch.view_as_complex(self.canonical(position, flat).contiguous()).reshape(matrix)
