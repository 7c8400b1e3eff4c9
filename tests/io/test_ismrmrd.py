"""ISMRMRD: exact round trips, and each trap of the format found or refused, never guessed in silence."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from napari_dainr.data import KSpace
from napari_dainr.errors import ExportError, InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.io import read_kspace
from napari_dainr.io.ismrmrd import write_ismrmrd
from napari_dainr.trajectory import radial_ktraj

SPOKES, READOUT = 24, 32
"""Of the file that the fixture ``scan`` makes."""

pytestmark = pytest.mark.usefixtures("one_child")

Edit = Callable[..., Path]
Make = Callable[..., KSpace]


@pytest.mark.parametrize(("slices", "matrix", "hint"), [(1, (16, 16), None), (3, (16, 16), 8), (2, (12, 16), 5)])
def test_round_trip(make_kspace: Make, tmp_path: Path, slices: int, matrix: tuple[int, int], hint: int | None) -> None:
    kspace = make_kspace(slices, matrix, hint)
    write_ismrmrd(kspace, tmp_path / "patient scan.h5")
    again = read_kspace(tmp_path / "patient scan.h5")
    np.testing.assert_array_equal(again.kdata, kspace.kdata)
    np.testing.assert_allclose(again.ktraj, kspace.ktraj, atol=1e-5)
    np.testing.assert_allclose(again.spoke_times_s, kspace.spoke_times_s, atol=1e-12)
    assert (again.matrix, again.fov_mm, again.spokes_per_frame_hint) == (matrix, kspace.fov_mm, hint)
    assert again.name == "patient scan"
    assert again.assumed == {}
    assert "golden angle" in again.detected["angle step"]


def test_the_ismrmrd_package_reads_what_is_written(make_kspace: Make, scan: Path) -> None:
    import ismrmrd

    dataset = ismrmrd.Dataset(str(scan), "dataset", mode="r")
    try:
        header = ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
        acquisition = dataset.read_acquisition(7)
    finally:
        dataset.close()
    kspace = make_kspace()
    assert header.encoding[0].reconSpace.matrixSize.x == 16
    assert header.encoding[0].encodedSpace.matrixSize.x == READOUT
    assert header.encoding[0].encodedSpace.fieldOfView_mm.x == pytest.approx(480)
    np.testing.assert_array_equal(acquisition.data, kspace.kdata[0, :, 7])
    np.testing.assert_allclose(acquisition.traj * READOUT, kspace.ktraj[7, :, ::-1], atol=1e-5)


def test_a_failed_write_keeps_the_old_file(make_kspace: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(ExportError, match="no space left"):
        write_ismrmrd(make_kspace(), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.h5"]


def test_reading_changes_no_byte(scan: Path) -> None:
    before, time = hashlib.sha256(scan.read_bytes()).digest(), scan.stat().st_mtime_ns
    mode = scan.stat().st_mode
    scan.chmod(0o444)
    read_kspace(scan)
    scan.chmod(mode)
    assert hashlib.sha256(scan.read_bytes()).digest() == before
    assert scan.stat().st_mtime_ns == time


FLAGS = {
    "noise": 19,
    "calibration": 20,
    "navigator": 23,
    "phase correction": 24,
    "feedback": 26,
    "dummy": 27,
    "real-time feedback": 28,
    "surface coil correction": 29,
    "phase stabilization reference": 30,
    "phase stabilization": 31,
}


def test_flag_numbers_are_those_of_the_ismrmrd_package() -> None:
    import ismrmrd

    from napari_dainr.io.ismrmrd_extract import NOT_IMAGING

    names = ("NOISE_MEASUREMENT", "PARALLEL_CALIBRATION", "NAVIGATION_DATA", "PHASECORR_DATA", "HPFEEDBACK_DATA")
    names += ("DUMMYSCAN_DATA", "RTFEEDBACK_DATA", "SURFACECOILCORRECTIONSCAN_DATA")
    names += ("PHASE_STABILIZATION_REFERENCE", "PHASE_STABILIZATION")
    assert list(NOT_IMAGING.values()) == [getattr(ismrmrd, f"ACQ_IS_{name}") for name in names]
    assert NOT_IMAGING == FLAGS


def test_all_that_is_not_image_data_is_left_out(make_kspace: Make, edit: Edit) -> None:
    def mark(rows: Any) -> None:
        for i, bit in enumerate(FLAGS.values()):
            rows["head"]["flags"][i] = 1 << (bit - 1)
        rows["head"]["number_of_samples"][0] = 5  # a noise scan may be of any length
        rows["data"][0] = rows["data"][0][: 5 * 2 * 3]
        rows["head"]["flags"][len(FLAGS)] = (1 << 20) | (1 << 63)  # calibration *and* imaging, and a user flag, stay

    kspace = read_kspace(edit(mark))
    assert kspace.n_spokes == SPOKES - len(FLAGS)
    np.testing.assert_array_equal(kspace.kdata, make_kspace().kdata[:, :, len(FLAGS) :])
    np.testing.assert_allclose(kspace.ktraj, make_kspace().ktraj[len(FLAGS) :], atol=1e-5)
    for kind in FLAGS:
        assert f"1 {kind}" in kspace.detected["left out"]


def test_a_noise_scan_of_other_coils_is_not_used_and_said_to_be(edit: Edit) -> None:
    def mark(rows: Any) -> None:
        rows["head"]["flags"][0] = 1 << (FLAGS["noise"] - 1)
        rows["head"]["active_channels"][0] = 2
        rows["data"][0] = rows["data"][0][: 2 * 2 * rows["head"]["number_of_samples"][0]]

    kspace = read_kspace(edit(mark))
    assert "the noise scan is of 2 coils, the data of 3, so it is not used" in kspace.assumed["noise"]
    assert "noise" not in kspace.detected and "1 noise" in kspace.detected["left out"]


def _drop_trajectory(rows: Any) -> None:
    rows["head"]["trajectory_dimensions"] = 0
    for i in range(len(rows)):
        rows["traj"][i] = np.zeros(0, np.float32)


@pytest.mark.parametrize("word", ["radial", "goldenangle"])
def test_golden_angle_is_assumed_and_said_where_the_trajectory_is_missing(
    make_kspace: Make, edit: Edit, word: str
) -> None:
    kspace = read_kspace(edit(_drop_trajectory, lambda xml: xml.replace(">radial<", f">{word}<")))
    np.testing.assert_allclose(kspace.ktraj, make_kspace().ktraj, atol=1e-5)
    assert "golden angle 111.246" in kspace.assumed["trajectory"]
    assert f"centre at sample {READOUT // 2}" in kspace.assumed["trajectory"]


def test_the_centre_sample_of_the_header_is_heeded(make_kspace: Make, edit: Edit) -> None:
    def shift(rows: Any) -> None:
        _drop_trajectory(rows)
        rows["head"]["center_sample"] = 12

    kspace = read_kspace(edit(shift))
    assert (kspace.ktraj[:, 12] == 0).all()
    np.testing.assert_allclose(kspace.ktraj[:, 12:28], make_kspace().ktraj[:, 16:], atol=1e-5)


@pytest.mark.parametrize("word", ["cartesian", "epi", "spiral", "other"])
def test_no_trajectory_and_not_radial(edit: Edit, word: str) -> None:
    with pytest.raises(InputError, match=f"edited.h5: it holds no trajectory and its header says '{word}'"):
        read_kspace(edit(_drop_trajectory, lambda xml: xml.replace(">radial<", f">{word}<")))


def test_a_trajectory_that_is_not_radial(edit: Edit) -> None:
    def cartesian(rows: Any) -> None:
        for i in range(len(rows)):
            line = np.stack([np.linspace(-0.25, 0.25, READOUT), np.full(READOUT, i / SPOKES - 0.5)], axis=-1)
            rows["traj"][i] = line.astype(np.float32).ravel()

    with pytest.raises(InputError, match="not radial"):
        read_kspace(edit(cartesian))


@pytest.mark.parametrize(("factor", "unit"), [(32.0, "cycles per field of view"), (2.0, "cycles per pixel")])
def test_units_in_the_file(make_kspace: Make, edit: Edit, factor: float, unit: str) -> None:
    def scale(rows: Any) -> None:
        for i in range(len(rows)):
            rows["traj"][i] = rows["traj"][i] * np.float32(factor)

    kspace = read_kspace(edit(scale))
    assert unit in kspace.detected["trajectory"]
    np.testing.assert_allclose(kspace.ktraj, make_kspace().ktraj, atol=1e-5)
    assert kspace.assumed == {}


def test_an_unknown_unit_names_the_file(edit: Edit) -> None:
    def scale(rows: Any) -> None:
        for i in range(len(rows)):
            rows["traj"][i] = rows["traj"][i] * np.float32(777.0)

    with pytest.raises(InputError, match=r"edited\.h5: .*fits no known unit"):
        read_kspace(edit(scale))


def test_a_third_dimension_must_be_flat(make_kspace: Make, edit: Edit) -> None:
    def third(rows: Any, depth: float) -> None:
        rows["head"]["trajectory_dimensions"] = 3
        for i in range(len(rows)):
            flat = rows["traj"][i].reshape(-1, 2)
            rows["traj"][i] = np.c_[flat, np.full(len(flat), depth)].astype(np.float32).ravel()

    np.testing.assert_allclose(read_kspace(edit(lambda r: third(r, 0.0))).ktraj, make_kspace().ktraj, atol=1e-5)
    with pytest.raises(InputError, match="3-D"):
        read_kspace(edit(lambda r: third(r, 0.2)))


def test_discarded_samples_are_cut_off(make_kspace: Make, edit: Edit) -> None:
    def discard(rows: Any) -> None:
        rows["head"]["discard_pre"], rows["head"]["discard_post"] = 2, 1

    kspace = read_kspace(edit(discard))
    np.testing.assert_array_equal(kspace.kdata, make_kspace().kdata[..., 2:-1])
    np.testing.assert_allclose(kspace.ktraj, make_kspace().ktraj[:, 2:-1], atol=1e-5)


def _ticks(values: Any) -> Any:
    def change(rows: Any) -> None:
        rows["head"]["acquisition_time_stamp"] = values

    return change


def _no_tr(xml: str) -> str:
    return xml[: xml.index("<sequenceParameters>")] + "</ismrmrdHeader>"


def test_times_by_tr_where_ticks_agree(scan: Path) -> None:
    kspace = read_kspace(scan)
    np.testing.assert_allclose(kspace.spoke_times_s, np.arange(SPOKES) * 0.004)
    assert kspace.detected["times"] == "TR 4 ms of the header, confirmed by the time stamps"


def test_times_by_ticks_where_the_scan_paused(edit: Edit) -> None:
    ticks = np.arange(SPOKES) * 2 + 100
    ticks[10:] += 400
    kspace = read_kspace(edit(_ticks(ticks)))
    np.testing.assert_allclose(kspace.spoke_times_s, (ticks - 100) * 0.0025)
    assert "does not fit" in kspace.detected["times"]


def test_times_across_midnight(edit: Edit) -> None:
    ticks = (34_560_000 - 20 + np.arange(SPOKES) * 4) % 34_560_000
    kspace = read_kspace(edit(_ticks(ticks), _no_tr))
    np.testing.assert_allclose(kspace.spoke_times_s, np.arange(SPOKES) * 0.01, atol=1e-9)


def test_times_without_stamps_are_said_to_be_assumed(edit: Edit) -> None:
    kspace = read_kspace(edit(_ticks(0)))
    np.testing.assert_allclose(kspace.spoke_times_s, np.arange(SPOKES) * 0.004)
    assert "no usable time stamps" in kspace.assumed["times"]
    kspace = read_kspace(edit(_ticks(0), _no_tr))
    assert "neither TR nor time stamps" in kspace.assumed["times"]
    assert kspace.tr_s == pytest.approx(0.005)


def test_frames_are_hinted_only_by_equal_blocks(edit: Edit) -> None:
    def counter(name: str, values: Any) -> Any:
        def change(rows: Any) -> None:
            rows["head"]["idx"][name] = values

        return change

    index = np.arange(SPOKES)
    assert read_kspace(edit(counter("phase", index // 6))).spokes_per_frame_hint == 6
    assert read_kspace(edit(counter("repetition", index // 7))).spokes_per_frame_hint == 7
    assert read_kspace(edit(counter("repetition", index))).spokes_per_frame_hint is None
    assert read_kspace(edit(counter("repetition", np.sqrt(index).astype(int)))).spokes_per_frame_hint is None
    assert read_kspace(edit(counter("phase", index % 3))).spokes_per_frame_hint is None


def test_interleaved_slices_are_sorted_apart(make_kspace: Make, edit: Edit, tmp_path: Path) -> None:
    kspace = make_kspace(slices=2)
    write_ismrmrd(kspace, tmp_path / "two.h5")
    woven = np.arange(2 * SPOKES).reshape(2, SPOKES).T.ravel()
    again = read_kspace(edit(lambda rows: rows[woven], source=tmp_path / "two.h5"))
    np.testing.assert_array_equal(again.kdata, kspace.kdata)


def _set(name: str, value: Any, row: Any = slice(None), sub: str | None = None) -> Any:
    def change(rows: Any) -> None:
        head = rows["head"]["idx"] if sub == "idx" else rows["head"]
        head[name][row] = value

    return change


def _slabs(rows: Any) -> None:
    rows["head"]["idx"]["slice"] = np.arange(SPOKES) % 2
    rows["head"]["idx"]["kspace_encode_step_2"] = np.arange(SPOKES) // 2 % 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("kspace_encode_step_2", 1, 3, "idx"), "partitions hold 1 to 23 spokes"),
        (_set("slice", 1, 3, "idx"), "slices hold 1 to 23 spokes"),
        (_slabs, "2 slabs of 2 partitions; only one slab can be read"),
        (_set("number_of_samples", 30, slice(0, 20, 2)), "number of samples or coils differs"),
        (_set("number_of_samples", 30), "holds 192 numbers where 180 belong"),
        (_set("active_channels", 2, slice(3, 20)), "17 have 32 samples and 2 coils"),
        (_set("active_channels", 0), "0 coils"),
        (_set("trajectory_dimensions", 1), "1 dimensions"),
        (_set("discard_pre", 31), "convert it again"),
        (_set("flags", 1 << 18), "no image acquisitions"),
        (_set("number_of_samples", 65535), "do not fit into the file"),
    ],
)
def test_counters_that_cannot_be(edit: Edit, change: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"edited.h5: .*{message}"):
        read_kspace(edit(change))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<x>16</x>", "<x>0</x>", "impossible sizes|too small"),
        ("240.0", "-1", "impossible sizes"),
        ("240.0", "nan", "impossible sizes"),
        ("<encoding>", "<coding>", "not valid ISMRMRD XML"),
        ("<ismrmrdHeader", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><ismrmrdHeader', "document type"),
    ],
)
def test_headers_that_cannot_be(edit: Edit, old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=f"edited.h5: .*({message})"):
        read_kspace(edit(xml=lambda xml: xml.replace(old, new)))


@pytest.mark.parametrize(("coil", "value", "words"), [(1, np.nan, "coil 1: NaN or Inf"), (2, 0, "coil 2: all zero")])
def test_dead_coils_are_left_out_with_a_word(
    make_kspace: Make, edit: Edit, coil: int, value: float, words: str
) -> None:
    def spoil(rows: Any) -> None:
        for i in range(len(rows)):
            rows["data"][i].reshape(3, -1)[coil] = value

    path = edit(spoil)
    kspace = read_kspace(path)
    assert words in kspace.detected["left-out coils"]
    np.testing.assert_array_equal(kspace.kdata, np.delete(make_kspace().kdata, coil, axis=1))
    with pytest.raises(InputError, match=f"in coil {coil}"):
        read_kspace(path, ImportOptions(keep_all=True))


def test_other_group_names_and_several_datasets(edit: Edit) -> None:
    path = edit(group="scan_2024")
    assert read_kspace(path).n_spokes == SPOKES
    with h5py.File(path, "a") as file:
        file.copy("scan_2024", "another")
    assert read_kspace(path).assumed["dataset"] == "the first of 2 in the file"


def test_nothing_outside_the_file_is_followed(scan: Path, tmp_path: Path) -> None:
    with h5py.File(scan, "r") as file:
        xml = file["dataset/xml"][0]
        data = file["dataset/data"][:]
        dtype = file["dataset/data"].dtype
    for kind in ("external link", "soft link", "external storage", "virtual", "linked group"):
        path = tmp_path / "linked.h5"
        with h5py.File(path, "w") as file:
            if kind == "linked group":
                file["dataset"] = h5py.ExternalLink(str(scan), "dataset")
                continue
            group = file.create_group("dataset")
            group.create_dataset("xml", data=[xml], dtype=h5py.string_dtype())
            if kind == "external link":
                group["data"] = h5py.ExternalLink(str(scan), "dataset/data")
            elif kind == "soft link":
                file.create_dataset("elsewhere", data=data, dtype=dtype)
                group["data"] = h5py.SoftLink("/elsewhere")
            elif kind == "external storage":
                size = os.path.getsize("/etc/hostname")
                group.create_dataset("data", (size,), "u1", external=[("/etc/hostname", 0, size)])
            else:
                layout = h5py.VirtualLayout((4,), "u1")
                layout[:] = h5py.VirtualSource(str(scan), "x", (4,))
                group.create_virtual_dataset("data", layout)
        with pytest.raises(InputError, match=r"not followed|other files"):
            read_kspace(path)
    with pytest.raises(InputError, match="not ISMRMRD, and it holds no arrays"):
        read_kspace(path)


@pytest.mark.parametrize("name", ["cine_13", "cine_5", "dce_21"])
def test_benchmark_files(shared_data: Path, name: str) -> None:
    import json

    facts = json.loads((shared_data / f"{name}.json").read_text())
    kspace: KSpace = read_kspace(shared_data / f"{name}.h5")
    n = facts["matrix"]
    spokes = facts["frames"] * facts["spokes_per_frame"]
    assert kspace.kdata.shape == (1, facts["coils"], spokes, facts["readout"])
    assert (kspace.matrix, kspace.fov_mm) == ((n, n), (facts["fov_mm"],) * 2)
    assert kspace.tr_s == pytest.approx(facts["tr_ms"] / 1e3)
    np.testing.assert_allclose(kspace.ktraj, radial_ktraj(spokes, facts["readout"], (n, n)), atol=2e-3)
    assert kspace.assumed == {}
    assert kspace.spokes_per_frame_hint is None
