"""MRD version 2: streams written by the package of its authors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr import optional
from napari_dainr.errors import InputError, ResourceError
from napari_dainr.importing import ImportOptions
from napari_dainr.io import read_kspace
from napari_dainr.io.formats import read_acquired
from napari_dainr.trajectory import radial_ktraj

from .mrd2_writer import acquisition, header, write

pytest.importorskip("mrd")
pytestmark = pytest.mark.usefixtures("one_child")

COILS, SPOKES, SAMPLES = 3, 21, 26
NOISE, REVERSE, NAVIGATOR = 1 << 18, 1 << 21, 1 << 22


@pytest.fixture
def kdata() -> Any:
    rng = np.random.default_rng(7)
    shape = (COILS, SPOKES, SAMPLES)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def test_spokes_and_their_trajectory_come_back(tmp_path: Path, kdata: Any) -> None:
    ktraj = radial_ktraj(SPOKES, SAMPLES, (13, 13))
    stored = np.ascontiguousarray((ktraj / 26.0)[..., ::-1].transpose(0, 2, 1))  # (kx, ky), cycles per encoded pixel
    readouts = [acquisition(kdata[:, i], 2 * i, trajectory=stored[i]) for i in range(SPOKES)]
    kspace = read_kspace(write(tmp_path / "scan.mrd", readouts))
    np.testing.assert_array_equal(kspace.kdata, kdata[None])
    np.testing.assert_allclose(kspace.ktraj, ktraj, atol=1e-4)
    assert (kspace.matrix, kspace.fov_mm) == ((13, 13), (260.0, 260.0))
    np.testing.assert_allclose(kspace.spoke_times_s, 0.005 * np.arange(SPOKES))
    assert kspace.detected["format"] == "MRD version 2"
    assert kspace.assumed == {}


@pytest.mark.parametrize(("per_spoke", "tick_s"), [(2, 2.5e-3), (5, 1e-3)])
def test_the_unit_of_time_stamps_is_the_one_that_fits_the_tr(
    tmp_path: Path, kdata: Any, per_spoke: int, tick_s: float
) -> None:
    readouts = [acquisition(kdata[:, i], per_spoke * i) for i in range(SPOKES)]
    acquired = read_acquired(write(tmp_path / "scan.mrd", readouts))
    assert acquired.tick_s == tick_s
    assert acquired.times_s is not None
    np.testing.assert_allclose(acquired.times_s, 0.005 * np.arange(SPOKES))


def test_time_stamps_of_unknown_unit_are_said(tmp_path: Path, kdata: Any) -> None:
    acquired = read_acquired(write(tmp_path / "scan.mrd", [acquisition(kdata[:, i], 77 * i) for i in range(SPOKES)]))
    assert "does not say" in acquired.assumed["time stamps"]


def test_noise_navigators_and_reversed_readouts(tmp_path: Path, kdata: Any) -> None:
    readouts = [acquisition(kdata[:, i], 2 * i) for i in range(SPOKES)]
    readouts[1] = acquisition(np.ascontiguousarray(kdata[:, 1, ::-1]), 2, REVERSE)
    readouts.insert(5, acquisition(kdata[:, 0, :8], 9, NAVIGATOR))
    readouts.insert(0, acquisition(kdata[:, 3, :12], 0, NOISE, sample_time_us=5.0))
    head = header(relative_receiver_noise_bandwidth=0.8)
    acquired = read_acquired(write(tmp_path / "scan.mrd", readouts, head))
    np.testing.assert_array_equal(acquired.kdata, kdata[None])
    assert acquired.left_out == {"noise": 1, "navigator": 1}
    assert acquired.noise is not None
    np.testing.assert_array_equal(acquired.noise, kdata[:, 3, :12])
    assert acquired.noise_bandwidth_ratio == pytest.approx(5.0 / 10.0 / 0.8)


def test_partitions_and_contrasts(tmp_path: Path, kdata: Any) -> None:
    readouts = [
        acquisition(kdata[:, 3 * s + p] * (e + 1), 2 * (3 * s + p), kspace_encode_step_2=p + 2, contrast=e)
        for s in range(7)
        for p in range(3)
        for e in range(2)
    ]
    path = write(tmp_path / "scan.mrd", readouts)
    acquired = read_acquired(path, ImportOptions(contrast=1))
    np.testing.assert_array_equal(acquired.kdata, 2 * kdata.reshape(COILS, 7, 3, SAMPLES).transpose(2, 0, 1, 3))
    assert acquired.partitions is not None
    assert (acquired.partitions.numbers, acquired.partitions.count, acquired.partitions.centre) == ((2, 3, 4), 8, 3)


def test_what_cannot_be_read(tmp_path: Path, kdata: Any) -> None:
    whole = write(tmp_path / "scan.mrd", [acquisition(kdata[:, i], 2 * i) for i in range(SPOKES)])
    cut = tmp_path / "cut.mrd"
    cut.write_bytes(whole.read_bytes()[:-500])
    with pytest.raises(InputError, match=r"cut.mrd: is truncated or damaged"):
        read_acquired(cut)
    with pytest.raises(InputError, match="holds no acquisitions"):
        read_acquired(write(tmp_path / "empty.mrd", []))
    with pytest.raises(InputError, match="single data set"):
        read_acquired(whole, ImportOptions(dataset="2"))


def test_without_the_package(tmp_path: Path, kdata: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "scan.mrd", [acquisition(kdata[:, 0])])

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(optional, "import_module", missing)
    with pytest.raises(ResourceError, match=r'MRD version 2 needs .*pip install "napari-dainr\[mrd2\]"'):
        read_acquired(path)
