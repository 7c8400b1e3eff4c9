"""Write the series of a run in another format."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dainr import RESEARCH_USE
from napari_dainr.cli.commands import Commands

if TYPE_CHECKING:
    from napari_dainr.data import ImageSeries

__all__ = ["add"]

SWITCHES = ("time_stamp", "frame_number", "scale_bar", "method_name")


def add(commands: Commands) -> None:
    """The command and its flags; what a flag does is told by the table of cine options."""
    from napari_dainr.io.cine_options import CineOptions

    def about(field: str) -> str:
        option = CineOptions.model_fields[field]
        return f"{option.title}: {option.description}".replace("%", "%%")

    export = commands.add_parser(
        "export",
        help="write the series of a run in another format: DICOM, NIfTI, OME-Zarr, TIFF, HDF5, GIF, …",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"The end of the name of the file to write says the format:\n{_formats()}",
    )
    export.add_argument("run", type=Path, metavar="RUN", help="run folder")
    export.add_argument("out", type=Path, nargs="?", metavar="OUT", help="file to write, or folder for .dcm and .zarr")
    export.add_argument("-o", "--output", type=Path, metavar="OUT", help="the same, as for the other commands")
    dicom = export.add_argument_group("for .dcm")
    dicom.add_argument(
        "--cardiac",
        action="store_true",
        default=None,
        help="the series is one heart beat: write trigger times, by which viewers play cines",
    )
    cine = export.add_argument_group("for .gif and .mp4")
    cine.add_argument("--fps", type=float, help=about("fps"))
    cine.add_argument("--cycle", dest="cycle_s", type=float, metavar="S", help=about("cycle_s"))
    cine.add_argument("--speed", type=float, metavar="X", help=about("speed"))
    cine.add_argument("--loop", type=int, metavar="N", help=about("loop"))
    cine.add_argument("--back-and-forth", action="store_true", default=None, help=about("back_and_forth"))
    cine.add_argument("--window", type=float, nargs=2, metavar=("LOW", "HIGH"), help=about("window"))
    cine.add_argument("--crop", type=int, nargs=4, metavar=("Y0", "Y1", "X0", "X1"), help=about("crop"))
    cine.add_argument("--times", dest="times_s", type=float, nargs=2, metavar=("A", "B"), help=about("times_s"))
    cine.add_argument("--enlarge", type=int, metavar="K", help=about("enlarge"))
    cine.add_argument("--interpolation", choices=("nearest", "bilinear", "fourier"), help=about("interpolation"))
    for field in SWITCHES:
        flag = f"--{field.replace('_', '-')}"
        cine.add_argument(flag, action=argparse.BooleanOptionalAction, default=None, help=about(field))
    cine.add_argument("--rois", type=Path, metavar="R", help="regions to outline: .json, ImageJ .roi or .zip, .nii.gz")
    export.set_defaults(command=_export)


def _formats() -> str:
    from napari_dainr.io.export_formats import FORMATS

    rows = [(" ".join(form.suffixes), f"{form.title}: {form.holds}") for form in FORMATS]
    width = max(len(suffixes) for suffixes, _ in rows)
    return "\n".join(f"  {suffixes:{width}}  {about}" for suffixes, about in rows)


def _target(args: argparse.Namespace) -> Path:
    from napari_dainr.errors import InputError

    given: list[Path] = [path for path in (args.out, args.output) if path is not None]
    if len(given) != 1:
        said = "twice" if given else "nowhere"
        raise InputError(f"export: the file to write is given {said}; say it once, as in `export RUN -o out.dcm`.")
    return given[0]


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, by the names of the table."""
    from napari_dainr.io.cine_options import CineOptions

    given = {field: getattr(args, field, None) for field in CineOptions.model_fields}
    return {
        field: tuple(value) if isinstance(value, list) else value for field, value in given.items() if value is not None
    }


def _export(args: argparse.Namespace) -> int:
    from napari_dainr.io import export_series
    from napari_dainr.run_folder import RunFolder

    out = _target(args)
    series = RunFolder(args.run).series()
    options = _options(args)
    if args.cardiac:
        options["cardiac"] = True
    if out.suffix.lower() in (".gif", ".mp4"):
        _write_cine(series, out, options, args.rois)
    else:
        if args.rois is not None:
            options["regions"] = True  # refused below, in the sentence for all of them
        export_series(series, out, **options)
    print(f"{out}")
    print(RESEARCH_USE)
    return 0


def _write_cine(series: ImageSeries, path: Path, options: dict[str, Any], rois: Path | None) -> None:
    import numpy as np

    from napari_dainr.analysis.pixel_grid import PixelGrid
    from napari_dainr.errors import InputError
    from napari_dainr.io.cine import Cine, write_cine
    from napari_dainr.io.cine_options import cine_options
    from napari_dainr.io.cine_regions import region_outlines
    from napari_dainr.io.regions import import_regions
    from napari_dainr.methods.config import TITLES

    if not np.isfinite(series.image).all():
        raise InputError(f"{path.name}: the series holds NaN or Inf; reconstruct it again.")
    outlines = []
    if rois is not None:
        regions, doubts = import_regions(rois, PixelGrid.of(series))
        for doubt in doubts:
            print(f"napari-dainr: {doubt}", file=sys.stderr)
        outlines = region_outlines(regions, PixelGrid.of(series))
    cine = replace(Cine.of(series, outlines), method=TITLES.get(series.method, series.method))
    write_cine(cine, path, cine_options(path.name, **options))
