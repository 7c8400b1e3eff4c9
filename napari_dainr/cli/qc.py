"""Write a picture of the quality of k-space."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_dainr.cli.commands import Commands
from napari_dainr.cli.importing import add_import_flags, import_values

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    qc = commands.add_parser(
        "qc", help="write a picture of the quality of k-space: spokes, angles, delays, coils, noise"
    )
    qc.add_argument("file", type=Path)
    qc.add_argument("-o", "--output", type=Path, required=True, metavar="PNG")
    qc.add_argument("--slice", dest="slice_index", type=int, default=0, help="slice, from 0")
    qc.add_argument(
        "--coil-maps", choices=("none", "adaptive", "espirit", "given"), default="none", help="show these coil maps"
    )
    qc.later = add_import_flags
    qc.set_defaults(command=_qc)


def _qc(args: argparse.Namespace) -> int:
    from napari_dainr.importing import options_from
    from napari_dainr.io import read_kspace
    from napari_dainr.io.figure_file import save_figure
    from napari_dainr.preparation.figure import quality_figure
    from napari_dainr.preparation.quality import quality

    kspace = read_kspace(args.file, options_from(import_values(args)))
    found = quality(kspace, args.slice_index)
    csm = None
    if args.coil_maps != "none":
        from napari_dainr.data import bin_spokes
        from napari_dainr.methods.problem import make_problem

        binned = bin_spokes(kspace, kspace.n_spokes, args.slice_index)
        # Many coils are compressed first, as for a reconstruction: ESPIRiT's time grows with their cube.
        coils = kspace.n_coils if kspace.n_coils <= 16 else None
        csm = make_problem(binned, coils=coils, coil_maps=args.coil_maps).csm.numpy()
    save_figure(quality_figure(kspace, found, csm), args.output)
    for name, text in found.rows():
        print(f"{name:<28}{text}")
    return 0
