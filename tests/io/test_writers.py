"""What every writer of the package promises: room asked for, a temporary file, opened again, flushed, renamed.

At each of these points, and at a limit of the file's size, it is made to fail: the old files stay byte for byte, no
part of a new one appears, and the user is told in one sentence. A second test reads the source: nothing is written
past :mod:`napari_dainr.io.atomic`, and each of its callers is in the table.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from napari_dainr.errors import ExportError
from napari_dainr.io import atomic
from napari_dainr.io.atomic import is_unfinished

from .exported import tree
from .writers import WRITERS

OLD, NEW = 1, 2


class _Stage:
    """Counts the files and folders that are begun, and makes one of them fail at one point."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fails: str | None = None, number: int = 0) -> None:
        self.fails, self.number, self.begun = fails, number, -1
        self.on_the_way: set[tuple[str, str]] = set()
        check_room, sync_all = atomic._check_room, atomic._sync_all

        def room(folder: Path, name: str, needed_bytes: int) -> None:
            self.begun += 1
            self.on_the_way |= _callers(sys._getframe(1))
            assert needed_bytes > 0, f"{name} asks for no room"
            with monkeypatch.context() as patch:
                if self._now("room"):
                    patch.setattr(atomic.shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
                check_room(folder, name, needed_bytes)

        def flush(written: Path) -> None:
            if self._now("flush"):
                raise OSError(28, "No space left on device")
            sync_all(written)
            if self._now("damage") and is_unfinished(written):  # and not the files in a folder once more
                _damage(written)

        monkeypatch.setattr(atomic, "_check_room", room)
        monkeypatch.setattr(atomic, "_sync_all", flush)
        for name in ("replace", "rename"):
            monkeypatch.setattr(atomic.os, name, self._guarded(getattr(os, name)))
        exchange = atomic._exchange
        monkeypatch.setattr(atomic, "_exchange", lambda a, b: not self._now("rename") and exchange(a, b))

    def _now(self, point: str) -> bool:
        return self.fails == point and self.begun == self.number

    def _guarded(self, move: Callable[..., None]) -> Callable[..., None]:
        def moved(source: Path, target: Path) -> None:
            source, target = Path(source), Path(target)
            # What was moved out of the way may come back.
            back = source.name.endswith(".old") or source.parent.name == ".kept"
            if self._now("rename") and not target.name.startswith(".") and not back:
                raise OSError(5, "Input/output error")
            move(source, target)

        return moved


def _callers(frame: Any) -> set[tuple[str, str]]:
    """(module, function) of all on the way here."""
    found = set()
    while frame is not None:
        found.add((frame.f_globals.get("__name__", ""), frame.f_code.co_name))
        frame = frame.f_back
    return found


def _damage(written: Path) -> None:
    """Change the middle third of the largest file."""
    files = [file for file in sorted(written.rglob("*")) if file.is_file()] or [written]
    largest = max(files, key=lambda file: file.stat().st_size)
    data = bytearray(largest.read_bytes())
    third = slice(len(data) // 3, 2 * len(data) // 3)
    data[third] = bytes(byte ^ 0x55 for byte in data[third])
    largest.unlink()  # it may be a link to a file that is sound
    largest.write_bytes(data)


@contextmanager
def _failing(monkeypatch: pytest.MonkeyPatch, fails: str, number: int) -> Iterator[None]:
    if fails != "size":
        _Stage(monkeypatch, fails, number)
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


FAILURES = ("room", "flush", "damage", "rename", *(("size",) if os.name == "posix" else ()))
DRAWN = ("x–t figure", "error maps")
"""Slow to draw, and written as other figures are."""


@pytest.mark.parametrize("name", WRITERS)
def test_the_old_file_survives(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, good = WRITERS[name], tmp_path / "good"
    good.mkdir()
    write(good, OLD)
    old = tree(good)
    with monkeypatch.context() as patch:
        stage = _Stage(patch)
        write(good, NEW)
    begun = stage.begun + 1
    new = tree(good)
    assert begun >= 1 and new != old and all(not part.startswith(".") for path in new for part in path.split("/"))
    for fails in FAILURES if name not in DRAWN else ("flush",):
        for number in range(1 if fails == "size" else begun):
            folder = tmp_path / f"{fails} {number}"
            folder.mkdir()
            write(folder, OLD)
            before = tree(folder)
            with monkeypatch.context() as patch, _failing(patch, fails, number):
                told = _told(write, folder)
            assert told, f"{fails} {number}: nothing was told"
            assert told.endswith(".") and told.isprintable() and str(tmp_path) not in told and "Traceback" not in told
            after = tree(folder)
            if number == 0 and fails != "size":
                assert after == before, f"{fails}: {told}"
            for path, data in after.items():
                assert data in (before.get(path), new.get(path)), f"{fails} {number}: {path} is neither old nor new"
            assert _names(folder) <= _names(good), f"{fails} {number}: something is left"
            shutil.rmtree(folder)


def _told(write: Callable[[Path, int], None], folder: Path) -> str:
    try:
        write(folder, NEW)
    except ExportError as error:
        return str(error)
    return ""


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


PRIMITIVES = re.compile(
    "write_(text|bytes|frames)|save|savez|savez_compressed|save_file|savefig|print_png|imwrite|to_csv|to_filename|tofile"
    "|copyfile|copy|copy2|copytree|move|link|symlink|replace|rename|dcmwrite|dump|writestr"
)
"""Methods and functions by which a file comes to be."""
ALLOWED = {
    ("napari_dainr.bench.bart", "write_cfl"): "input of BART in a temporary folder",
    ("napari_dainr.bench.bart", "_timed"): "output of BART in a temporary folder",
    ("napari_dainr.bench.child", "_keep"): "hard links to checkpoints, each with its checksum",
    ("napari_dainr.inr.extractors.published", "fetch_weights"): "a cache; its SHA-256 is compared at each use",
    ("napari_dainr.inr.extractors.published", "_download"): "into a temporary folder of that cache",
    ("napari_dainr.bench.figures", "_save"): "into memory",
    ("napari_dainr.io.atomic", "*"): "the one place",
    ("napari_dainr.io.figure_file", "save_figure"): "into memory",
    ("napari_dainr.io.hdf5", "hdf5_bytes"): "into memory",
    ("napari_dainr.io.state", "save_state"): "into memory",
    ("napari_dainr.io.child", "*"): "handed over in a temporary folder, compared with its facts",
    ("napari_dainr.io.lock", "take"): "the lock itself, which holds nothing",
    ("napari_dainr.run_folder", "log"): "lines are added to the log; a torn last one is taken out when a run resumes",
}
"""(module, function) → why it may write past the one place."""
ATOMIC = {"atomic_write", "atomic_files", "atomic_folder"}


@cache
def _calls() -> list[tuple[str, tuple[str, ...], ast.Call, str]]:
    """(module, functions around it, call, what is called) of the whole package."""
    root, calls = Path(atomic.__file__).resolve().parents[2], []
    for file in sorted((root / "napari_dainr").rglob("*.py")):
        module = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        stack: list[tuple[ast.AST, tuple[str, ...]]] = [(ast.parse(file.read_text(encoding="utf-8")), ())]
        while stack:
            node, around = stack.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                around = (*around, node.name)
            if isinstance(node, ast.Call):
                calls.append((module, around, node, ast.unparse(node.func)))
            stack += [(child, around) for child in ast.iter_child_nodes(node)]
    return calls


def _opens_to_write(call: ast.Call, called: str) -> bool:
    if called.rpartition(".")[2] not in ("open", "File", "ZipFile", "NamedTemporaryFile"):
        return False
    given = [argument.value for argument in (*call.args, *(word.value for word in call.keywords))
             if isinstance(argument, ast.Constant) and isinstance(argument.value, str)]  # fmt: skip
    return any(set(text) <= set("rwaxbt+") and set(text) & set("wax+") and len(text) <= 3 for text in given)


def test_nothing_is_written_past_the_one_place() -> None:
    """A function that writes is given to :mod:`napari_dainr.io.atomic` by name, or is said above to be an exception."""
    given: dict[str, set[str]] = {}
    for module, _, call, called in _calls():
        if called.rpartition(".")[2] in ATOMIC:
            given.setdefault(module, set()).update(
                name.id for argument in call.args for name in ast.walk(argument) if isinstance(name, ast.Name)
            )
    found, used = [], set()
    for module, around, call, called in _calls():
        name = called.rpartition(".")[2]
        writes = _opens_to_write(call, called) or (PRIMITIVES.fullmatch(name) and "." in called)
        if not writes or set(around) & given.get(module, set()) or _is_of_a_value(call, called):
            continue
        allowed = [key for key in ALLOWED if key[0] == module and key[1] in (*around, "*")]
        used.update(allowed)
        if not allowed:
            found.append(f"{module}.{'.'.join(around)}, line {call.lineno}: {ast.unparse(call)[:80]}")
    assert not found, "\n".join(found)
    assert used == set(ALLOWED), f"no longer there: {set(ALLOWED) - used}"


def _is_of_a_value(call: ast.Call, called: str) -> bool:
    """Methods of these names that belong to texts, arrays and values in memory."""
    owner, _, name = called.rpartition(".")
    if name in ("copy", "move", "dump"):
        return owner not in ("shutil", "pickle")
    if name in ("replace", "rename"):
        return owner != "os" and len(call.args) != 1  # that of a path has one, that of a text two
    return False


def test_every_writer_is_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls the one place with a writer of its own is on the way to one of these files."""
    callers = {
        (module, around[-1])
        for module, around, _, called in _calls()
        if called.rpartition(".")[2] in ATOMIC and module != "napari_dainr.io.atomic"
    }
    assert len(callers) > 15
    stage = _Stage(monkeypatch)
    for name, write in WRITERS.items():
        if name not in DRAWN:
            folder = tmp_path / name / "out"
            folder.mkdir(parents=True)
            write(folder, OLD)
            write(folder, NEW)
    assert not callers - stage.on_the_way
