"""What docks have in common: they scroll, keep what must be seen in view, and notice when they are closed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from qtpy import API_NAME
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea, QWidget

if TYPE_CHECKING:
    import napari

__all__ = ["BottomDock", "ScrollDock", "find", "find_or_open", "theme_colours", "window_is_there"]

D = TypeVar("D", bound="ScrollDock")

LOW_WINDOW_PX = 860
"""A lower window has not the height for napari's docks at the left and one of ours below them."""
DELETE_MS = 200
"""How often it is looked whether a closed dock is still at work."""
_RESHAPES = (QEvent.Type.Resize, QEvent.Type.LayoutRequest, QEvent.Type.Show)


class ScrollDock(QScrollArea):
    """A column that scrolls. Hiding it changes nothing; when it is closed, :meth:`left` is called once.

    Closing a dock gives Qt no close event: it is hidden or loses its parent, and a moment later it is no dock of the
    window any more.
    """

    NAME = "dock"
    AREA = "right"
    TABBED = False
    """Behind the other docks of its area, as a tab, rather than below them."""
    SIZE = (400, 720)
    """Width and height to begin with, pixels."""
    NARROWEST = 360

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer: napari.viewer.Viewer | None = viewer
        self._pinned: QWidget | None = None
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.destroyed.connect(lambda: self._leave())  # not a slot of this object: those are gone by then

    def sizeHint(self) -> QSize:
        """As wide as it needs to be, so that the picture keeps the room on a small screen."""
        return QSize(max(self.SIZE[0], self.minimumSizeHint().width()), self.SIZE[1])

    def minimumSizeHint(self) -> QSize:
        """Never narrower than what is inside and its scroll bar: nothing is cut off at the side."""
        inside, bar = self.widget(), self.verticalScrollBar()
        if inside is None or bar is None:
            return QSize(self.NARROWEST, 200)
        width = inside.minimumSizeHint().width() + bar.sizeHint().width()
        if self._pinned is None:
            return QSize(width, 200)
        pinned = self._pinned.minimumSizeHint()
        return QSize(max(width, pinned.width()), max(200, 100 + pinned.height()))

    def pin(self, widget: QWidget) -> None:
        """Keep a widget in view, below what scrolls."""
        self._pinned = widget
        widget.setParent(self)
        widget.show()
        self._place_pinned()

    def _place_pinned(self) -> None:
        widget = self._pinned
        if widget is None:
            return
        viewport = self.viewport()
        width = self.width() if viewport is None else viewport.width()
        high = widget.heightForWidth(width) if widget.hasHeightForWidth() else widget.sizeHint().height()
        if self.viewportMargins().bottom() != high:
            self.setViewportMargins(0, 0, 0, high)
        widget.setGeometry(0, self.height() - high, width, high)

    def left(self, viewer: napari.viewer.Viewer) -> None:
        """The dock or the viewer is gone: let go of layers and stop what runs."""

    def _leave(self) -> None:
        viewer, self._viewer = self._viewer, None
        if viewer is not None:
            with suppress(RuntimeError):  # Qt may have deleted what is inside already
                self.left(viewer)

    def event(self, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self._look_whether_closed()
        handled: bool = super().event(event)
        if event is not None and event.type() in _RESHAPES:
            self._place_pinned()
        return handled

    def hideEvent(self, event: QHideEvent | None) -> None:
        super().hideEvent(event)
        self._look_whether_closed()

    def _look_whether_closed(self) -> None:
        """In a moment. The function keeps this dock until then, as nobody else may: a method alone would not."""
        QTimer.singleShot(0, lambda: self._after_hiding())

    def _after_hiding(self) -> None:
        if self._viewer is None:
            return
        try:
            closed = self not in list(self._viewer.window.dock_widgets.values())
        except (AttributeError, RuntimeError):  # the whole window is going
            closed = True
        if closed:
            self._leave()
            if API_NAME == "PySide6":
                self._delete()

    @property
    def at_work(self) -> bool:
        """Whether something is under way that still needs this dock after it was closed."""
        return False

    def _delete(self) -> None:
        """PySide6 keeps what a connected lambda leads to until Qt has deleted who was connected."""
        if self.at_work:
            QTimer.singleShot(DELETE_MS, lambda: self._delete())
        else:
            self.deleteLater()


class BottomDock(ScrollDock):
    """A dock that belongs below the image, wherever it is opened.

    napari's plugin menu opens every dock at the right; the first time it is shown, this one moves. In a low window
    napari's docks at the left keep their height and this one lies beside them: below each other they would need more
    than there is, and Qt would enlarge the window beyond the screen.
    """

    AREA = "bottom"

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__(viewer)
        self._placed = False

    def showEvent(self, event: QShowEvent | None) -> None:
        super().showEvent(event)
        if not self._placed and self._frame_and_window() is not None:
            self._placed = True
            QTimer.singleShot(0, self._place)

    def _frame_and_window(self) -> tuple[QDockWidget, QMainWindow] | None:
        frame = self.parentWidget()
        window = None if frame is None else frame.parentWidget()
        return (frame, window) if isinstance(frame, QDockWidget) and isinstance(window, QMainWindow) else None

    def _place(self) -> None:
        found = self._frame_and_window() if self._viewer is not None else None
        if found is None:
            return
        frame, window = found
        if window.dockWidgetArea(frame) == Qt.DockWidgetArea.RightDockWidgetArea:
            window.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, frame)
        if window.height() < LOW_WINDOW_PX:
            window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
            window.resizeDocks([frame], [self.sizeHint().height()], Qt.Orientation.Vertical)


def window_is_there(viewer: napari.viewer.Viewer) -> bool:
    """Whether only a dock was closed: drawing into a window that is half gone would end in an error."""
    try:
        viewer.window.geometry()
    except (AttributeError, RuntimeError):
        return False
    return True


def theme_colours(viewer: napari.viewer.Viewer) -> tuple[str, str]:
    """Background and text of the viewer's theme, as ``#rrggbb``."""
    from napari.utils.theme import get_theme

    theme = get_theme(viewer.theme)
    return theme.background.as_hex("long"), theme.text.as_hex("long")


def find(viewer: napari.viewer.Viewer, kind: type[D]) -> D | None:
    """The dock of this kind in a viewer, however it was opened (its name depends on that)."""
    return next((widget for widget in viewer.window.dock_widgets.values() if isinstance(widget, kind)), None)


def find_or_open(viewer: napari.viewer.Viewer, kind: type[D], in_front: bool = True) -> D:
    """The dock of this kind, opened if it is not there and shown if it is hidden; ``in_front`` of its tabs."""
    dock = find(viewer, kind)
    if dock is None:
        dock = kind(viewer)
        viewer.window.add_dock_widget(dock, name=kind.NAME, area=kind.AREA, tabify=kind.TABBED)
    frame = dock.parentWidget()
    if frame is not None:
        frame.show()
        if in_front:
            frame.raise_()
    return dock
