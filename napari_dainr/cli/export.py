"""Write the series of a run in another format."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_dainr import RESEARCH_USE
from napari_dainr.cli.commands import Commands

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    export = commands.add_parser("export", help="write the series of a run as .npy .npz .gif .tif .nii.gz")
    export.add_argument("run", type=Path)
    export.add_argument("out", type=Path)
    export.add_argument("--fps", type=float, help="frames per second of a .gif (default: true speed)")
    export.set_defaults(command=_export)


def _export(args: argparse.Namespace) -> int:
    from napari_dainr.io import export_series
    from napari_dainr.run_folder import RunFolder

    options = {} if args.fps is None else {"fps": args.fps}
    export_series(RunFolder(args.run).series(), args.out, **options)
    print(f"{args.out}")
    print(RESEARCH_USE)
    return 0
