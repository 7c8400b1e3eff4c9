"""Whole or not at all: whatever goes wrong, the old file stands and nothing is left behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_dainr.errors import ExportError
from napari_dainr.io import atomic
from napari_dainr.io.atomic import atomic_write, write_text


def _fail(error: BaseException) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text("half")
        raise error

    return write


def _reject(path: Path) -> None:
    raise ValueError("not what was meant")


@pytest.mark.parametrize(
    ("writer", "verify", "raised"),
    [
        (_fail(OSError(28, "No space left on device")), None, ExportError),
        (_fail(MemoryError()), None, ExportError),
        (_fail(ValueError("odd shape")), None, ExportError),
        (_fail(KeyboardInterrupt()), None, KeyboardInterrupt),
        (lambda path: None, None, ExportError),  # wrote nothing
        (lambda path: path.write_text("wrong"), _reject, ExportError),
    ],
)
def test_the_old_file_survives_every_failure(
    tmp_path: Path,
    writer: Callable[[Path], None],
    verify: Callable[[Path], None] | None,
    raised: type[BaseException],
) -> None:
    path = tmp_path / "result.nii.gz"
    path.write_text("old")
    with pytest.raises(raised):
        atomic_write(path, writer, verify)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.nii.gz"]


def test_too_little_room_is_seen_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    with pytest.raises(ExportError, match=r"big\.npy: 1\.2 MB are needed, but only 1\.0 MB are free"):
        atomic_write(tmp_path / "big.npy", _fail(AssertionError("must not be called")), None, 1_000_000)
    assert os.listdir(tmp_path) == []


def test_order_of_write_sync_verify_replace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(atomic.os, "fsync", lambda fd: (events.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(atomic.os, "replace", lambda a, b: (events.append("replace"), replace(a, b))[1])

    def writer(path: Path) -> None:
        events.append("write")
        path.write_text("new")
        assert path.parent == tmp_path
        assert path.name.endswith(".tif")

    atomic_write(tmp_path / "a.tif", writer, lambda path: events.append("verify"))
    assert events[:4] == ["write", "sync", "verify", "replace"]
    assert events[4:] == (["sync"] if os.name == "posix" else [])


@pytest.mark.parametrize("name", ["missing/out.txt", ".", "x" * 300 + ".txt"])
def test_places_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ExportError):
        write_text(tmp_path / name, "text")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_sealed_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ExportError, match="permission denied"):
        write_text(tmp_path / "a.txt", "text")


def test_text_is_utf8_and_keeps_its_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "Größe\r\n×\n")
    assert (tmp_path / "a.txt").read_bytes() == "Größe\r\n×\n".encode()
