"""The demonstration."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_dainr.cli.commands import Commands

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    demo = commands.add_parser("demo", help="simulate a cardiac cine, reconstruct it with every method, compare")
    demo.add_argument("-o", "--output", type=Path, default=Path("demo"))
    demo.set_defaults(command=_demo)


def _demo(args: argparse.Namespace) -> int:
    from napari_dainr.demo import run_demo

    run_demo(args.output)
    return 0
