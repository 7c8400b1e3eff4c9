"""Sections 1 (data) and 2 (reconstruction) of the dock: they show the model and write into its form."""

from __future__ import annotations

from html import escape
from typing import get_args

from annotated_types import Ge, Le
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_dainr.data import KSpace
from napari_dainr.gui._method_form import MethodForm
from napari_dainr.gui._model import FIBONACCI, SAMPLES, Model, Phase
from napari_dainr.gui._parts import ComboBox, DoubleSpinBox, Note, Section, SpinBox, mark
from napari_dainr.gui._settings import ViewerSettings, keep
from napari_dainr.methods.config import CONFIGS, PRESETS, TITLES
from napari_dainr.recipe import Recipe

CHIPS = (5, 8, 13, 21, 34, 55, 89)
CHIP_STYLE = (
    "QToolButton { border: 1px solid palette(mid); border-radius: 3px; padding: 1px; }"
    "QToolButton:checked { background: #4a7fb5; color: white; border-color: #4a7fb5; }"
)

__all__ = ["DataSection", "ReconstructionSection", "facts", "summary"]


def summary(kspace: KSpace) -> str:
    """For instance ``300 spokes · 256 samples · 8 coils · 1.5 s``."""
    parts = [
        f"{kspace.n_spokes} spokes",
        f"{kspace.n_readout} samples",
        f"{kspace.n_coils} coil{'s' if kspace.n_coils > 1 else ''}",
        f"{kspace.n_spokes * kspace.tr_s:.3g} s",
        f"{kspace.matrix[0]} × {kspace.matrix[1]} px",
    ]
    if kspace.n_slices > 1:
        parts.insert(0, f"{kspace.n_slices} slices")
    return " · ".join(parts)


def facts(kspace: KSpace) -> str:
    """What was read from the file and what was guessed, as rich text."""
    rows = [f"<b>{escape(k)}</b>: {escape(v)}" for k, v in kspace.detected.items()]
    guesses = [f"<b>{escape(k)}</b>: {escape(v)} <i>(assumed)</i>" for k, v in kspace.assumed.items()]
    return "<br>".join(rows + guesses) or "The file says nothing more."


def _form() -> QFormLayout:
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setVerticalSpacing(4)
    layout.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    return layout


def _tip(name: str) -> str:
    return Recipe.model_fields[name].description or ""


def _title(name: str) -> str:
    title = Recipe.model_fields[name].title or name
    return title[0].upper() + title[1:]


def _bounds(name: str) -> tuple[float, float]:
    """Least and greatest value of a field of the recipe."""
    found = {type(one): one for one in Recipe.model_fields[name].metadata}
    return float(found[Ge].ge), float(found[Le].le)


class DataSection(QWidget):
    """File, summary, and what was detected or assumed."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model
        self.open_button = QPushButton()
        self.sample_button = QPushButton("Sample ▾")
        self.sample_button.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0px; }")
        self.sample_button.setToolTip("Load built-in sample data.")
        menu = QMenu(self.sample_button)
        self.sample_actions = {name: menu.addAction(title) for name, title in SAMPLES.items()}
        self.sample_button.setMenu(menu)
        self.name = QElidingLabel("no data")
        self.name.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.summary = Note("Open a raw file with golden-angle radial k-space, or the sample data.")
        self.facts = Note()
        self.details = Section("detected and assumed", self.facts)
        self.import_button = QPushButton("What the file means…")
        self.import_button.setToolTip("Say what a raw file means, and see how it looks if it is read otherwise.")
        self.slice = SpinBox(0, 9999, _tip("slice_index"))
        self.slice_row = QWidget()
        slice_form = _form()
        slice_form.addRow("Slice", self.slice)
        self.slice_row.setLayout(slice_form)

        head = QHBoxLayout()
        head.addWidget(self.name, 1)
        head.addWidget(self.sample_button)
        head.addWidget(self.open_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.summary, self.slice_row, self.details, self.import_button):
            layout.addWidget(widget)
        layout.insertLayout(0, head)

        self.slice.valueChanged.connect(lambda value: setattr(model.form, "slice_index", value))
        model.data_changed.connect(self.refresh)
        model.form_changed.connect(self.refresh_form)
        self.refresh()
        self.refresh_form()

    def refresh(self) -> None:
        """Show other data."""
        kspace, source = self._model.kspace, self._model.source
        self.slice_row.setVisible(kspace is not None and kspace.n_slices > 1)
        self.details.setVisible(kspace is not None)
        if kspace is None or source is None:
            return
        self.name.setText(source.label)
        self.name.setToolTip(str(source.path or source.label))
        self.summary.setText(summary(kspace))
        self.facts.setText(facts(kspace))
        self.details.set_title("detected and assumed" + (f" · {len(kspace.assumed)} assumed" if kspace.assumed else ""))

    def refresh_form(self) -> None:
        """Show the slice, and why it cannot be."""
        self.slice.setValue(self._model.form.slice_index)
        mark(self.slice, self._model.problems.get("slice_index"), _tip("slice_index"))

    def refresh_phase(self, phase: Phase) -> None:
        """Follow the state machine."""
        button = self._model.buttons["open"]
        self.open_button.setText(button.text)
        self.open_button.setEnabled(button.enabled)
        self.open_button.setToolTip(button.tip)
        self.sample_button.setEnabled(button.enabled)
        self.import_button.setVisible(phase not in (Phase.EMPTY, Phase.LOADING))
        if phase is Phase.LOADING:
            self.name.setText("loading…")
        elif self._model.source is None:
            self.name.setText("no data")
        else:
            self.name.setText(self._model.source.label)


class ReconstructionSection(QWidget):
    """Method, framing, drawing, machine; and what follows from them."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model
        form = model.form
        self.method = ComboBox([(m, TITLES[m]) for m in reversed(CONFIGS)], _tip("method"))
        self.preset = ComboBox([(p, p) for p in PRESETS], _tip("preset"))
        self.spokes = SpinBox(0, 99_999, _tip("spokes_per_frame"))
        self.scale = DoubleSpinBox(0.5, 4.0, 0.25, _tip("scale"))
        self.upsample = SpinBox(1, 16, _tip("upsample"))
        maps = get_args(Recipe.model_fields["coil_maps"].annotation)
        self.coil_maps = ComboBox([(name, name) for name in maps], _tip("coil_maps"))
        self.held_out = DoubleSpinBox(*_bounds("held_out"), 0.01, _tip("held_out"))
        self.held_out.setDecimals(3)
        self.device = ComboBox([(d, d) for d in model.devices], _tip("device"))
        self.seed = SpinBox(0, 2**31 - 1, _tip("seed"))
        for spin in (self.spokes, self.scale, self.upsample, self.held_out):
            spin.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.seed.setButtonSymbols(SpinBox.ButtonSymbols.NoButtons)
        self.seed.setMaximumWidth(90)
        self.keep = QCheckBox("keep earlier results as layers")
        self.keep.setToolTip("Off: a new run draws into the layer of the run before.")
        self.spokes_note = Note()
        self.derived = Note()
        self.method_form = MethodForm(model)
        self.method_box = Section("Method settings", self.method_form)

        method_row = QHBoxLayout()
        method_row.addWidget(self.method, 1)
        method_row.addWidget(QLabel("preset"))
        method_row.addWidget(self.preset, 1)
        self.chips: dict[int, QToolButton] = {}
        chip_row = QHBoxLayout()
        chip_row.setSpacing(2)
        chip_row.addWidget(QLabel("Fibonacci "))
        for n in CHIPS:
            chip = QToolButton()
            chip.setText(str(n))
            chip.setCheckable(True)
            chip.setToolTip(f"{n} spokes per frame: a Fibonacci number, k-space is covered most evenly.")
            chip.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            chip.setMinimumWidth(26)
            chip.setStyleSheet(CHIP_STYLE)
            chip.clicked.connect(lambda _=False, n=n: self._pick(n))
            self.chips[n] = chip
            chip_row.addWidget(chip)
        machine_row = QHBoxLayout()
        machine_row.addWidget(self.device, 1)
        machine_row.addWidget(QLabel("seed"))
        machine_row.addWidget(self.seed, 1)

        fields = _form()
        fields.addRow("Method", method_row)
        fields.addRow("Spokes / frame", self.spokes)
        fields.addRow(chip_row)
        fields.addRow("Scale ratio r", self.scale)
        fields.addRow("Upsample time ×", self.upsample)
        fields.addRow(_title("coil_maps"), self.coil_maps)
        fields.addRow(_title("held_out"), self.held_out)
        fields.addRow("Device", machine_row)
        self.inputs = QWidget()
        self.inputs.setLayout(fields)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for widget in (self.inputs, self.spokes_note, self.derived, self.keep, self.method_box):
            layout.addWidget(widget)

        self.method.currentIndexChanged.connect(lambda _: model.choose_method(self.method.currentData()))
        self.preset.currentIndexChanged.connect(lambda _: setattr(form, "preset", self.preset.currentData()))
        self.spokes.valueChanged.connect(lambda value: setattr(form, "spokes_per_frame", value))
        self.scale.valueChanged.connect(lambda value: setattr(form, "scale", float(value)))
        self.upsample.valueChanged.connect(lambda value: setattr(form, "upsample", value))
        self.coil_maps.currentIndexChanged.connect(lambda _: setattr(form, "coil_maps", self.coil_maps.currentData()))
        self.held_out.valueChanged.connect(lambda value: setattr(form, "held_out", float(value)))
        self.device.currentIndexChanged.connect(self._device_chosen)
        self.seed.valueChanged.connect(lambda value: setattr(form, "seed", value))
        self.keep.toggled.connect(self._keep_toggled)
        model.form_changed.connect(self.refresh)
        model.data_changed.connect(self.refresh)
        self.refresh()

    def set_editable(self, on: bool) -> None:
        """While a fit runs its settings can be read, not changed."""
        for widget in (self.inputs, self.keep, self.method_form):
            widget.setEnabled(on)

    def _pick(self, n: int) -> None:
        self._model.form.spokes_per_frame = n
        self.refresh()  # also when it was chosen already: the chip stays down

    def _device_chosen(self, _: int) -> None:
        if self.device.currentData() is not None:
            self._model.form.device = self.device.currentData()

    def _keep_toggled(self, on: bool) -> None:
        self._model.form.keep_previous = on
        keep(ViewerSettings, keep_previous=on)

    def refresh(self) -> None:
        """Show the form as it is in the model, what follows from it, and what is wrong with it."""
        model, form = self._model, self._model.form
        known = [self.device.itemData(i) for i in range(self.device.count())]
        wanted = list(dict.fromkeys((*model.devices, form.device)))
        if known != wanted:
            self.device.blockSignals(True)
            self.device.set_choices([(d, d) for d in wanted])
            self.device.blockSignals(False)
        chosen = (
            (self.method, form.method), (self.preset, form.preset),
            (self.device, form.device), (self.coil_maps, form.coil_maps),
        )  # fmt: skip
        for box, value in chosen:
            box.setCurrentIndex(box.findData(value))
        self.spokes.setValue(form.spokes_per_frame)
        self.scale.setValue(form.scale)
        self.upsample.setValue(form.upsample)
        self.held_out.setValue(form.held_out)
        self.seed.setValue(form.seed)
        self.keep.setChecked(form.keep_previous)
        problems = model.problems
        fields: dict[str, QWidget] = {
            "spokes_per_frame": self.spokes, "scale": self.scale, "upsample": self.upsample,
            "coil_maps": self.coil_maps, "held_out": self.held_out, "device": self.device, "seed": self.seed,
        }  # fmt: skip
        for name, widget in fields.items():
            mark(widget, problems.get(name), _tip(name))
        total = model.kspace.n_spokes if model.kspace is not None else max(FIBONACCI)
        for n, chip in self.chips.items():
            chip.setChecked(n == form.spokes_per_frame)
            chip.setEnabled(n <= total)
        self._refresh_notes(problems.get("spokes_per_frame"))
        self.method_form.refresh()

    def _refresh_notes(self, problem: str | None) -> None:
        read_out = self._model.read_out
        note = ""
        if problem:
            note = f"Spokes per frame: {problem}"
        elif read_out is not None and not read_out.fibonacci:
            near = sorted(sorted(FIBONACCI, key=lambda n: abs(n - self._model.form.spokes_per_frame))[:2])
            note = f"Not a Fibonacci number; {near[0]} or {near[1]} covers k-space more evenly."
        self.spokes_note.setText(note)
        self.spokes_note.setVisible(bool(note))
        self.derived.setText("" if read_out is None else f"<b>{read_out.text}</b><br>{read_out.drawn_text}")
        self.derived.setVisible(read_out is not None)
