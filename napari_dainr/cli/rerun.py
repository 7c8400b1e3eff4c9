"""Do a run again from what its folder says, and see whether the same comes out."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dainr.cli.commands import Commands
from napari_dainr.cli.stopping import stopping
from napari_dainr.errors import InputError

if TYPE_CHECKING:
    from napari_dainr.run_folder import RunFolder

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    rerun = commands.add_parser("rerun", help="do a run again and say whether the result is the same")
    rerun.add_argument("run", type=Path, help="run folder of recon")
    rerun.add_argument("-o", "--output", type=Path, metavar="RUN2", help="keep the new run here (default: nowhere)")
    rerun.add_argument("--data", type=Path, metavar="FILE", help="k-space file, where it has moved since")
    rerun.add_argument("--quiet", action="store_true", help="print the verdict only")
    rerun.set_defaults(command=_rerun)


def _rerun(args: argparse.Namespace) -> int:
    from napari_dainr.io import read_kspace
    from napari_dainr.progress import show
    from napari_dainr.recipe import run
    from napari_dainr.run_folder import RunFolder, facts_of

    source = RunFolder(args.run)
    recipe, said = source.recipe(), source.provenance()
    if said["rendered_from"] is not None:
        raise InputError(f"{source.path.name}: was drawn from {said['rendered_from']} by render; rerun that one.")
    if args.data is not None:
        recipe = recipe.model_copy(update={"data": str(args.data.resolve())})
    kspace = read_kspace(Path(recipe.data), recipe.importing)
    if facts_of(kspace)["kdata_sha256"] != said["input"]["kdata_sha256"]:
        raise InputError(f"{kspace.name}: holds other data than the run was made of; give its file with --data.")
    with tempfile.TemporaryDirectory() as scratch, stopping() as stop:
        target = RunFolder(args.output if args.output is not None else Path(scratch) / "run")
        events = run(recipe, target.path, kspace=kspace, stop=stop.event, until=said["step"])
        finished = show(events, recipe.method, quiet=args.quiet)
        if stop.event.is_set():
            return stop.exit_code
        again = target.provenance()
    if again["series_sha256"] == said["series_sha256"]:
        print(f"identical: SHA-256 {said['series_sha256']}, {said['step']} steps")
        return 0
    print(f"not identical: {_difference(source, finished.series.image)}{_changes(said, again)}")
    return 1


def _difference(source: RunFolder, image: Any) -> str:
    """How far the new series is from the old one, where that can be read and is of the same size."""
    import numpy as np

    try:
        old = source.series().image
    except InputError as error:
        return f"the first series cannot be compared ({error})"
    if old.shape != image.shape:
        return f"{old.shape} became {image.shape}"
    difference = np.linalg.norm(image - old) / max(float(np.linalg.norm(old)), 1e-30)
    largest = np.abs(image - old).max() / max(float(np.abs(old).max()), 1e-30)
    return f"relative difference {difference:.2g} in the norm, {largest:.2g} of the brightest pixel at most"


def _changes(said: dict[str, Any], again: dict[str, Any]) -> str:
    """What of program and machine is not as it was, for the end of a sentence."""
    then, now = ({**facts.get("packages", {}), **_machine(facts)} for facts in (said, again))
    changed = [f"{name} {then.get(name)} → {now.get(name)}" for name in now if then.get(name) != now.get(name)]
    return f"; changed since: {', '.join(changed)}" if changed else "; program and machine are as they were"


def _machine(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts.get(name) for name in ("napari_dainr", "python", "platform")}
