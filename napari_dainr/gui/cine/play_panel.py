"""The upper half of the dock: which layer, how fast, play."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QFormLayout, QGridLayout, QHBoxLayout, QPushButton, QStackedWidget, QVBoxLayout, QWidget

from napari_dainr.gui._parts import ComboBox, DoubleSpinBox, Note
from napari_dainr.gui._time_layers import TimeLayers, frame_times, interpolated_frames
from napari_dainr.gui.cine.player import Player
from napari_dainr.gui.cine.settings import CineSettings

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["PlayPanel"]

PACES = [
    ("true speed", "× true speed"),
    ("frames per second", "frames per second"),
    ("seconds per cycle", "seconds per cycle"),
]
MODES = [("loop", "again and again"), ("once", "once"), ("back and forth", "back and forth")]
PLAY, STOP = "▶  Play", "■  Stop"


class PlayPanel(QWidget):
    """Chooses a layer and a speed, and plays.

    Signals
    -------
    layer_changed()
        Another layer was chosen, or its data, window or place changed.
    settings_changed()
    """

    layer_changed = Signal()
    settings_changed = Signal()

    def __init__(self, viewer: ViewerModel, settings: CineSettings) -> None:
        super().__init__()
        self._viewer: ViewerModel | None = viewer
        self.settings = settings
        self.time_layers = TimeLayers(viewer)
        self.player = Player(viewer, self)
        self.layer: Image | None = None
        self._listing = False

        self.layers = ComboBox([], "Image layer that is played and exported: any grey image with axes (t, y, x).")
        self.info = Note()
        self.play = QPushButton(PLAY)
        self.play.setToolTip("Play from the frame that is shown, or stop there (Alt+A).")
        self.before, self.after = QPushButton("◂"), QPushButton("▸")
        for button, tip in ((self.before, "One frame back."), (self.after, "One frame on.")):
            button.setToolTip(tip)
            button.setFixedWidth(34)
        self.pace = ComboBox(PACES, "What the number means. True speed needs a layer whose first axis is a time.")
        self.numbers = {
            "true speed": self._number(0.05, 20.0, 0.25, "Factor on the true speed: 1 takes as long as the scan."),
            "frames per second": self._number(0.1, 120.0, 1.0, "Frames per second."),
            "seconds per cycle": self._number(0.1, 3600.0, 0.5, "Seconds from the first frame to the first again."),
        }
        self._stack = QStackedWidget()
        self._stack.setFixedHeight(self.numbers["true speed"].sizeHint().height())
        self._stack.setMaximumWidth(96)
        for number in self.numbers.values():
            self._stack.addWidget(number)
        self.mode = ComboBox(MODES, "What happens after the last frame; an export does the same.")
        self.rate = Note()
        self._lay_out()
        self._put_settings()

        self.layers.currentIndexChanged.connect(self._choose)
        self.play.clicked.connect(self.toggle)
        self.before.clicked.connect(lambda: self.step(-1))
        self.after.clicked.connect(lambda: self.step(1))
        self.pace.currentIndexChanged.connect(self._take_settings)
        self.mode.currentIndexChanged.connect(self._take_settings)
        for number in self.numbers.values():
            number.valueChanged.connect(self._take_settings)
        self.player.playing_changed.connect(self._show_playing)
        self.player.measured.connect(self._show_measured)
        self._later = QTimer(self)  # renamed, moved and new layers come in bursts
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._list)
        self.time_layers.listed.connect(lambda: self._later.start(0))
        self.time_layers.changed.connect(self._layer_changed)
        viewer.layers.selection.events.active.connect(self._follow_selection)
        self._list()
        self._follow_selection()

    @staticmethod
    def _number(low: float, high: float, step: float, tip: str) -> DoubleSpinBox:
        number = DoubleSpinBox(low, high, step, tip)
        number.setMaximumWidth(96)
        return number

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("layer", self.layers)
        speed = QHBoxLayout()
        speed.addWidget(self._stack)
        speed.addWidget(self.pace, 1)
        form.addRow("speed", speed)
        form.addRow("plays", self.mode)
        buttons = QGridLayout()
        buttons.addWidget(self.before, 0, 0)
        buttons.addWidget(self.play, 0, 1)
        buttons.addWidget(self.after, 0, 2)
        buttons.setColumnStretch(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 4)
        column.setSpacing(5)
        column.addLayout(form)
        column.addWidget(self.info)
        column.addLayout(buttons)
        column.addWidget(self.rate)

    # ---------------------------------------------------------------- settings

    def _put_settings(self) -> None:
        kept = self.settings
        self.numbers["true speed"].setValue(kept.speed)
        self.numbers["frames per second"].setValue(kept.fps)
        self.numbers["seconds per cycle"].setValue(kept.cycle_s)
        self.pace.setCurrentIndex(max(0, self.pace.findData(kept.pace)))
        self.mode.setCurrentIndex(max(0, self.mode.findData(kept.mode)))
        self._stack.setCurrentWidget(self.numbers[self.pace.currentData()])

    def _take_settings(self, *_: object) -> None:
        self._stack.setCurrentWidget(self.numbers[self.pace.currentData()])
        self.settings = replace(
            self.settings,
            pace=self.pace.currentData(),
            mode=self.mode.currentData(),
            speed=self.numbers["true speed"].value(),
            fps=self.numbers["frames per second"].value(),
            cycle_s=self.numbers["seconds per cycle"].value(),
        )
        if self.player.playing:
            self.start()
        self._refresh()
        self.settings_changed.emit()

    # ---------------------------------------------------------------- the layer

    def _list(self) -> None:
        """Layers by name; what was chosen stays chosen, also when it was renamed."""
        if self._viewer is None:
            return
        there = self.time_layers.layers
        self._listing = True
        self.layers.clear()
        for layer in there:
            self.layers.addItem(layer.name, layer)
        chosen = self.layer if self.layer in there else (there[0] if there else None)
        self.layers.setCurrentIndex(there.index(chosen) if chosen is not None else -1)
        self._listing = False
        self._set_layer(chosen)

    def _choose(self, index: int) -> None:
        if not self._listing:
            self._set_layer(self.layers.itemData(index) if index >= 0 else None)

    def _follow_selection(self, *_: object) -> None:
        active = None if self._viewer is None else self._viewer.layers.selection.active
        there = self.time_layers.layers
        if active in there and active is not self.layer:
            self._list()
            self.layers.setCurrentIndex(there.index(active))

    def _set_layer(self, layer: Image | None) -> None:
        if layer is not self.layer:
            self.layer = layer
            if layer is None:
                self.player.stop()
            elif self.player.playing:
                self.start()
        self._refresh()
        self.layer_changed.emit()

    def _layer_changed(self, layer: Image) -> None:
        if layer is self.layer:
            if self.player.playing:
                self.start()
            self._refresh()
            self.layer_changed.emit()

    @property
    def step_s(self) -> float | None:
        """True seconds per frame of the layer; None if not known."""
        times = None if self.layer is None else frame_times(self.layer)
        return None if times is None or len(times) < 2 else float(times[1] - times[0])

    @property
    def n_frames(self) -> int:
        return 0 if self.layer is None else len(self.layer.data)

    def _wanted_rate(self) -> float | None:
        return self.settings.rate(self.step_s, self.n_frames) if self.n_frames > 1 else None

    def _refresh(self) -> None:
        n, step_s, rate = self.n_frames, self.step_s, self._wanted_rate()
        if self.layer is None:
            self.info.setText("Open a series, or any image with axes (t, y, x); it can be played and exported here.")
        else:
            drawn = int(interpolated_frames(self.layer).sum())
            parts = [f"{n} frames" if n != 1 else "1 frame"]
            parts += [f"{step_s:.3g} s per frame", f"{n * step_s:.3g} s in all"] if step_s else ["no times"]
            parts += [f"{drawn} interpolated"] if drawn else []
            self.info.setText(" · ".join(parts))
        for widget in (self.play, self.before, self.after):
            widget.setEnabled(n > 1)
        self.play.setEnabled(rate is not None)
        self.layers.setEnabled(self.layer is not None)
        if rate is None:
            known = n < 2 or self.settings.pace != "true speed"
            self.rate.setText("" if known else "The true speed of this layer is not known: choose frames per second.")
            return
        cycle_s = self.settings.frames_per_cycle(n) / rate
        ratio = f" · {rate * step_s:.3g} × true speed" if step_s else ""
        self.rate.setText(f"{rate:.3g} frames/s · {cycle_s:.3g} s per cycle{ratio}")

    # ---------------------------------------------------------------- playing

    def start(self) -> None:
        """Play, or go on with the settings as they are now."""
        rate, viewer, layer = self._wanted_rate(), self._viewer, self.layer
        if rate is None or viewer is None or layer is None:
            self.player.stop()
            return
        axis = viewer.dims.ndim - layer.ndim
        if viewer.dims.ndim < layer.ndim or axis in viewer.dims.displayed:
            self.rate.setText(
                "Time is an axis of the picture just now; change that with napari's axis buttons to play."
            )
            self.player.stop()
            return
        start, step = float(layer.translate[0]), float(layer.scale[0])
        self.player.play(axis, start, step, len(layer.data), rate, self.settings.mode)

    def toggle(self) -> None:
        """Play or stop."""
        if self.player.playing:
            self.player.stop()
        else:
            self.start()

    def step(self, by: int) -> None:
        """Show the next or last frame; after the last comes the first."""
        viewer, layer = self._viewer, self.layer
        if viewer is None or layer is None or viewer.dims.ndim < layer.ndim:
            return
        axis, start, step = viewer.dims.ndim - layer.ndim, float(layer.translate[0]), float(layer.scale[0])
        here = round((float(viewer.dims.point[axis]) - start) / step)
        viewer.dims.set_point(axis, start + step * ((here + by) % len(layer.data)))

    def _show_playing(self, playing: bool) -> None:
        self.play.setText(STOP if playing else PLAY)
        self._refresh()

    def _show_measured(self, rate: float) -> None:
        wanted = self._wanted_rate()
        self._refresh()
        if wanted is not None and rate < 0.9 * wanted:
            self.rate.setText(f"{self.rate.text()} · {rate:.3g} frames/s drawn, others left out")

    def leave(self) -> None:
        """Stop, and let go of the viewer."""
        if self._viewer is None:
            return
        self._viewer.layers.selection.events.active.disconnect(self._follow_selection)
        self.player.close()
        self.time_layers.close()
        self._later.stop()
        self._viewer, self.layer = None, None
