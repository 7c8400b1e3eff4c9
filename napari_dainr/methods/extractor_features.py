"""Features of a pretrained extractor for the canonical network (Sec. III-A3, Table V): f′ in Eq. 6.

The extractor looks at one image per frame, f = E(image), and is applied frame by frame before the fit begins; c′ maps
per frame are then kept. Not in the paper, and decided here: the complex image is shown as its magnitude (or as real
part, imaginary part and magnitude), the maps are centred and scaled as images are, and kept in half precision.
"""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_dainr.inr.coordinates import bilinear_resize
from napari_dainr.inr.extractors import ARCHITECTURES, FeatureExtractor, fetch_weights, load_extractor, weights_folder
from napari_dainr.inr.parallel import get_threads, run_parts
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import DainrConfig
from napari_dainr.ops.resample import fourier_resize

__all__ = ["STEPS", "Extraction", "as_channels", "draw_extracted", "frames_of_step"]

STEPS = 16
"""Steps that extraction is divided into, so that it can be stopped, saved and watched."""
_WORKING_BYTES = 2 << 30
"""What frames that are extracted side by side may take together."""
_MAPS_AT_ONCE = 16


def as_channels(images: Tensor, n_channels: int, shown: str) -> Tensor:
    """What a network is shown of complex images: (n, y, x) → (n, c, y, x).

    Networks for photographs, where 0 is black and 1 white, have three channels or one. They see ``shown``: the
    ``magnitude`` in each channel, or ``complex``: (Re + 1) / 2, (Im + 1) / 2 and the magnitude. A network with two
    channels is one for complex images and sees Re and Im. Images are scaled so that the 99.9th percentile of their
    magnitude is 1 (:class:`Problem`); brighter is not cut off.
    """
    if n_channels == 2:
        return torch.stack([images.real, images.imag], dim=1)
    magnitude = images.abs()
    if shown == "magnitude" or n_channels != 3:
        return magnitude[:, None].expand(-1, n_channels, -1, -1)
    return torch.stack([(images.real + 1) / 2, (images.imag + 1) / 2, magnitude], dim=1)


def _weights_file(extractor: str, given: str) -> Path | None:
    """The file that a setting means: fetched, a path, or a name in the folder where weights are kept."""
    if given == "download":
        return fetch_weights(extractor)
    if not given:
        return None
    path = Path(given).expanduser()
    kept = weights_folder() / path
    return kept if len(path.parts) == 1 and not path.exists() and kept.is_file() else path


def frames_of_step(working_floats: int, images: Tensor, done: int, steps_left: int) -> tuple[int, int]:
    """How many frames are looked at side by side, within the memory that is allowed, and the first one that is left."""
    bytes_per_frame = 4 * working_floats * images.shape[-2] * images.shape[-1]
    on_cpu = images.device.type == "cpu"
    at_once = max(1, min(get_threads(), _WORKING_BYTES // bytes_per_frame)) if on_cpu else 1
    return at_once, min(len(images), done + max(at_once, -(-(len(images) - done) // max(steps_left, 1))))


class Extraction:
    """The extractor of a recipe's settings, applied to a series in steps."""

    makes_images = False
    sees_residual = False

    def __init__(self, config: DainrConfig) -> None:
        self._config = config
        self._extractor: FeatureExtractor | None = None
        self._unit: tuple[Tensor, float] | None = None
        self._unit_of: weakref.ref[Tensor] | None = None

    @property
    def wanted(self) -> bool:
        return self._config.extractor_used != "none"

    @property
    def n_steps(self) -> int:
        return STEPS if self.wanted else 0

    @property
    def title(self) -> str:
        """What the stage is called in a progress bar."""
        return f"{ARCHITECTURES[self._config.extractor].title} features" if self.wanted else ""

    @property
    def notices(self) -> tuple[str, ...]:
        """Which weights are used, once they are loaded: a drawn run needs none."""
        if self._extractor is None:
            return ()
        loaded = self._extractor
        return (f"features by {loaded.title}: {loaded.n_features} maps, {loaded.file}, SHA-256 {loaded.sha256}",)

    def extractor(self, device: torch.device) -> FeatureExtractor:
        """The frozen network, loaded at first use.

        Raises
        ------
        InputError
            If its file is missing or is not what it should be.
        """
        if self._extractor is None:
            config = self._config
            path = _weights_file(config.extractor, config.extractor_weights)
            self._extractor = load_extractor(config.extractor, path, config.extractor_sha256)
        return self._extractor.to(device)

    def n_features(self, device: torch.device) -> int:
        return self.extractor(device).n_features

    def begin(self, images: Tensor) -> Tensor:
        """Room for the maps of all frames, (frame, y, x, f) float16."""
        return torch.zeros(*images.shape, self.n_features(images.device), dtype=torch.float16, device=images.device)

    @torch.no_grad()
    def go_on(
        self, problem: Problem, images: Tensor, residual: Tensor | None, features: Tensor, done: int, steps_left: int
    ) -> int:
        """Extract some more frames into ``features``; returns how many are done, after the last step all.

        Every frame is computed alone and by one thread, so the bits depend neither on the number of threads nor on
        where a run was stopped.
        """
        extractor = self.extractor(images.device)
        centre, size = self._unit_for(extractor, images)
        at_once, end = frames_of_step(extractor.working_floats, images, done, steps_left)

        def extract(part: int) -> None:
            with torch.no_grad():  # the mode is a thread's own
                for frame in range(done + part, end, at_once):
                    maps = self._raw(extractor, images[frame : frame + 1])
                    features[frame] = ((maps - centre) / size).permute(1, 2, 0).to(torch.float16)

        run_parts(extract, at_once)
        return end

    def _raw(self, extractor: FeatureExtractor, image: Tensor) -> Tensor:
        """(1, y, x) complex → (f, y, x)."""
        maps: Tensor = extractor(as_channels(image, extractor.n_channels, self._config.extractor_input))[0]
        return maps

    def _unit_for(self, extractor: FeatureExtractor, images: Tensor) -> tuple[Tensor, float]:
        """Mean of every map, (f, 1, 1), and the one size of all maps, from the frame in the middle of the series.

        The size is the 99.9th percentile, as for images; one for all, so that maps of little content stay small. Kept
        as long as the series is the same, which is not kept from being freed.
        """
        if self._unit is None or self._unit_of is None or self._unit_of() is not images:
            maps = self._raw(extractor, images[len(images) // 2][None])
            centre = maps.mean(dim=(1, 2), keepdim=True)
            size = float(np.percentile((maps - centre).abs().cpu().numpy(), 99.9))
            self._unit, self._unit_of = (centre, max(size, 1e-30)), weakref.ref(images)
        return self._unit


def draw_extracted(features: Tensor, frame: Tensor, matrix: tuple[int, int], upsampling: str, gain: float) -> Tensor:
    """Maps of one (fractional) frame at a matrix: (frame, y, x, f) → (y, x, f) float32, times ``gain``.

    Between frames the maps of the two neighbours are mixed linearly; at other sizes they are drawn by ``bilinear`` (the
    paper) or ``fourier`` interpolation with the centre pixel kept in place.
    """
    position = float(frame.clamp(0, len(features) - 1))
    low = int(position)
    maps = features[low].to(torch.float32)
    if position > low:
        maps = maps * (1 - (position - low)) + features[low + 1].to(torch.float32) * (position - low)
    old = (maps.shape[0], maps.shape[1])
    if old != matrix:
        resize = fourier_resize if upsampling == "fourier" else bilinear_resize
        groups = [
            resize(maps[..., f : f + _MAPS_AT_ONCE].permute(2, 0, 1), matrix).real
            for f in range(0, maps.shape[-1], _MAPS_AT_ONCE)
        ]
        maps = torch.cat(groups).permute(1, 2, 0)
    return maps * gain
