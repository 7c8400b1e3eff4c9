"""How long Stop takes in the viewer: stops at random moments of real fits, in every stage.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/gui_stop.py [FILE]

A whole fit says how long one takes; then fits are begun and stopped, at moments that are spread evenly over that time
and random within their part of it. Without FILE: the sample cine. "answered" is when the dock says that the fit has
stopped, "done" when its result is drawn, saved and shown, both from the click on the button.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import napari
import numpy as np
from event_loop import pause, wait_until

from napari_dainr.gui._model import Phase, Source
from napari_dainr.gui.widget import open_dock
from napari_dainr.recipe import Progress


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("--stops", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)

    viewer = napari.Viewer()
    viewer.window.resize(1400, 900)
    dock = open_dock(viewer)
    model, start, stop = dock.model, dock.run_panel.buttons["start"], dock.run_panel.buttons["stop"]
    assert dock.session.load(Source(path=arguments.file) if arguments.file else Source(sample="cine"))
    wait_until(lambda: model.phase in (Phase.READY, Phase.FAILED))
    assert model.phase is Phase.READY, dock.banner.text.text()
    first_look = viewer.layers[0]
    pause(1)

    stage = ""

    def progressed(progress: Progress) -> None:
        nonlocal stage
        stage = progress.stage

    dock.session.progressed.connect(progressed)
    began = time.perf_counter()
    start.click()
    wait_until(lambda: model.phase in (Phase.DONE, Phase.FAILED))
    assert model.phase is Phase.DONE, dock.banner.text.text()
    whole_s = time.perf_counter() - began

    found: dict[str, list[tuple[float, float]]] = {}
    for number in range(arguments.stops):
        for layer in [layer for layer in viewer.layers if layer is not first_look]:
            viewer.layers.remove(layer)
        stage = "preparing"
        start.click()
        pause(whole_s * (number + rng.random()) / arguments.stops)
        if not stop.isEnabled():  # it was over sooner this time
            wait_until(lambda: model.phase is Phase.DONE)
            continue
        in_stage, asked = stage, time.perf_counter()
        stop.click()
        wait_until(lambda: "stopped at step" in dock.banner.text.text() or model.phase is not Phase.STOPPING)
        answered_s = time.perf_counter() - asked
        wait_until(lambda: model.phase is not Phase.STOPPING)
        found.setdefault(in_stage, []).append((answered_s, time.perf_counter() - asked))
        print(f"{number + 1:3d}  {in_stage:28s} {answered_s:.2f} {found[in_stage][-1][1]:.2f}", flush=True)
        assert model.phase in (Phase.DONE, Phase.READY), dock.banner.text.text()

    rows = [*found.items(), ("all", [pair for pairs in found.values() for pair in pairs])]
    print(f"{sum(map(len, found.values()))} stops of fits that take {whole_s:.1f} s; seconds after the click")
    print(f"{'':32s}{'n':>4s}{'answered p50':>16s}{'p95':>7s}{'max':>7s}{'done p50':>12s}{'p95':>7s}{'max':>7s}")
    for name, pairs in rows:
        answered, done = np.array(pairs).T
        figures = [*np.percentile(answered, (50, 95)), answered.max(), *np.percentile(done, (50, 95)), done.max()]
        widths = (16, 7, 7, 12, 7, 7)
        print(f"{name:32s}{len(pairs):4d}" + "".join(f"{f:{w}.2f}" for f, w in zip(figures, widths, strict=True)))
    viewer.close()


if __name__ == "__main__":
    main()
