"""The form of what a user can say about a raw file, made from the one table of import options."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

from psygnal import Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit, QWidget

from napari_dainr.errors import InputError
from napari_dainr.gui._parts import ComboBox, mark
from napari_dainr.importing.options import ImportOptions, forms_of, options_from, value_of

__all__ = ["OptionsForm"]

_HINTS = {dict: "role=name, role=name", tuple: "y, x", list: "0, 3, …"}


def _shown(value: Any) -> str:
    """A value as it would be typed."""
    if isinstance(value, dict):
        return ", ".join(f"{role}={name}" for role, name in value.items())
    if isinstance(value, (tuple, list)):
        return ", ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


class OptionsForm(QWidget):
    """One line per option; an empty line is found out from the file and the data.

    Signals
    -------
    changed()
        What is typed has changed; :meth:`checked` says whether it can be used.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, QLineEdit | ComboBox] = {}
        self.problems: dict[str, str] = {}
        self._tips: dict[str, str] = {}
        self._filling = False
        layout = QFormLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(3)
        layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        for name, info in ImportOptions.model_fields.items():
            widget = self._field(name)
            label = QLabel(info.title or name.replace("_", " "))
            flag = f"--{name.replace('_', '-')}"
            self._tips[name] = f"{info.description or ''}\nEmpty: found out. On the command line: {flag}."
            label.setToolTip(self._tips[name])
            widget.setToolTip(self._tips[name])
            self.fields[name] = widget
            layout.addRow(label, widget)

    def _field(self, name: str) -> QLineEdit | ComboBox:
        form = forms_of(name)[0]
        default = ImportOptions.model_fields[name].get_default(call_default_factory=True)
        choices: list[tuple[str, str]] = []
        if get_origin(form) is Literal:
            first = ("", "found out") if default is None else (str(default), str(default))
            choices = [first, *((str(c), str(c)) for c in get_args(form) if c != default)]
        elif form is bool:
            words = {True: ("true", "yes"), False: ("false", "no")}
            choices = [("", "found out" if default is None else words[default][1])]
            choices += [word for value, word in words.items() if value is not default]
        if choices:
            box = ComboBox(choices)
            box.currentIndexChanged.connect(self._edited)
            return box
        line = QLineEdit()
        many = list if Ellipsis in get_args(form) else get_origin(form)
        hint = _HINTS.get(many, "found out")
        line.setPlaceholderText(_shown(default) if default not in (None, "", {}, [], ()) else hint)
        line.textChanged.connect(self._edited)
        return line

    def texts(self) -> dict[str, str]:
        """What is typed or chosen, by option; empty ones are left out."""
        found = {}
        for name, widget in self.fields.items():
            text = str(widget.currentData() or "") if isinstance(widget, ComboBox) else widget.text().strip()
            if text:
                found[name] = text
        return found

    def checked(self) -> ImportOptions | None:
        """The form as options; marks the fields that cannot be used, and is None where there are such."""
        values: dict[str, Any] = {}
        self.problems = {}
        for name, text in self.texts().items():
            try:
                values[name] = value_of(name, text)
                options_from({name: values[name]}, "import")
            except InputError as error:
                self.problems[name] = str(error)
        for name, widget in self.fields.items():
            mark(widget, self.problems.get(name), self._tips[name])
        return None if self.problems else options_from(values, "import")

    def set_options(self, options: ImportOptions) -> None:
        """Show options; ``changed`` is emitted once."""
        self._filling = True
        given = options.model_dump(exclude_defaults=True)
        for name, widget in self.fields.items():
            value = given.get(name)
            if isinstance(widget, ComboBox):
                text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
                widget.setCurrentIndex(max(0, widget.findData(text)))
            else:
                widget.setText("" if value is None else _shown(value))
        self._filling = False
        self._edited()

    def _edited(self, *_: object) -> None:
        if not self._filling:
            self.changed.emit()
