"""From layers and regions to curves: what is read when, and nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_dainr.analysis.curves import suggest_baseline
from napari_dainr.analysis.moving import MovingStatistics
from napari_dainr.analysis.regions import Region, RegionSet
from napari_dainr.gui._latest import Latest
from napari_dainr.gui._time_layers import TimeLayers, titles_of
from napari_dainr.gui.curves.layer import RegionLayer
from napari_dainr.gui.curves.reading import Look, Reading, cost, look_at, read
from napari_dainr.gui.curves.state import RegionState

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["CurveReader"]

LIVE_MS = 40
AT_ONCE = 1_500_000
"""Samples that are read on the main thread; more are read beside it."""
MOST_SERIES = 5
Key = tuple[str, str]


class CurveReader:
    """Reads the curves of all regions in all chosen series; at most every 40 ms.

    Signals
    -------
    read()
        ``readings`` are new.
    listed()
        ``choices`` are new.
    failed(Failed)
        Reading beside the event loop went wrong.
    """

    read = Signal()
    listed = Signal()
    failed = Signal(object)

    def __init__(self, viewer: ViewerModel, state: RegionState, layer: RegionLayer) -> None:
        self._viewer, self._state, self._layer = viewer, state, layer
        self.layers = TimeLayers(viewer)
        self.regions = RegionSet()
        self.readings: list[Reading] = []
        self.baseline_s: tuple[float, float] | None = None
        self._held = False
        self._chosen: dict[str, bool] = {}
        self._versions: dict[str, int] = {}
        self._kept: dict[Key, tuple[int, tuple[float, float] | None, Reading]] = {}
        self._looks: list[Look] | None = None
        self._titles: list[tuple[str, str, bool]] | None = None
        self._again = False
        self._moving: dict[Key, MovingStatistics] = {}
        self._beside = Latest("Curves were not read", self._arrived, self.failed.emit, self._rested)
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self.now)
        self.layers.listed.connect(self._listed)
        self.layers.changed.connect(self._data_changed)
        layer.moved.connect(self._moved)

    def close(self) -> None:
        """Stop reading and let go of the layers."""
        self._soon.stop()
        self._beside.cancel()
        self._layer.moved.disconnect(self._moved)
        self.layers.listed.disconnect(self._listed)
        self.layers.changed.disconnect(self._data_changed)
        self.layers.close()
        self._kept.clear()
        self._moving.clear()
        self.readings, self._looks = [], None

    # ---------------------------------------------------------------- series

    def choices(self) -> list[tuple[str, str, bool]]:
        """(key, title, whether it is read) of every series; the results of this program are read by default."""
        layers = self.layers.layers
        titles = titles_of(layers)  # tables and figures take them along
        ours = [isinstance(layer.metadata.get("dainr"), dict) for layer in layers]
        found, on = [], 0
        for number, layer in enumerate(layers):
            key = str(layer.unique_id)
            default = (ours[number] if any(ours) else number == 0) and on < MOST_SERIES
            shown = self._chosen.get(key, default)
            on += shown
            found.append((key, titles[number], shown))
        return found

    def choose(self, key: str, on: bool) -> None:
        """Read a series, or do not."""
        self._chosen[key] = on
        self._looks = None
        self.ask()

    def _shown_layers(self) -> list[tuple[Image, str]]:
        shown = {key: title for key, title, on in self.choices() if on}
        return [(layer, shown[str(layer.unique_id)]) for layer in self.layers.layers if str(layer.unique_id) in shown]

    def first_layer(self) -> Image | None:
        """The layer that regions are drawn on: the first that is read, else the first there is."""
        shown = self._shown_layers()
        layers = self.layers.layers
        return shown[0][0] if shown else (layers[0] if layers else None)

    def looks(self) -> list[Look]:
        """The series that are read, as they are now; top layer first, the reference last."""
        if self._looks is None:
            found = [replace(look_at(layer), title=title) for layer, title in self._shown_layers()]
            self._looks = sorted(found, key=lambda look: look.is_reference)
        return self._looks

    def _listed(self) -> None:
        self._looks = None
        there = {str(layer.unique_id) for layer in self.layers.layers}
        self._kept = {key: kept for key, kept in self._kept.items() if key[1] in there}
        self._moving.clear()  # it holds on to images
        titles = self.choices()
        if titles != self._titles:
            self._titles = titles
            self.listed.emit()
        self.ask()

    def _data_changed(self, layer: Image) -> None:
        key = str(layer.unique_id)
        self._versions[key] = self._versions.get(key, 0) + 1
        self._moving.clear()
        self._looks = None
        self.ask()

    # ---------------------------------------------------------------- reading

    def ask(self) -> None:
        """Read soon, in another turn of the event loop: whoever changes a layer may not be done with it."""
        if not self._soon.isActive():
            self._soon.start(0)

    def _moved(self) -> None:
        """Something is dragged: read at most every 40 ms."""
        if not self._soon.isActive():
            self._soon.start(LIVE_MS)

    def now(self) -> None:
        """Read what is not known yet; large regions beside the event loop."""
        self._soon.stop()
        if self._state.regions.baseline_s is not None and not self._held:
            self.baseline_s = self._state.regions.baseline_s
        self._layer.stay_on_top()
        self.regions = self._layer.live()
        missing = [(region, look) for region, look in self._pairs() if self._known(region, look) is None]
        total = sum(cost([region], look) for region, look in missing)
        lazy = any(not isinstance(look.image, np.ndarray) for _, look in missing)
        window = self.baseline_s
        if total <= AT_ONCE and not lazy:
            for region, look in missing:
                self._keep(read(region, look, window), window)
            self._publish()
            return
        if self._beside.busy:  # let it end: a drag must not starve what it shows
            self._again = True
            return
        versions = dict(self._versions)
        moving = {(region.id, look.key): self._moving_in(region, look) for region, look in missing}
        self._moving = {key: known for key, known in moving.items() if known is not None}

        def work(stop: threading.Event) -> Iterator[tuple[int, tuple[float, float] | None, Reading]]:
            for region, look in missing:
                if stop.is_set():
                    return
                known = moving[region.id, look.key]
                yield versions.get(look.key, 0), window, read(region, look, window, known)

        self._beside.ask(work)

    def _moving_in(self, region: Region, look: Look) -> MovingStatistics | None:
        """What is known of a large region that was elsewhere in the same pixels a moment ago; None for others."""
        kept = self._kept.get((region.id, look.key))
        if kept is None or kept[0] != self._versions.get(look.key, 0) or kept[2].region == region:
            return None
        known = self._moving.get((region.id, look.key))
        if known is not None and known.image is look.image:
            return known
        return MovingStatistics(look.image) if MovingStatistics.can_read(look.image) else None

    def _rested(self) -> None:
        again, self._again = self._again, False
        if again:
            self.ask()

    def _arrived(self, result: tuple[int, tuple[float, float] | None, Reading]) -> None:
        version, window, reading = result
        self._kept[reading.region.id, reading.look.key] = version, window, reading
        self._publish()

    def _pairs(self) -> list[tuple[Region, Look]]:
        counts = self._state.counts_for
        return [(region, look) for region in self.regions for look in self.looks() if counts(region, look.key)]

    def _keep(self, reading: Reading, window: tuple[float, float] | None) -> None:
        version = self._versions.get(reading.look.key, 0)
        self._kept[reading.region.id, reading.look.key] = version, window, reading

    def _known(self, region: Region, look: Look) -> Reading | None:
        """What was read, if it would be the same now."""
        kept = self._kept.get((region.id, look.key))
        if kept is None:
            return None
        version, window, reading = kept
        old = reading.look
        same = (
            version == self._versions.get(look.key, 0)
            and reading.region == region
            and old.image is look.image
            and old.geometry == look.geometry
            and np.array_equal(old.times_s, look.times_s)
            and np.array_equal(old.interpolated, look.interpolated)
            and (region.kind != "threshold" or window == self.baseline_s)
        )
        return reading if same else None

    def _publish(self) -> None:
        found = []
        for region, look in self._pairs():
            kept = self._kept.get((region.id, look.key))
            if kept is not None:  # perhaps of a moment ago: better than a curve that vanishes
                reading = kept[2]
                if reading.curve is None or len(reading.curve.times_s) == len(look.times_s):
                    found.append(Reading(region, look, reading.curve, reading.remark))
        self.readings = found
        again = self._suggest()
        self.read.emit()
        if again:
            self.ask()

    # ---------------------------------------------------------------- baseline

    def _suggest(self) -> bool:
        """Find the baseline window, unless it was set by hand; True if thresholds have to be read again for it."""
        if self._held or self._state.regions.baseline_s is not None:
            return False
        curves = [r for r in self.readings if r.curve is not None]
        best = [r for r in curves if not r.look.is_reference] or curves  # streaks are not an arrival
        best = [r for r in best if r.look.key == best[0].look.key]
        plain = [r for r in best if r.region.kind != "threshold"]
        used = plain or best
        if not used:
            return False
        window = suggest_baseline([reading.curve for reading in used if reading.curve is not None])
        first = self.baseline_s is None
        changed, self.baseline_s = window != self.baseline_s, window
        thresholds = any(region.kind == "threshold" for region in self.regions)
        return changed and thresholds and (bool(plain) or first)

    def hold_baseline(self, window_s: tuple[float, float] | None) -> None:
        """A window that is being dragged, which goes before all others; None when it is let go."""
        self._held = window_s is not None
        if window_s is not None:
            self.baseline_s = window_s
            self.read.emit()
