"""The form of a method's settings, generated from its config class: nothing about a method is written twice."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QFormLayout, QLabel, QLineEdit, QWidget

from napari_dainr.gui._model import Model
from napari_dainr.gui._parts import ComboBox, Note, mark
from napari_dainr.methods.config import CONFIGS, PRESETS, MethodConfig

__all__ = ["MethodForm", "field_tip", "parse"]


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Members of a union, or the annotation alone."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def parse(text: str, annotation: Any) -> Any:
    """What a typed value means for a field: int, float, or the text itself, which the field's check then refuses."""
    kinds = _kinds(annotation)
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text.strip())
            except ValueError:
                continue
    return text


def field_tip(name: str, info: FieldInfo, preset: Any) -> str:
    """Tooltip of a field: description, unit, the preset's value and the key for ``--set``."""
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    unit = f" [{extra['unit']}]" if "unit" in extra else ""
    shown = "chosen from the data" if preset is None else preset
    return f"{info.description or ''}{unit}\nPreset: {shown}. Key: {name}."


class MethodForm(QWidget):
    """One line per setting; an empty line means the preset's value, which is shown in grey."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model
        self._shown: tuple[str, str] | None = None
        self.fields: dict[str, QLineEdit | ComboBox] = {}
        self._tips: dict[str, str] = {}
        self._layout = QFormLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setVerticalSpacing(3)
        self._layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.refresh()

    def refresh(self) -> None:
        """Rebuild for another method or preset, and mark what is wrong."""
        form = self._model.form
        if form.method in CONFIGS and form.preset in PRESETS and self._shown != (form.method, form.preset):
            self._shown = (form.method, form.preset)
            self._build(CONFIGS[form.method], PRESETS[form.preset][form.method])
        for name, widget in self.fields.items():
            mark(widget, self._model.problems.get(name), self._tips[name])

    def _build(self, cls: type[MethodConfig], preset: dict[str, Any]) -> None:
        while self._layout.rowCount():
            self._layout.removeRow(0)
        self.fields, self._tips = {}, {}
        given = self._model.form.settings
        for name, info in cls.model_fields.items():
            value = preset.get(name, info.default)
            kinds = _kinds(info.annotation)
            choices = [c for kind in kinds if get_origin(kind) is Literal for c in get_args(kind)]
            widget = self._choice(name, choices, value) if choices else self._line(name, info.annotation, value)
            if name in given:
                self._fill(widget, given[name])
            label = QLabel(info.title or name.replace("_", " "))
            self._tips[name] = field_tip(name, info, value)
            label.setToolTip(self._tips[name])
            self.fields[name] = widget
            self._layout.addRow(label, widget)
        if not self.fields:
            self._layout.addRow(Note("This method has no settings."))

    def _choice(self, name: str, choices: list[Any], preset: Any) -> ComboBox:
        widget = ComboBox([("", f"{preset} (preset)"), *((str(c), str(c)) for c in choices if c != preset)])
        widget.currentIndexChanged.connect(lambda _: self._set(name, widget.currentData() or None))
        return widget

    def _line(self, name: str, annotation: Any, preset: Any) -> QLineEdit:
        widget = QLineEdit()
        shown = f"{preset:g}" if isinstance(preset, float) else str(preset)
        widget.setPlaceholderText("from the data" if preset is None else shown)
        widget.textChanged.connect(lambda text: self._set(name, parse(text, annotation) if text.strip() else None))
        return widget

    @staticmethod
    def _fill(widget: QLineEdit | ComboBox, value: Any) -> None:
        if isinstance(widget, ComboBox):
            widget.setCurrentIndex(max(0, widget.findData(str(value))))
        else:
            widget.setText(str(value))

    def _set(self, name: str, value: Any) -> None:
        settings = {k: v for k, v in self._model.form.settings.items() if k != name}
        if value is not None:
            settings[name] = value
        self._model.form.settings = settings
