"""Small widgets that the dock is put together from."""

from __future__ import annotations

import re

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QGuiApplication, QWheelEvent
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

__all__ = ["Banner", "ComboBox", "DoubleSpinBox", "Note", "Section", "SpinBox", "mark"]

ERROR_COLOUR, WARNING_COLOUR, INFO_COLOUR = "#d9534f", "#c9922e", "#4a7fb5"
_LONG_WORD, _PIECE, _MAY_BREAK = re.compile(r"[^\s<>&]{25,}"), re.compile(r".{1,8}"), "\u200b"
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def mark(widget: QWidget, problem: str | None, tip: str = "") -> None:
    """Give a field a red border and the reason as its tooltip, or take them away again."""
    name = type(widget).__mro__[0].__name__
    widget.setStyleSheet(f"{name} {{ border: 1px solid {ERROR_COLOUR}; }}" if problem else "")
    widget.setToolTip(problem or tip)


class SpinBox(QSpinBox):
    """A spin box that the wheel changes only while it has the focus, so that scrolling the dock changes nothing."""

    def __init__(self, low: int, high: int, tip: str = "") -> None:
        super().__init__()
        self.setRange(low, high)
        self.setToolTip(tip)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setKeyboardTracking(True)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        if event is None or self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class DoubleSpinBox(QDoubleSpinBox):
    """As :class:`SpinBox`, for fractions."""

    def __init__(self, low: float, high: float, step: float, tip: str = "") -> None:
        super().__init__()
        self.setRange(low, high)
        self.setSingleStep(step)
        self.setDecimals(2)
        self.setToolTip(tip)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        if event is None or self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class ComboBox(QComboBox):
    """A combo box of (value, text) that the wheel changes only while it has the focus."""

    def __init__(self, choices: list[tuple[str, str]], tip: str = "") -> None:
        super().__init__()
        self.setToolTip(tip)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(6)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.set_choices(choices)

    def minimumSizeHint(self) -> QSize:
        """Narrow: long entries show in the list and in the tooltip."""
        return QSize(84, super().minimumSizeHint().height())

    def set_choices(self, choices: list[tuple[str, str]]) -> None:
        self.clear()
        for value, text in choices:
            self.addItem(text, value)

    def choose(self, value: str) -> None:
        """Choose by value; the first where it is not among the choices."""
        self.setCurrentIndex(max(0, self.findData(value)))

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        if event is None or self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class Note(QLabel):
    """A line of small wrapped text; words without an end, as names of files may be, are wrapped as well."""

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self._plain = ""
        self.setText(text)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        font = self.font()
        font.setPointSizeF(0.92 * font.pointSizeF())
        self.setFont(font)

    def setText(self, text: str | None) -> None:
        """Qt does not break words: the longest one is the least width of a label, and of the dock around it."""
        self._plain = text or ""
        super().setText(_LONG_WORD.sub(lambda word: _MAY_BREAK.join(_PIECE.findall(word[0])), self._plain))

    def text(self) -> str:
        """As it was set."""
        return self._plain


class Section(QWidget):
    """A part of a dock that folds under its title; open, it is as high as what is inside wants to be at any moment."""

    def __init__(self, title: str, *inside: QWidget, is_open: bool = False) -> None:
        super().__init__()
        self.title = QPushButton()
        self.title.setCheckable(True)
        self.title.setStyleSheet("QPushButton { text-align: left; padding-left: 4px; }")
        self._content = QWidget()
        content = QVBoxLayout(self._content)
        layout = QVBoxLayout(self)
        for part in (content, layout):
            part.setContentsMargins(0, 0, 0, 0)
            part.setSpacing(3)
        for widget in inside:
            content.addWidget(widget)
        layout.addWidget(self.title)
        layout.addWidget(self._content)
        self._text = title
        self.title.toggled.connect(self._toggled)
        self.title.setChecked(is_open)
        self._toggled(is_open)

    @property
    def is_open(self) -> bool:
        return self.title.isChecked()

    def open(self) -> None:
        """Show what is inside."""
        self.title.setChecked(True)

    def fold(self) -> None:
        """Show only the title."""
        self.title.setChecked(False)

    def set_title(self, text: str) -> None:
        """Another title."""
        self._text = text
        self.title.setText(f"{'▾' if self.is_open else '▸'}  {text}")

    def _toggled(self, is_open: bool) -> None:
        self._content.setVisible(is_open)
        self.set_title(self._text)


class Banner(QFrame):
    """One sentence that stays until it is closed or something newer happens, with the details behind a button."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = ""
        self.text = Note()
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.details.setFixedHeight(140)
        self._more = QPushButton("Details")
        self._more.setCheckable(True)
        self._more.setToolTip("Show all of it.")
        self._copy = QPushButton("Copy")
        self._copy.setToolTip("Copy the sentence and the details.")
        close = QToolButton()
        close.setText("✕")
        close.setAutoRaise(True)
        close.setToolTip("Close")
        self._more.toggled.connect(self.details.setVisible)
        self._copy.clicked.connect(self._to_clipboard)
        close.clicked.connect(self.hide)

        head = QHBoxLayout()
        head.addWidget(self.text, 1)
        for button in (self._more, self._copy, close):
            head.addWidget(button, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 5, 4, 5)
        layout.setSpacing(4)
        layout.addLayout(head)
        layout.addWidget(self.details)
        self.setObjectName("dainr_banner")
        self.hide()

    def show_message(self, kind: str, text: str, details: str = "") -> None:
        """Show a sentence; ``kind`` is error, warning, info, or news: what nobody asked for, and so covers no error."""
        if kind == "news":
            if self.kind == "error" and self.isVisibleTo(self.parentWidget()):
                return
            kind = "info"
        self.kind = kind
        colour = {"error": ERROR_COLOUR, "warning": WARNING_COLOUR}.get(kind, INFO_COLOUR)
        self.setStyleSheet(
            f"#dainr_banner {{ border: 1px solid {colour}; border-left: 5px solid {colour}; border-radius: 3px; }}"
        )
        self.text.setText(_DIGEST.sub(r"\1…", text))  # whole in the details
        self.details.setPlainText(details)
        self._more.setChecked(False)
        self.details.hide()
        self._more.setVisible(bool(details))
        self._copy.setVisible(kind == "error")
        self.show()

    def clear(self) -> None:
        """Forget everything."""
        self.kind = ""
        self.hide()

    def _to_clipboard(self) -> None:
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(f"{self.text.text()}\n\n{self.details.toPlainText()}".strip())
