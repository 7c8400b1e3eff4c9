"""Damaged and hostile files: every one ends in one sentence, the parent lives, and no identity leaves a file."""

from __future__ import annotations

import gzip
import os
import socket
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_dainr.data import ImageSeries
from napari_dainr.errors import DainrError, InputError
from napari_dainr.io import EXPORTS, child, export_series, read_kspace
from napari_dainr.io.ismrmrd import write_ismrmrd
from napari_dainr.io.series import save_series

Edit = Callable[..., Path]


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.write_bytes(b""), "is empty"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: None, "no such file"),
        (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n"), "truncated or damaged HDF5"),
        (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(3000)), "damaged HDF5"),
        (lambda p: p.write_text("TITLE = a text file"), "not an HDF5 file"),
        (lambda p: p.write_bytes(os.urandom(5000)), "not an HDF5 file"),
        (_zip, "not an HDF5 file"),
        (lambda p: p.symlink_to(p), "cannot be read|no such file"),
        (lambda p: p.symlink_to("/dev/zero"), "not a regular file"),
        (lambda p: os.mkfifo(p), "not a regular file"),
    ],
)
def test_what_is_no_raw_data(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "scan.h5"
    make(path)
    with pytest.raises(InputError, match=f"scan.h5.*({message})"):
        read_kspace(path)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_truncated_copies(scan: Path, tmp_path: Path, part: float) -> None:
    whole = scan.read_bytes()
    path = tmp_path / "cut.h5"
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError, match=r"cut\.h5: .*(truncated|damaged).*copy"):
        read_kspace(path)


def test_hdf5_that_is_something_else(tmp_path: Path) -> None:
    import h5py

    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = np.ones(5)
    with pytest.raises(InputError, match="HDF5 but not ISMRMRD"):
        read_kspace(path)
    with h5py.File(path, "w") as file:
        file["dataset/xml"] = "text"
        file.create_dataset("dataset/data", (1 << 42,), "u1", chunks=(1 << 20,))  # 4 TiB declared
    with pytest.raises(InputError):
        read_kspace(path)
    with h5py.File(path, "w") as file:
        for i in range(5000):
            file.create_group(f"g{i}")
    with pytest.raises(InputError, match="not ISMRMRD"):
        read_kspace(path)


def _reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> Path:
    """A reader that misbehaves, in the child's own import path."""
    package = tmp_path / "readers"
    package.mkdir(exist_ok=True)
    (package / "misbehaving.py").write_text(
        f"import os, sys, time\nimport numpy as np\ndef extract(path):\n    {body}\n"
    )
    start = f"import sys; sys.path.insert(0, {str(package)!r}); from napari_dainr.io import child; "
    start += "child.READERS['bad'] = 'misbehaving'; sys.path.append(sys.argv.pop(1)); child.main(sys.argv[1:])"
    monkeypatch.setattr(child, "_START", start)
    path = tmp_path / "file.h5"
    path.write_bytes(b"x")
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="process limits differ")
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("time.sleep(60)", "longer than 2 s"),
        ("os.kill(os.getpid(), 11)", "crashed the reader"),
        ("os._exit(0)", "crashed the reader"),
        ("import not_here_at_all.part", r"needs the package not_here_at_all, which is missing .*pip install"),
        ("raise RuntimeError('DOE^JANE')", "damaged or not what it seems"),
        ("print('DOE^JANE'); sys.exit('DOE^JANE')", "crashed the reader"),
        ("return {'a': np.ones(1 << 40, 'u1')}, {}", "more memory than this machine"),
        ("return {'a': np.array([object()])}, {}", "damaged or not"),
    ],
)
def test_a_reader_that_misbehaves_is_contained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], body: str, message: str
) -> None:
    path = _reader(tmp_path, monkeypatch, body)
    with pytest.raises(DainrError, match=message) as caught:
        child.read_in_child("bad", path, timeout_s=2 if "sleep" in body else None)
    assert "DOE" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="process limits differ")
def test_a_reader_that_computes_without_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a time limit of the caller's: small files get no minute of computing."""
    path = _reader(tmp_path, monkeypatch, "while True: pass")
    assert child.processor_s(1000) == 8 and child.processor_s(1 << 30) > 1000
    monkeypatch.setattr(child, "processor_s", lambda size: 1)
    with pytest.raises(InputError, match=r"file\.h5: reading it took longer than 1 s and was ended"):
        child.read_in_child("bad", path)


def test_memory_cap_grows_with_the_file_but_not_beyond_the_machine() -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert child.memory_cap(0) == min(total // 2, 2 << 30)
    assert child.memory_cap(1 << 30) == min(total // 2, 8 << 30)
    assert child.memory_cap(1 << 60) == int(0.8 * total)


CANARIES = [f"CANARY{i:02d}" for i in range(30)]


def _plant(xml: str) -> str:
    c = iter(CANARIES)
    subject = (
        f"<subjectInformation><patientName>{next(c)}^{next(c)}</patientName><patientID>{next(c)}</patientID>"
        "<patientBirthdate>1961-07-13</patientBirthdate><patientGender>O</patientGender></subjectInformation>"
        "<studyInformation><studyDate>2019-03-17</studyDate><studyTime>11:13:17</studyTime>"
        f"<studyID>{next(c)}</studyID><accessionNumber>60917</accessionNumber>"
        f"<referringPhysicianName>{next(c)}</referringPhysicianName><studyDescription>{next(c)}</studyDescription>"
        f"<studyInstanceUID>{next(c)}</studyInstanceUID></studyInformation>"
        f"<measurementInformation><measurementID>{next(c)}</measurementID><patientPosition>HFS</patientPosition>"
        f"<protocolName>{next(c)}</protocolName><seriesDescription>{next(c)}</seriesDescription>"
        f"<seriesInstanceUIDRoot>{next(c)}</seriesInstanceUIDRoot>"
        f"<frameOfReferenceUID>{next(c)}</frameOfReferenceUID></measurementInformation>"
    )
    system = (
        f"<acquisitionSystemInformation><systemVendor>{next(c)}</systemVendor><systemModel>{next(c)}</systemModel>"
        f"<receiverChannels>3</receiverChannels><institutionName>{next(c)}</institutionName>"
        f"<stationName>{next(c)}</stationName><deviceID>{next(c)}</deviceID>"
        f"<deviceSerialNumber>{next(c)}</deviceSerialNumber></acquisitionSystemInformation>"
    )
    start, end = xml.index("<acquisitionSystem"), xml.index("</acquisitionSystemInformation>")
    xml = xml[:start] + subject + system + xml[end + len("</acquisitionSystemInformation>") :]
    user = "".join(
        f"<userParameterString><name>{name}</name><value>{value}</value></userParameterString>"
        for name, value in zip(c, c, strict=False)
    )
    return xml.replace("</ismrmrdHeader>", f"<userParameters>{user}</userParameters></ismrmrdHeader>")


def test_no_identity_leaves_the_header(edit: Edit, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    private = tmp_path / "CANARY00-folder"
    private.mkdir()
    path = edit(xml=_plant).rename(private / "scan.h5")
    kspace = read_kspace(path)
    said = repr(kspace) + repr(kspace.detected) + repr(kspace.assumed) + "".join(capfd.readouterr())
    out = tmp_path / "out"
    out.mkdir()
    write_ismrmrd(kspace, out / "again.h5")
    series = ImageSeries(
        image=np.ascontiguousarray(kspace.kdata[0]),
        times_s=kspace.spoke_times_s[:3],
        pixel_mm=(1.0, 1.0),
        frame_duration_s=0.004,
        interpolated=np.zeros(3, bool),
        method="nufft",
        info={"name": kspace.name},
    )
    save_series(series, out / "run")
    for suffix in EXPORTS:
        export_series(series, out / f"a{suffix}")
    content = said.encode()
    for file in sorted(out.rglob("*")):
        if file.is_file():
            content += file.read_bytes()
            content += gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else b""
    for canary in (*CANARIES, "1961", "2019-03-17", "11:13:17", "60917"):
        assert canary.encode() not in content, canary


def test_errors_do_not_quote_the_header(edit: Edit) -> None:
    path = edit(xml=lambda xml: _plant(xml).replace("<TR>", "<TR>CANARY07 "))
    with pytest.raises(InputError) as caught:
        read_kspace(path)
    assert "CANARY" not in str(caught.value)


def test_reading_opens_no_network(scan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert read_kspace(scan).n_coils == 3
