"""How well the viewer keeps up while a real fit runs, a region is dragged and files are written: event-loop gaps.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/gui_gap.py [FILE]

A timer of 5 ms runs in the event loop; a gap is the time between two of its ticks. Without FILE: the sample data.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import napari
import numpy as np
from event_loop import TICK_MS, Gaps, pause, wait_until
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from wrapt import ObjectProxy

from napari_dainr.analysis.regions import Region, ellipse_corners
from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui.cine.dock import CineDock
from napari_dainr.gui.curves.dock import CurvesDock
from napari_dainr.gui.widget import open_dock

CINE = (100, 384, 384)
"""Frames and pixels of the cine that is exported meanwhile."""


def drag(curves: CurvesDock, seconds: float) -> int:
    """Drag the region to and fro, by what napari calls when a mouse moves, every 20 ms; how often that was."""
    layer, moves = curves.regions.layer, 0
    assert layer is not None
    layer.mode = "select"
    start = np.asarray(layer.data_to_world(np.mean(layer.data[0], axis=0)))[-2:]

    def event(kind: str, at: NDArray[np.float64]) -> SimpleNamespace:
        return SimpleNamespace(
            type=kind, position=tuple(at), pos=tuple(5 * at[::-1]), is_dragging=kind == "mouse_move", modifiers=[],
            button=1, view_direction=None, up_direction=None, dims_displayed=(0, 1), dims_point=(0.0, 0.0),
        )  # fmt: skip

    def move() -> None:
        nonlocal moves
        moves += 1
        mouse_move_callbacks(layer, event("mouse_move", start + 8.0 * np.sin(moves / 20)))

    mouse_press_callbacks(layer, ObjectProxy(event("mouse_press", start)))
    timer = QTimer()
    timer.timeout.connect(move)
    timer.start(20)
    pause(seconds)
    timer.stop()
    mouse_release_callbacks(layer, event("mouse_release", start))
    return moves


def export(viewer: Any, curves: CurvesDock, seconds: float) -> int:
    """Write a large cine, a figure and tables again and again; how many files that were."""
    rng = np.random.default_rng(0)
    still = rng.random(CINE[1:], np.float32)
    frames = np.stack([np.roll(still, number, axis=1) for number in range(CINE[0])])
    layer = viewer.add_image(frames, name="cine", scale=(0.05, 1, 1), units=("s", "mm", "mm"), visible=False)
    cine = find_or_open(viewer, CineDock)
    cine.play_panel.layers.setCurrentIndex(cine.play_panel.layers.findData(layer))
    pause(1)
    end, written = time.monotonic() + seconds, 0
    with tempfile.TemporaryDirectory() as scratch:
        while time.monotonic() < end:
            files = [Path(scratch) / f"{written}{suffix}" for suffix in (".gif", ".png", ".csv", ".nii.gz")]
            assert cine.export(files[0]), cine.banner.text.text()
            curves.files.save_figure(files[1])
            curves.files.save_curves(files[2])
            curves.files.save_regions(files[3])
            wait_until(lambda files=files: cine.job is None and all(file.exists() for file in files))  # type: ignore[misc]
            written += len(files)
    viewer.layers.remove(layer)
    return written


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=20, help="length of the fit that is measured")
    arguments = parser.parse_args()

    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    dock = open_dock(viewer)
    pause(2)
    gaps = Gaps()
    parts: dict[str, NDArray[np.float64]] = {}
    pause(2)
    parts["idle"] = gaps.take()

    dock.session.load(Source(path=arguments.file) if arguments.file else Source(sample="cine"))
    wait_until(lambda: dock.model.phase in (Phase.READY, Phase.FAILED))
    assert dock.model.phase is Phase.READY, dock.banner.text.text()
    pause(1)
    parts["loading and first look"] = gaps.take()

    dock.reconstruction.method_form.fields["n_steps"].setText("1000000")
    before = len(viewer.layers)
    dock.session.start()
    wait_until(lambda: len(viewer.layers) > before or dock.model.phase is Phase.FAILED)
    assert dock.model.phase is Phase.RUNNING, dock.banner.text.text()
    parts["start to first preview"] = gaps.take()

    previews: list[float] = []
    layer: Any = viewer.layers[-1]
    layer.events.data.connect(lambda _: previews.append(time.perf_counter()))
    pause(arguments.seconds)
    parts["fitting"] = gaps.take()
    rate = (len(previews) - 1) / (previews[-1] - previews[0]) if len(previews) > 1 else 0.0
    progress = dock.run_panel.bar.text()

    curves = find_or_open(viewer, CurvesDock)
    centre = np.array(layer.data.shape[1:]) * layer.scale[1:] / 2
    curves.regions.ensure(layer)
    curves.regions.add(Region(ellipse_corners(tuple(centre), (12.0, 12.0)), "ellipse", "LV"))
    pause(2)
    gaps.take()
    moves = drag(curves, arguments.seconds)
    parts["fitting and dragging"] = gaps.take()
    written = export(viewer, curves, arguments.seconds)
    parts["fitting and exporting"] = gaps.take()

    dock.session.stop()
    wait_until(lambda: dock.model.phase is not Phase.STOPPING)
    parts["stopping"] = gaps.take()

    print(f"{'':24s}{'p50':>8s}{'p95':>8s}{'p99':>8s}{'max':>8s}   ms between ticks of {TICK_MS} ms")
    for name, values in parts.items():
        p50, p95, p99 = np.percentile(values, (50, 95, 99))
        print(f"{name:24s}{p50:8.1f}{p95:8.1f}{p99:8.1f}{values.max():8.1f}")
    print(f"the region was dragged {moves} times, {written} files were written")
    print(f"previews: {rate:.2f} per second; last progress: {progress}")
    viewer.close()


if __name__ == "__main__":
    main()
