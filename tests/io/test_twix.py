"""Siemens raw data: written by the tests themselves in the published layout, and real files against a second reader."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.io import KSPACE_SUFFIXES, read_kspace
from napari_dainr.io.formats import read_acquired
from napari_dainr.trajectory import radial_ktraj

from .twix_writer import Line, Measurement, write

pytestmark = pytest.mark.usefixtures("one_child")

COILS, SPOKES, SAMPLES = 3, 21, 26
PROTOCOL = {
    "alTR[0]": "5000",
    "sKSpace.lBaseResolution": "13",
    "sKSpace.lPhaseEncodingLines": "21",
    "sKSpace.lPartitions": "1",
    "sKSpace.ucTrajectory": "0x2",
    "sSliceArray.asSlice[0].dReadoutFOV": "260",
    "sSliceArray.asSlice[0].dPhaseFOV": "130",
    "sRXSPEC.alDwellTime[0]": "10000",
}


def samples(*shape: int, seed: int = 1) -> Any:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def spokes(kdata: Any, **changes: Any) -> list[Line]:
    """Lines of (coil, spoke, sample) at a TR of two ticks."""
    return [Line(kdata[:, i], ticks=1000 + 2 * i, counters={"line": i}, **changes) for i in range(kdata.shape[1])]


@pytest.fixture
def kdata() -> Any:
    return samples(COILS, SPOKES, SAMPLES)


@pytest.mark.parametrize("modern", [True, False])
def test_radial_spokes_come_back_bit_by_bit(tmp_path: Path, kdata: Any, modern: bool) -> None:
    path = write(tmp_path / "scan.dat", Measurement(spokes(kdata), PROTOCOL), modern=modern)
    acquired = read_acquired(path)
    np.testing.assert_array_equal(acquired.kdata, kdata[None])
    assert (acquired.format, acquired.name, acquired.kind) == ("Siemens twix", "scan", "radial")
    assert (acquired.matrix, acquired.fov_mm) == ((13, 13), (260.0, 260.0))
    assert (acquired.encoded_matrix, acquired.encoded_fov_mm) == ((26, 26), (520.0, 520.0))
    assert (acquired.centre_sample, acquired.tr_s, acquired.tick_s) == (13, 0.005, 0.0025)
    assert acquired.times_s is not None
    np.testing.assert_allclose(acquired.times_s, 0.005 * np.arange(SPOKES))
    assert (acquired.left_out, acquired.assumed, acquired.noise) == ({}, {}, None)
    kspace = read_kspace(path, ImportOptions(angles="golden"))
    np.testing.assert_allclose(kspace.ktraj, radial_ktraj(SPOKES, SAMPLES, (13, 13)), atol=1e-4)
    assert "confirmed by the time stamps" in kspace.detected["times"]


def test_lines_that_are_no_spokes_are_left_out_and_counted(tmp_path: Path, kdata: Any) -> None:
    noise = samples(COILS, 64, seed=2)
    lines = spokes(kdata)
    lines[4:4] = [
        Line(samples(COILS, SAMPLES), flags=("phase correction",)),
        Line(samples(COILS, 8), flags=("feedback",)),
    ]
    lines[0:0] = [Line(noise[:, :32], flags=("noise",)), Line(noise[:, 32:], flags=("noise",))]
    lines.append(Line(samples(COILS, SAMPLES), flags=("calibration",)))
    acquired = read_acquired(write(tmp_path / "scan.dat", Measurement(lines, PROTOCOL)))
    np.testing.assert_array_equal(acquired.kdata, kdata[None])
    assert acquired.left_out == {"noise": 2, "phase correction": 1, "feedback": 1, "calibration": 1}
    assert acquired.noise is not None
    np.testing.assert_array_equal(acquired.noise, noise)
    # 32 samples at 130 Hz per pixel: 240 µs; the image has 10 µs; the receiver's filter passes 0.793 of it.
    assert acquired.noise_bandwidth_ratio == pytest.approx(240.0 / 10.0 / 0.793)


def test_a_noise_scan_of_other_coils_is_not_used_and_said_to_be(tmp_path: Path, kdata: Any) -> None:
    noise = Line(samples(COILS + 2, 32), flags=("noise",))
    first = Measurement([noise, Line(samples(COILS, 16))], PROTOCOL)
    for measurements in (
        (first, Measurement(spokes(kdata), PROTOCOL)),
        (Measurement([noise, *spokes(kdata)], PROTOCOL),),
    ):
        kspace = read_kspace(write(tmp_path / "scan.dat", *measurements), ImportOptions(angles="golden", keep_all=True))
        said = f"the noise scan is of {COILS + 2} coils, the data of {COILS}, so it is not used"
        assert said in kspace.assumed["noise"] and "noise" not in kspace.detected


def test_the_last_measurement_is_the_scan_and_noise_comes_from_the_others(tmp_path: Path, kdata: Any) -> None:
    noise = samples(COILS, 32, seed=3)
    first = Measurement(
        [Line(noise, flags=("noise",)), Line(samples(COILS, 16))], PROTOCOL | {"tProtocolName": '""AdjCoilSens""'}
    )
    path = write(tmp_path / "scan.dat", first, Measurement(spokes(kdata), PROTOCOL))
    acquired = read_acquired(path)
    np.testing.assert_array_equal(acquired.kdata, kdata[None])
    assert acquired.noise is not None
    np.testing.assert_array_equal(acquired.noise, noise)
    assert acquired.noise_bandwidth_ratio == pytest.approx(5.0 / 10.0 / 0.793)
    assert "measurement 1 of 2" in acquired.assumed["dataset"]
    chosen = read_acquired(path, ImportOptions(dataset="0"))
    assert chosen.kdata.shape == (1, COILS, 1, 16)
    assert "as told" in chosen.detected["dataset"]
    for wrong in ("2", "-1", "last"):
        with pytest.raises(InputError, match="holds 2 measurements, numbered from 0"):
            read_acquired(path, ImportOptions(dataset=wrong))


def test_averages_repetitions_and_segments_are_spokes_of_their_own(tmp_path: Path, kdata: Any) -> None:
    lines = spokes(kdata)
    for i, line in enumerate(lines):
        line.counters = {"line": 0, "average": i % 3, "segment": i % 2, "repetition": i // 7}
    acquired = read_acquired(write(tmp_path / "scan.dat", Measurement(lines, PROTOCOL)))
    np.testing.assert_array_equal(acquired.kdata, kdata[None])
    assert acquired.detected["averages"].startswith("3, each kept")
    assert acquired.spokes_per_frame == 7
    assert acquired.frames is not None
    assert acquired.frames.tolist() == [i // 7 for i in range(SPOKES)]


@pytest.mark.parametrize("inner", [True, False])
def test_a_stack_of_stars_with_partial_kz(tmp_path: Path, inner: bool) -> None:
    stack = samples(3, COILS, 5, SAMPLES)  # partitions 2, 3 and 4 of 8, the central one 3
    order = [(p, s) for s in range(5) for p in range(3)] if inner else [(p, s) for p in range(3) for s in range(5)]
    lines = [
        Line(stack[p, :, s], 2 * i, counters={"line": s, "partition": p + 2}, centre_partition=3)
        for i, (p, s) in enumerate(order)
    ]
    acquired = read_acquired(write(tmp_path / "scan.dat", Measurement(lines, PROTOCOL | {"sKSpace.lPartitions": "8"})))
    np.testing.assert_array_equal(acquired.kdata, stack)
    assert acquired.third == "partition"
    assert acquired.partitions is not None
    assert (acquired.partitions.numbers, acquired.partitions.count, acquired.partitions.centre) == ((2, 3, 4), 8, 3)
    assert acquired.tr_s == pytest.approx(0.015 if inner else 0.005)
    assert acquired.times_s is not None
    np.testing.assert_allclose(acquired.times_s, np.arange(5) * acquired.tr_s)


def test_slices_echoes_and_sets(tmp_path: Path) -> None:
    data = samples(2, 3, 2, COILS, 4, SAMPLES)  # slice, echo, set, coil, spoke
    lines = [
        Line(data[sl, e, st, :, s], s, counters={"line": s, "slice": sl, "contrast": e, "set": st})
        for s in range(4)
        for sl in (1, 0)
        for e in range(3)
        for st in range(2)
    ]
    path = write(tmp_path / "scan.dat", Measurement(lines, PROTOCOL))
    first = read_acquired(path)
    np.testing.assert_array_equal(first.kdata, data[:, 0, 0])
    assert first.assumed == {"contrast": "number 0 of 3, the first", "set": "number 0 of 2, the first"}
    other = read_acquired(path, ImportOptions(contrast=2, set_number=1))
    np.testing.assert_array_equal(other.kdata, data[:, 2, 1])
    assert "as told" in other.detected["contrast"]
    with pytest.raises(InputError, match=r"no contrast 5; there are 3, from 0 to 2, correct --contrast"):
        read_acquired(path, ImportOptions(contrast=5))


def test_reflected_lines_are_turned_round_and_cut_samples_go(tmp_path: Path, kdata: Any) -> None:
    lines = spokes(kdata, cut=(3, 1), centre=14)
    for line in lines[1::2]:
        line.data, line.flags = line.data[:, ::-1], ("reflected",)
    acquired = read_acquired(write(tmp_path / "scan.dat", Measurement(lines, PROTOCOL)))
    np.testing.assert_array_equal(acquired.kdata[0], kdata[..., 3:-1])
    assert acquired.centre_sample == 11
    assert acquired.detected["reflected"].startswith("10 lines")


def test_a_stopped_measurement_is_read_and_said(tmp_path: Path, kdata: Any) -> None:
    lines = spokes(kdata)
    lines[-1].counters["partition"] = 0
    acquired = read_acquired(write(tmp_path / "scan.dat", Measurement(lines, PROTOCOL, ended=False)))
    assert acquired.kdata.shape[2] == SPOKES
    assert "stopped" in acquired.assumed["end"]


def test_a_header_without_sizes_leaves_them_open(tmp_path: Path, kdata: Any) -> None:
    acquired = read_acquired(write(tmp_path / "scan.dat", Measurement(spokes(kdata), {"alTR[0]": "nan"})))
    assert (acquired.matrix, acquired.fov_mm, acquired.tr_s, acquired.kind) == (None, None, None, "unknown")


def test_no_suffix_is_needed(tmp_path: Path, kdata: Any) -> None:
    for modern in (True, False):
        path = write(tmp_path / "raw", Measurement(spokes(kdata), PROTOCOL), modern=modern)
        assert read_acquired(path).format == "Siemens twix"


def test_what_the_energy_says_when_the_header_is_silent_or_wrong(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    k = np.abs(np.arange(SAMPLES) - 13) + 0.3
    radial = (samples(1, SPOKES, SAMPLES) + 30) / k
    far = np.abs(np.arange(SPOKES) - 10)[:, None] + 0.3
    cartesian = (rng.standard_normal((1, SPOKES, SAMPLES)) + 30) / (k**2 + far**2)
    for data, header, kind in (
        (radial, "1", "radial"),
        (radial, "7", "radial"),
        (cartesian, "1", "cartesian"),
        (cartesian, "7", "cartesian"),
        (samples(1, SPOKES, SAMPLES), "1", "cartesian"),  # noise says nothing
    ):
        lines = spokes(data.astype(np.complex64))
        path = write(tmp_path / "s.dat", Measurement(lines, PROTOCOL | {"sKSpace.ucTrajectory": header}))
        acquired = read_acquired(path)
        assert acquired.kind == kind
        assert ("readouts" in acquired.detected) == (kind != "cartesian" or header == "7")


@pytest.fixture
def real(shared_data: Path) -> list[Path]:
    files = sorted((shared_data / "twix").glob("*.dat"))
    if not files:
        pytest.skip("no real Siemens files at hand")
    return files


def second_reader(path: Path) -> Any:
    """(coil, line, sample) by pyMapVBVD, nothing averaged, cropped or regridded."""
    mapvbvd = pytest.importorskip("mapvbvd")
    with contextlib.redirect_stdout(io.StringIO()):
        twix = mapvbvd.mapVBVD(str(path), quiet=True)
        twix = twix[-1] if isinstance(twix, list) else twix
        image = twix.image
        image.flagRemoveOS = image.flagDoAverage = False
        image.squeeze = True
        return np.asarray(image[""]).transpose(1, 2, 0)


@pytest.mark.filterwarnings("ignore")  # of pyMapVBVD
def test_real_files_agree_element_by_element_with_a_second_reader(real: list[Path]) -> None:
    for path in real:
        acquired = read_acquired(path)
        np.testing.assert_array_equal(acquired.kdata[0], second_reader(path))
        assert acquired.lines is not None
        assert acquired.lines.tolist() == list(range(256))


@pytest.mark.filterwarnings("ignore")  # of pyMapVBVD
@pytest.mark.parametrize("modern", [True, False])
def test_the_files_of_these_tests_agree_with_a_second_reader(tmp_path: Path, kdata: Any, modern: bool) -> None:
    path = write(tmp_path / "scan.dat", Measurement(spokes(kdata), PROTOCOL), modern=modern)
    np.testing.assert_array_equal(second_reader(path), kdata)


def test_through_a_child_of_its_own(tmp_path: Path, kdata: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    path = write(tmp_path / "scan.dat", Measurement(spokes(kdata), PROTOCOL))
    np.testing.assert_array_equal(read_acquired(path).kdata, kdata[None])


def test_what_the_real_files_are(real: list[Path]) -> None:
    cartesian, radial = (read_acquired(path) for path in real)
    assert (cartesian.kind, radial.kind) == ("cartesian", "radial")
    assert "though the header says cartesian" in radial.detected["readouts"]
    for one in (cartesian, radial):
        assert (one.matrix, one.fov_mm, one.centre_sample) == ((256, 256), (256.0, 256.0), 128)
        assert "Pulseq" in one.assumed["field of view"]
    assert "does not fit" in read_kspace(real[1]).detected["times"]


def test_the_viewer_offers_the_suffixes_that_are_read(repository: Path) -> None:
    import yaml

    readers = yaml.safe_load((repository / "napari.yaml").read_text())["contributions"]["readers"]
    patterns = {pattern for reader in readers for pattern in reader["filename_patterns"]}
    assert {f"*{suffix}" for suffix in KSPACE_SUFFIXES} <= patterns
