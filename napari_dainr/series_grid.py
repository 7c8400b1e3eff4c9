"""What turns a fitted state into a series of images: times, size and unit, kept beside the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.data import BinnedKSpace, ImageSeries
from napari_dainr.methods.base import Method
from napari_dainr.paged import let_go_all, paged_empty
from napari_dainr.plane import Plane, plane_of
from napari_dainr.recipe import Recipe

__all__ = ["SeriesGrid"]


@dataclass(frozen=True)
class SeriesGrid:
    """Times of the measured frames (seconds), matrix and field of view (y, x), the unit of the scaled image, and where
    the slice lies in the patient, if that is known.
    """

    times_s: tuple[float, ...]
    frame_duration_s: float
    matrix: tuple[int, int]
    fov_mm: tuple[float, float]
    unit: float
    plane: Plane | None = None

    @classmethod
    def of(cls, binned: BinnedKSpace, unit: float) -> SeriesGrid:
        times = tuple(float(t) for t in binned.times_s)
        return cls(times, binned.frame_duration_s, binned.matrix, binned.fov_mm, unit, binned.plane)

    @classmethod
    def from_meta(cls, meta: Mapping[str, Any]) -> SeriesGrid:
        return cls(
            tuple(meta["times_s"]),
            meta["frame_duration_s"],
            tuple(meta["matrix"]),
            tuple(meta["fov_mm"]),
            meta["unit"],
            plane_of(meta.get("plane")),  # states of older versions do not say
        )

    def meta(self) -> dict[str, Any]:
        return {
            "times_s": list(self.times_s),
            "frame_duration_s": self.frame_duration_s,
            "matrix": list(self.matrix),
            "fov_mm": list(self.fov_mm),
            "unit": self.unit,
            "plane": None if self.plane is None else self.plane.facts(),
        }

    def preview(self, method: Method, state: Any, recipe: Recipe) -> ImageSeries:
        """A quick look at the measured frames."""
        return self.series_of(
            method.preview(state), np.arange(len(self.times_s), dtype=np.float64), method, state, recipe
        )

    def series(self, method: Method, state: Any, recipe: Recipe) -> ImageSeries:
        """Draw the state as the recipe asks.

        Temporal upsampling by k gives (n − 1)·k + 1 frames: the measured times are kept and none lies beyond them.
        """
        n, k = len(self.times_s), recipe.upsample
        position = np.arange((n - 1) * k + 1) / k
        frames = None if k == 1 else torch.from_numpy(position.astype(np.float32))
        return self.series_of(method.image(state, frames, recipe.scale), position, method, state, recipe)

    def series_of(
        self, image: Tensor, position: NDArray[np.float64], method: Method, state: Any, recipe: Recipe
    ) -> ImageSeries:
        """A drawn tensor with its times; ``position`` holds fractional frame indices."""
        pixels = image.shape[-2:]
        scaled = paged_empty(image)
        for number, frame in enumerate(image):
            torch.mul(frame, self.unit, out=scaled[number])
            let_go_all(number)
        return ImageSeries(
            image=scaled.cpu().numpy().astype(np.complex64, copy=False),
            times_s=np.interp(position, np.arange(len(self.times_s)), self.times_s),
            pixel_mm=(self.fov_mm[0] / pixels[0], self.fov_mm[1] / pixels[1]),
            frame_duration_s=self.frame_duration_s,
            interpolated=position != np.round(position),
            method=recipe.method,
            plane=self.plane,
            info={
                "recipe": recipe.shareable(),
                "step": state.step,
                "n_steps": method.n_steps,
                "stage": method.stage(state),
            },
        )
