"""MATLAB, HDF5, npz and BART: every layout gives the same k-space, and what does not fit is refused in one sentence."""

from __future__ import annotations

import shutil
import subprocess
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from napari_dainr.errors import DainrError, InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.io import read_kspace
from napari_dainr.io.formats import read_acquired
from napari_dainr.preparation.cartesian import radial_from_cartesian
from napari_dainr.trajectory import radial_ktraj

from .mutation import mutate
from .worker import Worker

SPOKES, COILS, READOUT, PIXELS = 13, 3, 34, 17
LIMIT_S = 8.0


def _write_cfl(base: Path, array: np.ndarray) -> Path:
    sizes = " ".join(map(str, (*array.shape, *(1,) * (16 - array.ndim))))
    base.with_suffix(".hdr").write_text(f"# Dimensions\n{sizes} \n")
    np.asarray(array, np.complex64).ravel(order="F").tofile(base.with_suffix(".cfl"))
    return base.with_suffix(".cfl")


@pytest.fixture(scope="module")
def radial() -> tuple[np.ndarray, np.ndarray]:
    """(coil, spoke, readout), largest at the centre, and (spoke, readout, 2)."""
    rng = np.random.default_rng(3)
    shape = (COILS, SPOKES, READOUT)
    size = 0.001 + np.exp(-(((np.arange(READOUT) - READOUT // 2) / 4) ** 2))
    kdata = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * size
    return kdata.astype(np.complex64), radial_ktraj(SPOKES, READOUT, (PIXELS, PIXELS))


def _npz(path: Path, kdata: np.ndarray, ktraj: np.ndarray) -> ImportOptions:
    np.savez(path, kdata=kdata, ktraj=ktraj, matrix=[PIXELS, PIXELS], fov_mm=[170.0, 170.0], tr_s=0.004)
    return ImportOptions()


def _grasp(path: Path, kdata: np.ndarray, ktraj: np.ndarray, weighted: bool = False, **more: Any) -> ImportOptions:
    k = (ktraj[..., 0] + 1j * ktraj[..., 1]).T / PIXELS
    w = (np.abs(k) + 0.01).astype(float)
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
    _write_cfl(path, kdata.transpose(2, 1, 0)[None])
    _write_cfl(path.with_name("scan_traj"), places)
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


@pytest.mark.parametrize("name", WRITERS)
def test_every_layout_gives_the_same(name: str, radial: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    kdata, ktraj = radial
    options = WRITERS[name](tmp_path / name, kdata, ktraj)
    kspace = read_kspace(tmp_path / name, options.model_copy(update={"keep_all": True}))
    np.testing.assert_allclose(kspace.kdata[0], kdata, rtol=2e-6, atol=1e-8)
    np.testing.assert_allclose(kspace.ktraj, ktraj, atol=2e-5)
    assert kspace.matrix == (PIXELS, PIXELS)
    if name == "scan.npz":
        assert kspace.fov_mm == (170.0, 170.0) and kspace.tr_s == pytest.approx(0.004)
    if name.startswith(("scan.mat", "weighted")):
        assert ("undone" in kspace.detected["density compensation"]) == (name == "weighted.mat")
        assert kspace.csm is not None


def test_suffix_does_not_decide(radial: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    _npz(tmp_path / "a.npz", *radial)
    (tmp_path / "a.npz").rename(tmp_path / "a.bin")
    assert read_acquired(tmp_path / "a.bin").format == "npz"


def _sum(image: np.ndarray, ktraj: np.ndarray) -> np.ndarray:
    """The transform of docs/explanation/conventions.md, as the plain sum."""
    rows, columns = image.shape[-2:]
    y, x = np.arange(rows) - rows // 2, np.arange(columns) - columns // 2
    ey = np.exp(-2j * np.pi * ktraj[..., 0, None] * y / rows)
    ex = np.exp(-2j * np.pi * ktraj[..., 1, None] * x / columns)
    return np.einsum("cyx,sry,srx->csr", image, ey, ex) / np.sqrt(rows * columns)


def _cine(rows: int, columns: int, frames: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Coil images (frame, coil, y, x) and their Cartesian k-space by the plain sum."""
    rng = np.random.default_rng(4)
    image = rng.standard_normal((frames, 2, rows, columns)) + 1j * rng.standard_normal((frames, 2, rows, columns))
    grid = np.stack(
        np.meshgrid(np.arange(rows) - rows // 2, np.arange(columns) - columns // 2, indexing="ij"), axis=-1
    ).astype(float)
    return image, np.stack([_sum(one, grid) for one in image])


@pytest.mark.parametrize("size", [(12, 12), (11, 14), (15, 9)])
def test_cartesian_frames_become_the_spokes_of_their_images(size: tuple[int, int]) -> None:
    image, kdata = _cine(*size)
    made, ktraj, matrix = radial_from_cartesian(kdata, 5)
    assert matrix == size and made.shape == (2, 10, 2 * max(size))
    want = np.concatenate([_sum(image[f], ktraj[5 * f : 5 * f + 5].astype(float)) for f in range(2)], axis=1)
    np.testing.assert_allclose(made, want, atol=2e-5 * np.abs(want).max())
    np.testing.assert_allclose(ktraj, radial_ktraj(10, 2 * max(size), size), atol=1e-5)


def test_pixels_that_are_not_square_end_at_the_coarser() -> None:
    image, kdata = _cine(12, 20)
    made, ktraj, matrix = radial_from_cartesian(kdata, 3, fov_mm=(120.0, 100.0))  # 10 mm and 5 mm pixels
    assert matrix == (12, 10)
    assert np.abs(ktraj[..., 1]).max() <= 5 + 1e-6
    want = _sum(image[0], ktraj[:3].astype(float))
    np.testing.assert_allclose(made[:, :3], want, atol=2e-5 * np.abs(want).max())


def _cmrxrecon(path: Path, kdata: np.ndarray, name: str = "kspace_full") -> None:
    stored = np.empty((kdata.shape[0], 1, *kdata.shape[1:]), [("real", "f4"), ("imag", "f4")])
    stored["real"], stored["imag"] = kdata[:, None].real, kdata[:, None].imag
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = stored  # frame, slice, coil, ky, kx: reversed
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")


def test_cmrxrecon_becomes_radial_where_it_is_full(tmp_path: Path) -> None:
    _, kdata = _cine(11, 14)
    path = tmp_path / "cine.mat"
    _cmrxrecon(path, kdata)
    with pytest.raises(InputError, match=r"cine\.mat: it is Cartesian .*radial spokes"):
        read_kspace(path)
    kspace = read_kspace(path, ImportOptions(radial_spokes=5, keep_all=True))
    np.testing.assert_allclose(kspace.kdata[0], radial_from_cartesian(kdata.astype(np.complex64), 5)[0], rtol=1e-4)
    assert kspace.spokes_per_frame_hint == 5
    assert "from Cartesian" in kspace.detected["made radial"]
    kdata[1, :, 3] = 0
    _cmrxrecon(path, kdata, "kspace_sub04")
    with pytest.raises(InputError, match="10 of 11 lines"):
        read_kspace(path, ImportOptions(radial_spokes=5))


def test_fastmri_is_cropped_to_the_field_of_view_of_its_header(tmp_path: Path) -> None:
    image, kdata = _cine(16, 9, frames=1)
    space = "<{0}><matrixSize><x>{1}</x><y>9</y><z>1</z></matrixSize><fieldOfView_mm><x>{2}</x><y>{3}</y><z>5</z>"
    space += "</fieldOfView_mm></{0}>"
    xml = "<ismrmrdHeader xmlns='http://www.ismrm.org/ISMRMRD'><experimentalConditions><H1resonanceFrequency_Hz>1"
    xml += "</H1resonanceFrequency_Hz></experimentalConditions><encoding>" + space.format("encodedSpace", 16, 160, 90)
    xml += space.format("reconSpace", 8, 80, 90) + "<encodingLimits/><trajectory>cartesian</trajectory></encoding>"
    path = tmp_path / "brain.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = kdata.astype(np.complex64)
        file["ismrmrd_header"] = xml + "</ismrmrdHeader>"
    kspace = read_kspace(path, ImportOptions(radial_spokes=7, keep_all=True))
    assert kspace.matrix == (8, 9) and kspace.fov_mm == (80.0, 90.0)
    want = _sum(image[0][:, 4:12], kspace.ktraj.astype(float))
    np.testing.assert_allclose(kspace.kdata[0], want, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("reverse", [False, True])
def test_fastmri_breast_fills_its_partitions(tmp_path: Path, reverse: bool) -> None:
    rng = np.random.default_rng(6)
    values = rng.standard_normal((2, 5, 8, 3, 40)).astype(np.float32)  # complex, spoke, readout, coil, partition
    with h5py.File(tmp_path / "breast.h5", "w") as file:
        file["kspace"] = values.T if reverse else values
    raw = read_acquired(tmp_path / "breast.h5")
    assert raw.partitions is not None and raw.ktraj is not None
    assert (raw.partitions.count, raw.partitions.centre) == (192, 31)
    np.testing.assert_array_equal(raw.kdata[7, 2, 4], values[0, 4, :, 2, 7] + 1j * values[1, 4, :, 2, 7])
    tau = (1 + 5**0.5) / 2
    np.testing.assert_allclose(raw.ktraj[1, 6], [np.cos(np.pi / tau), np.sin(np.pi / tau)], atol=1e-6)
    assert read_kspace(tmp_path / "breast.h5", ImportOptions(keep_all=True)).n_slices == 192


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
@pytest.mark.parametrize("oversampling", [1, 2])
def test_bart_reads_back_as_bart_reconstructs(tmp_path: Path, oversampling: int) -> None:
    """Trajectory and k-space by BART itself; its adjoint NUFFT and our sum give the same image."""

    def bart(*words: str) -> None:
        subprocess.run(["bart", *words], cwd=tmp_path, check=True, capture_output=True)

    bart("traj", "-r", "-G", "-x24", "-y7", f"-o{oversampling}", "traj")
    bart("phantom", "-k", "-s3", "-t", "traj", "ksp")
    bart("nufft", "-a", "-d24:24:1", "traj", "ksp", "image")
    kspace = read_kspace(tmp_path / "ksp.hdr")
    assert kspace.matrix == (24, 24) and kspace.kdata.shape == (1, 3, 7, 24 * oversampling)
    assert kspace.detected["trajectory file"] == "found beside the k-space"
    image = np.fromfile(tmp_path / "image.cfl", "<c8").reshape(3, 24, 24)  # coil, y, x
    at = np.arange(24) - 12
    ey, ex = (np.exp(2j * np.pi * kspace.ktraj[..., a, None].astype(float) * at / 24) for a in (0, 1))
    ours = np.einsum("csr,sry,srx->cyx", kspace.kdata[0], ey, ex)
    scale = np.vdot(ours, image) / np.vdot(ours, ours)
    # BART interpolates on a grid: its NUFFT is within a few thousandths of the sum.
    assert np.linalg.norm(scale * ours - image) < 4e-3 * np.linalg.norm(image)


def test_axes_are_never_guessed(radial: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    kdata, ktraj = radial
    savemat(tmp_path / "a.mat", {"kdata": kdata})
    with pytest.raises(InputError, match=r"cannot be told.*axes=coil/spoke/readout"):
        read_kspace(tmp_path / "a.mat")
    savemat(tmp_path / "b.mat", {"kdata": kdata[:, :, :13], "ktraj": ktraj[:, 10:23]})
    with pytest.raises(InputError, match="cannot be told"):
        read_kspace(tmp_path / "b.mat")
    with pytest.raises(InputError, match="'channel' is no axis"):
        read_kspace(tmp_path / "a.mat", ImportOptions(variables={"axes": "channel/spoke/readout"}))
    with pytest.raises(InputError, match="called 'nothing'"):
        read_kspace(tmp_path / "a.mat", ImportOptions(variables={"kdata": "nothing"}))


# ------------------------------------------------------------------------------------------- hostile files


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
    "h5 many groups": (_h5(lambda f: [f.create_group(str(i)) for i in range(20000)]), "no arrays"),
    "h5 fields": (_h5(lambda f: f.__setitem__("kdata", np.zeros(8, [("a", "f4"), ("b", "f4")]))), "real and an imag"),
    "h5 vlen": (_h5(lambda f: f.create_dataset("kdata", (3,), h5py.vlen_dtype(np.float32))), "no arrays"),
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
def test_crafted(name: str, tmp_path: Path, one_child: Worker) -> None:
    make, message = CRAFTED[name]
    with pytest.raises(DainrError, match=message) as caught:
        read_kspace(make(tmp_path), timeout_s=LIMIT_S)
    text = str(caught.value)
    assert text.startswith("x.") and text.endswith(".") and "\n" not in text
    assert "DOE" not in text and one_child.hangs == 0


def test_no_identity_leaves_a_file(radial: tuple[np.ndarray, np.ndarray], tmp_path: Path, one_child: Worker) -> None:
    canaries = [f"CANARY{i:02d}" for i in range(30)]
    kdata, ktraj = radial
    options = {name: WRITERS[name](tmp_path / name, kdata, ktraj) for name in ("scan.npz", "scan.h5", "scan.cfl")}
    np.savez(tmp_path / "scan.npz", kdata=kdata, ktraj=ktraj, **{name: np.array(name) for name in canaries})
    with h5py.File(tmp_path / "scan.h5", "a") as file:
        for name in canaries:
            file.attrs[name] = file["scan"].attrs[name] = name
            file[name] = np.ones((3, 4))
    with (tmp_path / "scan.hdr").open("a") as header:
        header.write("# Command\n" + " ".join(canaries) + "\n")
    k = (ktraj[..., 0] + 1j * ktraj[..., 1]).T / PIXELS
    values = {"kdata": kdata.transpose(2, 1, 0), "k": k, "w": np.abs(k) + 0.01}
    savemat(tmp_path / "scan.mat", values | {name: name for name in canaries})
    data = bytearray((tmp_path / "scan.mat").read_bytes())
    data[20:60] = b"CANARY00 CANARY01".ljust(40)
    (tmp_path / "scan.mat").write_bytes(data)
    for name in ("scan.npz", "scan.h5", "scan.cfl", "scan.mat"):
        kspace = read_kspace(tmp_path / name, options.get(name))
        assert "CANARY" not in repr((kspace.name, kspace.detected, kspace.assumed))
        with pytest.raises(InputError) as caught:
            read_kspace(tmp_path / name, ImportOptions(variables={"axes": "coil/spoke"}, trajectory_file="no.cfl"))
        assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["<f2", ">c8", ">f8", "<c16"])
def test_unusual_numbers_are_read(dtype: str, radial: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    kdata, ktraj = radial
    values = kdata.real.astype(dtype) if "f" in dtype else kdata.astype(dtype)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["kdata"], file["ktraj"] = values, ktraj
    kspace = read_kspace(tmp_path / "x.h5", ImportOptions(matrix=(PIXELS, PIXELS), keep_all=True))
    np.testing.assert_allclose(kspace.kdata[0], values.astype(np.complex64), rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "weighted.mat"])
def test_mutants(
    name: str,
    radial: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
    one_child: Worker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unmeasured(*_: Any) -> None:
        raise InputError("the delays of damaged files are not what is tested, and take nearly all the time.")

    monkeypatch.setattr("napari_dainr.importing.preparing.estimate_delays", unmeasured)
    options = WRITERS[name](tmp_path / name, *radial)
    sound = tmp_path / name
    path = sound.with_name(f"mutant{sound.suffix}")
    beside = None
    if sound.suffix == ".cfl":
        # The header is what can be wrong in words; the samples only in their number.
        beside, sound = path.with_suffix(".cfl"), sound.with_suffix(".hdr")
        beside.write_bytes((tmp_path / name).read_bytes())
        path = path.with_suffix(".hdr")
        options = options.model_copy(update={"trajectory_file": str(tmp_path / "scan_traj.cfl")})
    whole = sound.read_bytes()
    outcomes = {"read": 0, "refused": 0}
    structure = ((0, 2048),) if sound.suffix != ".npz" else ((0, 300), (len(whole) - 500, len(whole)))
    for seed in range(300):
        path.write_bytes(mutate(whole, seed, structure) or b"\0")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                kspace = read_kspace(path, options, timeout_s=LIMIT_S)
        except DainrError as error:
            text = str(error)
            assert text.startswith("mutant") and text.endswith(".") and "\n" not in text, (seed, text)
            outcomes["refused"] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        else:
            assert np.isfinite(kspace.kdata).all() and np.isfinite(kspace.ktraj).all()
            outcomes["read"] += 1
    print(name, outcomes, one_child.deaths, one_child.hangs)
    assert outcomes["refused"] > 15
    # Of a compressed MATLAB file hardly a byte is without checksum.
    assert outcomes["read"] > 0 or name == "zipped.mat"
