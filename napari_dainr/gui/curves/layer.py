"""The regions as a plain napari Shapes layer: what is drawn there is read, what is undone or loaded is written. No Qt.

The layer belongs to the user as much as to this program: napari's own tools, the features table and other plugins may
change it at any time, and lines and paths in it are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_dainr.analysis.regions import ROLES, Region, RegionSet
from napari_dainr.gui.curves.shapes import (
    COLUMNS,
    Drawing,
    Place,
    features_of,
    region_of,
    rows_of,
    same_data,
    same_place,
    stamped,
    with_locked,
)
from napari_dainr.gui.curves.state import RegionState
from napari_dainr.gui.curves.style import region_colour

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Shapes

__all__ = ["NAME", "TOOLS", "RegionLayer"]

NAME = "Regions"
KEPT = "napari-dainr regions"
"""Key of the layer's metadata: what a dock that is opened later cannot see in the shapes."""
TOOLS = {
    "ellipse": "add_ellipse",
    "rectangle": "add_rectangle",
    "polygon": "add_polygon",
    "freehand": "add_polygon_lasso",
    "voxel": "pan_zoom",
    "threshold": "add_ellipse",
}
"""Kind of region → the mode of the layer in which it is drawn."""


class RegionLayer:
    """Keeps a Shapes layer and a :class:`RegionState` the same.

    Signals
    -------
    moved()
        Something is being dragged or drawn; :meth:`live` says how it is now.
    armed_changed(str)
        Kind of region that the next drag draws; empty for none.
    told(str)
        One sentence for the user.
    """

    moved = Signal()
    armed_changed = Signal(str)
    told = Signal(str)

    def __init__(self, viewer: ViewerModel, state: RegionState) -> None:
        self._viewer = viewer
        self.state = state
        self.layer: Shapes | None = None
        self.armed = ""
        self._busy = False
        self._new_id = str(uuid4())
        self._pixel = (1.0, 1.0)
        self._n_layers = 0
        self.keys: dict[str, Callable[..., Any]] = {}
        viewer.layers.events.removed.connect(self._removed)
        state.changed.connect(self.write)
        state.selected.connect(self._show_selection)

    # ---------------------------------------------------------------- the layer

    def ensure(self, over: Image) -> Shapes:
        """The layer, made anew over an image if there is none."""
        if self.layer is not None and self.layer in self._viewer.layers:
            return self.layer
        ny, nx = over.data.shape[-2:]
        self._pixel = (abs(float(over.scale[-2])), abs(float(over.scale[-1])))
        layer: Shapes = self._viewer.add_shapes(
            ndim=2, name=NAME, scale=over.scale[-2:], translate=over.translate[-2:], units=over.units[-2:],
            axis_labels=over.axis_labels[-2:], face_color="transparent", edge_color=ROLES["AO"].colour,
            edge_width=max(ny, nx) / 160, opacity=0.95,
            features={name: np.empty(0, dtype=object) for name in COLUMNS},
            text={
                "string": "{name}", "size": 10, "anchor": "upper_left", "translation": [-0.02 * ny, 0],
                "color": "white",
            },
        )  # fmt: skip
        self._adopt_layer(layer)
        self.write()
        return layer

    def _adopt_layer(self, layer: Shapes) -> None:
        self.layer = layer
        layer.events.set_data.connect(self._stirred)
        layer.events.data.connect(self._edited)
        layer.events.features.connect(self._edited)
        layer.events.highlight.connect(self._selected_there)
        layer.events.mode.connect(self._mode_changed)
        layer.mouse_drag_callbacks.append(self._clicked)
        for key, do in self.keys.items():
            layer.bind_key(key, do, overwrite=True)

    def take_existing(self) -> None:
        """Go on with a layer of regions that is there already, from an earlier dock."""
        from napari.layers import Shapes

        for layer in self._viewer.layers:
            if isinstance(layer, Shapes) and layer.ndim == 2 and {"id", "role", "kind"} <= set(layer.features):
                self._pixel = (abs(float(layer.scale[0])), abs(float(layer.scale[1])))
                self._adopt_layer(layer)
                kept = layer.metadata.get(KEPT)
                if isinstance(kept, str):
                    self.state.regions = RegionSet.from_json(kept, NAME)
                self._edited()
                return

    def stay_on_top(self) -> None:
        """Regions lie over a series that came later; where the user puts the layer after that is left alone."""
        layers = self._viewer.layers
        grown, self._n_layers = len(layers) > self._n_layers, len(layers)
        # Not "is": a dock that napari opens from its menu is handed proxies of viewer and layers.
        if grown and self.layer is not None and self.layer in layers and layers[-1] != self.layer:
            layers.move(layers.index(self.layer), len(layers))

    def _removed(self, _: object = None) -> None:
        if self.layer is None or self.layer in self._viewer.layers:
            return
        self._let_go()
        self._set_armed("")
        self.state.set(RegionSet((), self.state.regions.geometry))

    def _let_go(self) -> None:
        layer, self.layer = self.layer, None
        if layer is None:
            return
        layer.events.set_data.disconnect(self._stirred)
        layer.events.data.disconnect(self._edited)
        layer.events.features.disconnect(self._edited)
        layer.events.highlight.disconnect(self._selected_there)
        layer.events.mode.disconnect(self._mode_changed)
        if self._clicked in layer.mouse_drag_callbacks:
            layer.mouse_drag_callbacks.remove(self._clicked)
        for key in self.keys:
            layer.bind_key(key, None)

    def close(self) -> None:
        """Let go; the layer stays."""
        self._viewer.layers.events.removed.disconnect(self._removed)
        self.state.changed.disconnect(self.write)
        self.state.selected.disconnect(self._show_selection)
        self._let_go()

    # ---------------------------------------------------------------- tools

    def arm(self, kind: str, over: Image) -> None:
        """Make the next drag (or click) in the picture draw a region of a kind."""
        layer = self.ensure(over)
        layer.visible = True
        self._viewer.layers.selection.active = layer
        self._defaults()
        self._busy = True  # the mode is ours
        try:
            layer.selected_data = set()
            layer.mode = TOOLS[kind]
        finally:
            self._busy = False
        self._set_armed(kind)

    def disarm(self, mode: str = "select") -> None:
        """Back to choosing and moving."""
        if not self.armed:
            return
        self._set_armed("")
        if self.layer is not None:
            self.layer.mode = mode

    def _set_armed(self, kind: str) -> None:
        if kind != self.armed:
            self.armed = kind
            self.armed_changed.emit(kind)

    def _mode_changed(self, *_: object) -> None:
        if self.armed and not self._busy and self.layer is not None and str(self.layer.mode) != TOOLS[self.armed]:
            self._set_armed("")

    def refresh_defaults(self) -> None:
        """The next role was chosen: show it on what is drawn next."""
        self._defaults()

    def _defaults(self) -> None:
        """What a shape that is being drawn is called and how it looks."""
        layer, role = self.layer, self.state.next_role
        if layer is None:
            return
        with self._writing():
            name = self.state.regions.free_name(ROLES[role].title)
            layer.feature_defaults = {
                "id": "", "name": name, "role": role, "kind": self.armed, "fraction": np.nan, "locked": False,
                "arrival_s": np.nan,
            }  # fmt: skip
            if not layer.selected_data:
                layer.current_edge_color = ROLES[role].colour
                layer.current_face_color = "transparent"

    def _clicked(self, layer: Shapes, event: Any) -> Iterator[None]:
        """A click places a voxel while that tool is armed; a drag still moves the picture."""
        if self.armed != "voxel":
            return
        at, dragged = np.asarray(event.position[-2:], dtype=np.float64), False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        if not dragged:
            self.add(Region(at[None], "voxel", self.state.next_role, self._next_name()))
            self.disarm()

    def _next_name(self) -> str:
        return self.state.regions.free_name(ROLES[self.state.next_role].title)

    def add(self, region: Region) -> None:
        """One more region, taken in hand."""
        self.state.set(self.state.regions.put(region))
        self.state.select(region.id)
        self.state.drew(region.role)
        self._defaults()

    # ---------------------------------------------------------------- reading

    def _found(self) -> tuple[list[Region], list[int]]:
        """Regions under the hand, and the numbers of the shapes that are none."""
        layer, known = self.layer, self.state.regions
        assert layer is not None
        place, found, others = Place.of(layer), list[Region](), list[int]()
        new_id = self._new_id
        shapes = zip(rows_of(layer), layer.data, layer.shape_type, strict=True)
        for number, (row, data, shape) in enumerate(shapes):
            region_id = str(row.get("id") or "")
            fresh = not region_id or any(region.id == region_id for region in found)
            so_far = RegionSet((*found, *(region for region in known if all(region.id != one.id for one in found))))
            new = Drawing(new_id, self.armed, self.state.next_role, str(layer.mode), so_far.free_name)
            before = None if fresh else known.get(region_id)
            region = region_of(str(shape), place.to_world(data), row, before, fresh, new)
            if region is None:
                others.append(number)
                continue
            if before is not None and (before.locked or same_place(before, region, place)):
                region = before.changed(name=region.name, role=region.role)
            new_id = str(uuid4()) if fresh else new_id
            found.append(region)
        return found, others

    def live(self) -> RegionSet:
        """The regions as they are under the hand; locked ones as they were."""
        if self.layer is None:
            return self.state.regions
        return replace(self.state.regions, regions=tuple(self._found()[0]))

    # ---------------------------------------------------------------- events of the layer

    @contextmanager
    def _writing(self) -> Iterator[None]:
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def _stirred(self, *_: object) -> None:
        if not self._busy:
            self.moved.emit()

    def _edited(self, event: Any = None) -> None:
        """Something was drawn, moved, deleted, pasted or renamed: take it over."""
        action = getattr(event, "action", None)
        if (
            self._busy
            or self.layer is None
            or str(getattr(action, "value", action)) in ("adding", "changing", "removing")
        ):
            return
        if len(self.layer.features) > self.layer.nshapes:  # a polygon that was given up leaves its row behind
            with self._writing():
                self.layer.features = self.layer.features.iloc[: self.layer.nshapes]
        before, armed = self.state.regions, self.armed
        known = {region.id for region in before}
        found = self.live()
        drawn = [region for region in found if region.id not in known]
        if armed and drawn:
            found = found.put(stamped(drawn[-1], self._pixel))
        regions, kept = with_locked(found, before)
        if kept:
            self.told.emit(f"{kept[0]} is locked; unlock it to delete it.")
        self._new_id = str(uuid4())
        if not self.state.set(regions):
            self.write()
        if drawn:
            self.state.select(drawn[-1].id)
            self.state.drew(drawn[-1].role)
            if armed:
                self.disarm()
            self._defaults()

    def _selected_there(self, *_: object) -> None:
        layer = self.layer
        if layer is None or self._busy or len(layer.selected_data) != 1:
            return
        number = next(iter(layer.selected_data))
        rows = rows_of(layer)
        region_id = str(rows[number].get("id") or "") if number < len(rows) else ""
        if self.state.regions.get(region_id) is not None:
            self.state.select(region_id)

    # ---------------------------------------------------------------- writing

    def _show_selection(self, region_id: str) -> None:
        layer = self.layer
        if layer is None or not region_id:
            return
        ids = [str(row.get("id") or "") for row in rows_of(layer)]
        if region_id in ids and layer.selected_data != {ids.index(region_id)}:
            with self._writing():
                layer.selected_data = {ids.index(region_id)}

    def write(self) -> None:
        """Bring the layer to what the regions are; shapes that are no regions stay."""
        layer = self.layer
        if layer is None:
            return
        regions, place, rows = self.state.regions.regions, Place.of(layer), rows_of(layer)
        others = self._found()[1]
        shapes = [place.shape(region) for region in regions]
        shapes += [(np.asarray(layer.data[number]), str(layer.shape_type[number])) for number in others]
        features = features_of(regions, [rows[number] for number in others])
        colours = [region_colour(region, regions) for region in regions] + ["white"] * len(others)
        with self._writing():
            if not self._is_there(shapes):
                if layer.nshapes:
                    layer.selected_data = set()
                    layer.remove(list(range(layer.nshapes)))
                if shapes:
                    layer.add(shapes, edge_color=colours, face_color="transparent")
            layer.features = features
            if shapes:
                layer.edge_color = colours
            layer.metadata[KEPT] = replace(self.state.regions, regions=()).to_json()
            layer.refresh()
        self._show_selection(self.state.selection)
        self._defaults()

    def _is_there(self, shapes: list[tuple[NDArray[np.float64], str]]) -> bool:
        layer = self.layer
        assert layer is not None
        if len(shapes) != layer.nshapes:
            return False
        return all(
            str(there) == kind and same_data(data, points)
            for (points, kind), data, there in zip(shapes, layer.data, layer.shape_type, strict=True)
        )
