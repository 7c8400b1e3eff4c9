"""Start the viewer."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_dainr.cli.commands import Commands

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    open_ = commands.add_parser("open", help="start napari with the plugin and a k-space file")
    open_.add_argument("file", type=Path, nargs="?")
    open_.set_defaults(command=_open)


def _open(args: argparse.Namespace) -> int:
    from napari_dainr.gui.open import open_viewer

    open_viewer(args.file)
    return 0
