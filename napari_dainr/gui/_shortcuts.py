"""Keys of a dock, which work while the picture has the focus and while the dock has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from napari.components import ViewerModel

__all__ = ["bind", "in_words", "unbind"]


def bind(viewer: ViewerModel, dock: QWidget, keys: Mapping[str, Callable[[], object]]) -> None:
    """Give keys, in napari's words (``Alt-R``), to a viewer and to a dock in it."""
    for key, do in keys.items():
        viewer.bind_key(key, lambda _, do=do: do(), overwrite=True)
        shortcut = QShortcut(QKeySequence(in_words(key)), dock)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(lambda do=do: do())


def unbind(viewer: ViewerModel, keys: Mapping[str, object]) -> None:
    """Take them from the viewer; those of the dock go with it."""
    for key in keys:
        viewer.bind_key(key, None)


def in_words(key: str) -> str:
    """``Alt-R`` as it stands in a tooltip: ``Alt+R``."""
    return key.replace("-", "+")
