"""Seconds from a slider to a new picture: drawing again from a fitted DA-INR, without a fit.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/render.py

The budget: 1 s for a preview of 69 frames of 128 × 128 pixels on the CPU. How good the fit is does not matter for the
time, so it is made of a few steps. Each figure is the median of five turns. CPU seconds say what it costs where other
programs share the cores.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
from event_loop import Gaps, pause, wait_until
from measuring import turns

from napari_dainr.deformation import deformation
from napari_dainr.fitted import FittedModel
from napari_dainr.gui._layers import layer_data
from napari_dainr.gui.compare.widget import open_compare
from napari_dainr.phantom import cine_phantom, simulate_kspace
from napari_dainr.recipe import Finished, Recipe, run

TURNS = 5
N_FRAMES, UPSAMPLE = 35, 2
"""(35 − 1) · 2 + 1 = 69 frames."""


def fitted(folder: Path) -> Finished:
    """A short fit of preset fast, 35 frames of 128 × 128."""
    images = cine_phantom((128, 128), N_FRAMES)
    kspace = simulate_kspace(images, spokes_per_frame=13, n_coils=4, tr_s=0.0046, fov_mm=300.0)
    settings = {"n_steps": 4, "feature_steps": 2}
    recipe = Recipe.model_validate({"data": "memory", "spokes_per_frame": 13, "settings": settings})
    *_, last = run(recipe, folder, kspace=kspace)
    assert isinstance(last, Finished)
    return last


def engine(folder: Path) -> None:
    """Print seconds without a viewer."""
    start = time.perf_counter()
    model = FittedModel(folder)
    print(f"{'reading the fitted state':44s}{time.perf_counter() - start:8.2f} s")
    cases = [("preview", 1.0, UPSAMPLE, True), ("exact", 1.0, UPSAMPLE, False), ("preview, r 2", 2.0, UPSAMPLE, True)]
    for name, scale, upsample, quick in cases:
        drawn = []

        def draw(scale: float = scale, upsample: int = upsample, quick: bool = quick, drawn: list[Any] = drawn) -> None:
            drawn.append(model.draw(scale, upsample, quick=quick))

        seconds, cpu = turns({name: draw}, TURNS, warm=0)[name].T
        drawing = drawn[-1]
        assert drawing is not None
        shape = " × ".join(str(n) for n in drawing.series.image.shape)
        print(f"{f'{name}: {shape}':44s}{np.median(seconds):8.2f} s {np.median(cpu):8.2f} CPU s  {drawing.note}")
    start = time.perf_counter()
    deformation(folder)
    print(f"{f'deformation field of {N_FRAMES} frames':44s}{time.perf_counter() - start:8.2f} s")


def viewer(finished: Finished) -> None:
    """Print seconds from the slider to the layer, and the gaps of the event loop meanwhile."""
    window = napari.Viewer()
    window.window.resize(1400, 900)
    compare = open_compare(window)
    data, keywords, _ = layer_data(finished.series, finished.recipe, "bench", folder=finished.folder)
    window.add_image(data, **keywords)
    section = compare.render_section
    pause(2)
    section.scale.setValue(0.9)
    wait_until(lambda: section.series is not None)
    gaps, seconds = Gaps(), []
    for turn in range(TURNS):
        start = time.perf_counter()
        section.upsample.setValue(1 + turn % 2)
        section.scale.setValue(1.0 - 0.001 * turn)
        before = window.layers[-1].data
        wait_until(lambda before=before: window.layers[-1].data is not before)  # type: ignore[misc]
        seconds.append(time.perf_counter() - start)
        wait_until(lambda: section.series is not None)
    found = gaps.take()
    print(f"{'slider to preview in the layer':44s}{np.median(seconds):8.2f} s")
    p99 = np.percentile(found, 99)
    print(f"{'gaps of the event loop meanwhile':44s}{p99:8.0f} ms (99th percentile), {found.max():.0f} ms at most")
    window.close()
    pause(0.2)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        finished = fitted(Path(scratch) / "run")
        assert finished.folder is not None
        engine(finished.folder)
        viewer(finished)


if __name__ == "__main__":
    main()
