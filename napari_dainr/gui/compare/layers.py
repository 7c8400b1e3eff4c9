"""Layers to choose from: a list with check marks that follows the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem

if TYPE_CHECKING:
    from napari.layers import Image

__all__ = ["LayerList"]

ROW_PX = 20


class LayerList(QListWidget):
    """Layers with check marks; new ones get theirs from ``checked_at_first``.

    Signals
    -------
    changed()
        Other layers have check marks.
    """

    changed = Signal()

    def __init__(self, checked_at_first: Callable[[Image], bool]) -> None:
        super().__init__()
        self._at_first = checked_at_first
        self._layers: list[Image] = []
        self._off: list[Any] = []
        self.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.itemChanged.connect(self._toggled)

    @property
    def checked(self) -> list[Image]:
        """Layers with a check mark, as listed."""
        return [layer for layer in self._layers if not any(layer is off for off in self._off)]

    def offer(self, layers: Sequence[Image]) -> None:
        """Show these layers."""
        before = self.checked
        known = self._layers
        self._layers = list(layers)
        self._off = [layer for layer in self._off if any(layer is one for one in self._layers)]
        self._off += [
            layer for layer in self._layers if not any(layer is one for one in known) and not self._at_first(layer)
        ]
        self.blockSignals(True)
        self.clear()
        for layer in self._layers:
            item = QListWidgetItem(str(layer.name))
            item.setToolTip(str(layer.name))
            item.setSizeHint(QSize(0, ROW_PX))
            off = any(layer is one for one in self._off)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Unchecked if off else Qt.CheckState.Checked)
            self.addItem(item)
        self.blockSignals(False)
        self.setFixedHeight(min(8, max(2, len(self._layers))) * ROW_PX + 2 * self.frameWidth() + 2)
        if len(before) != len(self.checked) or any(a is not b for a, b in zip(before, self.checked, strict=True)):
            self.changed.emit()

    def set_checked(self, layer: Image, on: bool) -> None:
        """Give a layer its check mark, or take it away."""
        row = next(i for i, one in enumerate(self._layers) if one is layer)
        self.item(row).setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)

    def _toggled(self, item: QListWidgetItem) -> None:
        layer = self._layers[self.row(item)]
        self._off = [one for one in self._off if one is not layer]
        if item.checkState() != Qt.CheckState.Checked:
            self._off.append(layer)
        self.changed.emit()
