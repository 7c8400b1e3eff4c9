"""Runs side by side: a table of scores, and maps of their errors."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dainr import RESEARCH_USE
from napari_dainr.cli.arrays import load_npy
from napari_dainr.cli.commands import Commands
from napari_dainr.cli.runs import load_runs
from napari_dainr.errors import ExportError, InputError, reason_of

if TYPE_CHECKING:
    from napari_dainr.analysis.comparison import Row
    from napari_dainr.data import ImageSeries

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    compare = commands.add_parser("compare", help="compare runs with the truth, or with the first of them")
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
    compare.add_argument(
        "--truth", type=Path, metavar="T.npy", help="(frame, y, x) at the measured frames (default: the first run)"
    )
    compare.add_argument("--roi", type=int, nargs=4, metavar=("Y0", "Y1", "X0", "X1"), help="part to score, pixels")
    compare.add_argument("--json", action="store_true", help="print JSON instead of a table")
    compare.add_argument("-o", "--output", type=Path, metavar="DIR", help="write scores and error maps there")
    compare.add_argument("--gain", type=float, default=5.0, metavar="k", help="enlarge errors k times in the figure")
    compare.add_argument("--frame", type=int, metavar="i", help="frame of the figure (default: the middle one)")
    compare.set_defaults(command=_compare)


def _compare(args: argparse.Namespace) -> int:
    from napari_dainr.analysis.comparison import metric_table

    runs = load_runs(args.runs)
    if args.truth is None:
        if len(runs) < 2:
            raise InputError("compare: one run cannot be compared with itself; give a second run or --truth.")
        against, reference = runs[0]
        compared = runs[1:]
    else:
        against, compared = "truth", runs
        reference = _truth(args.truth, runs[0][1])
    roi = None if args.roi is None else tuple(args.roi)
    rows = metric_table(dict(compared), reference, roi)
    if all(row.reason for row in rows):
        raise InputError(f"compare: nothing can be compared with {against}: {rows[0].reason}")
    if not args.gain > 0:
        raise InputError(f"--gain {args.gain:g}: must be above 0.")
    if args.frame is not None and not 0 <= args.frame < reference.n_frames:
        raise InputError(
            f"--frame {args.frame}: there are {reference.n_frames} frames; choose 0 to {reference.n_frames - 1}."
        )
    if args.output is not None:
        _write(args, against, reference, dict(compared), rows)
    if args.json:
        print(_as_json(against, rows), end="")
    else:
        print("\n".join(_as_table(against, rows)))
        print(RESEARCH_USE)
    return 0


def _truth(path: Path, like: ImageSeries) -> ImageSeries:
    """An array as a series at the measured frames of a run, or at all of them if it has as many."""
    import numpy as np

    image = np.asarray(load_npy(path))
    if image.ndim != 3 or image.dtype.kind not in "biufc":
        raise InputError(f"{path.name}: is {image.dtype} {image.shape}; a numeric (frame, y, x) series is needed.")
    measured = ~like.interpolated
    if len(image) == like.n_frames:
        times = like.times_s
    elif len(image) == int(measured.sum()):
        times = like.times_s[measured]
    else:
        raise InputError(
            f"{path.name}: has {len(image)} frames, the first run {int(measured.sum())} measured ones of "
            f"{like.n_frames}; give a truth with as many."
        )
    if image.shape[1:] != like.image.shape[1:]:
        raise InputError(
            f"{path.name}: has images of {image.shape[1:]} pixels, the first run of {like.image.shape[1:]}; "
            "give a truth of the same size."
        )
    return replace(
        like, image=image, times_s=times, interpolated=np.zeros(len(image), dtype=bool), method="truth", info={}
    )


def _as_json(against: str, rows: list[Row]) -> str:
    facts: dict[str, Any] = {
        "note": RESEARCH_USE,
        "against": against,
        "runs": [
            {"name": row.name, "frames": row.n_frames, **{key: round(value, 6) for key, value in row.scores.items()}}
            if not row.reason
            else {"name": row.name, "reason": row.reason}
            for row in rows
        ],
    }
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


def _as_table(against: str, rows: list[Row]) -> list[str]:
    from napari_dainr.analysis.comparison import SCORES

    cells = [[f"against {against}", "frames", *SCORES.values()]]
    for row in rows:
        cells.append([row.name, str(row.n_frames), *(f"{row.scores[key]:.4f}" for key in SCORES if row.scores)])
    widths = [max(len(line[i]) for line in cells if i < len(line)) for i in range(len(cells[0]))]
    lines = []
    for line, reason in zip(cells, ["", *(row.reason for row in rows)], strict=True):
        text = "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=False))
        )
        lines.append(f"{line[0].ljust(widths[0])}  {reason}" if reason else text)
    return lines


def _write(
    args: argparse.Namespace, against: str, reference: ImageSeries, compared: dict[str, ImageSeries], rows: list[Row]
) -> None:
    """``scores.json``, ``errors.png`` and, per run, ``error-N.npy``: a · run − reference, float32, not enlarged."""
    import numpy as np

    from napari_dainr.analysis.comparison import difference_maps, pair
    from napari_dainr.io.atomic import write_text
    from napari_dainr.io.error_maps import error_figure
    from napari_dainr.io.numpy_file import save_array
    from napari_dainr.metrics import fit_factor

    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"{args.output.name}: the folder cannot be made ({reason_of(error)}); choose another place."
        ) from None
    write_text(args.output / "scores.json", _as_json(against, rows))
    truth = reference.magnitude
    frame = len(truth) // 2 if args.frame is None else args.frame
    columns = []
    for number, row in enumerate(rows, start=1):
        if row.reason:
            continue
        one = compared[row.name]
        frames = pair(one, reference)
        seen, wanted = one.magnitude[frames.first], truth[frames.second]
        maps = difference_maps(seen, wanted)
        save_array(args.output / f"error-{number}.npy", maps)
        at = np.flatnonzero(frames.second == frame)
        if at.size:
            columns.append((row.name, fit_factor(seen, wanted) * seen[at[0]], maps[at[0]]))
    if not columns:
        raise InputError(f"--frame {frame}: no run has a frame at that time; choose another.")
    title = f"{against}, t = {reference.times_s[frame]:.3g} s"
    error_figure((title, truth[frame]), columns, args.gain, reference.pixel_mm, args.output / "errors.png")
