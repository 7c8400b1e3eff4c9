"""MATLAB, HDF5, npz and BART: every layout gives the same k-space, and what does not fit is refused in one sentence."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.io import read_kspace
from napari_dainr.io.formats import read_acquired
from napari_dainr.preparation.cartesian import radial_from_cartesian
from napari_dainr.trajectory import radial_ktraj

from .array_writers import PIXELS, WRITERS, radial_scan


@pytest.fixture(scope="module")
def radial() -> tuple[np.ndarray, np.ndarray]:
    return radial_scan()


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
    WRITERS["scan.npz"](tmp_path / "a.npz", *radial)
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


def test_a_frame_of_a_cartesian_cine_with_nan_is_left_out(tmp_path: Path) -> None:
    """NaN that signals, as bits of damaged files do, is no reason to warn or to lose the other frames."""
    _, kdata = _cine(11, 14)
    damaged = kdata.astype(np.complex64)
    damaged.view(np.uint32)[0, 1, 3, 4] = 0x7F800001
    np.savez(tmp_path / "x.npz", kdata=damaged)
    said = ImportOptions(variables={"kdata": "kdata", "axes": "frame/coil/ky/kx"}, radial_spokes=5)
    kspace = read_kspace(tmp_path / "x.npz", said)
    want = radial_from_cartesian(kdata.astype(np.complex64), 5)[0][:, 5:]
    np.testing.assert_allclose(kspace.kdata[0], want, rtol=1e-4, atol=1e-5)
    assert "left-out spokes" in kspace.detected


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
    kspace = read_kspace(tmp_path / "breast.h5", ImportOptions(keep_all=True))
    # Slices as the data set's own programs count them: zeros around, partition 31 at 96, a centred forward transform.
    stack = np.zeros((192, 3, 5, 8), complex)
    stack[65:105] = (values[0] + 1j * values[1]).transpose(3, 2, 0, 1)
    at = np.arange(192) - 96
    waves = np.exp(-2j * np.pi * np.outer(at, at) / 192) / np.sqrt(192)
    np.testing.assert_allclose(kspace.kdata, np.einsum("zp,pcsr->zcsr", waves, stack), atol=2e-5)
    assert "forward transform along kz; the file does not say" in kspace.assumed["slice order"]


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


@pytest.mark.parametrize("dtype", ["<f2", ">c8", ">f8", "<c16"])
def test_unusual_numbers_are_read(dtype: str, radial: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    kdata, ktraj = radial
    values = kdata.real.astype(dtype) if "f" in dtype else kdata.astype(dtype)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["kdata"], file["ktraj"] = values, ktraj
    kspace = read_kspace(tmp_path / "x.h5", ImportOptions(matrix=(PIXELS, PIXELS), keep_all=True))
    np.testing.assert_allclose(kspace.kdata[0], values.astype(np.complex64), rtol=1e-6)
