"""The dock "x–t"."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_dainr import RESEARCH_USE
from napari_dainr.analysis.sections import Strip
from napari_dainr.errors import DainrError
from napari_dainr.gui._background import in_background
from napari_dainr.gui._dock import BottomDock, theme_colours
from napari_dainr.gui._parts import Banner, ComboBox, Note
from napari_dainr.gui._settings import StripSettings, keep, kept
from napari_dainr.gui._shortcuts import bind, unbind
from napari_dainr.gui._time_layers import TimeLayers, frame_times, pixel_mm, titles_of
from napari_dainr.gui._worker import Failed, as_failed_write
from napari_dainr.gui.xt.line import LineLayer, Tool
from napari_dainr.gui.xt.reader import Reader
from napari_dainr.gui.xt.view import StripView

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

__all__ = ["XtDock"]

UPDATE_MS = 30
"""Most often that strips are read again; the wish that comes last is always done."""
NO_SERIES = "Open a series, or any image with axes (t, y, x): what lies under a line is drawn here over time."
NO_LINE = "Press New line, then drag the line over something that moves or fills with contrast agent."
OUTSIDE = "The line lies outside the images; drag it back, or press New line."
TOOLS: list[tuple[Tool, str, str]] = [
    ("ends", "Drag ends", "Drag the ends, or the corners of a polyline (napari's direct-select tool)."),
    ("whole", "Drag line", "Drag the line as a whole, turn or stretch it (napari's select tool)."),
    ("draw", "Draw polyline", "Click corners, double-click to end."),
]


class XtDock(BottomDock):
    """Signal along a line, millimetres downwards and seconds to the right, one strip for each series."""

    NAME = "x–t"

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(napari_viewer)
        self.time_layers = TimeLayers(napari_viewer)
        self.line = LineLayer(napari_viewer)
        self.reader = Reader()
        self.view = StripView()
        self.banner = Banner()
        self.hidden: set[Image] = set()
        self.updates = 0

        self.new_button = QPushButton("New line")
        self.new_button.setToolTip("A line across the middle of the image, ready to be dragged (Alt+X).")
        self.tools: dict[str, QPushButton] = {}
        for tool, text, tip in TOOLS:
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, tool=tool: self.line.use(tool))
            self.tools[tool] = button
        self.window = ComboBox(
            [("one", "one window for all"), ("own", "each its own window")],
            "Grey values of the strips: one window from the smallest to the largest contrast limit of the series, "
            "or the contrast limits of each.",
        )
        self.window.choose(kept(StripSettings).window)
        self.choose = QPushButton("Series")
        self.choose.setToolTip("Which series have a strip.")
        self.choose.setMenu(QMenu(self.choose))
        self.save = QPushButton("Export")
        self.save.setToolTip("Write the strips: a figure of all, or the numbers of each.")
        menu = QMenu(self.save)
        self.figure_action = menu.addAction("Figure of all strips (PNG)…", self.ask_figure)
        self.arrays_action = menu.addAction("Numbers of each strip (NumPy)…", self.ask_arrays)
        self.save.setMenu(menu)
        notice = Note(RESEARCH_USE)
        notice.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        notice.setWordWrap(False)

        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(4)
        row = QHBoxLayout()
        row.setSpacing(4)
        for widget in (self.new_button, *self.tools.values(), self.window, self.choose, self.save):
            row.addWidget(widget)
        row.addStretch(1)
        row.addWidget(notice)
        column.addWidget(self.banner)
        column.addLayout(row)
        column.addWidget(self.view, 1)
        self.window.setFixedWidth(self.window.fontMetrics().horizontalAdvance("each its own window") + 44)
        self.setWidget(inside)

        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.timeout.connect(self.refresh)
        self.new_button.clicked.connect(self.new_line)
        self.window.currentIndexChanged.connect(self._window_chosen)
        self.view.time_wanted.connect(self._go_to)
        self.line.moved.connect(self._line_moved)
        self.time_layers.listed.connect(self._soon)
        self.time_layers.changed.connect(self._layer_changed)
        menu_of_series = self.choose.menu()
        if menu_of_series is not None:
            menu_of_series.aboutToShow.connect(self._fill_menu)
        napari_viewer.dims.events.point.connect(self._follow_slider)
        napari_viewer.events.theme.connect(self._follow_theme)
        self._keys = {"Alt-X": self.new_line}
        bind(napari_viewer, self, self._keys)
        self._follow_theme()
        self.refresh()

    def sizeHint(self) -> QSize:
        return QSize(700, 340)

    def minimumSizeHint(self) -> QSize:
        return QSize(360, 150)

    # ---------------------------------------------------------------- news

    def _soon(self, *_: object) -> None:
        if self._viewer is not None and not self._wait.isActive():
            self._wait.start(UPDATE_MS)

    def _window_chosen(self, *_: object) -> None:
        keep(StripSettings, window=str(self.window.currentData()))
        self._soon()

    def _line_moved(self) -> None:
        self.reader.set_line(self.line.vertices())
        self._soon()

    def _layer_changed(self, layer: Image) -> None:
        self.reader.forget(layer)
        self._soon()

    def _follow_theme(self, *_: object) -> None:
        if self._viewer is not None:
            self.view.set_colours(*theme_colours(self._viewer))

    # ---------------------------------------------------------------- strips

    @property
    def layers(self) -> list[Image]:
        """Series that have a strip, top layer first."""
        there = self.time_layers.layers
        self.hidden &= set(there)
        return [layer for layer in there if layer not in self.hidden]

    def _strips(self) -> list[tuple[Image, Strip]]:
        layers = self.layers
        self.reader.keep_only(layers)
        found = [(layer, self.reader.strip(layer)) for layer in layers]
        return [(layer, strip) for layer, strip in found if strip is not None]

    def window_of(self, layer: Image, layers: list[Image]) -> tuple[float, float]:
        """Values shown black and white in the strip of a layer."""
        limits = [layer] if self.window.currentData() == "own" else layers
        return (
            min(float(one.contrast_limits[0]) for one in limits),
            max(float(one.contrast_limits[1]) for one in limits),
        )

    def refresh(self) -> None:
        """Read what changed and draw."""
        if self._viewer is None:
            return
        self.updates += 1
        self.line.keep_on_top()
        try:
            strips = self._strips()
        except DainrError as error:  # a line of no length, or longer than anybody needs
            self.view.set_strips([], str(error))
            return
        there = [layer for layer, _ in strips]
        if not self.time_layers.layers:
            hint = NO_SERIES
        elif self.line.number is None:
            hint = NO_LINE
        else:
            hint = OUTSIDE
        first = there[0] if there else None
        self.view.units = self._units(first)
        self.view.set_strips([(layer.name, strip, self.window_of(layer, there)) for layer, strip in strips], hint)
        self.new_button.setEnabled(bool(self.time_layers.layers))
        self.save.setEnabled(bool(there))
        self.choose.setEnabled(bool(self.time_layers.layers))
        for button in self.tools.values():
            button.setEnabled(self.line.layer is not None)
        self._follow_slider()

    @staticmethod
    def _units(layer: Image | None) -> tuple[str, str]:
        if layer is None:
            return ("mm", "s")
        lengths = "mm" if pixel_mm(layer) is not None else "px"
        return (lengths, "s" if frame_times(layer) is not None else "")

    def new_line(self) -> None:
        """A line across the middle of the top series."""
        layers = self.layers or self.time_layers.layers
        if layers:
            self.line.new(layers[0])

    def _fill_menu(self) -> None:
        menu = self.choose.menu()
        if menu is None:
            return
        menu.clear()
        for layer in self.time_layers.layers:
            action = menu.addAction(layer.name)
            if action is not None:
                action.setCheckable(True)
                action.setChecked(layer not in self.hidden)
                action.toggled.connect(lambda on, layer=layer: self.show_series(layer, on))

    def show_series(self, layer: Image, on: bool) -> None:
        """Give a series a strip, or take it away."""
        self.hidden.discard(layer)
        if not on:
            self.hidden.add(layer)
        self._soon()

    # ---------------------------------------------------------------- time

    def _axis(self) -> tuple[int, float] | None:
        """Axis of the slider, and seconds per unit of it."""
        layers = self.layers
        if self._viewer is None or not layers or self._viewer.dims.ndim < 3:
            return None
        layer = layers[0]
        times = frame_times(layer)
        factor = 1.0
        if times is not None and len(times) > 1:
            factor = (times[1] - times[0]) / float(layer.scale[0])
        return self._viewer.dims.ndim - 3, factor

    def _follow_slider(self, *_: object) -> None:
        axis = self._axis()
        if axis is None or self._viewer is None:
            self.view.set_time(None)
        else:
            self.view.set_time(float(self._viewer.dims.point[axis[0]]) * axis[1])

    def _go_to(self, time: float) -> None:
        axis = self._axis()
        if axis is not None and self._viewer is not None:
            self._viewer.dims.set_point(axis[0], time / axis[1])

    # ---------------------------------------------------------------- files

    def _named(self) -> list[tuple[str, Strip]]:
        """Strips under names that hold no name of a file, and that tell them apart."""
        strips = self._strips()
        titles = titles_of([layer for layer, _ in strips])
        return [(title, strip) for title, (_, strip) in zip(titles, strips, strict=True)]

    def ask_figure(self) -> None:
        """Ask for a file and write the figure."""
        name, _ = QFileDialog.getSaveFileName(self, "Export x–t figure", "xt.png", "PNG (*.png)")
        if name:
            self.export(Path(name))

    def ask_arrays(self) -> None:
        """Ask for a file and write the numbers."""
        kinds = "NumPy archive with times and distances (*.npz);;NumPy array (*.npy)"
        name, kind = QFileDialog.getSaveFileName(self, "Export x–t arrays", "xt.npz", kinds)
        if name:
            path = Path(name)
            self.export(path if path.suffix else path.with_suffix(".npy" if kind.endswith("(*.npy)") else ".npz"))

    def export(self, path: Path) -> None:
        """Write what is shown, format by suffix, beside the event loop; arrays of several series get numbers."""
        strips = self._named()
        if not strips:
            self.banner.show_message("warning", "There is no strip to write; press New line first.")
            return
        shown = [layer for layer, _ in self._strips()]
        window = None if self.window.currentData() == "own" else self.window_of(shown[0], shown)
        in_background(lambda: _write(strips, path, window), self._written)

    def _written(self, outcome: Failed | list[str]) -> None:
        if self._viewer is None:
            return
        if isinstance(outcome, Failed):
            self.banner.show_message("error", outcome.message, outcome.details)
        else:
            self.banner.show_message("info", f"Written: {', '.join(outcome)}. {RESEARCH_USE}")

    # ---------------------------------------------------------------- keys and leaving

    def left(self, viewer: napari.viewer.Viewer) -> None:
        """Let go of layers and slider; the line stays where it is."""
        viewer.dims.events.point.disconnect(self._follow_slider)
        viewer.events.theme.disconnect(self._follow_theme)
        unbind(viewer, self._keys)
        self.time_layers.close()
        self.line.close()
        self._wait.stop()


def _write(strips: list[tuple[str, Strip]], path: Path, window: tuple[float, float] | None) -> Failed | list[str]:
    """Names of the files that were written, or what went wrong."""
    from napari_dainr.io.strips import write_strips

    try:
        if path.suffix.lower() == ".png" or len(strips) == 1:
            write_strips(strips, path, window if path.suffix.lower() == ".png" else None)
            return [path.name]
        written = []
        for number, one in enumerate(strips, 1):
            each = path.with_name(f"{path.stem}-{number}{path.suffix}")
            write_strips([one], each)
            written.append(each.name)
        return written
    except Exception as error:
        return as_failed_write(error, f"{path.name} was not written")
