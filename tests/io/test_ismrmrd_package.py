"""ISMRMRD as other programs write it: files by the ismrmrd package itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.io import read_kspace
from napari_dainr.io.formats import read_acquired
from napari_dainr.preparation.cartesian import radial_from_cartesian

pytestmark = pytest.mark.usefixtures("one_child")


def _by_the_package(path: Path, readouts: list[tuple[Any, dict[str, Any]]], xml: str, group: str = "dataset") -> Path:
    """A file written by the ismrmrd package: (coil, sample) data, and counters or fields of the header."""
    import ismrmrd

    dataset = ismrmrd.Dataset(str(path), group, create_if_needed=True, mode="a")
    dataset.write_xml_header(xml.encode())
    for number, (data, changes) in enumerate(readouts):
        one = ismrmrd.Acquisition.from_array(data)
        one.scan_counter, one.center_sample, one.sample_time_us = number, data.shape[1] // 2, 10.0
        for name, value in changes.items():
            if name == "flag":
                one.setFlag(value)
            else:
                setattr(one.idx if hasattr(one.idx, name) else one, name, value)
        dataset.append_acquisition(one)
    dataset.close()
    return path


_SPACE = (
    "<matrixSize><x>{0}</x><y>{0}</y><z>{2}</z></matrixSize>"
    "<fieldOfView_mm><x>{1}</x><y>{1}</y><z>5</z></fieldOfView_mm>"
)
_HEADER = (
    '<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><acquisitionSystemInformation>'
    "<relativeReceiverNoiseBandwidth>0.793</relativeReceiverNoiseBandwidth></acquisitionSystemInformation>"
    "<experimentalConditions><H1resonanceFrequency_Hz>123000000</H1resonanceFrequency_Hz></experimentalConditions>"
    f"<encoding><encodedSpace>{_SPACE.format(26, 520, 8)}</encodedSpace>"
    f"<reconSpace>{_SPACE.format(13, 260, 1)}</reconSpace><encodingLimits>"
    "<kspace_encoding_step_1><minimum>0</minimum><maximum>6</maximum><center>3</center></kspace_encoding_step_1>"
    "<kspace_encoding_step_2><minimum>0</minimum><maximum>7</maximum><center>3</center></kspace_encoding_step_2>"
    "</encodingLimits><trajectory>KIND</trajectory></encoding>"
    "<sequenceParameters><TR>5</TR></sequenceParameters></ismrmrdHeader>"
)


_WIDE = (
    "<matrixSize><x>26</x><y>7</y><z>1</z></matrixSize><fieldOfView_mm><x>520</x><y>260</y><z>5</z></fieldOfView_mm>"
)


def _random(*shape: int) -> Any:
    rng = np.random.default_rng(8)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def test_a_stack_of_stars_with_noise_and_navigators_by_the_package(tmp_path: Path) -> None:
    import ismrmrd

    stack, noise = _random(3, 2, 7, 26), _random(2, 12)
    readouts = [(noise, {"flag": ismrmrd.ACQ_IS_NOISE_MEASUREMENT, "sample_time_us": 5.0})]
    readouts += [(_random(2, 9), {"flag": ismrmrd.ACQ_IS_NAVIGATION_DATA})]
    readouts += [
        (
            stack[p, :, s],
            {"kspace_encode_step_1": s, "kspace_encode_step_2": p + 2, "acquisition_time_stamp": 2 * (3 * s + p)},
        )
        for s in range(7)
        for p in range(3)
    ]
    acquired = read_acquired(_by_the_package(tmp_path / "stack.h5", readouts, _HEADER.replace("KIND", "goldenangle")))
    np.testing.assert_array_equal(acquired.kdata, stack)
    assert acquired.partitions is not None
    assert (acquired.partitions.numbers, acquired.partitions.count, acquired.partitions.centre) == ((2, 3, 4), 8, 3)
    assert acquired.left_out == {"noise": 1, "navigator": 1}
    assert acquired.noise is not None
    np.testing.assert_array_equal(acquired.noise, noise)
    assert acquired.noise_bandwidth_ratio == pytest.approx(5.0 / 10.0 / 0.793)
    assert acquired.tr_s == pytest.approx(0.015)
    assert acquired.times_s is not None
    np.testing.assert_allclose(acquired.times_s, 0.015 * np.arange(7))


def test_data_sets_echoes_and_reversed_readouts_by_the_package(tmp_path: Path) -> None:
    import ismrmrd

    data = _random(2, 2, 7, 26)  # echo, coil, spoke, sample; the second echo is read out backwards
    readouts = [
        (
            data[e, :, s, ::-1] if e else data[e, :, s],
            {"contrast": e, "average": s % 2} | ({"flag": ismrmrd.ACQ_IS_REVERSE} if e else {}),
        )
        for s in range(7)
        for e in range(2)
    ]
    path = tmp_path / "two.h5"
    _by_the_package(path, readouts[::2], _HEADER.replace("KIND", "radial"))
    _by_the_package(path, readouts, _HEADER.replace("KIND", "radial"), "dataset_1")
    first = read_acquired(path)
    np.testing.assert_array_equal(first.kdata[0], data[0])
    assert first.assumed["dataset"] == "the first of 2 in the file"
    assert first.detected["averages"].startswith("2, each kept")
    for name in ("1", "dataset_1"):
        both = read_acquired(path, ImportOptions(dataset=name, contrast=1))
        np.testing.assert_array_equal(both.kdata[0], data[1])
    assert "number 0 of 2" in read_acquired(path, ImportOptions(dataset="1")).assumed["contrast"]


def test_a_cartesian_cine_with_all_counters(tmp_path: Path) -> None:
    """As OCMR writes it: kx, ky, kz, coil, phase, set, slice, repetition, average."""
    data = _random(2, 3, 2, 7, 26)  # slice, phase, coil, line, sample
    readouts = [
        (data[sl, ph, :, ln], {"slice": sl, "phase": ph, "kspace_encode_step_1": ln, "acquisition_time_stamp": ph})
        for sl in range(2)
        for ln in range(7)
        for ph in range(3)
    ]
    acquired = read_acquired(_by_the_package(tmp_path / "ocmr.h5", readouts, _HEADER.replace("KIND", "cartesian")))
    assert (acquired.kind, acquired.centre_line) == ("cartesian", 3)
    assert acquired.lines is not None and acquired.frames is not None
    assert acquired.kdata.shape == (2, 2, 21, 26)
    for spoke, (line, frame) in enumerate(zip(acquired.lines, acquired.frames, strict=True)):
        np.testing.assert_array_equal(acquired.kdata[:, :, spoke], data[:, frame, :, line])
    # It becomes radial by the paper's way: twice oversampled readout, 7 lines over the field of view that is kept.
    header = _HEADER.replace("KIND", "cartesian").replace(_SPACE.format(26, 520, 8), _WIDE)
    path = _by_the_package(tmp_path / "cine.h5", readouts, header)
    with pytest.raises(InputError, match="cartesian"):
        read_kspace(path)
    kspace = read_kspace(path, ImportOptions(radial_spokes=5, keep_all=True))
    assert kspace.spokes_per_frame_hint == 5 and kspace.fov_mm == (260.0, 260.0)
    for number in range(2):
        samples, ktraj, _ = radial_from_cartesian(data[number], 5, (260.0, 260.0), (7, 13))
        np.testing.assert_allclose(kspace.kdata[number], samples, atol=1e-5 * np.abs(samples).max())
        np.testing.assert_allclose(kspace.ktraj, ktraj, atol=1e-5)
    # Lines that are missing or off the middle are refused, and lines that come twice averaged.
    part = [one for one in readouts if one[1]["kspace_encode_step_1"]]
    path = _by_the_package(tmp_path / "part.h5", part, header)
    with pytest.raises(InputError, match="not fully sampled: a frame holds 6 of 7 lines"):
        read_kspace(path, ImportOptions(radial_spokes=5))
    twice = [*readouts, *[(3 * samples, counters | {"average": 1}) for samples, counters in readouts]]
    again = read_kspace(
        _by_the_package(tmp_path / "twice.h5", twice, header), ImportOptions(radial_spokes=5, keep_all=True)
    )
    np.testing.assert_allclose(again.kdata, 2 * kspace.kdata, atol=1e-4 * np.abs(kspace.kdata).max())
    assert "2 times" in again.detected["averages"]
