"""Draw a fitted run again."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_dainr.cli.commands import Commands

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    render = commands.add_parser("render", help="draw a fitted run at another scale and other times, without fitting")
    render.add_argument("run", type=Path)
    render.add_argument("-o", "--output", type=Path, required=True, metavar="RUN2")
    render.add_argument("--scale", type=float, default=1.0, metavar="r")
    render.add_argument("--upsample", type=int, default=1, metavar="k")
    render.set_defaults(command=_render)


def _render(args: argparse.Namespace) -> int:
    from napari_dainr.engine import render

    series = render(args.run, args.output, args.scale, args.upsample)
    n, height, width = series.image.shape
    print(f"{n} frames of {height} × {width}, {int(series.interpolated.sum())} of them interpolated → {args.output}")
    return 0
