"""Signal over time in regions, the quantities read off it, and contrast phases."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_dainr import RESEARCH_USE
from napari_dainr.cli.commands import Commands
from napari_dainr.cli.runs import load_runs
from napari_dainr.errors import InputError

if TYPE_CHECKING:
    from napari_dainr.analysis.curves import Curve
    from napari_dainr.analysis.regions import Region, RegionSet
    from napari_dainr.data import ImageSeries
    from napari_dainr.io.curves import PhaseEntry, QuantityEntry

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    curves = commands.add_parser("curves", help="write signal over time in regions, and quantities read off it")
    curves.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders; pixels are those of the first")
    curves.add_argument(
        "--rois", type=Path, required=True, metavar="R", help="regions: .json, ImageJ .roi or .zip, label mask .nii.gz"
    )
    curves.add_argument("-o", "--output", type=Path, required=True, metavar="C.csv", help="curves: .csv or .tsv")
    curves.add_argument("--quantities", type=Path, metavar="Q.csv", help="table of quantities: .csv or .tsv")
    curves.add_argument(
        "--phases", type=Path, metavar="P.csv",
        help="contrast phases: .csv or .tsv; those of the regions, or suggested from an aorta and a portal vein",
    )  # fmt: skip
    curves.add_argument(
        "--agent", choices=("unknown", "extracellular", "gadoxetate"), default="unknown",
        help="contrast agent; it decides how late phases are called",
    )  # fmt: skip
    curves.add_argument(
        "--baseline", type=float, nargs=2, metavar=("A", "B"),
        help="window before the bolus, seconds (default: that of the regions, or until the first curve rises)",
    )  # fmt: skip
    curves.add_argument(
        "--arrival", nargs=2, action="append", default=[], metavar=("REGION", "S"),
        help="bolus arrival by hand: name or role of a region, seconds from the first spoke (may be repeated; the "
        "default is what the file of regions says)",
    )  # fmt: skip
    curves.add_argument(
        "--onset", choices=("intersection", "threshold"), default="intersection", help="how the bolus arrival is found"
    )
    curves.add_argument("--auc", type=float, default=60.0, metavar="S", help="length of the area under curve, seconds")
    curves.add_argument("--statistic", choices=("mean", "median"), default="mean", help="curve that is evaluated")
    curves.add_argument("--measured-only", action="store_true", help="leave interpolated frames out")
    curves.set_defaults(command=_curves)


def _curves(args: argparse.Namespace) -> int:
    from napari_dainr.analysis.curves import baseline_of, suggest_baseline
    from napari_dainr.analysis.pixel_grid import PixelGrid
    from napari_dainr.analysis.quantities import Onset, curve_quantities, region_onset
    from napari_dainr.io.curves import CurveEntry, QuantityEntry, write_curves, write_phases, write_quantities
    from napari_dainr.io.regions import import_regions

    runs = load_runs(args.runs)
    first = runs[0][1]
    regions, doubts = import_regions(args.rois, PixelGrid.of(first))
    if not len(regions):
        raise InputError(f"{args.rois.name}: holds no regions; draw one.")
    regions = _with_arrivals(regions, args.arrival, args.rois.name)
    given = regions.baseline_s if args.baseline is None else (min(args.baseline), max(args.baseline))
    if given is not None:
        source = "--baseline" if args.baseline is not None else f"{args.rois.name}: the baseline set by hand,"
        _need_frames(runs, given, args.measured_only, source)
    read = _read(runs, regions, given, doubts)
    if args.measured_only:
        read = [(name, region, curve.measured()) for name, region, curve in read]
    window = suggest_baseline([curve for _, _, curve in read]) if given is None else given
    for doubt in doubts:
        print(f"napari-dainr: {doubt}", file=sys.stderr)
    curves = [CurveEntry(name, r.name, r.role, curve, baseline_of(curve, window)) for name, r, curve in read]
    how = Onset(args.onset)
    quantities = [
        QuantityEntry(
            name, r.name, r.role, curve.n,
            curve_quantities(curve, window, onset=region_onset(r, how), auc_s=args.auc, statistic=args.statistic),
        )
        for name, r, curve in read
    ]  # fmt: skip
    phases = _phases(runs, regions, quantities, args.agent, args.phases is not None)
    write_curves(curves, args.output)
    if args.quantities is not None:
        write_quantities(quantities, args.quantities)
    if args.phases is not None:
        write_phases(phases, args.phases)
    for number, (name, series) in enumerate(runs, start=1):
        print(f"run {number}: {name}, {series.n_frames} frames, native temporal resolution "
              f"{series.frame_duration_s:.3g} s")  # fmt: skip
    for region in regions:
        if region.arrival_s is not None:
            print(f"{region.name}: bolus arrival by hand, {region.arrival_s:.3g} s from the first spoke")
    how_chosen = "suggested" if given is None else "by hand" if args.baseline is None else "given"
    print(f"{len(read)} curves of {len(regions)} regions, baseline {window[0]:.3g} to {window[1]:.3g} s ({how_chosen})")
    for entry in phases:
        spans = ", ".join(f"{phase.name} {phase.start_s:.1f} to {phase.end_s:.1f} s" for phase in entry.phases)
        print(f"phases of {entry.recon}: {spans}. {entry.note}")
    print(RESEARCH_USE)
    return 0


def _phases(
    runs: list[tuple[str, ImageSeries]], regions: RegionSet, quantities: list[QuantityEntry], agent: str, asked: bool
) -> list[PhaseEntry]:
    """Those of the file of regions, else a suggestion for every run; none where there can be none and nobody asked."""
    from napari_dainr.analysis.phases import BY_HAND, suggest_from_roles
    from napari_dainr.io.curves import PhaseEntry

    if regions.phases is not None:
        return [PhaseEntry(name, regions.phases, BY_HAND) for name, _ in runs]
    found = []
    for name, series in runs:
        mine = [(entry.role, entry.quantities) for entry in quantities if entry.recon == name]
        suggestion = suggest_from_roles(mine, float(series.times_s[0]), float(series.times_s[-1]), agent=agent)
        if suggestion.phases:
            found.append(PhaseEntry(name, suggestion.phases, suggestion.note))
        elif asked:
            reason = suggestion.reason[:1].lower() + suggestion.reason[1:]
            raise InputError(f"--phases: none of {name} to write: {reason}")
    return found


def _with_arrivals(regions: RegionSet, arrivals: list[list[str]], source: str) -> RegionSet:
    """The regions with the bolus arrivals of ``--arrival``, (name or role, seconds)."""
    for which, text in arrivals:
        found = [region for region in regions if which in (region.name, region.role)]
        if not found:
            names = ", ".join(region.name for region in regions)
            raise InputError(f"--arrival {which}: {source} has no region of that name or role; it has {names}.")
        try:
            time_s = float(text)
        except ValueError:
            raise InputError(f"--arrival {which}: {text!r} is no number; give seconds from the first spoke.") from None
        for region in found:
            regions = regions.put(region.changed(arrival_s=time_s))
    return regions


def _need_frames(
    runs: list[tuple[str, ImageSeries]], window: tuple[float, float], measured_only: bool, source: str
) -> None:
    """Raise InputError if a baseline window holds no frame of a run."""
    from napari_dainr.analysis.curves import baseline_frames

    for name, series in runs:
        times_s = series.times_s[~series.interpolated] if measured_only else series.times_s
        frames = baseline_frames(times_s, window)
        if frames.stop <= frames.start:
            raise InputError(
                f"{source} {window[0]:g} {window[1]:g}: holds no frame of {name}, which has frames from "
                f"{times_s[0]:.3g} to {times_s[-1]:.3g} s; choose another window."
            )


def _read(
    runs: list[tuple[str, ImageSeries]],
    regions: RegionSet,
    window: tuple[float, float] | None,
    doubts: list[str],
) -> list[tuple[str, Region, Curve]]:
    """(name of the run, region, curve), and more ``doubts``; a threshold chooses its pixels in the first run."""
    from napari_dainr.analysis.curves import baseline_frames, mask_curve
    from napari_dainr.analysis.masks import region_mask, remark
    from napari_dainr.analysis.outlines import frozen
    from napari_dainr.analysis.pixel_grid import PixelGrid

    read = []
    fixed = list(regions)
    for number, (name, series) in enumerate(runs):
        geometry, magnitude = PixelGrid.of(series), series.magnitude
        frames = None if window is None else baseline_frames(series.times_s, window)
        if number == 0:
            fixed = [frozen(region, geometry, magnitude, frames) for region in fixed]
            field = geometry
        elif not geometry.same_field(field):
            doubts.append(f"{name}: has another field of view than {runs[0][0]}; check where the regions lie.")
        for region in fixed:
            mask = region_mask(region, geometry, magnitude, frames)
            said = remark(mask, region.name)
            if mask.n and said is None and mask.clipped:
                said = f"{region.name}: a part of it lies outside the image and does not count."
            if mask.n and said is not None and said not in doubts:
                doubts.append(said)
            read.append(
                (name, region, mask_curve(magnitude, mask, series.times_s, series.interpolated,
                                          series.frame_duration_s, name=region.name))
            )  # fmt: skip
    return read
