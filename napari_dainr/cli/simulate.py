"""Write radial k-space of a phantom or of the user's own series."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_dainr.cli.arrays import load_npy
from napari_dainr.cli.commands import Commands
from napari_dainr.errors import InputError

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
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


def _simulate(args: argparse.Namespace) -> int:
    import numpy as np

    from napari_dainr.io.ismrmrd import write_ismrmrd
    from napari_dainr.phantom import cine_phantom, liver_phantom, simulate_kspace

    matrix = (args.matrix, args.matrix)
    if args.series is not None:
        image = np.asarray(load_npy(args.series))
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
        from napari_dainr.io.numpy_file import save_array

        save_array(args.truth, np.abs(image).astype(np.float32))
        print(f"truth, {image.shape[0]} frames of {image.shape[1]} × {image.shape[2]} → {args.truth}")
    return 0
