"""Which regions there are, with every step back and forth. No Qt, no napari."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from psygnal import Signal

from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.regions import ROLES, Region, RegionSet

__all__ = ["NEXT_ROLE", "RegionState"]

NEXT_ROLE = {"AO": "PV", "PV": "LIVER", "LIVER": "OTHER", "LV": "MYO", "MYO": "OTHER", "OTHER": "OTHER"}
"""After a region of one role, the role that is probably drawn next."""
_MOST_STEPS = 200


@dataclass(frozen=True)
class _Copy:
    origin: str
    series: str


class RegionState:
    """The regions of one dock.

    A region counts for every series, unless it is a copy that was made for one series: that one stands in the place of
    its origin there, and nowhere else.

    Signals
    -------
    changed()
        Regions, their order or what they count for.
    selected(str)
        Id of the region in hand; empty for none.
    """

    changed = Signal()
    selected = Signal(str)

    def __init__(self) -> None:
        self.regions = RegionSet()
        self.selection = ""
        self.next_role = "AO"
        self._copies: dict[str, _Copy] = {}
        self._back: list[RegionSet] = []
        self._forth: list[RegionSet] = []
        self._tag: object = None

    # ---------------------------------------------------------------- steps

    def set(self, regions: RegionSet, tag: object = None) -> bool:
        """Take other regions as one step that can be undone; False if they are the same.

        Steps in a row that have the same ``tag`` are one step: a spin box that is held down, for instance.
        """
        if regions == self.regions:
            return False
        if tag is None or tag != self._tag:
            self._back = [*self._back[-_MOST_STEPS:], self.regions]
        self._tag = tag
        self._forth.clear()
        self._take(regions)
        return True

    def undo(self) -> bool:
        """One step back."""
        return self._step(self._back, self._forth)

    def redo(self) -> bool:
        """One step forth."""
        return self._step(self._forth, self._back)

    def _step(self, source: list[RegionSet], target: list[RegionSet]) -> bool:
        if not source:
            return False
        before = self.regions
        target.append(before)
        self._tag = None
        self._take(source.pop())
        back = [region.id for region in self.regions if before.get(region.id) is None]
        if back:
            self.select(back[-1])
        return True

    @property
    def can_undo(self) -> bool:
        return bool(self._back)

    @property
    def can_redo(self) -> bool:
        return bool(self._forth)

    def _take(self, regions: RegionSet) -> None:
        self.regions = regions
        if self.selection and regions.get(self.selection) is None:
            self.select("")
        self.changed.emit()

    def select(self, region_id: str) -> None:
        """Take a region in hand."""
        if region_id != self.selection:
            self.selection = region_id
            self.selected.emit(region_id)

    # ---------------------------------------------------------------- what the user does to one region

    def change(self, region_id: str, tag: object = None, **changes: Any) -> bool:
        """Other fields for one region; raises InputError if they cannot be."""
        region = self.regions.get(region_id)
        return region is not None and self.set(self.regions.put(region.changed(**changes)), tag)

    def rename(self, region_id: str, name: str) -> bool:
        """Another name; an empty one becomes that of the role."""
        return self.change(region_id, name=name)

    def set_role(self, region_id: str, role: str) -> bool:
        """Another role; a name that only says the old role becomes that of the new one."""
        region = self.regions.get(region_id)
        if region is None or region.role == role:
            return False
        title, number = ROLES[region.role].title, region.name.rpartition(" ")
        plain = region.name == title or (number[0] == title and number[2].isdigit())
        name = self.regions.without(region_id).free_name(ROLES[role].title) if plain else region.name
        return self.change(region_id, role=role, name=name)

    def set_threshold(self, region_id: str, part: float | None) -> bool:
        """Read only the part of a region that enhances most; None reads all of it."""
        region = self.regions.get(region_id)
        if region is None or region.outline == "voxel":
            return False
        if part is None:
            return self.change(region_id, kind=region.outline, outline="", fraction=None)
        return self.change(region_id, kind="threshold", outline=region.outline, fraction=part)

    def duplicate(self, region_id: str, shift_mm: tuple[float, float]) -> str:
        """Another region of the same shape, a little aside; its id, empty if there is no such region."""
        region = self.regions.get(region_id)
        if region is None:
            return ""
        twin = region.duplicate(self.regions.free_name(region.name), shift_mm)
        self.set(self.regions.put(twin))
        self.select(twin.id)
        return twin.id

    def remove(self, region_id: str) -> bool:
        """Without a region; a locked one stays."""
        region = self.regions.get(region_id)
        if region is None or region.locked:
            return False
        return self.set(self.regions.without(region_id))

    def copy_to(self, region_id: str, series: str, title: str, shift_mm: tuple[float, float] = (0.0, 0.0)) -> str:
        """A copy that stands in the place of the region in one series, and can be moved by itself there; its id."""
        region = self.regions.get(region_id)
        if region is None:
            return ""
        twin = region.duplicate(self.regions.free_name(f"{region.name} · {title}"), shift_mm)
        made_for = self._copies.get(region.id)
        self._copies[twin.id] = _Copy(made_for.origin if made_for else region.id, series)
        self.set(self.regions.put(twin))
        self.select(twin.id)
        return twin.id

    def counts_for(self, region: Region, series: str) -> bool:
        """Whether a region is read in a series."""
        copy = self._copies.get(region.id)
        if copy is not None:
            return copy.series == series
        return not any(
            other is not None and other.origin == region.id and other.series == series
            for other in (self._copies.get(one.id) for one in self.regions)
        )

    def on(self, geometry: PixelGrid) -> None:
        """Remember the image that the first region is drawn on."""
        if self.regions.geometry is None:
            self.regions = replace(self.regions, geometry=geometry)

    def drew(self, role: str) -> None:
        """Guess the role that is drawn next."""
        later = NEXT_ROLE[role]
        self.next_role = later if self.regions.first(later) is None else "OTHER"
