"""Signal along a line over time."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_dainr import RESEARCH_USE
from napari_dainr.cli.commands import Commands
from napari_dainr.cli.runs import load_runs
from napari_dainr.errors import InputError

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    xt = commands.add_parser("xt", help="write signal along a line or polyline over time")
    xt.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders; several for a .png")
    xt.add_argument(
        "--line", type=float, nargs="+", required=True, metavar="Y X",
        help="corners of the line, y0 x0 y1 x1 and more, in the unit of --unit",
    )  # fmt: skip
    xt.add_argument(
        "--unit", choices=("mm", "px"), default="mm",
        help="of --line: mm as the viewer shows them, or px of the first run, pixel centres at whole numbers "
        "(default: mm)",
    )  # fmt: skip
    xt.add_argument("--step", type=float, metavar="MM", help="distance of points (default: the shorter pixel side)")
    xt.add_argument("-o", "--output", type=Path, required=True, metavar="STRIP", help=".png, .npz or .npy")
    xt.set_defaults(command=_xt)


def _xt(args: argparse.Namespace) -> int:
    import numpy as np

    from napari_dainr.analysis.pixel_grid import PixelGrid
    from napari_dainr.analysis.sections import series_strip
    from napari_dainr.io.strips import write_strips

    if len(args.line) < 4 or len(args.line) % 2:
        raise InputError(f"--line: {len(args.line)} numbers do not make a line; give y0 x0 y1 x1, or more pairs.")
    vertices = np.asarray(args.line, dtype=np.float64).reshape(-1, 2)
    runs = load_runs(args.runs)
    if args.unit == "px":
        vertices = PixelGrid.of(runs[0][1]).to_mm(vertices)
    strips = [(name, series_strip(series, vertices, step_mm=args.step)) for name, series in runs]
    write_strips(strips, args.output)
    for name, strip in strips:
        outside = int(np.isnan(strip.values[0]).sum())
        rest = f", {outside} of them outside the image" if outside else ""
        print(f"{name}: {len(strip.times_s)} frames × {len(strip.distance_mm)} points{rest}, "
              f"{strip.distance_mm[-1]:.4g} mm × {strip.times_s[-1] - strip.times_s[0]:.4g} s")  # fmt: skip
    print(RESEARCH_USE)
    return 0
