"""Time from a step of a drag to the curves on the screen: 100 frames of 384², several regions and reconstructions.

    xvfb-run -a -s "-screen 0 1700x1100x24 +extension GLX" python benchmarks/curves_gui.py

An update is: read the shapes, read the pixels of the region that moves, put the curve into the plot and draw it.
Seconds are those of the processor in the main thread: the machine may have other things to do.
"""

from __future__ import annotations

import argparse
import time

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_dainr.analysis.regions import Region, ellipse_corners
from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui.curves.dock import CurvesDock

FRAMES, SIZE, STEPS = 100, 384, 60


def settle(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.002)


def quantiles(name: str, seconds: list[float]) -> str:
    low, middle, high = 1e3 * np.percentile(seconds, [0, 50, 95])
    return f"| {name} | {low:.1f} | {middle:.1f} | {high:.1f} |"


def measure(n_series: int, radius: float) -> list[str]:
    """Rows of the table for so many reconstructions and a dragged region of a radius in pixels."""
    rng = np.random.default_rng(0)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1600, 1000)
    for number in range(n_series):
        image = rng.random((FRAMES, SIZE, SIZE), dtype=np.float32)
        method = "nufft" if number == 0 else "dainr"
        facts = {
            "method": method,
            "frame_duration_s": 1.0,
            "recipe": {"method": method, "spokes_per_frame": 13 + number},
        }
        viewer.add_image(
            image, name=f"{method} {number}", scale=(1, 1, 1), units=("s", "mm", "mm"), metadata={"dainr": facts}
        )
    dock = find_or_open(viewer, CurvesDock)
    settle(0.5)
    for number, role in enumerate(("AO", "PV", "LIVER")):
        centre = (120.0 + 50 * number, 150.0)
        dock.regions.ensure(dock.reader.first_layer())
        dock.regions.add(Region(ellipse_corners(centre, (radius, radius)), "ellipse", role))
    settle(1.5)
    reading, drawing = [], []
    for step in range(STEPS):
        moved = dock.state.regions.regions[0].moved(0.3, 0.2 * (-1) ** step)
        dock.state.set(dock.state.regions.put(moved), tag="drag")
        dock.reader._soon.stop()
        settle(0.05)  # napari draws the picture, as it does with any shape that moves: not counted here
        begin = time.thread_time()
        dock.reader.now()
        middle = time.thread_time()
        dock.plot._soon.stop()
        dock.plot._redraw()
        drawing.append(time.thread_time() - middle)
        reading.append(middle - begin)
        settle(0.03)
    pixels = dock.reader.readings[0].curve.n
    together = [a + b for a, b in zip(reading, drawing, strict=True)]
    name = f"{n_series} series, {pixels} pixels"
    rows = [
        quantiles(f"{name}: read", reading),
        quantiles(f"{name}: draw", drawing),
        quantiles(f"{name}: update", together),
    ]
    viewer.close()
    settle(0.2)
    return rows


def main() -> None:
    """Print a table in milliseconds."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    QApplication.instance() or QApplication([])
    rows = [row for n_series, radius in ((1, 8.0), (2, 8.0), (2, 30.0)) for row in measure(n_series, radius)]
    print(f"{FRAMES} frames of {SIZE}², 3 regions, one dragged, {STEPS} steps; milliseconds")
    print("| | least | median | 95 % |\n|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
