"""Runs that meet another process, a stopped machine, a jumping clock, a full or sealed disk: K2, K4, X2."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_dainr.cli import main
from napari_dainr.data import KSpace
from napari_dainr.errors import ExportError, InputError
from napari_dainr.io import atomic, export_series
from napari_dainr.io.atomic import is_unfinished
from napari_dainr.io.lock import LOCK, FolderLock
from napari_dainr.io.series import load_series
from napari_dainr.io.state import load_state, save_state
from napari_dainr.recipe import Event, Finished, Notice, Progress, Recipe, Saved, run
from napari_dainr.run_folder import RunFolder

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and modes of POSIX")
TAKEN = r"run: another process is writing to this folder; wait until it has ended, or choose another folder\."

HOLD = """
import sys
from pathlib import Path
from napari_dainr.io.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.take()
print("held", flush=True)
sys.stdin.readline()
"""
FIT = """
import sys
from pathlib import Path
import numpy as np
from napari_dainr.data import KSpace
from napari_dainr.recipe import Recipe, run
loaded = np.load(sys.argv[1])
kspace = KSpace(loaded["kdata"], loaded["ktraj"], loaded["times"], (33, 28), (330.0, 280.0))
for event in run(Recipe.model_validate_json(sys.argv[3]), Path(sys.argv[2]), kspace=kspace, checkpoint_s=0.0):
    print(type(event).__name__, flush=True)
"""
EXPORT = """
import sys
from pathlib import Path
import numpy as np
from napari_dainr.data import ImageSeries
from napari_dainr.io import atomic, export_series
whole = atomic._sync_all
def slow(path):
    atomic._sync_all = whole
    print("written", flush=True)
    sys.stdin.readline()
    whole(path)
atomic._sync_all = slow
image = np.load(sys.argv[1])
n = len(image)
series = ImageSeries(image, 0.1 * np.arange(n), (2.0, 3.0), 0.1, np.zeros(n, bool), "nufft")
export_series(series, Path(sys.argv[2]))
"""


def recipe_of(**changes: Any) -> Recipe:
    values: dict[str, Any] = {"data": "memory", "spokes_per_frame": 8, "method": "grasp", "threads": 1, "device": "cpu"}
    return Recipe.model_validate(values | {"settings": {"n_steps": 12, "tolerance": 0}} | changes)


def finish(events: Iterator[Event]) -> Finished:
    *_, last = events
    assert isinstance(last, Finished)
    return last


@pytest.fixture
def stored(tiny_kspace: KSpace, tmp_path: Path) -> Path:
    path = tmp_path / "kspace.npz"
    np.savez(path, kdata=tiny_kspace.kdata, ktraj=tiny_kspace.ktraj, times=tiny_kspace.spoke_times_s)
    return path


@pytest.fixture
def child() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts programs in processes of their own, which end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# -------------------------------------------------------------------------------------- two processes, one folder


def test_a_second_process_is_told_in_one_sentence(
    child: Callable[..., subprocess.Popen[str]], tiny_kspace: KSpace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    finish(run(recipe_of(), folder, kspace=tiny_kspace, until=5))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    other = child(HOLD, folder)
    assert line_of(other) == "held"
    for resume in (True, False):
        with pytest.raises(InputError, match=f"^{TAKEN}$"):
            finish(run(recipe_of(), folder, kspace=tiny_kspace, resume=resume))
    assert main(["recon", "-o", str(folder), "--resume", "--quiet"]) == 2
    assert "another process is writing to this folder" in capsys.readouterr().err
    assert main(["render", str(folder), "-o", str(folder)]) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != LOCK} == before
    # Reading is no writing.
    assert load_series(folder).n_frames == 5
    other.communicate("\n")
    assert finish(run(recipe_of(), folder, kspace=tiny_kspace, resume=True)).series.info["step"] == 12
    assert LOCK not in {path.name for path in folder.iterdir()}


@POSIX
def test_a_killed_process_leaves_no_lock(
    child: Callable[..., subprocess.Popen[str]], stored: Path, tiny_kspace: KSpace, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = child(FIT, stored, folder, recipe_of(settings={"n_steps": 100_000, "tolerance": 0}).model_dump_json())
    while line_of(process) != "Saved":
        assert process.poll() is None
    assert (folder / LOCK).exists()
    with pytest.raises(InputError, match=f"^{TAKEN}$"):
        RunFolder(folder).check_for(RunFolder(folder).recipe(), resume=True)
    process.kill()
    process.wait()
    assert (folder / LOCK).exists()
    recipe = RunFolder(folder).recipe()
    RunFolder(folder).check_for(recipe, resume=True)
    step = int(load_state(folder / "state.safetensors")[0]["step"])
    assert finish(run(recipe, folder, kspace=tiny_kspace, resume=True, until=step + 3)).series.info["step"] == step + 3
    assert LOCK not in {path.name for path in folder.iterdir()}


def test_two_runs_of_one_process_are_kept_apart_as_well(tiny_kspace: KSpace, tmp_path: Path) -> None:
    """As two viewers, or the docks of one."""
    events = run(recipe_of(), tmp_path / "run", kspace=tiny_kspace)
    next(events)
    with pytest.raises(InputError, match=f"^{TAKEN}$"):
        finish(run(recipe_of(), tmp_path / "run", kspace=tiny_kspace))
    *_, last = events
    assert isinstance(last, Finished)
    assert (tmp_path / "run" / "series.npy").is_file()


def test_only_one_of_many_gets_a_new_folder(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / f"run{number}"
        got: list[RunFolder] = []
        refused: list[str] = []
        gate = threading.Barrier(4)

        def begin(folder: Path = folder, got: list[RunFolder] = got, refused: list[str] = refused,
                  gate: threading.Barrier = gate) -> None:  # fmt: skip
            out = RunFolder(folder)
            gate.wait()
            try:
                out.open_for(recipe_of(), resume=False)
            except InputError as error:
                refused.append(str(error))
            else:
                got.append(out)

        threads = [threading.Thread(target=begin) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(got), len(refused)) == (1, 3), refused
        assert all("another process" in text or "already exists" in text for text in refused)
        got[0].close()
        assert [path.name for path in folder.iterdir()] == ["recipe.json"]


def test_a_folder_with_nothing_but_an_old_lock_is_free(tiny_kspace: KSpace, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).touch()
    finish(run(recipe_of(), tmp_path / "run", kspace=tiny_kspace, until=2))


@POSIX
def test_without_locks_of_the_file_system_it_is_said(
    tiny_kspace: KSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    events = list(run(recipe_of(), tmp_path / "run", kspace=tiny_kspace, until=2))
    assert any("knows no locks" in event.text for event in events if isinstance(event, Notice))


def test_a_lock_is_taken_again_after_its_release(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    for _ in range(3):
        first.take()
        with pytest.raises(InputError):
            second.take()
        first.release()
        second.take()
        second.release()
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------- stopped and continued


@POSIX
def test_a_fit_that_is_stopped_and_continued_ends_the_same(
    child: Callable[..., subprocess.Popen[str]], stored: Path, tiny_kspace: KSpace, tmp_path: Path
) -> None:
    """SIGSTOP, as of a closed lid; every few events, also in the middle of saving."""
    recipe = recipe_of()
    finish(run(recipe, tmp_path / "straight", kspace=tiny_kspace, checkpoint_s=0.0))
    process = child(FIT, stored, tmp_path / "run", recipe.model_dump_json())
    stops = 0
    while line := line_of(process):
        if line in ("Saved", "Progress") and stops < 8:
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.05)
            assert process.poll() is None
            process.send_signal(signal.SIGCONT)
            stops += 1
    assert process.wait(300) == 0 and stops == 8
    for name in ("series.npy", "state.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


@POSIX
@pytest.mark.parametrize("suffix", [".h5", ".dcm", ".nii"])
def test_an_export_that_is_stopped_and_continued_is_whole(
    child: Callable[..., subprocess.Popen[str]], tmp_path: Path, tiny_images: Any, suffix: str
) -> None:
    np.save(tmp_path / "image.npy", tiny_images)
    out = tmp_path / "out"
    out.mkdir()
    process = child(EXPORT, tmp_path / "image.npy", out / f"series{suffix}")
    assert line_of(process) == "written"
    process.send_signal(signal.SIGSTOP)
    assert all(is_unfinished(path) for path in out.iterdir()), "nothing takes its place before it is whole"
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(0.05)
    assert all(is_unfinished(path) for path in out.iterdir())
    process.send_signal(signal.SIGCONT)
    assert process.wait(300) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ([f"series{suffix}"] if suffix != ".nii" else ["series.json", "series.nii"])


# ------------------------------------------------------------------------------------------- disks, modes, clocks


def disk_gets_full(monkeypatch: pytest.MonkeyPatch, after: int) -> list[int]:
    """No file of a state can be flushed any more after so many; counts them."""
    import errno

    flushed: list[int] = []
    whole = atomic._sync_all

    def sync(path: Path) -> None:
        if "state" in path.name:
            flushed.append(1)
            if len(flushed) > after:
                raise OSError(errno.ENOSPC, "No space left on device")
        whole(path)

    monkeypatch.setattr(atomic, "_sync_all", sync)
    return flushed


@pytest.mark.parametrize("after", [0, 1, 2, 5, 6, 7, 8])
def test_a_disk_that_gets_full_while_a_checkpoint_is_saved(
    tiny_kspace: KSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """One sentence, the last whole checkpoint stays, and with room again the run ends with the same bits."""
    finish(run(recipe_of(), tmp_path / "straight", kspace=tiny_kspace))
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        disk_gets_full(patch, after)
        with pytest.raises(ExportError, match=r"^state\.safetensors\S*: cannot be written \(no space left on device\)"):
            finish(run(recipe_of(), folder, kspace=tiny_kspace, checkpoint_s=0.0))
    if folder.exists():
        assert not [path for path in folder.iterdir() if is_unfinished(path) or path.name == LOCK]
    resume = (folder / "recipe.json").is_file()
    if after >= 2:
        assert resume and int(load_state(folder / "state.safetensors")[0]["step"]) >= 1
    end = finish(run(recipe_of(), folder, kspace=tiny_kspace, resume=resume))
    assert np.array_equal(end.series.image, load_series(tmp_path / "straight").image)


@POSIX
def test_a_folder_that_is_sealed_in_mid_fit(tiny_kspace: KSpace, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere; the sealed file system below is tried instead")
    folder = tmp_path / "run"
    events = run(recipe_of(), folder, kspace=tiny_kspace, checkpoint_s=0.0)
    while not isinstance(next(events), Saved):
        pass
    folder.chmod(0o500)
    try:
        with pytest.raises(ExportError):
            finish(events)
        with pytest.raises(ExportError, match="is not writable"):
            finish(run(recipe_of(), folder, kspace=tiny_kspace, resume=True))
    finally:
        folder.chmod(0o700)
    assert finish(run(recipe_of(), folder, kspace=tiny_kspace, resume=True)).series.info["step"] == 12


def test_a_file_system_that_is_read_only(tiny_kspace: KSpace, tmp_path: Path) -> None:
    """A disk that is mounted for reading; /proc stands for it, where root cannot write either."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    try:
        mounted = os.name == "posix" and subprocess.run(mount, check=False, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a disk cannot be mounted here; needs root")
    try:
        finish(run(recipe_of(), disk / "run", kspace=tiny_kspace, until=5))
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for resume in (True, False):
            with pytest.raises(ExportError, match=r"^(run|new): the output folder (is not writable|cannot be made)"):
                finish(run(recipe_of(), disk / ("run" if resume else "new"), kspace=tiny_kspace, resume=resume))
        with pytest.raises(ExportError, match=r"^out\.h5: .*read-only file system"):
            export_series(load_series(disk / "run"), disk / "out.h5")
        assert load_series(disk / "run").info["step"] == 5
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert finish(run(recipe_of(), disk / "run", kspace=tiny_kspace, resume=True)).series.info["step"] == 12
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_clock_that_jumps_changes_nothing(
    tiny_kspace: KSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Years ahead, then back before 1970: nothing is taken from the time of day, neither bits nor pace nor names."""
    finish(run(recipe_of(), tmp_path / "straight", kspace=tiny_kspace))
    now = [4e9]

    def jumping() -> float:
        now[0] = -now[0] * 0.9
        return now[0]

    monkeypatch.setattr(time, "time", jumping)
    told: list[float] = []
    for event in run(recipe_of(), tmp_path / "run", kspace=tiny_kspace, checkpoint_s=0.0):
        if isinstance(event, Progress):
            told += [event.seconds]
    assert told == sorted(told) and told[0] >= 0 and told[-1] < 600
    for name in ("series.npy", "state.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_files_of_the_future_are_resumed(tiny_kspace: KSpace, tmp_path: Path) -> None:
    """Which checkpoint is newer is told by its name, not by the time of the file."""
    finish(run(recipe_of(), tmp_path / "run", kspace=tiny_kspace, until=6, checkpoint_s=0.0))
    os.utime(tmp_path / "run" / "state.safetensors", (1, 1))
    os.utime(tmp_path / "run" / "state.safetensors.previous", (8e9, 8e9))
    events = list(run(recipe_of(), tmp_path / "run", kspace=tiny_kspace, resume=True))
    assert any(event.text == "resumed at step 6" for event in events if isinstance(event, Notice))


def test_flushed_before_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """K4, what a power cut needs: content flushed, then the name, then the folder; the checksum after all of it."""
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flushed(handle: int) -> None:
        order.append(f"flush {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        fsync(handle)

    def renamed(old: Any, new: Any, **more: Any) -> None:
        order.append(f"rename {Path(new).name}")
        replace(old, new, **more)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("which file a handle is of cannot be told here")
    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", renamed)
    save_state({"x": np.arange(4.0)}, {}, tmp_path / "state.safetensors")
    assert [step if not step.startswith("flush .") else "flush it" for step in order] == [
        "flush it", "rename state.safetensors", f"flush {tmp_path.name}",
        "flush it", "rename state.safetensors.sha256", f"flush {tmp_path.name}",
    ]  # fmt: skip
