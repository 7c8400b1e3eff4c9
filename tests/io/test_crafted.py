"""Files made to do harm: each is refused or read in one sentence, within memory and without reading anything else."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from napari_dainr.errors import DainrError, InputError
from napari_dainr.io import child, read_kspace

from . import mrd2_writer, twix_writer
from .sound_files import HEADER

pytestmark = pytest.mark.usefixtures("within_memory")

RUN_CHILD = child.run_child

PROTOCOL = {"sKSpace.lBaseResolution": "16", "sKSpace.ucTrajectory": "2", "alTR[0]": "5000"}
HEADER_END = 10240 + 10272
"""Where the lines begin in a file of VD that the tests write."""


def _twix(path: Path, modern: bool = True, spokes: int = 20) -> bytearray:
    rng = np.random.default_rng(3)
    data = (rng.standard_normal((2, spokes, 32)) + 1j).astype(np.complex64)
    lines = [twix_writer.Line(data[:, i], 2 * i, counters={"line": i}) for i in range(spokes)]
    twix_writer.write(path, twix_writer.Measurement(lines, PROTOCOL), modern=modern)
    return bytearray(path.read_bytes())


def _patched(at: int, what: bytes, modern: bool = True) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        whole = _twix(path, modern)
        whole[at : at + len(what)] = what
        path.write_bytes(whole)

    return make


def _cut(at: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(_twix(path)[:at])

    return make


def _replaced(old: bytes, new: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        whole = bytes(_twix(path))
        assert whole.count(old) >= 1
        path.write_bytes(whole.replace(old, new))

    return make


def _sparse(path: Path) -> None:
    whole = _twix(path)
    with path.open("wb") as file:
        file.write(whole[:HEADER_END])
        file.truncate(4 << 30)


def _empty_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(4 << 30)


def _sync_of_no_length(path: Path) -> None:
    whole = _twix(path)
    whole[HEADER_END : HEADER_END + 4] = bytes(4)
    whole[HEADER_END + 40 : HEADER_END + 48] = struct.pack("<Q", 1 << 5)
    path.write_bytes(whole)


TWIX: dict[str, tuple[Callable[[Path], Any], str]] = {
    "65 measurements": (_patched(4, struct.pack("<I", 65)), "lists 65 measurements where 1 to 64"),
    "no measurements": (_patched(4, struct.pack("<I", 0)), "lists 0 measurements"),
    "4 billion measurements": (_patched(4, b"\xff" * 4), "lists 4294967295 measurements"),
    "measurement beyond the file": (_patched(16, struct.pack("<Q", 1 << 62)), "begin at byte 4611686018427387904"),
    "measurement longer than the file": (_patched(24, struct.pack("<Q", 1 << 62)), "said to end at byte"),
    "measurement at byte 0": (_patched(16, struct.pack("<Q", 0)), "begin at byte 0"),
    "header of no length": (_patched(10240, struct.pack("<I", 0)), "length of its header is impossible"),
    "header of 4 GB": (_patched(10240, b"\xff" * 4), "length of its header is impossible"),
    "line of no length": (_patched(HEADER_END + 48, bytes(4)), "line 1 has an impossible length"),
    "line of 65535 samples": (_patched(HEADER_END + 48, b"\xff" * 4), "ends within line 1"),
    "physiological data of no length": (_sync_of_no_length, "impossible length"),
    "no protocol": (_replaced(b"### ASCCONV BEGIN", b"### ASCCONV NIGEB"), "holds no protocol"),
    "infinite field of view": (_replaced(b"alTR[0]\t = \t5000", b"alTR[0]\t = \t1e99"), "impossible sizes"),
    "matrix of 4 billion": (_replaced(b"lBaseResolution\t = \t16\n", b"lBaseResolution\t = \t4e9\n"), "impossible|16"),
    "negative matrix": (_replaced(b"lBaseResolution\t = \t16\n", b"lBaseResolution\t = \t-16\n"), "impossible|16"),
    "cut within the table": (_cut(5000), "truncated|ends within its table"),
    "cut within the header": (_cut(15000), "truncated"),
    "cut within a line": (_cut(HEADER_END + 3000), "truncated"),
    "4 GB of nothing after the header": (_sparse, "truncated|no lines|damaged"),
    "4 GB of nothing": (_empty_sparse, "lists 0 measurements"),
    "a text": (lambda path: path.write_text("TITLE = measured yesterday\n" * 9), "no Siemens raw data|damaged"),
    "one byte": (lambda path: path.write_bytes(b"\x01"), "damaged|Siemens"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "a folder": (lambda path: path.mkdir(), "is a folder"),
    "a FIFO": (lambda path: os.mkfifo(path), "not a regular file"),
    "/dev/zero": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "a symbolic loop": (lambda path: path.symlink_to(path), "no such file|cannot be read"),
}


@pytest.mark.parametrize("name", TWIX)
def test_siemens_files(name: str, tmp_path: Path) -> None:
    make, message = TWIX[name]
    path = tmp_path / "scan.dat"
    make(path)
    with pytest.raises(InputError, match=rf"^scan\.dat: .*({message})"):
        read_kspace(path, timeout_s=8)


def test_a_path_with_a_line_feed(tmp_path: Path) -> None:
    path = tmp_path / "one\ntwo\x1b[31m.dat"
    _twix(path)
    assert read_kspace(path).name == "one?two?[31m"
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError) as caught:
        read_kspace(path)
    assert str(caught.value).startswith("one?two?[31m.dat: ")
    assert str(caught.value).isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "scan.dat"
    _twix(path)
    path.chmod(0)
    with pytest.raises(InputError, match=r"cannot be read \(permission denied\)"):
        read_kspace(path)


def _hdf5(path: Path, fill: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "w") as file:
        fill(file)


def _external_link(file: h5py.File) -> None:
    file["dataset"] = h5py.ExternalLink("/etc/hostname.h5", "/")


def _external_storage(file: h5py.File) -> None:
    file["dataset/xml"] = HEADER
    file["dataset"].create_dataset("data", (16,), "u1", external=[("/etc/passwd", 0, 16)])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((16,), "u1")
    layout[:] = h5py.VirtualSource("/etc/passwd.h5", "x", (16,))
    file["dataset/xml"] = HEADER
    file["dataset"].create_virtual_dataset("data", layout)


def _soft_loop(file: h5py.File) -> None:
    file["dataset"] = h5py.SoftLink("/other")
    file["other"] = h5py.SoftLink("/dataset")


def _deep(file: h5py.File) -> None:
    group = file
    for _ in range(1000):
        group = group.create_group("d")


def _many(file: h5py.File) -> None:
    # Through the low-level interface: the other one takes half a minute for so many.
    for number in range(100_000):
        h5py.h5g.create(file.id, b"g%d" % number)


def _names(file: h5py.File) -> None:
    for name in ("dataset\u202e", "d\u00e4taset", "\U0001f600", "x" * 10000):
        file[f"{name}/xml"] = HEADER


def _declared(shape: tuple[int, ...], dtype: Any = "u1") -> Callable[[h5py.File], None]:
    def fill(file: h5py.File) -> None:
        file["dataset/xml"] = HEADER
        file["dataset"].create_dataset("data", shape, dtype, chunks=tuple(min(n, 64) for n in shape))

    return fill


def _bomb(file: h5py.File) -> None:
    file["dataset/xml"] = HEADER
    file["dataset"].create_dataset("data", data=np.zeros(1 << 26, "u1"), chunks=(1 << 20,), compression="gzip")


def _xml_bomb(file: h5py.File) -> None:
    expanding = "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
        f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(9)
    )
    file["dataset/xml"] = f"{expanding}]><ismrmrdHeader>&j;</ismrmrdHeader>"
    file["dataset/data"] = np.zeros(3)


def _references(file: h5py.File) -> None:
    file["dataset/xml"] = HEADER
    data = file["dataset"].create_dataset("data", (2,), h5py.ref_dtype)
    data[0] = file.ref


def _lists_of_lists(file: h5py.File) -> None:
    """Acquisitions as ISMRMRD has them, but with lists of lists of samples."""
    lists = h5py.vlen_dtype(h5py.vlen_dtype(np.float32))
    row = np.dtype([("head", "<u8"), ("traj", h5py.vlen_dtype(np.float32)), ("data", lists)])
    file["dataset/xml"] = HEADER
    kind = h5py.h5t.py_create(row, logical=True)
    h5py.h5d.create(file["dataset"].id, b"data", kind, h5py.h5s.create_simple((5,)))


_NAMES = ("external link", "external storage", "virtual data", "arrays: external storage")

HDF5: dict[str, Callable[[h5py.File], None]] = {
    "external link": _external_link,
    "external storage": _external_storage,
    "virtual data": _virtual,
    "soft links in a ring": _soft_loop,
    "1,000 groups deep": _deep,
    "100,000 groups": _many,
    "odd names": _names,
    "32 TiB declared": _declared((1 << 45,)),
    "17 dimensions": _declared((2,) * 17),
    "a dimension of 0": _declared((5, 1)),
    "half precision": _declared((64,), "f2"),
    "big-endian": _declared((64,), ">f8"),
    "compressed a thousandfold": _bomb,
    "an expanding header": _xml_bomb,
    "references": _references,
    "lists of lists": _lists_of_lists,
}


@pytest.mark.parametrize("name", HDF5)
def test_hdf5_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "scan.h5"
    _hdf5(path, HDF5[name])
    with pytest.raises(InputError, match=r"^scan\.h5: ") as caught:
        read_kspace(path, timeout_s=8)
    assert "longer than" not in str(caught.value)
    assert "root:" not in str(caught.value)  # nothing of a file that was pointed at
    assert "not valid" not in str(caught.value)  # it is not the header that is refused


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("name", _NAMES)
def test_nothing_but_the_file_is_opened(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the product's own child asks the system for, while it reads files that point at others."""
    outside = tmp_path / "outside"
    path = tmp_path / "scan.h5"

    def storage(file: h5py.File) -> None:
        file.create_dataset("kdata", (4, 5, 6), "f4", external=[(str(outside), 0, 480)])

    def link(file: h5py.File) -> None:
        file["dataset"] = h5py.ExternalLink(str(outside), "/")

    def acquisitions(file: h5py.File) -> None:
        file["dataset/xml"] = HEADER
        file["dataset"].create_dataset("data", (16,), "u1", external=[(str(outside), 0, 16)])

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((4, 5, 6), "f4")
        layout[:] = h5py.VirtualSource(str(outside), "x", (4, 5, 6))
        file.create_virtual_dataset("kdata", layout)

    _hdf5(path, (link, acquisitions, virtual, storage)[list(_NAMES).index(name)])
    _hdf5(outside, lambda file: file.__setitem__("x", np.ones((4, 5, 6), np.float32)))
    calls = tmp_path / "calls"
    run = subprocess.run

    def traced(command: list[str], **options: Any) -> Any:
        return run(["strace", "-f", "-e", "trace=file", "-o", str(calls), *command], **options)

    monkeypatch.setattr(child, "run_child", RUN_CHILD)
    monkeypatch.setattr(subprocess, "run", traced)
    with pytest.raises(InputError, match=r"^scan\.h5: "):
        read_kspace(path)
    seen = calls.read_text() if calls.is_file() else ""
    if "execve" not in seen:
        pytest.skip("this system lets no process be traced")
    assert str(path) in seen and str(outside) not in seen


def test_a_centre_beyond_the_readout(edit: Callable[..., Path]) -> None:
    def far(rows: Any) -> None:
        rows["head"]["center_sample"] = 60000
        rows["head"]["trajectory_dimensions"] = 0
        for i in range(len(rows)):
            rows["traj"][i] = np.zeros(0, np.float32)

    assert read_kspace(edit(far)).assumed["centre sample"].startswith("16, the middle")


def test_streams_of_mrd_2(tmp_path: Path) -> None:
    pytest.importorskip("mrd")
    data = (np.arange(64).reshape(2, 32) + 1j).astype(np.complex64)
    path = tmp_path / "scan.mrd"
    for changes in (
        {"discard_pre": 40},
        {"discard_post": 4_000_000_000},
        {"encoding_space_ref": 7},
        {"trajectory": np.full((2, 32), np.nan, np.float32)},
        {"trajectory": np.zeros((5, 32), np.float32)},
        {"trajectory": np.zeros((2, 7), np.float32)},
        {"sample_time_us": float("nan"), "flags": 1 << 18},
    ):
        mrd2_writer.write(path, [mrd2_writer.acquisition(data, 2 * i, **changes) for i in range(9)])  # type: ignore[arg-type]
        with pytest.raises(DainrError, match=r"^scan: |^scan\.mrd: "):
            read_kspace(path)
