"""Fields of an export; titles, units and tooltips come from the one table, :class:`CineOptions`."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_dainr.gui._parts import ComboBox, DoubleSpinBox, SpinBox, mark
from napari_dainr.gui.cine.settings import CineSettings
from napari_dainr.io.cine_options import CineOptions

__all__ = ["ExportForm", "tip"]

SHOWN = ("time_stamp", "frame_number", "scale_bar", "method_name", "regions")
FILLINGS = [("nearest", "as blocks"), ("bilinear", "bilinear"), ("fourier", "Fourier")]
ENLARGE = [("0", "automatic"), *((str(k), f"× {k}") for k in (1, 2, 3, 4, 6, 8))]


def tip(field: str) -> str:
    """What the table says about an option, with its unit."""
    about = CineOptions.model_fields[field]
    extra = about.json_schema_extra if isinstance(about.json_schema_extra, dict) else {}
    return f"{about.description}" + (f" Unit: {extra['unit']}." if "unit" in extra else "")


def _title(field: str) -> str:
    return CineOptions.model_fields[field].title or field


class ExportForm(QWidget):
    """Everything about an export but its speed.

    Signals
    -------
    changed()
        By the user.
    """

    changed = Signal()

    def __init__(self, settings: CineSettings) -> None:
        super().__init__()
        self._putting = True
        self.name = QLineEdit()
        self.name.setToolTip("Stands in the caption. The name of a file or a person does not belong here.")
        self.low, self.high = QLineEdit(), QLineEdit()
        self.as_shown = QCheckBox("as shown")
        self.as_shown.setToolTip("Take the contrast limits of the layer, whenever they change.")
        self.as_shown.setChecked(True)
        self.first = DoubleSpinBox(-1e6, 1e6, 1.0)
        self.last = DoubleSpinBox(-1e6, 1e6, 1.0)
        self.all_frames = QCheckBox("all")
        self.all_frames.setToolTip("Show every frame.")
        self.all_frames.setChecked(True)
        self.crop = [SpinBox(0, 1 << 20) for _ in range(4)]
        self.whole = QPushButton("Whole image")
        self.whole.setToolTip("No crop.")
        self.around = QPushButton("Around shape")
        self.around.setToolTip("Crop to the box around the selected shape of the active Shapes layer.")
        self.enlarge = ComboBox(ENLARGE, tip("enlarge"))
        self.interpolation = ComboBox(FILLINGS, tip("interpolation"))
        self.cycles = SpinBox(0, 1000, tip("loop"))
        self.cycles.setSpecialValueText("for ever")
        self.boxes = {field: QCheckBox(_title(field)) for field in SHOWN}
        for field, box in self.boxes.items():
            box.setToolTip(tip(field))
        for edit in (self.low, self.high):
            edit.setToolTip(tip("window"))
        for spin in (self.first, self.last):
            spin.setToolTip(tip("times_s"))
        for spin in self.crop:
            spin.setToolTip(tip("crop"))
        self._lay_out()
        self._put(settings)
        self._connect()
        self._putting = False
        self._enable()

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        form.addRow("name", self.name)
        form.addRow(_title("window"), _row(self.low, QLabel("–"), self.high, self.as_shown))
        form.addRow(f"{_title('times_s')} (s)", _row(self.first, QLabel("–"), self.last, self.all_frames))
        crop = QGridLayout()
        crop.setContentsMargins(0, 0, 0, 0)
        crop.setSpacing(3)
        for row, (what, low, high) in enumerate((("rows", 0, 1), ("columns", 2, 3))):
            crop.addWidget(QLabel(what), row, 0)
            crop.addWidget(self.crop[low], row, 1)
            crop.addWidget(QLabel("–"), row, 2)
            crop.addWidget(self.crop[high], row, 3)
        crop.setColumnStretch(1, 1)
        crop.setColumnStretch(3, 1)
        crop.addLayout(_row(self.whole, self.around), 2, 0, 1, 4)
        form.addRow(_title("crop"), crop)
        form.addRow(_title("enlarge"), _row(self.enlarge, self.interpolation))
        form.addRow(_title("loop"), self.cycles)
        boxes = QGridLayout()
        boxes.setContentsMargins(0, 0, 0, 0)
        for number, box in enumerate(self.boxes.values()):
            boxes.addWidget(box, number // 2, number % 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 2)
        column.setSpacing(5)
        column.addLayout(form)
        column.addLayout(boxes)

    def _put(self, kept: CineSettings) -> None:
        self.enlarge.setCurrentIndex(max(0, self.enlarge.findData(str(kept.enlarge))))
        self.interpolation.setCurrentIndex(max(0, self.interpolation.findData(kept.interpolation)))
        self.cycles.setValue(kept.cycles)
        for field, box in self.boxes.items():
            box.setChecked(getattr(kept, field))

    def _connect(self) -> None:
        for edit in (self.name, self.low, self.high):
            edit.textEdited.connect(self._tell)
        for spin in (self.first, self.last):
            spin.valueChanged.connect(self._tell)
        for whole in (self.cycles, *self.crop):
            whole.valueChanged.connect(self._tell)
        for combo in (self.enlarge, self.interpolation):
            combo.currentIndexChanged.connect(self._tell)
        for box in (self.as_shown, self.all_frames, *self.boxes.values()):
            box.toggled.connect(self._tell)
        self.whole.clicked.connect(lambda: self.set_crop((0, self.crop[1].maximum(), 0, self.crop[3].maximum())))

    def _tell(self, *_: object) -> None:
        if not self._putting:
            self._enable()
            self.changed.emit()

    def _enable(self) -> None:
        for edit in (self.low, self.high):
            edit.setEnabled(not self.as_shown.isChecked())
        for spin in (self.first, self.last):
            spin.setEnabled(not self.all_frames.isChecked() and self.all_frames.isEnabled())
        self.interpolation.setEnabled(self.enlarge.currentData() != "1")

    # ---------------------------------------------------------------- what the layer says

    def set_layer(self, label: str, shape: tuple[int, int], times: tuple[float, float] | None, new: bool) -> None:
        """Bounds from a layer; for a ``new`` one also its name, all frames and the whole image."""
        self._putting = True
        same = [spin.maximum() for spin in self.crop] == [shape[0], shape[0], shape[1], shape[1]]
        for number, spin in enumerate(self.crop):
            spin.setMaximum(shape[number // 2])
        if new:
            self.name.setText(label)
        if new or not same:
            for spin, value in zip(self.crop, (0, shape[0], 0, shape[1]), strict=True):
                spin.setValue(value)
        self.all_frames.setEnabled(times is not None)
        if times is None:
            self.all_frames.setChecked(True)
        elif self.all_frames.isChecked():
            self.first.setValue(times[0])
            self.last.setValue(times[1])
        self._putting = False
        self._enable()

    def set_window(self, low: float, high: float) -> None:
        """The layer's contrast limits, where they are to be followed."""
        if self.as_shown.isChecked():
            self.low.setText(f"{low:.5g}")
            self.high.setText(f"{high:.5g}")

    def set_crop(self, crop: tuple[int, int, int, int]) -> None:
        """First row, last row + 1, first column, last column + 1."""
        self._putting = True
        for spin, value in zip(self.crop, crop, strict=True):
            spin.setValue(value)
        self._putting = False
        self._tell()

    # ---------------------------------------------------------------- what comes of it

    def problem(self) -> str:
        """What cannot be, marked where it is; empty if all is well."""
        problem = ""
        y0, y1, x0, x1 = (spin.value() for spin in self.crop)
        for low, high, what in ((y0, y1, "row"), (x0, x1, "column")):
            wrong = f"The last {what} must come after the first." if low >= high else None
            for spin in self.crop[:2] if what == "row" else self.crop[2:]:
                mark(spin, wrong, tip("crop"))
            problem = problem or wrong or ""
        wrong = None
        try:
            if not float(self.low.text()) < float(self.high.text()):
                wrong = "The window must go from a smaller to a larger value."
        except ValueError:
            wrong = "The window needs two numbers."
        for edit in (self.low, self.high):
            mark(edit, wrong, tip("window"))
        problem = problem or wrong or ""
        late = not self.all_frames.isChecked() and self.first.value() > self.last.value()
        wrong = "The last time must not come before the first." if late else None
        for spin in (self.first, self.last):
            mark(spin, wrong, tip("times_s"))
        return problem or wrong or ""

    def options(self, settings: CineSettings, limits: tuple[float, float]) -> CineOptions:
        """For the engine; ``limits`` are the layer's contrast limits. Only where there is no problem."""
        y0, y1, x0, x1 = (spin.value() for spin in self.crop)
        whole = (y0, y1, x0, x1) == (0, self.crop[1].maximum(), 0, self.crop[3].maximum())
        typed = limits if self.as_shown.isChecked() else (float(self.low.text()), float(self.high.text()))
        times = None if self.all_frames.isChecked() else (self.first.value() - 0.005, self.last.value() + 0.005)
        return CineOptions(
            fps=settings.fps if settings.pace == "frames per second" else None,
            cycle_s=settings.cycle_s if settings.pace == "seconds per cycle" else None,
            speed=settings.speed if settings.pace == "true speed" else 1.0,
            loop=1 if settings.mode == "once" else self.cycles.value(),
            back_and_forth=settings.mode == "back and forth",
            window=typed,
            crop=None if whole else (y0, y1, x0, x1),
            times_s=times,
            enlarge=int(self.enlarge.currentData()) or None,
            interpolation=self.interpolation.currentData(),
            **{field: box.isChecked() for field, box in self.boxes.items()},
        )

    def settings(self, settings: CineSettings) -> CineSettings:
        """The same settings with what stands in this form."""
        return replace(
            settings,
            cycles=self.cycles.value(),
            enlarge=int(self.enlarge.currentData()),
            interpolation=self.interpolation.currentData(),
            **{field: box.isChecked() for field, box in self.boxes.items()},
        )


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    for widget in widgets:
        row.addWidget(widget, 0 if isinstance(widget, QLabel | QCheckBox) else 1)
    return row
