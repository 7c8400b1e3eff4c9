"""The command line: ``napari-dainr COMMAND``. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_dainr import RESEARCH_USE, __version__
from napari_dainr.errors import DainrError, InputError

if TYPE_CHECKING:
    from napari_dainr.recipe import Recipe

__all__ = ["build_parser", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; exit code 0, 2 for an error that one sentence explains, 130 when interrupted."""
    args = build_parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.command
    try:
        return command(args)
    except DainrError as error:
        print(f"napari-dainr: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("napari-dainr: interrupted; a run that has a checkpoint goes on with --resume.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141


def build_parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    parser = argparse.ArgumentParser(
        prog="napari-dainr",
        description=f"Dynamic MRI from golden-angle radial k-space. {RESEARCH_USE}",
    )
    parser.add_argument("--version", action="version", version=f"napari-dainr {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    info = commands.add_parser("info", help="say what a k-space file holds")
    info.add_argument("file", type=Path)
    info.set_defaults(command=_info)

    recon = commands.add_parser("recon", help="reconstruct a series from k-space into a run folder")
    recon.add_argument("file", type=Path, nargs="?", help="k-space file (or the data of --recipe)")
    recon.add_argument("-o", "--output", type=Path, required=True, metavar="RUN", help="run folder to make")
    recon.add_argument("--recipe", type=Path, help="recipe file, as the viewer saves it; flags change it")
    recon.add_argument("--method", help="nufft, grasp or dainr (default dainr)")
    recon.add_argument("--spokes-per-frame", type=int, metavar="N", help="consecutive spokes that make one frame")
    recon.add_argument("--preset", help="fast (default) or paper")
    recon.add_argument("--scale", type=float, metavar="r", help="scale ratio of the drawn image (default 1)")
    recon.add_argument("--upsample", type=int, metavar="k", help="temporal upsampling (default 1)")
    recon.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="key=value", help="a method setting"
    )
    recon.add_argument("--slice", dest="slice_index", type=int, help="slice, from 0")
    recon.add_argument("--coils", type=int, help="virtual coils (default: 99 %% of the energy)")
    recon.add_argument("--device", help="auto (default), cpu, cuda or cuda:N")
    recon.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    recon.add_argument("--seed", type=int, help="seed of everything random (default 0)")
    recon.add_argument("--resume", action="store_true", help="go on with an interrupted or stopped run in RUN")
    recon.add_argument("--checkpoint", type=float, default=30.0, metavar="S", help="seconds between checkpoints (30)")
    recon.add_argument("--quiet", action="store_true", help="print errors only")
    recon.set_defaults(command=_recon)

    render = commands.add_parser("render", help="draw a fitted run at another scale and other times, without fitting")
    render.add_argument("run", type=Path)
    render.add_argument("-o", "--output", type=Path, required=True, metavar="RUN2")
    render.add_argument("--scale", type=float, default=1.0, metavar="r")
    render.add_argument("--upsample", type=int, default=1, metavar="k")
    render.set_defaults(command=_render)

    export = commands.add_parser("export", help="write the series of a run as .npy .npz .gif .tif .nii.gz")
    export.add_argument("run", type=Path)
    export.add_argument("out", type=Path)
    export.add_argument("--fps", type=float, help="frames per second of a .gif (default: true speed)")
    export.set_defaults(command=_export)

    metrics = commands.add_parser("metrics", help="score a run against the truth")
    metrics.add_argument("run", type=Path, help="run folder, or a (frame, y, x) .npy")
    metrics.add_argument("--truth", type=Path, required=True, help="(frame, y, x) .npy")
    metrics.add_argument("--roi", type=int, nargs=4, metavar=("Y0", "Y1", "X0", "X1"))
    metrics.set_defaults(command=_metrics)

    simulate = commands.add_parser("simulate", help="write radial k-space of a phantom or of your own series")
    simulate.add_argument("out", type=Path, help="ISMRMRD file (.h5) to write")
    source = simulate.add_mutually_exclusive_group()
    source.add_argument("--phantom", choices=("cine", "liver"), default="cine")
    source.add_argument("--series", type=Path, help="(frame, y, x) .npy, real or complex")
    simulate.add_argument("--spokes-per-frame", type=int, default=13, metavar="N")
    simulate.add_argument("--coils", type=int, default=8)
    simulate.add_argument("--frames", type=int, help="frames of the phantom")
    simulate.add_argument("--matrix", type=int, default=128)
    simulate.add_argument("--fov", type=float, default=300.0, help="mm")
    simulate.add_argument("--tr", type=float, default=2.7, help="ms from spoke to spoke")
    simulate.add_argument("--snr", type=float, default=30.0)
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--truth", type=Path, help="also write the true magnitude, (frame, y, x) .npy")
    simulate.set_defaults(command=_simulate)

    demo = commands.add_parser("demo", help="simulate a cardiac cine, reconstruct it with every method, compare")
    demo.add_argument("-o", "--output", type=Path, default=Path("demo"))
    demo.set_defaults(command=_demo)

    open_ = commands.add_parser("open", help="start napari with the plugin and a k-space file")
    open_.add_argument("file", type=Path, nargs="?")
    open_.set_defaults(command=_open)
    return parser


def _info(args: argparse.Namespace) -> int:
    from napari_dainr.io import read_kspace

    kspace = read_kspace(args.file)
    rows: list[tuple[str, str]] = [
        ("name", kspace.name),
        ("slices", str(kspace.n_slices)),
        ("coils", str(kspace.n_coils)),
        ("spokes", str(kspace.n_spokes)),
        ("samples per spoke", str(kspace.n_readout)),
        ("TR", f"{kspace.tr_s * 1e3:.3f} ms"),
        ("duration", f"{kspace.n_spokes * kspace.tr_s:.3f} s"),
        ("matrix (y, x)", " × ".join(map(str, kspace.matrix))),
        ("FOV (y, x)", " × ".join(f"{f:g}" for f in kspace.fov_mm) + " mm"),
        ("spokes per frame", str(kspace.spokes_per_frame_hint or "not in the file: choose with --spokes-per-frame")),
    ]
    rows += [(f"detected {key}", value) for key, value in kspace.detected.items()]
    rows += [(f"assumed {key}", value) for key, value in kspace.assumed.items()]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    if not kspace.assumed:
        print(f"{'assumed':<{width}}  nothing")
    return 0


def _recipe_of(args: argparse.Namespace) -> Recipe:
    from napari_dainr.recipe import load_recipe, recipe_from
    from napari_dainr.run_folder import RunFolder

    values: dict[str, Any] = {}
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
        "device": args.device,
        "threads": args.threads,
        "seed": args.seed,
    }
    values |= {name: value for name, value in given.items() if value is not None}
    if args.settings:
        values["settings"] = values.get("settings", {}) | _parse_settings(args.settings)
    if "data" not in values:
        raise InputError("no k-space file is given; name one, or a recipe with --recipe.")
    if "spokes_per_frame" not in values:
        from napari_dainr.io import read_kspace

        hint = read_kspace(Path(values["data"])).spokes_per_frame_hint
        if hint is None:
            raise InputError("the file does not say how many spokes make a frame; choose with --spokes-per-frame.")
        values["spokes_per_frame"] = hint
    return recipe_from(values, "command line" if args.recipe is None else args.recipe.name)


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
    from napari_dainr.progress import show
    from napari_dainr.recipe import run

    recipe = _recipe_of(args)
    stop = threading.Event()

    def stop_and_keep(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("napari-dainr: stopping after this step; Ctrl-C again to give up at once.", file=sys.stderr)

    before = signal.signal(signal.SIGINT, stop_and_keep)
    try:
        events = run(recipe, args.output, resume=args.resume, stop=stop, checkpoint_s=args.checkpoint)
        finished = show(events, recipe.method, quiet=args.quiet)
    finally:
        signal.signal(signal.SIGINT, before)
    if not args.quiet:
        n, height, width = finished.series.image.shape
        print(f"{recipe.method}: {n} frames of {height} × {width} in {finished.seconds:.1f} s → {args.output}")
        print(RESEARCH_USE)
    return 130 if finished.stopped else 0


def _render(args: argparse.Namespace) -> int:
    from napari_dainr.engine import render

    series = render(args.run, args.output, args.scale, args.upsample)
    n, height, width = series.image.shape
    print(f"{n} frames of {height} × {width}, {int(series.interpolated.sum())} of them interpolated → {args.output}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from napari_dainr.io import export_series
    from napari_dainr.run_folder import RunFolder

    options = {} if args.fps is None else {"fps": args.fps}
    export_series(RunFolder(args.run).series(), args.out, **options)
    print(f"{args.out}")
    print(RESEARCH_USE)
    return 0


def _metrics(args: argparse.Namespace) -> int:
    from napari_dainr.metrics import score
    from napari_dainr.run_folder import RunFolder

    truth = _load_npy(args.truth)
    recon = _load_npy(args.run) if args.run.is_file() else RunFolder(args.run).series().image
    figures = score(recon, truth, roi=None if args.roi is None else tuple(args.roi))
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
    return 0


def _load_npy(path: Path) -> Any:
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(
            f"{path.name}: cannot be read ({(error.strerror or 'error').lower()}); give a .npy file."
        ) from None
    except ValueError:
        raise InputError(f"{path.name}: is not a .npy array; save it with numpy.save.") from None


def _simulate(args: argparse.Namespace) -> int:
    import numpy as np

    from napari_dainr.io.ismrmrd import write_ismrmrd
    from napari_dainr.phantom import cine_phantom, liver_phantom, simulate_kspace

    matrix = (args.matrix, args.matrix)
    if args.series is not None:
        image = np.asarray(_load_npy(args.series))
        if image.ndim != 3 or image.dtype.kind not in "fiuc":
            raise InputError(
                f"{args.series.name}: must be a numeric (frame, y, x) array, not {image.dtype} {image.shape}."
            )
        matrix = (image.shape[1], image.shape[2])
    elif args.phantom == "liver":
        image = liver_phantom(matrix, 17 if args.frames is None else args.frames)[0]
    else:
        image = cine_phantom(matrix, 23 if args.frames is None else args.frames, args.seed)
    kspace = simulate_kspace(
        np.asarray(image, dtype=np.complex64),
        spokes_per_frame=args.spokes_per_frame,
        n_coils=args.coils,
        tr_s=args.tr / 1e3,
        fov_mm=(args.fov, args.fov),
        snr=args.snr,
        seed=args.seed,
        name=args.out.stem,
    )
    write_ismrmrd(kspace, args.out)
    print(f"{kspace.n_spokes} spokes of {kspace.n_readout} samples, {kspace.n_coils} coils → {args.out}")
    if args.truth is not None:
        from napari_dainr.io.atomic import atomic_write

        def write(temporary: Path) -> None:
            with temporary.open("xb") as file:
                np.save(file, np.abs(image).astype(np.float32))

        atomic_write(args.truth, write, None, image.size * 4)
        print(f"truth, {image.shape[0]} frames of {image.shape[1]} × {image.shape[2]} → {args.truth}")
    return 0


def _demo(args: argparse.Namespace) -> int:
    from napari_dainr.demo import run_demo

    run_demo(args.output)
    return 0


def _open(args: argparse.Namespace) -> int:
    from napari_dainr.gui.open import open_viewer

    open_viewer(args.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
