"""Layers side by side: napari's grid with names in the panels and one window for all; leaving puts everything back."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_dainr.gui._layers import display_limits
from napari_dainr.gui._series_layers import is_derived
from napari_dainr.gui._time_layers import TRUTH, brief_names, is_ours

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer


__all__ = ["GridView"]


NAME_POINTS, MANY, NAME_POINTS_OF_MANY = 8, 4, 7


def _name(layer: Layer) -> dict[str, Any]:
    return {"name": layer.name_overlay.visible, "name_points": layer.name_overlay.font_size}


class GridView:
    """napari's grid for some layers of a viewer.

    The slider is one for all panels anyway, and napari's grid moves their cameras together. Layers in the same unit
    share their contrast limits through napari's layer links; a layer in another unit (a truth of its own scale)
    follows in proportion.

    Signals
    -------
    toggled(bool)
        The grid was entered or left, by whomever.
    """

    toggled = Signal(bool)

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._before: list[tuple[Layer, dict[str, Any]]] | None = None
        self._renamed: list[tuple[Layer, str, str]] = []
        self._grid_before: dict[str, Any] = {}
        self._camera_before: tuple[Any, float] = ((), 1.0)
        self._shown: list[Image] = []
        self._followers: list[tuple[Image, float]] = []
        self._link: Any = None
        self._leader: Image | None = None
        self._changing = False

    @property
    def active(self) -> bool:
        """Whether the grid is shown by this object."""
        return self._before is not None

    def enter(self, layers: Sequence[Image], same_unit: Sequence[Image]) -> None:
        """Show these layers, the oldest at the top left; ``same_unit`` share absolute contrast limits."""
        from napari.experimental import layers_linked

        if not layers:
            return
        self.leave()
        viewer = self._viewer
        self._changing = True
        grid = viewer.canvas.grid
        self._grid_before = {name: getattr(grid, name) for name in ("enabled", "shape", "stride", "spacing")}
        camera = viewer.scene.camera
        self._camera_before = (camera.center, camera.zoom)
        self._before = [(layer, {"visible": layer.visible, **_name(layer)}) for layer in viewer.layers]
        self._shown = list(layers)
        # Maps have been made later, so they are above the series: a row of series, and their maps in the next.
        series = [layer for layer in layers if not is_derived(layer)]
        columns = len(series) if len(series) < len(layers) else ceil(sqrt(len(layers)))
        points = NAME_POINTS_OF_MANY if columns >= MANY else NAME_POINTS
        for layer, before in self._before:
            if hasattr(layer, "contrast_limits"):
                before["contrast_limits"] = tuple(layer.contrast_limits)
            layer.visible = any(layer is one for one in layers)
            layer.name_overlay.visible, layer.name_overlay.font_size = layer.visible, points
        self._shorten(layers)
        self._share_window([one for one in layers if any(one is other for other in same_unit)], layers_linked)
        grid.shape = (-1, columns if len(series) < len(layers) else -1)
        grid.stride, grid.spacing = 1, 6
        grid.enabled = True
        grid.events.enabled.connect(self._grid_toggled)
        viewer.reset_view()
        self._changing = False
        self.toggled.emit(True)

    def _shorten(self, layers: Sequence[Image]) -> None:
        """Short names for our series and truths: a whole one is wider than a panel, and napari cuts what is."""
        for layer, short in zip(layers, brief_names([str(layer.name) for layer in layers]), strict=True):
            if is_ours(layer) or layer.name.startswith(TRUTH):
                whole, layer.name = layer.name, short
                self._renamed.append((layer, whole, layer.name))

    def _share_window(self, same: list[Image], layers_linked: Any) -> None:
        if not same:
            return
        leader = same[0]
        limits = tuple(leader.contrast_limits)
        for layer in same:
            layer.contrast_limits = limits
        if len(same) > 1:
            self._link = layers_linked(same, ("contrast_limits", "gamma"))
            self._link.__enter__()
        top = display_limits(leader.data)[1]
        others = [layer for layer in self._shown if not is_derived(layer) and not any(layer is one for one in same)]
        self._followers = [(layer, display_limits(layer.data)[1] / top) for layer in others if layer.data.size]
        leader.events.contrast_limits.connect(self._follow)
        self._leader = leader
        self._follow()

    def _follow(self, _: object = None) -> None:
        assert self._leader is not None
        low, high = self._leader.contrast_limits
        for layer, factor in self._followers:
            layer.contrast_limits = (low * factor, high * factor)

    def leave(self) -> None:
        """Put back what was before, as far as it is still there."""
        if self._before is None:
            return
        self._changing = True
        viewer, before = self._viewer, self._before
        self._before = None
        grid = viewer.canvas.grid
        grid.events.enabled.disconnect(self._grid_toggled)
        if self._leader is not None:
            self._leader.events.contrast_limits.disconnect(self._follow)
            self._leader = None
        if self._link is not None:
            self._link.__exit__(None, None, None)
            self._link = None
        for name, value in self._grid_before.items():
            setattr(grid, name, value)
        for layer, values in before:
            if layer in viewer.layers:
                layer.visible = values["visible"]
                layer.name_overlay.visible = values["name"]
                layer.name_overlay.font_size = values["name_points"]
                if "contrast_limits" in values:
                    layer.contrast_limits = values["contrast_limits"]
        for layer, whole, short in self._renamed:
            if layer in viewer.layers and layer.name == short:  # or the user gave it another name
                layer.name = whole
        viewer.scene.camera.center, viewer.scene.camera.zoom = self._camera_before
        self._renamed = []
        self._shown, self._followers = [], []
        self._changing = False
        self.toggled.emit(False)

    def forget(self) -> None:
        """The window is gone: there is nothing to put back, and nobody to show it to."""
        self._before, self._leader, self._link = None, None, None
        self._renamed, self._shown, self._followers = [], [], []

    def _grid_toggled(self, _: object = None) -> None:
        """napari's own button was pressed."""
        if not self._changing and not self._viewer.canvas.grid.enabled:
            self._grid_before["enabled"] = False
            self.leave()
