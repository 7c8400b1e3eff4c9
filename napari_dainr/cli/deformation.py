"""Write the deformation field of a fitted run."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_dainr.cli.commands import Commands

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    deformation = commands.add_parser(
        "deformation", help="write DA-INR's deformation field: displacement, its length, Jacobian determinant"
    )
    deformation.add_argument("run", type=Path, help="run folder of a DA-INR fit")
    deformation.add_argument("-o", "--output", type=Path, required=True, metavar="D.npz")
    deformation.add_argument(
        "--frames", type=float, nargs="+", metavar="i", help="fractional frame indices (default: every measured frame)"
    )
    deformation.set_defaults(command=_deformation)


def _deformation(args: argparse.Namespace) -> int:
    from napari_dainr.deformation import deformation, save_deformation

    series = deformation(args.run, args.frames)
    save_deformation(series, args.output)
    n, height, width = series.jacobian.shape
    print(
        f"{n} frames of {height} × {width}: at most {series.magnitude_mm.max():.3g} mm, "
        f"Jacobian determinant {series.jacobian.min():.3g} to {series.jacobian.max():.3g}, "
        f"folded in {100 * series.folded:.2g} % → {args.output}"
    )
    return 0
