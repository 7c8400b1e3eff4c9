"""Arrays from hostile, damaged and telling files: one sentence, the parent lives, and no identity leaves a file."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from napari_dainr.errors import DainrError
from napari_dainr.io import read_kspace

from .array_writers import radial_scan

LIMIT_S = 8.0


@pytest.fixture(scope="module")
def radial() -> tuple[np.ndarray, np.ndarray]:
    return radial_scan()


def _header(text: str, size: int = 64) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "x.hdr").write_text(text)
        (folder / "x.cfl").write_bytes(bytes(size))
        return folder / "x.cfl"

    return make


def _h5(fill: Callable[[h5py.File], Any]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "outside.bin").write_bytes(b"SECRET" * 1000)
        with h5py.File(folder / "x.h5", "w") as file:
            fill(file)
        return folder / "x.h5"

    return make


def _nested(file: h5py.File) -> None:
    group: Any = file
    for _ in range(1000):
        group = group.create_group("g")


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 5, 6), "f4")
    layout[:] = h5py.VirtualSource("outside.h5", "a", (4, 5, 6))
    file.create_virtual_dataset("kdata", layout)


def _zip(members: dict[str, bytes]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with zipfile.ZipFile(folder / "x.npz", "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in members.items():
                file.writestr(name, data)
        return folder / "x.npz"

    return make


def _array_header(shape: str, descr: str = "'<c8'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text = text.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _mat(values: dict[str, Any]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        savemat(folder / "x.mat", values, do_compression=True)
        return folder / "x.mat"

    return make


CRAFTED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "cfl 2^63": (_header("# Dimensions\n9223372036854775807 8 8 8\n"), "promises"),
    "cfl product overflows": (_header("# Dimensions\n4294967296 4294967296 2\n"), "promises"),
    "cfl negative": (_header("# Dimensions\n1 -8 8\n"), "no whole numbers"),
    "cfl zero": (_header("# Dimensions\n1 0 8\n"), "no whole numbers"),
    "cfl 17 dims": (_header("# Dimensions\n" + "1 " * 17), "17 dimensions"),
    "cfl no dims": (_header("# Dimensions\n\n"), "0 dimensions"),
    "cfl words": (_header("# Dimensions\n1 eight 8\n"), "no whole numbers"),
    "cfl no section": (_header("# Creator\nBART\n"), "no line '# Dimensions'"),
    "cfl utf-16": (_header("# Dimensions\n1 8".encode("utf-16").decode("latin-1")), "no line"),
    "cfl shorter": (_header("# Dimensions\n1 8 8\n"), "promises 512 bytes"),
    "cfl longer": (_header("# Dimensions\n1 2 2\n"), "holds 64"),
    "h5 32 TiB": (
        _h5(lambda f: f.create_dataset("kdata", (1 << 20, 1 << 12, 1 << 10), "c8", chunks=(64, 64, 64))),
        "declares",
    ),
    "h5 bomb": (_h5(lambda f: f.create_dataset("kdata", data=np.zeros((9, 999, 999)), compression=9)), "declares"),
    "h5 external storage": (
        _h5(lambda f: f.create_dataset("kdata", (4, 5, 6), "f4", external=[("outside.bin", 0, 480)])),
        "other files",
    ),
    "h5 external link": (_h5(lambda f: f.__setitem__("kdata", h5py.ExternalLink("outside.h5", "/a"))), "a link"),
    "h5 soft-link loop": (_h5(lambda f: f.__setitem__("kdata", h5py.SoftLink("/kdata"))), "a link"),
    "h5 virtual": (_h5(_virtual), "other files"),
    "h5 nested 1000": (_h5(_nested), "no arrays"),
    "h5 100,000 groups": (_h5(lambda f: [h5py.h5g.create(f.id, b"%d" % i) for i in range(100_000)]), "no arrays"),
    "h5 fields": (_h5(lambda f: f.__setitem__("kdata", np.zeros(8, [("a", "f4"), ("b", "f4")]))), "real and an imag"),
    "h5 vlen": (_h5(lambda f: f.create_dataset("kdata", (3,), h5py.vlen_dtype(np.float32))), "no arrays"),
    "h5 vlen of vlen": (
        _h5(lambda f: f.create_dataset("kdata", (3,), h5py.vlen_dtype(h5py.vlen_dtype(np.float32)))),
        "no arrays",
    ),
    "h5 references": (_h5(lambda f: f.create_dataset("kdata", (3,), h5py.ref_dtype)), "no arrays"),
    "h5 empty": (_h5(lambda f: f.create_dataset("kdata", (0, 3, 4), "f4")), "is empty"),
    "h5 text": (_h5(lambda f: f.__setitem__("kdata", "DOE^JANE")), "no arrays"),
    "npz bomb": (_zip({"kdata.npy": _array_header("(1, 8, 500000)") + bytes(32_000_000)}), "declares"),
    "npz lies": (_zip({"kdata.npy": _array_header("(1048576, 4194304)") + bytes(64)}), "are there"),
    "npz negative": (_zip({"kdata.npy": _array_header("(-1, 8)") + bytes(64)}), "negative|damaged"),
    "npz objects": (_zip({"kdata.npy": _array_header("(1,)", "'|O'") + b"cos\nsystem\n(S'true'\ntR."}), "no arrays"),
    "npz path": (_zip({"../kdata.npy": _array_header("(8,)") + bytes(64)}), "no arrays"),
    "npz not arrays": (_zip({"kdata.npy": b"hello"}), "damaged"),
    "mat bomb": (_mat({"kdata": np.zeros((40, 100, 1000))}), "declares"),
    "mat cells": (_mat({"kdata": np.array([[1], "a"], dtype=object)}), "no arrays"),
    "mat structure": (_mat({"kdata": {"a": 1}}), "no arrays"),
    "mat NaN trajectory": (
        _mat({"kdata": np.ones((3, 5, 8)), "ktraj": np.full((5, 8, 2), np.nan)}),
        "NaN",
    ),
    "npz mismatched spokes": (
        lambda folder: (
            np.savez(folder / "x.npz", kdata=np.ones((3, 5, 8), "c8"), ktraj=np.ones((6, 8, 2))),
            folder / "x.npz",
        )[1],
        "does not fit",
    ),
    "npz mismatched coils": (
        lambda folder: (
            np.savez(folder / "x.npz", kdata=np.ones((3, 5, 8), "c8"), csm=np.ones((4, 4, 4), "c8")),
            folder / "x.npz",
        )[1],
        "csm is not",
    ),
}


@pytest.mark.parametrize("name", CRAFTED)
@pytest.mark.usefixtures("within_memory")
def test_crafted(name: str, tmp_path: Path) -> None:
    make, message = CRAFTED[name]
    with pytest.raises(DainrError, match=message) as caught:
        read_kspace(make(tmp_path), timeout_s=LIMIT_S)
    text = str(caught.value)
    assert text.startswith("x.") and text.endswith(".") and "\n" not in text
    assert "DOE" not in text and "longer than" not in text
