"""Sections of a dock whose content grows while it is open."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QTimer
from superqt import QCollapsible

__all__ = ["Growing"]

ROOM_PX = 10
"""What the section itself adds to the height of its content."""


class Growing(QObject):
    """Lets a section be as high as its content wants to be.

    The section sets a limit when it is opened, and again when its content is resized; content that grows is not
    resized beyond that limit, so it would be cut off.
    """

    def __init__(self, box: QCollapsible) -> None:
        super().__init__(box)
        self._box = box
        self._later = QTimer(self)  # of this object: it goes with the section
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._follow)
        layout = box.content().layout()
        for index in range(layout.count()):
            layout.itemAt(index).widget().installEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Look at the height again when the layout inside has changed."""
        if event is not None and event.type() == QEvent.Type.LayoutRequest:
            self._later.start(0)
        return False

    def _follow(self) -> None:
        content = self._box.content()
        wanted = content.sizeHint().height() + ROOM_PX
        if self._box.isExpanded() and content.maximumHeight() != wanted:
            content.setMaximumHeight(wanted)
