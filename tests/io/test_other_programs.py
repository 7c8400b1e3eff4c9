"""Files that other programs wrote, and the same files as other programs read them: neither knows anything of ours."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.importing import ImportOptions
from napari_dainr.io import child, read_kspace
from napari_dainr.io.formats import read_acquired
from napari_dainr.preparation.cartesian import radial_from_cartesian

from . import twix_writer
from .array_writers import PIXELS, radial_scan
from .sound_files import HEADER

pytestmark = pytest.mark.usefixtures("one_child")

needs_bart = pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")

_THETA = np.pi / 4 * np.arange(9.0)[None]
_MATLAB: dict[str, tuple[str, np.ndarray]] = {
    **{
        f"testcomplex_{version}": ("testcomplex", np.cos(_THETA) + 1j * np.sin(_THETA))
        for version in ("6.1_SOL2", "6.5.1_GLNX86", "7.1_GLNX86", "7.4_GLNX86")
    },
    **{
        f"test3dmatrix_{version}": ("test3dmatrix", np.arange(1.0, 25).reshape(4, 3, 2).T)
        for version in ("6.1_SOL2", "6.5.1_GLNX86", "7.1_GLNX86", "7.4_GLNX86")
    },
    "testhdf5_7.4_GLNX86": ("testdouble", _THETA),
}
"""File that MATLAB wrote → name of the array in it and what it is, as SciPy's documentation of its test data tells."""


@pytest.mark.parametrize("name", _MATLAB)
def test_arrays_that_matlab_wrote(name: str) -> None:
    """Six versions on two machines, one of them big-endian, uncompressed, compressed and as HDF5."""
    found = importlib.util.find_spec("scipy")
    assert found is not None and found.origin is not None
    path = Path(found.origin).parent / "io" / "matlab" / "tests" / "data" / f"{name}.mat"
    if not path.is_file():
        pytest.skip("this SciPy came without its test data")
    variable, want = _MATLAB[name]
    arrays, facts = child.read_in_child("matlab", path, variables={"kdata": variable})
    np.testing.assert_allclose(arrays["kdata"], want, rtol=1e-7)
    assert facts["version"] == ("7.3" if "hdf5" in name else "5")


def _write_73(path: Path, values: dict[str, Any]) -> None:
    hdf5storage = pytest.importorskip("hdf5storage")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdf5storage.savemat(str(path), values, format="7.3", store_python_metadata=False)
    assert path.read_bytes().startswith(b"MATLAB 7.3 MAT-file")


@pytest.mark.parametrize("zipped", [False, True])
def test_version_7_3_as_hdf5storage_writes_it(zipped: bool, tmp_path: Path) -> None:
    """The layout of the GRASP demonstration, and one that the user names."""
    kdata, ktraj = radial_scan()
    k = (ktraj[..., 0] + 1j * ktraj[..., 1]).T / PIXELS
    b1 = np.ones((PIXELS, PIXELS, len(kdata)), np.complex64)
    values = {"kdata": kdata.transpose(2, 1, 0), "k": k, "w": np.abs(k) + 0.002, "b1": b1}
    if zipped:  # hdf5storage compresses from some size on
        values["kdata"] = np.tile(values["kdata"], (1, 1, 40))
        values["b1"] = np.tile(b1, (1, 1, 40))
    _write_73(tmp_path / "x.mat", values)
    kspace = read_kspace(tmp_path / "x.mat", ImportOptions(keep_all=True))
    np.testing.assert_array_equal(kspace.kdata[0], np.tile(kdata, (40 if zipped else 1, 1, 1)))
    np.testing.assert_allclose(kspace.ktraj, ktraj, atol=2e-5)
    assert kspace.csm is not None and "GRASP" in kspace.detected["layout"]
    _write_73(tmp_path / "y.mat", {"raw": kdata.transpose(1, 2, 0), "pos": ktraj.transpose(2, 0, 1)[::-1].copy()})
    told = {"kdata": "raw", "ktraj": "pos", "axes": "spoke/readout/coil"}
    options = ImportOptions(variables=told, trajectory_unit="cycles per field of view", matrix=(PIXELS, PIXELS))
    kspace = read_kspace(tmp_path / "y.mat", options.model_copy(update={"keep_all": True}))
    np.testing.assert_array_equal(kspace.kdata[0], kdata)
    np.testing.assert_allclose(kspace.ktraj, ktraj, atol=1e-6)


@pytest.mark.parametrize("group", ["", "scan/one/"])
def test_arrays_in_hdf5_as_hdf5storage_writes_them(group: str, tmp_path: Path) -> None:
    """Not in MATLAB's form: complex numbers as that package keeps them, axes in numpy's order, in groups or not."""
    hdf5storage = pytest.importorskip("hdf5storage")
    kdata, ktraj = radial_scan()
    path = tmp_path / "scan.h5"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdf5storage.writes(
            {f"/{group}raw": kdata, f"/{group}pos": ktraj[..., ::-1].copy()},
            filename=str(path),
            matlab_compatible=False,
            store_python_metadata=False,
        )
    told = {"kdata": f"{group}raw", "ktraj": f"{group}pos", "axes": "coil/spoke/readout"}
    kspace = read_kspace(
        path, ImportOptions(variables=told, trajectory_unit="cycles per field of view", matrix=(PIXELS, PIXELS))
    )
    np.testing.assert_array_equal(kspace.kdata[0], kdata)
    np.testing.assert_allclose(kspace.ktraj, ktraj, atol=1e-6)


def test_cmrxrecon_as_hdf5storage_writes_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    planes = (rng.standard_normal((2, 3, 14, 11)) + 1j * rng.standard_normal((2, 3, 14, 11))).astype(np.complex64)
    # MATLAB's order is (kx, ky, coil, slice, frame); planes are (frame, coil, ky, kx).
    _write_73(tmp_path / "cine.mat", {"kspace_full": planes.transpose(3, 2, 1, 0)[:, :, :, None]})
    kspace = read_kspace(tmp_path / "cine.mat", ImportOptions(radial_spokes=5, keep_all=True))
    np.testing.assert_allclose(kspace.kdata[0], radial_from_cartesian(planes, 5)[0], rtol=1e-4, atol=1e-5)


def _bart(folder: Path, *words: str) -> None:
    subprocess.run(["bart", *words], cwd=folder, check=True, capture_output=True)


def _cfl(base: Path) -> np.ndarray:
    sizes = [int(word) for word in base.with_suffix(".hdr").read_text().splitlines()[1].split()]
    return np.fromfile(base.with_suffix(".cfl"), "<c8").reshape(sizes, order="F")


@needs_bart
def test_frames_of_bart(tmp_path: Path) -> None:
    """Frames along BART's dimension of time, whose angles go on turning."""
    _bart(tmp_path, "traj", "-r", "-G", "-x24", "-y7", "-t4", "traj")
    _bart(tmp_path, "phantom", "-k", "-s3", "-t", "traj", "ksp")
    kspace = read_kspace(tmp_path / "ksp.cfl", ImportOptions(keep_all=True))
    assert kspace.kdata.shape == (1, 3, 28, 24) and kspace.spokes_per_frame_hint == 7
    want, places = _cfl(tmp_path / "ksp"), _cfl(tmp_path / "traj").real
    for frame in range(4):
        own = slice(7 * frame, 7 * frame + 7)
        np.testing.assert_array_equal(kspace.kdata[0, :, own], want.reshape(24, 7, 3, 4).T[frame])
        np.testing.assert_allclose(kspace.ktraj[own], places.reshape(3, 24, 7, 4)[1::-1, ..., frame].T, atol=1e-6)


@needs_bart
@pytest.mark.parametrize("number", [112, 118])
def test_siemens_samples_are_those_of_barts_twixread(number: int, shared_data: Path, tmp_path: Path) -> None:
    """A third reader of the real files, written in C: line by line the same numbers."""
    path = next((shared_data / "twix").glob(f"meas_MID00{number}_*.dat"))
    _bart(tmp_path, "twixread", "-A", str(path), "out")
    theirs = _cfl(tmp_path / "out")[:, :, 0].reshape(256, 256, 4)  # sample, line, coil
    acquired = read_acquired(path)
    assert acquired.lines is not None and acquired.kdata.shape == (1, 4, 256, 256)
    np.testing.assert_array_equal(acquired.kdata[0], theirs[:, acquired.lines].T.swapaxes(1, 2).transpose(0, 2, 1))


@needs_bart
@pytest.mark.parametrize("modern", [False, True])
def test_siemens_files_of_these_tests_are_files_to_bart(modern: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    data = (rng.standard_normal((2, 20, 32)) + 1j * rng.standard_normal((2, 20, 32))).astype(np.complex64)
    lines = [twix_writer.Line(data[:, i], 2 * i, counters={"line": i}) for i in range(20)]
    twix_writer.write(tmp_path / "x.dat", twix_writer.Measurement(lines, {}), modern=modern)
    _bart(tmp_path, "twixread", "-x32", "-y20", "-c2", "-a20", "x.dat", "out")
    np.testing.assert_array_equal(_cfl(tmp_path / "out").reshape(32, 20, 2), data.T)


def test_fastmri_as_its_own_package_reads_it(tmp_path: Path) -> None:
    """Cropped coil images of the data set's own package, and spokes from the same file by the plain sum."""
    fastmri = pytest.importorskip("fastmri")
    torch = pytest.importorskip("torch")
    import h5py
    from fastmri.data.mri_data import SliceDataset
    from fastmri.data.transforms import complex_center_crop

    rng = np.random.default_rng(8)
    planes = (rng.standard_normal((2, 3, 16, 9)) + 1j * rng.standard_normal((2, 3, 16, 9))).astype(np.complex64)
    recon = "<reconSpace><matrixSize><x>16</x>"
    header = HEADER.replace(recon, recon.replace("16", "8"))
    at = header.index("<reconSpace>")
    header = header[:at] + header[at:].replace("<x>160</x>", "<x>80</x>")
    limits = "<kspace_encoding_step_1><minimum>0</minimum><maximum>8</maximum><center>4</center>"
    header = header.replace("<encodingLimits/>", f"<encodingLimits>{limits}</kspace_encoding_step_1></encodingLimits>")
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["kspace"], file["ismrmrd_header"] = planes, header
    read = SliceDataset(tmp_path, "multicoil")
    kspace = read_kspace(tmp_path / "scan.h5", ImportOptions(radial_spokes=7, keep_all=True))
    assert kspace.matrix == (8, 9) and len(read) == kspace.n_slices == 2
    y, x = np.arange(8) - 4, np.arange(9) - 4
    ey = np.exp(-2j * np.pi * kspace.ktraj[..., 0, None].astype(float) * y / 8)
    ex = np.exp(-2j * np.pi * kspace.ktraj[..., 1, None].astype(float) * x / 9)
    for number in range(2):
        values, _, _, attributes, _, _ = read[number]
        size = attributes["recon_size"]
        pairs = torch.view_as_real(torch.from_numpy(np.asarray(values)))
        images = torch.view_as_complex(complex_center_crop(fastmri.ifft2c(pairs), (size[0], size[1])).contiguous())
        want = np.einsum("cyx,sry,srx->csr", images.numpy(), ey, ex) / np.sqrt(72)
        np.testing.assert_allclose(kspace.kdata[number], want, atol=1e-4 * np.abs(want).max())
