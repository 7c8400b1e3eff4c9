"""Say what a k-space file holds."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_dainr.cli.commands import Commands
from napari_dainr.cli.importing import add_import_flags, import_values

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its flags."""
    info = commands.add_parser("info", help="say what a k-space file holds")
    info.add_argument("file", type=Path)
    info.later = add_import_flags
    info.set_defaults(command=_info)


def _info(args: argparse.Namespace) -> int:
    from napari_dainr.importing import options_from
    from napari_dainr.io import read_kspace
    from napari_dainr.preparation.quality import quality

    kspace = read_kspace(args.file, options_from(import_values(args)))
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
    rows += [(f"measured {key}", value) for key, value in quality(kspace, kspace.n_slices // 2).rows()]
    rows += [(f"detected {key}", value) for key, value in kspace.detected.items()]
    rows += [(f"assumed {key}", value) for key, value in kspace.assumed.items()]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
    if not kspace.assumed:
        print(f"{'assumed':<{width}}  nothing")
    return 0
