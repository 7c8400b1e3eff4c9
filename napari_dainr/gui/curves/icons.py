"""Icons of the tools, painted in the colour of the text so that they follow the theme."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap, QPolygonF

__all__ = ["colour_icon", "tool_icon"]

SIZE = 36


def _painter(pixmap: QPixmap, colour: str) -> QPainter:
    pixmap.fill(QColor(0, 0, 0, 0))
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = QPen(QColor(colour), 2.6)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    painter.setPen(pen)
    return painter


def tool_icon(kind: str, colour: str) -> QIcon:
    """Icon of a kind of region, or of ``undo`` and ``redo``."""
    pixmap = QPixmap(SIZE, SIZE)
    painter = _painter(pixmap, colour)
    if kind == "ellipse":
        painter.drawEllipse(QRectF(5, 8, 26, 20))
    elif kind == "rectangle":
        painter.drawRect(QRectF(6, 9, 24, 18))
    elif kind == "polygon":
        corners = [QPointF(8, 27), QPointF(6, 13), QPointF(18, 6), QPointF(30, 14), QPointF(26, 29)]
        painter.drawPolygon(QPolygonF(corners))
    elif kind == "freehand":
        path = QPainterPath(QPointF(9, 25))
        path.cubicTo(2, 10, 14, 4, 19, 11)
        path.cubicTo(24, 17, 32, 8, 30, 20)
        path.cubicTo(28, 32, 14, 32, 9, 25)
        painter.drawPath(path)
    elif kind == "voxel":
        painter.drawLine(QPointF(18, 4), QPointF(18, 12))
        painter.drawLine(QPointF(18, 24), QPointF(18, 32))
        painter.drawLine(QPointF(4, 18), QPointF(12, 18))
        painter.drawLine(QPointF(24, 18), QPointF(32, 18))
        painter.fillRect(QRectF(15, 15, 6, 6), QColor(colour))
    elif kind == "threshold":
        painter.drawEllipse(QRectF(5, 8, 26, 20))
        path = QPainterPath()
        path.addEllipse(QRectF(13, 12, 13, 10))
        painter.fillPath(path, QColor(colour))
    else:
        if kind == "redo":
            painter.translate(SIZE, 0)
            painter.scale(-1, 1)
        path = QPainterPath(QPointF(9, 14))
        path.lineTo(22, 14)
        path.cubicTo(32, 14, 32, 28, 22, 28)
        path.lineTo(14, 28)
        painter.drawPath(path)
        painter.drawPolyline(QPolygonF([QPointF(14, 8), QPointF(8, 14), QPointF(14, 20)]))
    painter.end()
    return QIcon(pixmap)


def colour_icon(colour: str) -> QIcon:
    """A disk of a colour."""
    pixmap = QPixmap(SIZE, SIZE)
    painter = _painter(pixmap, colour)
    painter.setBrush(QColor(colour))
    painter.drawEllipse(QRectF(8, 8, 20, 20))
    painter.end()
    return QIcon(pixmap)
