"""One scan in every layout of arrays that is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy.io import savemat

from napari_dainr.importing import ImportOptions
from napari_dainr.trajectory import radial_ktraj

SPOKES, COILS, READOUT, PIXELS = 13, 3, 34, 17


def write_cfl(base: Path, array: np.ndarray) -> Path:
    sizes = " ".join(map(str, (*array.shape, *(1,) * (16 - array.ndim))))
    base.with_suffix(".hdr").write_text(f"# Dimensions\n{sizes} \n")
    np.asarray(array, np.complex64).ravel(order="F").tofile(base.with_suffix(".cfl"))
    return base.with_suffix(".cfl")


def radial_scan() -> tuple[np.ndarray, np.ndarray]:
    """(coil, spoke, readout), largest at the centre, and (spoke, readout, 2)."""
    rng = np.random.default_rng(3)
    shape = (COILS, SPOKES, READOUT)
    size = 0.001 + np.exp(-(((np.arange(READOUT) - READOUT // 2) / 4) ** 2))
    kdata = np.exp(2j * np.pi * rng.random(shape)) * size
    return kdata.astype(np.complex64), radial_ktraj(SPOKES, READOUT, (PIXELS, PIXELS))


def _npz(path: Path, kdata: np.ndarray, ktraj: np.ndarray) -> ImportOptions:
    np.savez(path, kdata=kdata, ktraj=ktraj, matrix=[PIXELS, PIXELS], fov_mm=[170.0, 170.0], tr_s=0.004)
    return ImportOptions()


def _grasp(path: Path, kdata: np.ndarray, ktraj: np.ndarray, weighted: bool = False, **more: Any) -> ImportOptions:
    k = (ktraj[..., 0] + 1j * ktraj[..., 1]).T / PIXELS
    w = (np.abs(k) + 0.002).astype(float)
    data = kdata.transpose(2, 1, 0) * (np.sqrt(w)[..., None] if weighted else 1)
    b1 = np.ones((PIXELS, PIXELS, COILS), np.complex64)
    savemat(path, {"kdata": data.astype(np.complex64), "k": k, "w": w, "b1": b1}, **more)
    return ImportOptions()


def _matlab73(path: Path, kdata: np.ndarray, ktraj: np.ndarray) -> ImportOptions:
    """As MATLAB writes it: a user block, reversed axes, pairs of real and imaginary part."""
    pair = np.dtype([("real", "<f8"), ("imag", "<f8")])
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in (("mine", kdata.transpose(2, 1, 0)), ("k", (ktraj[..., 1] + 1j * ktraj[..., 0]).T)):
            stored = np.empty(value.T.shape, pair)
            stored["real"], stored["imag"] = value.T.real, value.T.imag
            file[name] = stored
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, made for a test".ljust(124) + b"\0\2IM")
    return ImportOptions(
        variables={"kdata": "mine", "ktraj": "k"}, trajectory_unit="cycles per field of view", matrix=(PIXELS, PIXELS)
    )


def _hdf5(path: Path, kdata: np.ndarray, ktraj: np.ndarray) -> ImportOptions:
    with h5py.File(path, "w") as file:
        file["scan/samples"] = np.stack([kdata.real, kdata.imag]).transpose(2, 0, 1, 3)  # spoke, complex, coil, readout
        file["scan/places"] = ktraj[..., ::-1].transpose(2, 1, 0)  # (kx, ky) first
    return ImportOptions(
        variables={"kdata": "scan/samples", "ktraj": "scan/places", "axes": "spoke/complex/coil/readout"},
        trajectory_unit="cycles per field of view",
        matrix=(PIXELS, PIXELS),
    )


def _bart(path: Path, kdata: np.ndarray, ktraj: np.ndarray) -> ImportOptions:
    places = np.zeros((3, READOUT, SPOKES))
    places[:2] = ktraj[..., ::-1].transpose(2, 1, 0)
    write_cfl(path, kdata.transpose(2, 1, 0)[None])
    write_cfl(path.with_name("scan_traj"), places)
    return ImportOptions(matrix=(PIXELS, PIXELS))


WRITERS: dict[str, Callable[..., ImportOptions]] = {
    "scan.npz": _npz,
    "scan.mat": _grasp,
    "zipped.mat": lambda *a: _grasp(*a, do_compression=True),
    "weighted.mat": lambda *a: _grasp(*a, weighted=True),
    "new.mat": _matlab73,
    "scan.h5": _hdf5,
    "scan.cfl": _bart,
}
