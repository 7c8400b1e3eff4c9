"""A fitted run, loaded once and drawn as often as one likes: what sliders and deformation fields need.

The exact drawing is bit by bit that of :func:`napari_dainr.engine.render`; the quick one is a preview.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError
from napari_dainr.io.state import load_state
from napari_dainr.machine import cores, torch_on_one_thread
from napari_dainr.methods.base import Method
from napari_dainr.methods.config import TITLES
from napari_dainr.methods.dainr import DainrMethod, DainrState
from napari_dainr.methods.fit import make_method
from napari_dainr.ops.resample import scaled_matrix
from napari_dainr.recipe import Recipe
from napari_dainr.run_folder import RunFolder
from napari_dainr.series_grid import SeriesGrid

__all__ = ["QUICK_VOXELS", "Drawing", "FittedModel"]

QUICK_VOXELS = 69 * 128 * 128
"""Voxels of the largest quick drawing: about 0.7 s of DA-INR on two cores."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawn series; ``exact`` where it is what the command ``render`` draws, else ``note`` says what is less."""

    series: ImageSeries
    exact: bool
    note: str


class FittedModel:
    """The fitted state of a run folder, on the CPU.

    Raises
    ------
    InputError
        If the folder holds no run or no state that is whole.
    """

    def __init__(self, run_folder: Path) -> None:
        run = RunFolder(run_folder)
        recipe = run.recipe().model_copy(update={"device": "cpu"})
        tensors, meta = load_state(run.state_path, as_torch=True)
        self.name = run.path.name
        self.recipe: Recipe = recipe
        self._grid = SeriesGrid.from_meta(meta["geometry"])
        self.method: Method = make_method(recipe.method, recipe.config(), recipe.seed)
        self.state: Any = _ready(self.method.unpack(tensors, torch.device("cpu")))
        self._first = _first_member(self.method, self.state, recipe)

    @property
    def n_frames(self) -> int:
        """Measured frames."""
        return len(self._grid.times_s)

    @property
    def matrix(self) -> tuple[int, int]:
        """(y, x) pixels at scale ratio 1."""
        return self._grid.matrix

    @property
    def unit(self) -> float:
        """What one unit of the method's images is in those of the raw data."""
        return self._grid.unit

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """(y, x) pixel size at scale ratio 1, millimetres."""
        return (self._grid.fov_mm[0] / self.matrix[0], self._grid.fov_mm[1] / self.matrix[1])

    def times_s(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) times of fractional frame indices, seconds from the first spoke."""
        return np.interp(frames, np.arange(self.n_frames), self._grid.times_s)

    def shape(self, scale: float, upsample: int) -> tuple[int, int, int]:
        """(frame, y, x) of an exact drawing."""
        return ((self.n_frames - 1) * upsample + 1, *scaled_matrix(self.matrix, scale))

    def draw(
        self, scale: float = 1.0, upsample: int = 1, *, quick: bool = False, stop: threading.Event | None = None
    ) -> Drawing | None:
        """Draw all frames.

        Parameters
        ----------
        scale, upsample
            Scale ratio r and steps per measured frame, as in a recipe.
        quick
            Draw a preview: by the first network of DA-INR alone, and at no more pixels than make
            :data:`QUICK_VOXELS` with all frames.
        stop
            Looked at every few frames.

        Returns
        -------
        Drawing or None
            None if it was stopped.
        """
        n, y, x = self.shape(scale, upsample)
        drawn_scale = scale
        if quick and n * y * x > QUICK_VOXELS:
            drawn_scale = scale * (QUICK_VOXELS / (n * y * x)) ** 0.5
        alone = quick and self._first is not None
        method, state = self._first if quick and self._first is not None else (self.method, self.state)
        position = np.arange(n) / upsample
        image = self._by_frames(method, state, torch.from_numpy(position.astype(np.float32)), drawn_scale, stop)
        if image is None:
            return None
        recipe = self.recipe.model_copy(update={"scale": scale, "upsample": upsample})
        series = self._grid.series_of(image, position, self.method, self.state, recipe)
        smaller = drawn_scale != scale
        parts = ["by 1 network"] if alone else []
        parts += [f"at {series.image.shape[1]} × {series.image.shape[2]} of {y} × {x} pixels"] if smaller else []
        return Drawing(series, not parts, ", ".join(parts))

    def _by_frames(
        self, method: Method, state: Any, frames: Tensor, scale: float, stop: threading.Event | None
    ) -> Tensor | None:
        """(n, y, x) images; DA-INR a few frames at a time, beside each other where there is one network.

        Its frames are drawn one by one anyway, so the bits are the same. Other methods work on all frames at once.
        """
        if not isinstance(state, DainrState):
            with torch_on_one_thread():
                return method.image(state, frames, scale)
        threads = cores() if len(state.fields) == 1 else 1  # several networks have a thread each already
        parts = torch.split(frames, max(1, len(frames) // (4 * threads)))

        def draw(part: Tensor) -> Tensor | None:
            return None if stop is not None and stop.is_set() else method.image(state, part, scale)

        with torch_on_one_thread(), ThreadPoolExecutor(threads, "dainr-draw") as pool:
            # The first alone: the pixel grid that a field makes once and keeps is not made twice.
            images = [draw(parts[0]), *pool.map(draw, parts[1:])]
        done = [image for image in images if image is not None]
        return torch.cat(done) if len(done) == len(parts) else None

    def displacement(self, frames: Tensor) -> Tensor:
        """(n, y, x, 2) deformation Δ at fractional frame indices, last axis (Δy, Δx) in pixels at scale ratio 1.

        Raises
        ------
        InputError
            If the method has no deformation field, or its fit was stopped before the networks were there.
        """
        if not isinstance(self.method, DainrMethod):
            title = TITLES[self.recipe.method]
            raise InputError(f"{self.name}: {title} has no deformation field; choose a run of DA-INR.")
        if self.state.step <= self.method.steps_before_networks:
            raise InputError(
                f"{self.name}: the fit was stopped before the deformation was fitted; resume it and try again."
            )
        with torch_on_one_thread():
            return self.method.displacement(self.state, frames)


def _ready(state: Any) -> Any:
    """DA-INR draws with averaged weights: put them in place once, not for every drawing.

    It also makes drawing from several threads safe, as nothing is exchanged meanwhile.
    """
    if isinstance(state, DainrState) and state.average is not None and state.average.count > 0:
        with torch.no_grad():
            for parameter, value in zip(state.fields.parameters(), state.average.averaged(), strict=True):
                parameter.copy_(value)
        state.average = None
    return state


def _first_member(method: Method, state: Any, recipe: Recipe) -> tuple[Method, Any] | None:
    """DA-INR with the first of its networks alone; None where there is only one to begin with."""
    if not isinstance(method, DainrMethod) or method.config.members == 1:
        return None
    alone = make_method(recipe.method, method.config.model_copy(update={"members": 1}), recipe.seed)
    return alone, replace(state, fields=state.fields[:1])
