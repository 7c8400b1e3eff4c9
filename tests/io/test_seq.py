"""Pulseq sequences as the trajectory of raw files that have none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.io import read_kspace
from napari_dainr.trajectory import radial_ktraj

from . import seq_writer, twix_writer

pytest.importorskip("pypulseq")
pytestmark = [
    pytest.mark.usefixtures("one_child"),
    pytest.mark.filterwarnings("ignore"),  # pypulseq warns of its own defaults
]

SPOKES, SAMPLES, FOV = 9, 26, 0.26
STEP = 180.0 / SPOKES
PROTOCOL = {"sKSpace.lBaseResolution": "20", "sSliceArray.asSlice[0].dReadoutFOV": "300"}

Scan = Callable[..., Path]


@pytest.fixture
def scan_without(tmp_path: Path) -> Scan:
    """A Siemens file of some spokes (of some partitions) without any trajectory."""

    def make(spokes: int = SPOKES, samples: int = SAMPLES, partitions: int = 1) -> Path:
        rng = np.random.default_rng(6)
        lines = [
            twix_writer.Line(
                (rng.standard_normal((2, samples)) + 1j * rng.standard_normal((2, samples))).astype(np.complex64),
                2 * (spoke * partitions + partition),
                counters={"line": spoke, "partition": partition},
            )
            for spoke in range(spokes)
            for partition in range(partitions)
        ]
        return twix_writer.write(tmp_path / "scan.dat", twix_writer.Measurement(lines, PROTOCOL))

    return make


def read(path: Path, seq: Path, **options: Any) -> Any:
    return read_kspace(path, ImportOptions(trajectory_file=str(seq), **options))


def test_angles_centre_and_field_of_view_are_those_of_the_sequence(tmp_path: Path, scan_without: Scan) -> None:
    seq = seq_writer.write(tmp_path / "radial.seq", np.arange(SPOKES) * STEP, SAMPLES, FOV)
    kspace = read(scan_without(), seq)
    assert kspace.fov_mm == pytest.approx((260.0, 260.0))
    assert kspace.matrix == (13, 13)
    # The centre lies half-way between samples 12 and 13.
    expected = radial_ktraj(SPOKES, SAMPLES, (13, 13), angle_deg=STEP, centre=12.5)
    np.testing.assert_allclose(kspace.ktraj, expected, atol=2e-3)
    assert "cycles per metre" in kspace.detected["trajectory"]
    assert "readout spans 520 mm" in kspace.detected["trajectory file"]
    assert "trajectory" not in kspace.assumed


def test_without_a_defined_field_of_view_the_header_has_it(tmp_path: Path, scan_without: Scan) -> None:
    seq = seq_writer.write(tmp_path / "radial.seq", np.arange(SPOKES) * STEP, SAMPLES, FOV, define_fov=False)
    kspace = read(scan_without(), seq)
    assert kspace.fov_mm == (300.0, 300.0)
    assert kspace.matrix == (20, 20)


def test_noise_readouts_and_partitions(tmp_path: Path, scan_without: Scan) -> None:
    angles = np.arange(SPOKES) * 111.246
    seq = seq_writer.write(tmp_path / "stack.seq", angles, SAMPLES, FOV, partitions=2, noise=3)
    kspace = read(scan_without(partitions=2), seq)
    expected = radial_ktraj(SPOKES, SAMPLES, (13, 13), angle_deg=111.246, centre=12.5)
    np.testing.assert_allclose(kspace.ktraj, expected, atol=2e-3)
    assert "3 readouts without gradients left out" in kspace.detected["trajectory file"]


def test_what_does_not_fit(tmp_path: Path, scan_without: Scan) -> None:
    seq = seq_writer.write(tmp_path / "radial.seq", np.arange(SPOKES) * STEP, SAMPLES, FOV)
    with pytest.raises(InputError, match=r"scan.dat: radial.seq: it holds 9 spokes of 26 samples, but the data 1 × 8"):
        read(scan_without(spokes=8), seq)
    with pytest.raises(InputError, match=r"spokes of 24; give the sequence that was measured"):
        read(scan_without(samples=24), seq)
    path = scan_without()
    text = tmp_path / "text.seq"
    text.write_text("no sequence")
    with pytest.raises(InputError, match=r"text.seq: is no Pulseq sequence"):
        read(path, text)
    with pytest.raises(InputError, match=r"none.seq: there is no such file"):
        read(path, tmp_path / "none.seq")
    text.write_bytes(seq.read_bytes()[:1500])
    with pytest.raises(InputError, match=r"text.seq: "):
        read(path, text)


def test_a_sequence_given_as_raw_file(tmp_path: Path) -> None:
    seq = seq_writer.write(tmp_path / "radial.seq", [0.0], SAMPLES, FOV)
    with pytest.raises(InputError, match=r"radial.seq: is a Pulseq sequence.*--trajectory-file"):
        read_kspace(seq)


def test_the_real_radial_file(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "twix").glob("*sol24.dat"))
    if not files:
        pytest.skip("no real Siemens files at hand")
    seq = seq_writer.write(tmp_path / "same.seq", np.arange(256) * 180 / 256, 256, 0.256, oversampling=1)
    kspace = read(files[0], seq)
    assert (kspace.matrix, kspace.detected["angle step"]) == ((256, 256), "0.703°")


def test_the_recipe_keeps_the_whole_path_of_the_sequence(
    tmp_path: Path, scan_without: Scan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_dainr.cli import main

    seq_writer.write(tmp_path / "radial.seq", np.arange(SPOKES) * STEP, SAMPLES, FOV)
    scan_without()
    monkeypatch.chdir(tmp_path)
    flags = ["--trajectory-file", "radial.seq", "--method", "nufft", "--spokes-per-frame", "3", "--quiet"]
    assert main(["recon", "scan.dat", *flags, "-o", "run"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["recon", "--recipe", "../run/recipe.json", "-o", "again", "--quiet"]) == 0
    again = (tmp_path / "elsewhere" / "again" / "series.npy").read_bytes()
    assert again == (tmp_path / "run" / "series.npy").read_bytes()
    assert str(tmp_path) not in (tmp_path / "run" / "provenance.json").read_text()
