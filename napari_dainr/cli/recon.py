"""Reconstruct a series from k-space into a run folder."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dainr import RESEARCH_USE
from napari_dainr.cli.commands import Commands
from napari_dainr.cli.importing import add_import_flags, import_values
from napari_dainr.cli.stopping import stopping
from napari_dainr.errors import InputError
from napari_dainr.methods import METHOD_NAMES

if TYPE_CHECKING:
    from napari_dainr.data import KSpace
    from napari_dainr.recipe import Recipe

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    recon = commands.add_parser("recon", help="reconstruct a series from k-space into a run folder")
    recon.add_argument("file", type=Path, nargs="?", help="k-space file (or the data of --recipe)")
    recon.add_argument("-o", "--output", type=Path, metavar="RUN", help="run folder to make (--forecast needs none)")
    recon.add_argument("--recipe", type=Path, help="recipe file, as the viewer saves it; flags change it")
    recon.add_argument("--method", help=f"{', '.join(METHOD_NAMES)} (default dainr)")
    recon.add_argument("--spokes-per-frame", type=int, metavar="N", help="consecutive spokes that make one frame")
    recon.add_argument("--preset", help="fast (default) or paper")
    recon.add_argument("--scale", type=float, metavar="r", help="scale ratio of the drawn image (default 1)")
    recon.add_argument("--upsample", type=int, metavar="k", help="temporal upsampling (default 1)")
    recon.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="key=value", help="a method setting"
    )
    recon.add_argument("--slice", dest="slice_index", type=int, help="slice, from 0")
    recon.add_argument("--coils", type=int, help="virtual coils (default: 99 %% of the energy)")
    recon.add_argument("--coil-maps", help="adaptive (default), espirit, or given: those of the file")
    recon.add_argument("--device", help="auto (default), cpu, cuda or cuda:N")
    recon.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    recon.add_argument("--seed", type=int, help="seed of everything random (default 0)")
    recon.add_argument("--held-out", type=float, metavar="F", help="fraction of spokes kept away from the fit (0.02)")
    recon.add_argument("--resume", action="store_true", help="go on with an interrupted or stopped run in RUN")
    recon.add_argument("--checkpoint", type=float, default=30.0, metavar="S", help="seconds between checkpoints (30)")
    recon.add_argument("--snapshots", type=int, default=0, metavar="N", help="series to keep along the fit (0)")
    recon.add_argument(
        "--forecast", action="store_true", help="say what the run would take, seconds and memory, and end (3: too much)"
    )
    recon.add_argument("--quiet", action="store_true", help="print errors only")
    recon.later = add_import_flags
    recon.set_defaults(command=_recon)


def _recipe_of(args: argparse.Namespace) -> tuple[Recipe, KSpace | None]:
    """What the flags ask for, and the data where it had to be read to know."""
    from napari_dainr.recipe import load_recipe, recipe_from
    from napari_dainr.run_folder import RunFolder

    values: dict[str, Any] = {}
    kspace = None
    if args.recipe is not None:
        values = load_recipe(args.recipe).model_dump()
    elif args.resume:
        values = RunFolder(args.output).recipe().model_dump()
    given = {
        "data": None if args.file is None else str(args.file.resolve()),
        "method": args.method,
        "preset": args.preset,
        "spokes_per_frame": args.spokes_per_frame,
        "scale": args.scale,
        "upsample": args.upsample,
        "slice_index": args.slice_index,
        "coils": args.coils,
        "coil_maps": args.coil_maps,
        "device": args.device,
        "threads": args.threads,
        "seed": args.seed,
        "held_out": args.held_out,
    }
    values |= {name: value for name, value in given.items() if value is not None}
    told = import_values(args)
    if told:
        values["importing"] = dict(values.get("importing", {})) | told
    if args.settings:
        values["settings"] = values.get("settings", {}) | _parse_settings(args.settings)
    if "data" not in values:
        raise InputError("no k-space file is given; name one, or a recipe with --recipe.")
    if "spokes_per_frame" not in values:
        from napari_dainr.importing import options_from
        from napari_dainr.io import read_kspace

        kspace = read_kspace(Path(values["data"]), options_from(values.get("importing", {})))
        hint = kspace.spokes_per_frame_hint
        if hint is None:
            raise InputError("the file does not say how many spokes make a frame; choose with --spokes-per-frame.")
        values["spokes_per_frame"] = hint
    return recipe_from(values, "command line" if args.recipe is None else args.recipe.name), kspace


def _parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """``key=value`` pairs; values are JSON where they parse as such, else text."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise InputError(f"--set {pair!r} is not of the form key=value.")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value
    return settings


def _recon(args: argparse.Namespace) -> int:
    from napari_dainr.engine import resolved
    from napari_dainr.forecast import shortage
    from napari_dainr.io import read_kspace
    from napari_dainr.progress import show
    from napari_dainr.recipe import Notice, run
    from napari_dainr.run_folder import RunFolder

    if args.snapshots < 0:
        raise InputError(f"--snapshots is {args.snapshots}; give 0 or more.")
    if args.output is None and (args.resume or not args.forecast):
        raise InputError("no run folder is given; name one with -o.")
    recipe, kspace = _recipe_of(args)
    recipe = resolved(recipe)
    if not args.forecast:
        RunFolder(args.output).check_for(recipe, args.resume)  # before a large file is read
    if kspace is None:
        kspace = read_kspace(Path(recipe.data), recipe.importing)
    if args.forecast:
        return _tell_forecast(recipe, kspace)
    short = shortage(recipe, kspace)
    warning = [] if short is None else [Notice(short)]

    with stopping() as stop:
        events = run(
            recipe,
            args.output,
            kspace=kspace,
            resume=args.resume,
            stop=stop.event,
            checkpoint_s=args.checkpoint,
            snapshots=args.snapshots,
        )
        finished = show(itertools.chain(warning, events), recipe.method, quiet=args.quiet)
    if not args.quiet:
        n, height, width = finished.series.image.shape
        print(f"{recipe.method}: {n} frames of {height} × {width} in {finished.seconds:.1f} s → {args.output}")
        print(RESEARCH_USE)
    return stop.exit_code if finished.stopped else 0


def _tell_forecast(recipe: Recipe, kspace: KSpace) -> int:
    from napari_dainr.forecast import forecast
    from napari_dainr.machine import memory_text

    told = forecast(recipe, kspace)
    for name, seconds in told.parts.items():
        print(f"{name:<20} {seconds:8.1f} s")
    print(f"{'whole':<20} {told.seconds:8.1f} s")
    print(f"{'memory':<20} {memory_text(told.memory_bytes):>10} of {memory_text(told.available_bytes)} free")
    if told.advice is not None:
        print(told.advice)
    return 0 if told.fits else 3
