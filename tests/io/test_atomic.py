"""Whole or not at all: whatever goes wrong, the old file stands and nothing is left behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from napari_dainr.errors import ExportError
from napari_dainr.io import atomic
from napari_dainr.io.atomic import atomic_files, atomic_folder, atomic_write, write_text


def _fail(error: BaseException) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text("half")
        raise error

    return write


def _accept(path: Path) -> None:
    assert path.exists()


def _reject(path: Path) -> None:
    raise ValueError("not what was meant")


@pytest.mark.parametrize(
    ("writer", "verify", "raised"),
    [
        (_fail(OSError(28, "No space left on device")), _accept, ExportError),
        (_fail(MemoryError()), _accept, ExportError),
        (_fail(ValueError("odd shape")), _accept, ExportError),
        (_fail(KeyboardInterrupt()), _accept, KeyboardInterrupt),
        (lambda path: None, _accept, ExportError),  # wrote nothing
        (lambda path: path.write_text("wrong"), _reject, ExportError),
    ],
)
def test_the_old_file_survives_every_failure(
    tmp_path: Path,
    writer: Callable[[Path], None],
    verify: Callable[[Path], None],
    raised: type[BaseException],
) -> None:
    path = tmp_path / "result.nii.gz"
    path.write_text("old")
    with pytest.raises(raised):
        atomic_write(path, writer, verify, 4)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.nii.gz"]


def test_too_little_room_is_seen_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1_000_000))
    with pytest.raises(ExportError, match=r"big\.npy: 1\.2 MB are needed, but only 1\.0 MB are free"):
        atomic_write(tmp_path / "big.npy", _fail(AssertionError("must not be called")), _accept, 1_000_000)
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

    atomic_write(tmp_path / "a.tif", writer, lambda path: events.append("verify"), 3)
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


def _tree(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in sorted(folder.rglob("*")) if file.is_file()}


def _two(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "a.cfl").write_text(text)
        (folder / "a.hdr").write_text(text)

    return write


def _pair(folder: Path) -> list[Path]:
    return [folder / "a.cfl", folder / "a.hdr"]


def test_files_that_belong_together_are_written_and_replaced(tmp_path: Path) -> None:
    for text in ("old", "new"):
        atomic_files(_pair(tmp_path), _two(text), _accept, 8)
        assert _tree(tmp_path) == {"a.cfl": text, "a.hdr": text}
        assert sorted(os.listdir(tmp_path)) == ["a.cfl", "a.hdr"]


@pytest.mark.parametrize("before", [("a.cfl", "a.hdr"), ("a.cfl",), ("a.hdr",), ()])
@pytest.mark.parametrize("hard_links", [True, False])
def test_what_was_replaced_comes_back_if_the_rest_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: tuple[str, ...], hard_links: bool
) -> None:
    for name in before:
        (tmp_path / name).write_text("old")
    replace = os.replace

    def second_fails(source: Path, target: Path) -> None:
        if target == tmp_path / "a.hdr" and source.read_text() == "new":
            raise OSError(5, "Input/output error")
        replace(source, target)

    def no_links(*_: object, **__: object) -> None:
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(atomic.os, "replace", second_fails)
    if not hard_links:
        monkeypatch.setattr(atomic.os, "link", no_links)
    with pytest.raises(ExportError, match=r"^a\.cfl: could not be put in its place \(input/output error\)"):
        atomic_files(_pair(tmp_path), _two("new"), _accept, 8)
    assert _tree(tmp_path) == dict.fromkeys(before, "old") and sorted(os.listdir(tmp_path)) == sorted(before)


def _fail_inside(error: BaseException) -> Callable[[Path], None]:
    return lambda folder: _fail(error)(folder / "a.cfl")


@pytest.mark.parametrize(
    ("writer", "raised"),
    [
        (_fail_inside(OSError(28, "No space left on device")), ExportError),
        (_fail_inside(KeyboardInterrupt()), KeyboardInterrupt),
        (_two("does not read back"), ExportError),
    ],
)
def test_files_that_belong_together_survive_every_failure(
    tmp_path: Path, writer: Callable[[Path], None], raised: type[BaseException]
) -> None:
    atomic_files(_pair(tmp_path), _two("old"), _accept, 8)
    with pytest.raises(raised):
        atomic_files(_pair(tmp_path), writer, _reject, 8)
    assert _tree(tmp_path) == {"a.cfl": "old", "a.hdr": "old"}
    assert sorted(os.listdir(tmp_path)) == ["a.cfl", "a.hdr"]


def _yes(folder: Path) -> bool:
    return True


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_one_step: bool) -> None:
    if not in_one_step:
        monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
    for text in ("old", "new"):
        atomic_folder(tmp_path / "x.dcm", _two(text), _accept, 8, ours=_yes)
        assert _tree(tmp_path) == {f"x.dcm/a.{end}": text for end in ("cfl", "hdr")}
        assert os.listdir(tmp_path) == ["x.dcm"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="renameat2 is of Linux")
def test_folders_change_places_in_one_step(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "text").write_text(name)
    assert atomic._exchange(tmp_path / "a", tmp_path / "b")
    assert _tree(tmp_path) == {"a/text": "b", "b/text": "a"}
    assert not atomic._exchange(tmp_path / "a", tmp_path / "missing")
    assert _tree(tmp_path) == {"a/text": "b", "b/text": "a"}


@pytest.mark.parametrize("fails", ["write", "verify", "foreign", "rename"])
@pytest.mark.parametrize("old", [True, False])
def test_an_old_folder_survives_every_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, old: bool
) -> None:
    path = tmp_path / "x.dcm"
    if old:
        atomic_folder(path, _two("old"), _accept, 8, ours=_yes)
    elif fails == "foreign":
        path.write_text("a file")
    before = _tree(tmp_path)
    rename = os.rename

    def not_into_place(source: Path, target: Path) -> None:
        if target == path and not source.name.endswith(".old"):
            raise OSError(5, "Input/output error")
        rename(source, target)

    if fails == "rename":
        monkeypatch.setattr(atomic, "_exchange", lambda a, b: False)
        monkeypatch.setattr(atomic.os, "rename", not_into_place)
    writer = _fail_inside(OSError(28, "No space left on device")) if fails == "write" else _two("new")
    verify = _reject if fails == "verify" else _accept
    with pytest.raises(ExportError, match=r"^x\.dcm: "):
        atomic_folder(path, writer, verify, 8, ours=lambda folder: fails != "foreign")
    assert _tree(tmp_path) == before
    assert os.listdir(tmp_path) == (["x.dcm"] if before else [])


def test_every_file_of_a_folder_is_flushed_before_it_is_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []

    def sync(path: Path, flags: int) -> None:
        flushed.append(path.name)
        assert not (tmp_path / "x.zarr").exists() or path == tmp_path

    def write(folder: Path) -> None:
        (folder / "deep").mkdir()
        _two("new")(folder / "deep")

    monkeypatch.setattr(atomic, "_sync", sync)
    atomic_folder(tmp_path / "x.zarr", write, _accept, 8, ours=_yes)
    assert {"a.cfl", "a.hdr"} <= set(flushed)
    if os.name == "posix":
        assert flushed[:3] == ["a.cfl", "a.hdr", "deep"] and flushed[-1] == tmp_path.name
