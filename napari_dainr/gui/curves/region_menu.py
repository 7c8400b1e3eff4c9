"""What the menu of a region offers beyond its name, role and lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from qtpy.QtWidgets import QMenu

from napari_dainr.gui.curves.present import short
from napari_dainr.gui.curves.reading import Look
from napari_dainr.gui.curves.state import RegionState

__all__ = ["PARTS", "add_entries"]

PARTS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75)
"""Parts of a region that a threshold can keep."""


def add_entries(
    menu: QMenu, region_id: str, state: RegionState, looks: Sequence[Look], duplicate: Callable[[], None]
) -> None:
    """Duplicate, copy to a series, threshold."""
    region = state.regions.get(region_id)
    if region is None:
        return

    def entry(into: QMenu, text: str, do: Callable[[], object], tip: str = "", on: bool | None = None) -> None:
        action = into.addAction(text)
        if action is not None:
            action.setToolTip(tip)
            action.setCheckable(on is not None)
            action.setChecked(bool(on))
            action.triggered.connect(lambda _=False: do())

    entry(menu, "Duplicate", duplicate)
    copies = QMenu("Copy to series", menu)
    copies.setToolTipsVisible(True)
    tip = "A copy for this series alone, to be moved by itself; the original is not read there."
    for look in looks:
        title = short(look.title)
        entry(copies, title, partial(state.copy_to, region_id, look.key, title), tip)
    menu.addMenu(copies)
    if region.outline == "voxel":
        return
    parts = QMenu("Threshold inside", menu)
    entry(parts, "All pixels", lambda: state.set_threshold(region_id, None), on=region.kind != "threshold")
    for part in PARTS:
        entry(
            parts,
            f"The {part:.0%} that enhance most",
            partial(state.set_threshold, region_id, part),
            on=region.fraction == part,
        )
    menu.addMenu(parts)
