"""Is a curve ready while its region is dragged? ``python benchmarks/analysis.py [--frames 100] [--size 384]``.

Prints Markdown tables of milliseconds per update: a region moves by a fraction of a pixel, its mask is made, its
curve is read, its quantities are worked out; with all of its pixels, and for large regions, as the viewer does, with
those alone that it wins and loses. The goal is 40 ms at 100 frames of 384 × 384. Below it, strips along
lines.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
from collections.abc import Callable
from functools import partial

import numpy as np
from measuring import turns

from napari_dainr.analysis.curves import baseline_of, in_mode, mask_curve, suggest_baseline
from napari_dainr.analysis.masks import region_mask
from napari_dainr.analysis.moving import MovingStatistics
from napari_dainr.analysis.pixel_grid import PixelGrid
from napari_dainr.analysis.quantities import curve_quantities
from napari_dainr.analysis.regions import Region, box_corners, ellipse_corners
from napari_dainr.analysis.sections import Section, path_points

BUDGET_MS = 40.0
LARGE = 1_500_000
"""Samples from which on the viewer reads beside the event loop."""


def freehand(centre: tuple[float, float], radius: float, n: int) -> np.ndarray:
    """A wobbly outline of n points, as a hand draws it."""
    angle = 2 * np.pi * np.arange(n) / n
    reach = radius * (1 + 0.15 * np.sin(5 * angle) + 0.05 * np.cos(13 * angle))
    return np.stack([centre[0] + reach * np.sin(angle), centre[1] + reach * np.cos(angle)], axis=-1)


def regions(size: int) -> dict[str, Region]:
    """Regions from a vessel to the whole image."""
    middle = (size / 2, size / 2)
    return {
        "ellipse, 12 px across (a vessel)": Region(ellipse_corners(middle, (6, 6)), kind="ellipse"),
        "ellipse, 60 px across (liver)": Region(ellipse_corners(middle, (30, 30), 20), kind="ellipse"),
        "freehand, 500 points, 60 px": Region(freehand(middle, 30, 500), kind="freehand"),
        "threshold 20 % in 60 px": Region(freehand(middle, 30, 200), kind="threshold"),
        "rectangle, 128 px": Region(box_corners(*(size / 2 - 64,) * 2, *(size / 2 + 64,) * 2), kind="rectangle"),
        "ellipse over half of the image": Region(ellipse_corners(middle, (size * 0.4, size * 0.4)), kind="ellipse"),
        "the whole image": Region(box_corners(0, 0, size, size), kind="rectangle"),
    }


def milliseconds(job: Callable[[int], object], repeats: int) -> tuple[float, float, float]:
    """Median and 95th percentile of calls by the clock, and median processor time; the first call left out.

    On a busy machine processor time says what the job costs, and the clock what the neighbours do.
    """
    numbers = itertools.count()
    taken = turns({"job": lambda: job(next(numbers))}, 1, counted=repeats)["job"]
    walls, cpus = 1e3 * taken.T
    return float(np.median(walls)), float(np.percentile(walls, 95)), float(np.median(cpus))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--repeats", type=int, default=30)
    args = parser.parse_args()
    image = np.random.default_rng(0).random((args.frames, args.size, args.size), dtype=np.float32)
    times_s = 1.5 + 3.0 * np.arange(args.frames)
    image *= (1 + np.clip((times_s - 60) / 20, 0, 1)).astype(np.float32)[:, None, None]
    geometry = PixelGrid((args.size, args.size), (1.0, 1.0))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, NumPy {np.__version__}; "
          f"{args.frames} frames of {args.size}²\n")  # fmt: skip
    print(
        f"| region | pixels | median ms | 95 % ms | CPU ms | within {BUDGET_MS:g} ms |\n|---|---:|---:|---:|---:|---|"
    )
    for name, region in regions(args.size).items():
        pixels = region_mask(region, geometry, image).n

        def update(call: int, region: Region = region, moving: MovingStatistics | None = None) -> None:
            moved = region.moved(0.13 * (call % 7), -0.29 * (call % 5))
            curve = mask_curve(image, region_mask(moved, geometry, image), times_s, moving=moving)
            window = suggest_baseline([curve])
            in_mode(curve, "relative", baseline_of(curve, window))
            curve_quantities(curve, window)

        jobs = {name: update}
        if pixels * args.frames > LARGE:
            jobs[f"{name}, dragged"] = partial(update, moving=MovingStatistics(image))
        for title, job in jobs.items():
            median, late, cpu = milliseconds(job, args.repeats)
            soon = "yes" if median <= BUDGET_MS else "no"
            print(f"| {title} | {pixels} | {median:.2f} | {late:.2f} | {cpu:.2f} | {soon} |")
    print("\n| line | points | median ms | 95 % ms | CPU ms |\n|---|---:|---:|---:|---:|")
    end = args.size - 1.0
    for name, vertices in {
        "across, at an angle": [(10.0, 3.0), (end - 40, end)],
        "polyline of four parts": [(5.0, 5.0), (end, 40.0), (60.0, 200.0), (end - 7, end), (30.0, end)],
    }.items():

        def draw(call: int, vertices: list[tuple[float, float]] = vertices) -> None:
            points, _ = path_points(np.asarray(vertices) - 0.01 * (call % 7), 1.0)
            Section(geometry.to_pixels(points), geometry.shape).read(image)

        count = len(path_points(vertices, 1.0)[0])
        median, late, cpu = milliseconds(draw, args.repeats)
        print(f"| {name} | {count} | {median:.2f} | {late:.2f} | {cpu:.2f} |")


if __name__ == "__main__":
    main()
