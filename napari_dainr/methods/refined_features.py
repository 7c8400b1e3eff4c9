"""A feature image that DynRes has looked at: a reconstruction, and what it left of k-space, make a better image.

Where :mod:`napari_dainr.methods.extractor_features` turns an image into maps, this returns an image, which is drawn as
any feature image is. Frame by frame before the fit begins, in steps; each frame by one thread.
"""

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from napari_dainr.inr.extractors import load_extractor
from napari_dainr.inr.extractors.dynres import DynRes, Shown
from napari_dainr.inr.parallel import run_parts
from napari_dainr.methods.base import Problem
from napari_dainr.methods.extractor_features import STEPS, frames_of_step
from napari_dainr.methods.primal_dual import noise_level
from napari_dainr.paged import paged_empty

__all__ = ["TAKEN", "Refinement"]

TAKEN = 0.7
"""What is taken of the correction: real series differ from the simulated ones of the training, and on all that were
tried this much of it brought more than the whole. docs/explanation/methods.md has the figures."""


class Refinement:
    """DynRes applied to a series in steps; the same questions are answered as by ``Extraction``."""

    wanted = True
    makes_images = True
    sees_residual = True
    n_steps = STEPS + 1
    title = f"{DynRes.title} features"

    def __init__(self) -> None:
        self._network: DynRes | None = None
        self._shown: tuple[weakref.ref[Tensor], Shown] | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        """Which weights are used, once they are loaded: a drawn run needs none."""
        if self._network is None:
            return ()
        return (f"the feature is refined by {DynRes.title}, SHA-256 {self._network.sha256}",)

    def n_features(self, device: torch.device) -> int:
        """Real and imaginary part; the weights are loaded, so that what is wrong with them is said before the fit."""
        self._loaded()
        return 2

    def begin(self, images: Tensor) -> Tensor:
        """Room for the refined frames, (frame, y, x) complex."""
        return paged_empty(images)

    @torch.no_grad()
    def go_on(
        self, problem: Problem, images: Tensor, residual: Tensor | None, features: Tensor, done: int, steps_left: int
    ) -> int:
        """Refine some more frames into ``features``; returns how many are done, after the last step all."""
        assert residual is not None  # made by the step before
        network = self._loaded().to(images.device)
        shown = self._shown_of(problem, images, residual)
        at_once, end = frames_of_step(network.working_floats, images, done, steps_left)

        def refine(part: int) -> None:
            with torch.no_grad():  # the mode is a thread's own
                for frame in range(done + part, end, at_once):
                    whole = shown.corrected(network(shown.frame(frame)[None])[0], frame)
                    features[frame] = torch.lerp(images[frame], whole, TAKEN)

        run_parts(refine, at_once)
        if end == len(images):
            self._shown = None  # as large as both series
        return end

    def _loaded(self) -> DynRes:
        if self._network is None:
            network = load_extractor("dynres")
            assert isinstance(network, DynRes)  # by its name
            self._network = network
        return self._network

    def _shown_of(self, problem: Problem, images: Tensor, residual: Tensor) -> Shown:
        """The series as it is shown, kept as long as it is the same, which is not kept from being freed."""
        if self._shown is None or self._shown[0]() is not images:
            self._shown = weakref.ref(images), Shown(images, residual, noise_level(problem))
        return self._shown[1]
