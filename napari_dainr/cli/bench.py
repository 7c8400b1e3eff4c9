"""Compare methods: every method on the same data, scored, tabled and drawn."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from napari_dainr.cli.commands import Commands
from napari_dainr.errors import InputError, reason_of
from napari_dainr.methods import METHOD_NAMES

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    bench = commands.add_parser("bench", help="compare methods on the same data: scores, times, pictures, a report")
    bench.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to make or to go on in")
    bench.add_argument(
        "--data",
        nargs="+",
        default=[],
        metavar="DATA",
        help="cine or liver (simulated, with truth), or FILE[:TRUTH.npy] (default: cine liver)",
    )
    bench.add_argument(
        "--spokes-per-frame", type=int, metavar="N", help="spokes that make a frame, in the files of --data"
    )
    bench.add_argument("--suite", type=Path, metavar="FILE", help="JSON file that names data, regions and studies")
    bench.add_argument(
        "--methods", nargs="+", metavar="METHOD", help=f"of {', '.join(METHOD_NAMES)}; METHOD@paper for a preset"
    )
    bench.add_argument(
        "--studies", nargs="+", metavar="STUDY",
        help="of methods, lambda, bart, spatial, temporal, encoders, extractors, sensitivity, or all "
        "(default: those of the suite, else methods)",
    )  # fmt: skip
    bench.add_argument("--lambda-sweep", action="store_true", help="add the study lambda: GRASP at multiples of its λ")
    bench.add_argument("--seeds", type=int, metavar="N", help="seeds 0 to N − 1 of every fit (default 1)")
    bench.add_argument("--budget", type=float, metavar="S", help="seconds that a fit may take; its result is kept")
    bench.add_argument("--snapshot", type=float, default=4.0, metavar="S", help="seconds between points of a curve (4)")
    bench.add_argument("--threads", type=int, help="CPU threads of a fit (default: all cores)")
    bench.add_argument("--jobs", type=int, default=1, help="fits at a time in studies where no time is compared (1)")
    bench.add_argument("--device", default="auto", help="auto (default), cpu, cuda or cuda:N")
    bench.add_argument("--page", type=Path, metavar="PAGE.md", help="write the report there too, pictures beside it")
    bench.add_argument("--quiet", action="store_true", help="print errors only")
    bench.set_defaults(command=_bench)


def _bench(args: argparse.Namespace) -> int:
    from napari_dainr.bench.bench import Bench
    from napari_dainr.bench.report import PICTURES, run_bench, write_page
    from napari_dainr.bench.runner import Runner
    from napari_dainr.bench.suite import load_suite, make_items, method_choice, suite_of

    if args.suite is not None and args.data:
        raise InputError("--data and --suite are both given; name the data in one of them.")
    for name in ("seeds", "budget", "snapshot", "threads", "jobs", "spokes_per_frame"):
        value = getattr(args, name)
        if value is not None and not value > 0:
            raise InputError(f"--{name.replace('_', '-')} is {value:g}; it must be above 0.")
    if args.page is not None and args.page.suffix != ".md":
        raise InputError(f"--page {args.page.name}: the page is Markdown; end its name in .md.")
    suite = (
        load_suite(args.suite)
        if args.suite is not None
        else suite_of(args.data or ["cine", "liver"], args.spokes_per_frame)
    )
    methods = suite.methods if args.methods is None else [method_choice(name) for name in args.methods]
    studies = _studies(args, list(suite.studies))
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{args.output.name}: the folder cannot be made ({reason_of(error)}); choose another."
        ) from None
    bench = Bench(
        items=make_items(suite, args.output / "data"),
        methods=methods,
        studies=suite.studies,
        runner=Runner(args.output / "runs", args.snapshot, args.quiet),
        pictures=args.output / PICTURES,
        seeds=args.seeds or suite.seeds,
        budget_s=suite.budget_s,
        forced_s=args.budget,
        threads=args.threads,
        device=args.device,
        jobs=args.jobs,
    )
    try:
        blocks = run_bench(bench, studies, args.output, _typed(args))
    except KeyboardInterrupt:
        print("napari-dainr: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return 130
    if args.page is not None:
        write_page(blocks, args.output, args.page)
    if not args.quiet:
        print(f"{bench.runner.made} fits made, {bench.runner.found} found → {args.output / 'report.md'}, report.html")
    return 0


def _studies(args: argparse.Namespace, suggested: list[str]) -> list[str]:
    """Studies to run, in the order of the report."""
    from napari_dainr.bench.suite import STUDIES

    asked = set(args.studies or suggested or ["methods"])
    if args.lambda_sweep:
        asked.add("lambda")
    if "all" in asked:
        return list(STUDIES)
    unknown = sorted(asked - set(STUDIES))
    if unknown:
        raise InputError(f"--studies {unknown[0]!r} is not known; choose of {', '.join(STUDIES)}, or all.")
    return [study for study in STUDIES if study in asked]


def _typed(args: argparse.Namespace) -> str:
    """The command again, with names in place of paths, which may tell of a person or a place."""
    words = ["napari-dainr", "bench"]
    if args.suite is not None:
        words += ["--suite", args.suite.name]
    if args.data:
        words += ["--data", *(":".join(Path(part).name for part in one.split(":")) for one in args.data)]
    for name in ("methods", "studies"):
        if getattr(args, name):
            words += [f"--{name}", *getattr(args, name)]
    if args.spokes_per_frame is not None:
        words += ["--spokes-per-frame", str(args.spokes_per_frame)]
    if args.lambda_sweep:
        words.append("--lambda-sweep")
    for name in ("seeds", "budget", "threads"):
        if getattr(args, name) is not None:
            words += [f"--{name}", f"{getattr(args, name):g}"]
    if args.jobs > 1:
        words += ["--jobs", str(args.jobs)]
    return shlex.join([*words, "-o", "DIR"])
