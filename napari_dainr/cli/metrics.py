"""Score a run against the truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from napari_dainr.cli.arrays import load_npy
from napari_dainr.cli.commands import Commands

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    metrics = commands.add_parser("metrics", help="score a run against the truth")
    metrics.add_argument("run", type=Path, help="run folder, or a (frame, y, x) .npy")
    metrics.add_argument("--truth", type=Path, required=True, help="(frame, y, x) .npy")
    metrics.add_argument("--roi", type=int, nargs=4, metavar=("Y0", "Y1", "X0", "X1"))
    metrics.set_defaults(command=_metrics)


def _metrics(args: argparse.Namespace) -> int:
    from napari_dainr.metrics import score
    from napari_dainr.run_folder import RunFolder

    truth = load_npy(args.truth)
    recon = load_npy(args.run) if args.run.is_file() else RunFolder(args.run).series().image
    figures = score(recon, truth, roi=None if args.roi is None else tuple(args.roi))
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
    return 0
