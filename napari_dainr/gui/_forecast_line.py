"""The line above Start that says what a run will take, before it starts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_dainr.errors import DainrError
from napari_dainr.gui._figures import duration, gigabytes
from napari_dainr.gui._latest import Latest
from napari_dainr.gui._model import Model, Phase
from napari_dainr.gui._parts import WARNING_COLOUR, Note
from napari_dainr.gui._worker import Failed

if TYPE_CHECKING:
    from napari_dainr.forecast import Forecast

__all__ = ["ForecastLine", "forecast_text"]

SETTLE_MS = 700
WARNING_STYLE = f"#dainr_forecast {{ border-left: 5px solid {WARNING_COLOUR}; padding-left: 4px; }}"
HELD_BACK = "This run may not fit into memory: change the settings, or tick “start all the same”."


def forecast_text(forecast: Forecast) -> str:
    """For instance ``about 28 s · 1.1 GB of 22.4 GB free``."""
    memory = f"{gigabytes(forecast.memory_bytes)} of {gigabytes(forecast.available_bytes)} free"
    return f"about {duration(forecast.seconds)} · {memory}"


class ForecastLine(QWidget):
    """Follows the settings: a moment after the last change they are tried out on a few frames, beside the event loop.

    Where the memory is not enough, it says a way out and holds Start back until the user ticks a box or changes
    something. A forecast that fails says why and holds nothing back: the run itself will say it better.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self._model = model
        self._key = ""
        self._kspace: object = None
        self.forecast: Forecast | None = None
        self.note = Note()
        self.note.setObjectName("dainr_forecast")
        self.anyway = QCheckBox("start all the same")
        self.anyway.setToolTip("The forecast may be wrong; a run that fills the memory ends with a message.")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.note)
        layout.addWidget(self.anyway)
        self._work = Latest("making a forecast", self._arrived, self._failed)
        self._wait = QTimer()
        self._wait.setSingleShot(True)
        self._wait.setInterval(SETTLE_MS)
        self._wait.timeout.connect(self._ask)
        self.anyway.toggled.connect(self._hold_back)
        model.form_changed.connect(self._follow)
        model.data_changed.connect(self._follow)
        model.phase_changed.connect(self._follow)
        self._say("")

    @property
    def busy(self) -> bool:
        """Whether a forecast is being made, or will be in a moment."""
        return bool(self._work.busy or self._wait.isActive())

    def _follow(self, *_: object) -> None:
        """Ask again if what would run is another thing than before."""
        model = self._model
        if model.busy or model.phase in (Phase.EMPTY, Phase.LOADING):
            if model.phase is Phase.LOADING or self._wait.isActive():  # not asked yet: asked when the run is over
                self._forget()
            return
        try:
            recipe = model.recipe()
        except DainrError:  # the field itself is marked
            self._forget()
            return
        key = recipe.model_dump_json(exclude={"seed"})
        if key == self._key and model.kspace is self._kspace:
            return
        self._forget()
        self._key, self._kspace = key, model.kspace
        self._say("forecast …")
        self._wait.start()

    def _forget(self) -> None:
        self._key, self._kspace, self.forecast = "", None, None
        self._wait.stop()
        self._work.cancel()
        self.anyway.setChecked(False)
        self._say("")
        self._hold_back()

    def _ask(self) -> None:
        model = self._model
        kspace, recipe = model.kspace, model.recipe()
        assert kspace is not None

        def work(stop: threading.Event) -> Iterator[Any]:
            from napari_dainr.forecast import forecast

            yield forecast(recipe, kspace, stop)

        self._work.ask(work)

    def _arrived(self, forecast: Forecast) -> None:
        self.forecast = forecast
        parts = "\n".join(f"{name}: {duration(seconds)}" for name, seconds in forecast.parts.items())
        advice = forecast.advice
        text = forecast_text(forecast)
        self._say(f"{advice}" if advice else f"forecast: {text}", f"{text}\n{parts}", warn=advice is not None)
        self._hold_back()

    def _failed(self, failed: Failed) -> None:
        self._say(f"no forecast: {failed.message}", failed.details)

    def _say(self, text: str, tip: str = "", warn: bool = False) -> None:
        self.note.setText(text)
        self.note.setToolTip(tip or "What a run with these settings takes on this machine.")
        self.note.setStyleSheet(WARNING_STYLE if warn else "")
        self.note.setVisible(bool(text))
        self.anyway.setVisible(warn)

    def _hold_back(self, *_: object) -> None:
        short = self.forecast is not None and self.forecast.advice is not None
        self._model.hold_back(HELD_BACK if short and not self.anyway.isChecked() else "")

    def leave(self) -> None:
        """The dock is closed."""
        self._wait.stop()
        self._work.cancel()
        for signal in (self._model.form_changed, self._model.data_changed, self._model.phase_changed):
            signal.disconnect(self._follow)
