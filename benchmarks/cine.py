"""Seconds to write a cine of 100 frames of 384 × 384 pixels, and milliseconds to draw x–t strips again.

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/cine.py

The budgets: 3 s per cine; 40 ms per redrawing of the strips, and 100 ms (99th percentile) between ticks of the event
loop while a cine is written and another plays. Each figure is the median of three turns; the noise of the frames makes
them harder to pack than a reconstruction. CPU seconds, ffmpeg's included, say what it costs where other programs share
the cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import napari
import numpy as np
from event_loop import Gaps, pause, wait_until
from measuring import turns
from numpy.typing import NDArray

from napari_dainr.gui._dock import find_or_open
from napari_dainr.gui.cine.dock import CineDock
from napari_dainr.gui.cine.settings import CineSettings, cine_settings, remember
from napari_dainr.gui.xt.dock import XtDock
from napari_dainr.io.cine import Cine, write_cine
from napari_dainr.io.cine_drawing import Outline
from napari_dainr.io.cine_options import CineOptions

TURNS = 3


def series(n: int, size: int) -> NDArray[np.float32]:
    """A disk that moves, and noise of 5 %."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    rng = np.random.default_rng(0)
    frames = [np.exp(-((x - 0.2 * np.cos(k / 8)) ** 2 + y**2) / 0.03) for k in range(n)]
    return (np.stack(frames) + 0.05 * rng.random((n, size, size))).astype(np.float32)


def cines(image: NDArray[np.float32], folder: Path) -> None:
    """Print seconds and megabytes of every kind of file."""
    n, size = len(image), image.shape[1]
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    ring = size / 2 + size / 6 * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    cine = Cine(image, "DA-INR", (1.0, 1.0), 0.3 * np.arange(n), np.arange(n) % 3 > 0)
    marked = Cine(*[getattr(cine, name) for name in cine.__dataclass_fields__][:5], [Outline(ring, "#d55e00", "aorta")])
    cases: list[tuple[str, Cine, CineOptions, str]] = [
        ("GIF", cine, CineOptions(), "a.gif"),
        ("GIF with outlines", marked, CineOptions(), "b.gif"),
        ("GIF enlarged ×2, Fourier", cine, CineOptions(enlarge=2, interpolation="fourier"), "c.gif"),
        ("MP4", cine, CineOptions(), "d.mp4"),
        ("MP4 with outlines", marked, CineOptions(), "e.mp4"),
    ]
    for name, what, options, file in cases:
        seconds, cpu = turns({name: partial(write_cine, what, folder / file, options)}, TURNS, warm=0)[name].T
        megabytes = (folder / file).stat().st_size / 1e6
        took = f"{np.median(seconds):8.2f} s {np.median(cpu):8.2f} CPU s"
        print(f"{name:28s}{took} {megabytes:8.1f} MB   {n} frames of {size} × {size}, read back")


def tell_gaps(name: str, found: NDArray[np.float64]) -> None:
    """Print milliseconds between ticks of the event loop."""
    p50, p99 = np.percentile(found, (50, 99))
    print(f"event loop, {name:28s}{p50:8.1f} ms median, {p99:.1f} ms 99 %, {found.max():.1f} ms longest")


def viewer(image: NDArray[np.float32], folder: Path) -> None:
    """Print what the docks cost the event loop."""
    kept = cine_settings()
    remember(CineSettings())  # true speed: 0.3 s per frame
    window = napari.Viewer()
    window.window.resize(1400, 900)
    for name in ("NuFFT", "GRASP", "DA-INR"):
        window.add_image(image, name=name, scale=(0.3, 1, 1), units=("s", "mm", "mm"), contrast_limits=(0, 1))
    cine, xt = find_or_open(window, CineDock), find_or_open(window, XtDock)
    xt.new_line()
    pause(2)
    line = xt.line.layer
    assert line is not None
    spent, used = [], []
    for turn in range(20):
        line.data = [np.array([[100.0 + turn, 60.0], [250.0 - turn, 330.0]])]
        start, before = time.perf_counter(), time.process_time()
        xt.reader.set_line(xt.line.vertices())
        xt.refresh()
        xt.view.grab()
        spent.append(1e3 * (time.perf_counter() - start))
        used.append(1e3 * (time.process_time() - before))
    late = np.percentile(spent, 95)
    print(f"{'x–t, three series':28s}{np.median(spent):8.1f} ms, 95 % {late:.1f} ms; {np.median(used):.1f} CPU ms")
    gaps = Gaps()
    pause(1)
    gaps.take()
    cine.play_panel.toggle()
    pause(3)
    tell_gaps("playing", gaps.take())
    for suffix in (".gif", ".mp4"):
        for number in range(TURNS):
            cine.export(folder / f"gui-{number}{suffix}")
            wait_until(lambda: cine.job is None)
            assert (folder / f"gui-{number}{suffix}").is_file(), "not written"
        tell_gaps(f"playing, writing {suffix}", gaps.take())
    cine.play_panel.toggle()
    window.close()
    remember(kept)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--only", choices=("files", "viewer"))
    arguments = parser.parse_args()
    image = series(arguments.frames, arguments.size)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.only != "viewer":
            cines(image, Path(folder))
        if arguments.only != "files":
            viewer(image, Path(folder))


if __name__ == "__main__":
    main()
