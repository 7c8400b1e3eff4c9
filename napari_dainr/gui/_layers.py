"""Image series as napari layers: data, axes, units and the rules by which a layer is reused. No Qt, no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.methods.config import TITLES
from napari_dainr.recipe import Recipe

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer

__all__ = ["LayerData", "SeriesLayer", "display_limits", "layer_data", "layer_name", "run_folder_of"]

AXIS_LABELS = ("t", "y", "x")
UNITS = ("s", "mm", "mm")
LayerData = tuple[NDArray[np.float32], dict[str, Any], str]
"""(magnitude, keywords, layer type), as napari's readers return it."""


def layer_name(recipe: Recipe, name: str) -> str:
    """For instance ``DA-INR · 13 spokes · cine_13``; what tells runs apart comes first, the layer list is narrow."""
    title = TITLES[recipe.method]
    return f"{title} · {recipe.spokes_per_frame} spokes · {name}"


def display_limits(magnitude: NDArray[np.float32]) -> tuple[float, float]:
    """(0, 99.9th percentile) of a series; (0, 1) where it is all zero or not finite.

    Large series are sampled, so that this takes milliseconds on the main thread.
    """
    flat = magnitude.reshape(-1)
    sample = flat[:: max(1, flat.size // 200_000) | 1]
    finite = sample[np.isfinite(sample)]
    top = float(np.percentile(finite, 99.9)) if finite.size else 0.0
    return (0.0, top if top > 0 else 1.0)


def _geometry(series: ImageSeries) -> dict[str, Any]:
    """Scale and translation; the pixel ``n // 2`` is in the middle of the field of view at every size.

    So series that were drawn at different scale ratios lie on each other, also where a size is odd.
    """
    start = float(series.times_s[0]) if series.n_frames else 0.0
    odd = (n % 2 for n in series.image.shape[1:])
    shift = (0.5 * size if half else 0.0 for size, half in zip(series.pixel_mm, odd, strict=True))
    return {"scale": (series.frame_step_s or 1.0, *series.pixel_mm), "translate": (start, *shift)}


def run_folder_of(layer: Layer) -> Path | None:
    """The run folder of the result that a layer shows; None for previews, first looks and layers of others.

    A layer keeps magnitudes only. Whoever wants more of a result (its phase, its model) reads it from there, so nothing
    is held in memory twice.
    """
    facts = layer.metadata.get("dainr")
    run = facts.get("run_folder") if isinstance(facts, dict) else None
    return Path(run) if run is not None and Path(run).is_dir() else None


def _metadata(series: ImageSeries, recipe: Recipe, folder: Path | None = None) -> dict[str, Any]:
    return {
        "dainr": {
            "run_folder": None if folder is None else str(folder),
            "recipe": recipe.model_dump(mode="json"),
            "method": series.method,
            "times_s": series.times_s.tolist(),
            "frame_duration_s": series.frame_duration_s,
            "interpolated": series.interpolated.tolist(),
            "info": {key: value for key, value in series.info.items() if key != "recipe"},
            "notice": RESEARCH_USE,
        }
    }


def layer_data(
    series: ImageSeries,
    recipe: Recipe,
    name: str,
    magnitude: NDArray[np.float32] | None = None,
    folder: Path | None = None,
) -> LayerData:
    """A series as napari layer data: (magnitude (frame, y, x), keywords, ``"image"``).

    ``magnitude`` spares computing it again; ``folder`` is the run folder of a result.
    """
    if magnitude is None:
        magnitude = series.magnitude
    keywords = {
        "name": layer_name(recipe, name),
        "axis_labels": AXIS_LABELS,
        "units": UNITS,
        "colormap": "gray",
        "contrast_limits": display_limits(magnitude),
        "metadata": _metadata(series, recipe, folder),
        **_geometry(series),
    }
    return magnitude, keywords, "image"


class SeriesLayer:
    """One layer that shows one run, from its first preview to its result.

    The layer is held by reference, so it may be renamed; if it was deleted it is added again. Contrast is fixed by the
    first picture; the result sets it once more where the first picture was far off and the user left it alone.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.layer: Image | None = None
        self._own_limits: tuple[float, float] | None = None

    def show(
        self,
        series: ImageSeries,
        magnitude: NDArray[np.float32],
        recipe: Recipe,
        name: str,
        *,
        new_run: bool = False,
        folder: Path | None = None,
    ) -> Image:
        """Put a series into the layer; main thread only.

        Parameters
        ----------
        magnitude : (frame, y, x) float32
            ``series.magnitude``, computed off the main thread.
        new_run
            Rename the layer and choose its contrast afresh.
        folder
            The run folder: this is the result, not a preview.
        """
        layer, final = self.layer, folder is not None
        if layer is None or layer not in self._viewer.layers:
            return self._add(series, magnitude, recipe, name, folder)
        layer.data = magnitude
        for key, value in _geometry(series).items():
            if not np.allclose(getattr(layer, key), value, rtol=1e-9, atol=0):  # each makes napari draw once more
                setattr(layer, key, value)
        if new_run or final:
            layer.metadata = {**layer.metadata, **_metadata(series, recipe, folder)}
        if new_run:
            layer.name = layer_name(recipe, name)
        limits = display_limits(magnitude)
        if new_run or (final and self._untouched() and self._far_off(limits)):
            self._set_limits(layer, limits)
        return layer

    def _add(
        self, series: ImageSeries, magnitude: NDArray[np.float32], recipe: Recipe, name: str, folder: Path | None
    ) -> Image:
        keywords = layer_data(series, recipe, name, magnitude, folder)[1]
        old = self.layer
        if old is not None:  # the user deleted it in mid-run: same looks again
            keywords |= {"name": old.name, "contrast_limits": tuple(old.contrast_limits), "colormap": old.colormap}
        first = not len(self._viewer.layers)
        layer: Image = self._viewer.add_image(magnitude, **keywords)
        self.layer = layer
        self._own_limits = (float(layer.contrast_limits[0]), float(layer.contrast_limits[1]))
        if first:
            self._viewer.canvas.overlays.scale_bar.visible = True
        if first and magnitude.shape[0] > 1:
            self._viewer.dims.set_current_step(0, 0)
        return layer

    def _untouched(self) -> bool:
        assert self.layer is not None
        return self._own_limits is not None and np.allclose(self.layer.contrast_limits, self._own_limits)

    def _far_off(self, limits: tuple[float, float]) -> bool:
        assert self._own_limits is not None
        ratio = limits[1] / self._own_limits[1]
        return not 0.8 < ratio < 1.25

    def _set_limits(self, layer: Image, limits: tuple[float, float]) -> None:
        layer.contrast_limits_range = limits
        layer.contrast_limits = limits
        self._own_limits = limits
