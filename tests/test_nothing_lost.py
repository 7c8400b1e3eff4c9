"""Runs that are killed, damaged, starved or repeated: the catalogue K, D and M of docs/explanation/reliability.md."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from napari_dainr import engine
from napari_dainr.cli import main
from napari_dainr.data import KSpace
from napari_dainr.errors import DainrError, InputError, ResourceError
from napari_dainr.io import read_kspace
from napari_dainr.io.atomic import clear_unfinished, is_unfinished
from napari_dainr.io.failpoints import VARIABLE
from napari_dainr.io.ismrmrd import write_ismrmrd
from napari_dainr.io.series import load_series
from napari_dainr.io.state import load_state, save_state
from napari_dainr.methods import METHOD_NAMES
from napari_dainr.ops.nufft_threads import ThreadedNufft
from napari_dainr.phantom import cine_phantom, simulate_kspace
from napari_dainr.recipe import Event, Finished, Notice, Progress, Recipe, run
from napari_dainr.run_folder import RunFolder

SETTINGS = {"n_steps": 12, "tolerance": 0}
MOMENTS = {
    "before the recipe": "made folder",
    "recipe written": "settled recipe.json",
    "before the first checkpoint": "begin state.safetensors",
    "in the middle of writing": "half-written state.safetensors:3",
    "written, not flushed": "written state.safetensors:2",
    "before it takes its place": "verified state.safetensors:3",
    "before its checksum": "replaced state.safetensors:3",
    "before the first checksum": "replaced state.safetensors:1",
    "older one pushed out": "replaced state.safetensors.previous:2",
    "checksum of the older one": "verified state.safetensors.previous.sha256:2",
    "series without its facts": "replaced series.npy",
    "before the provenance": "begin provenance.json",
}
"""The twelve named moments: in words, and as a failpoint."""
FEW = ("before the recipe", "in the middle of writing", "before its checksum", "series without its facts")

FIT = """
import sys
from pathlib import Path
import numpy as np
from napari_dainr.data import KSpace
from napari_dainr.recipe import Recipe, run
loaded = np.load(sys.argv[1])
kspace = KSpace(loaded["kdata"], loaded["ktraj"], loaded["times"], (33, 28), (330.0, 280.0))
recipe = Recipe.model_validate_json(sys.argv[3])
resume = len(sys.argv) > 4
print("ready", flush=True)
for event in run(recipe, Path(sys.argv[2]), kspace=kspace, resume=resume, checkpoint_s=0.0):
    pass
"""
"""A run in a process of its own, with a checkpoint after every step."""


def small_recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {"data": "memory", "spokes_per_frame": 8, "method": "grasp", "settings": SETTINGS}
    return Recipe.model_validate(values | {"threads": 1, "device": "cpu"} | changes)


def finish(events: Iterator[Event]) -> Finished:
    *_, last = events
    assert isinstance(last, Finished)
    return last


@pytest.fixture(scope="module")
def stored(tiny_kspace: KSpace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "kspace.npz"
    np.savez(path, kdata=tiny_kspace.kdata, ktraj=tiny_kspace.ktraj, times=tiny_kspace.spoke_times_s)
    return path


@pytest.fixture(scope="module")
def straight(tiny_kspace: KSpace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight") / "run"
    finish(run(small_recipe(), folder, kspace=tiny_kspace))
    return folder


def start(stored: Path, folder: Path, failpoint: str | None) -> subprocess.Popen[str]:
    resume = ["resume"] if (folder / "recipe.json").is_file() else []
    variables = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return subprocess.Popen(
        [sys.executable, "-c", FIT, str(stored), str(folder), small_recipe().model_dump_json(), *resume],
        env=variables | ({VARIABLE: failpoint} if failpoint else {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_whole(folder: Path, straight: Path) -> None:
    """The run ended as one that was never killed, and left nothing lying about."""
    assert np.array_equal(load_series(folder).image, load_series(straight).image)
    (one, _), (other, _) = (load_state(run / "state.safetensors") for run in (folder, straight))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not [path for path in folder.iterdir() if is_unfinished(path)]
    steps = [int(row.split(",")[0]) for row in (folder / "log.csv").read_text().splitlines()[1:]]
    assert steps == sorted(steps)


def go_on(folder: Path, kspace: KSpace) -> list[Event]:
    """Resume, or begin where the kill came before there was anything."""
    return list(run(small_recipe(), folder, kspace=kspace, resume=(folder / "recipe.json").is_file()))


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of POSIX")
@pytest.mark.parametrize(
    "moment", [pytest.param(name, marks=[] if name in FEW else [pytest.mark.slow]) for name in MOMENTS]
)
def test_killed_at_a_named_moment(
    stored: Path, straight: Path, tiny_kspace: KSpace, tmp_path: Path, moment: str
) -> None:
    folder = tmp_path / "run"
    process = start(stored, folder, MOMENTS[moment])
    assert process.wait(300) == -signal.SIGKILL, process.communicate()
    process.communicate()
    go_on(folder, tiny_kspace)
    assert_whole(folder, straight)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is of POSIX")
def test_killed_at_a_hundred_random_moments(stored: Path, straight: Path, tmp_path: Path) -> None:
    chance = random.Random(0)
    kills = runs = 0
    while kills < 100:
        folder = tmp_path / f"run{runs}"
        runs += 1
        while True:
            # Half by the count of moments inside a save, half by the clock.
            inside = chance.random() < 0.5
            process = start(stored, folder, f"*:{chance.randrange(1, 60)}" if inside else None)
            assert process.stdout is not None
            process.stdout.readline()
            if not inside:
                time.sleep(chance.random() * 0.6)
                process.kill()
            code = process.wait(300)
            process.communicate()
            if code == 0:
                break
            assert code == -signal.SIGKILL
            kills += 1
        assert_whole(folder, straight)
    assert runs < 100, "hardly any kill hit a run"


def test_a_thousand_damaged_checkpoints(tmp_path: Path) -> None:
    """None loads as if nothing were wrong: the one before is loaded and said to be it, or an error is raised."""
    rng = np.random.default_rng(1)
    path = tmp_path / "state.safetensors"
    old, new = ({"x": rng.standard_normal((9, 11)), "step": np.array(n)} for n in (1, 2))
    save_state(old, {"n": 1}, path)
    save_state(new, {"n": 2}, path)
    files = {p: p.read_bytes() for p in tmp_path.iterdir()}
    newest, checksum = path, tmp_path / "state.safetensors.sha256"
    others = [p for p in files if "previous" in p.name]
    assert len(files) == 4
    for case in range(1000):
        target = newest if case % 4 else checksum
        data = bytearray(files[target])
        kind, at = case % 3, int(rng.integers(len(data) - (target == checksum)))  # its line feed says nothing
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del data[at:]
        else:
            data[at:at] = rng.bytes(int(rng.integers(1, 20)))
        target.write_bytes(bytes(data))
        if bytes(data).strip() == files[target].strip():  # pragma: no cover
            continue
        tensors, meta = load_state(path)
        assert meta == {"n": 1, "generation": "previous"}
        assert np.array_equal(tensors["x"], old["x"])
        if case % 5 == 0:
            others[case % 2].write_bytes(b"\0" * len(files[others[case % 2]]))
            with pytest.raises(InputError, match="damaged"):
                load_state(path)
            others[case % 2].write_bytes(files[others[case % 2]])
        target.write_bytes(files[target])
    assert load_state(path)[1] == {"n": 2, "generation": "newest"}


def test_the_older_checkpoint_is_used_with_a_sentence(straight: Path, tiny_kspace: KSpace, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    finish(run(small_recipe(), folder, kspace=tiny_kspace, until=8, checkpoint_s=0.0))
    (folder / "state.safetensors").write_bytes(b"rubbish")
    events = go_on(folder, tiny_kspace)
    said = [event.text for event in events if isinstance(event, Notice)]
    assert "the newest checkpoint is damaged; the one before it is used" in said
    assert any(text.startswith("resumed at step ") for text in said)
    assert_whole(folder, straight)


def test_nothing_whole_is_an_error(tiny_kspace: KSpace, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    finish(run(small_recipe(), folder, kspace=tiny_kspace, checkpoint_s=0.0))
    for name in ("state.safetensors", "state.safetensors.previous"):
        (folder / name).write_bytes(b"rubbish")
    with pytest.raises(InputError, match="damaged and so is the one before"):
        go_on(folder, tiny_kspace)


def test_a_checkpoint_of_other_data_is_refused(tiny_kspace: KSpace, tmp_path: Path) -> None:
    finish(run(small_recipe(), tmp_path / "run", kspace=tiny_kspace, until=5))
    other = KSpace(
        2 * tiny_kspace.kdata, tiny_kspace.ktraj, tiny_kspace.spoke_times_s, tiny_kspace.matrix, tiny_kspace.fov_mm
    )
    with pytest.raises(InputError, match="checkpoint is of other data"):
        go_on(tmp_path / "run", other)


def test_until_is_the_step_where_it_stops(tiny_kspace: KSpace, tmp_path: Path) -> None:
    finished = finish(run(small_recipe(), tmp_path / "run", kspace=tiny_kspace, until=7))
    assert finished.stopped
    assert finished.series.info["step"] == 7


def test_unfinished_files_go_and_others_stay(tmp_path: Path) -> None:
    for name in (".state.0123456789ab.safetensors", ".log.txt", "state.safetensors", ".hidden.0123.csv"):
        (tmp_path / name).write_text("x")
    clear_unfinished(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".hidden.0123.csv", ".log.txt", "state.safetensors"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_and_keeps(tmp_path: Path, capsys: pytest.CaptureFixture[str], number: signal.Signals,
                                  monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    data, folder = tmp_path / "cine.h5", tmp_path / "run"
    assert (
        main(["simulate", str(data), "--matrix", "24", "--frames", "4", "--coils", "2", "--spokes-per-frame", "5"]) == 0
    )
    few = ["--set", "n_steps=40", "--set", "tolerance=0"]
    recon = ["recon", str(data), "--method", "grasp", "--spokes-per-frame", "5", "--quiet", *few]
    assert main([*recon, "-o", str(tmp_path / "straight")]) == 0
    whole = engine.Clock.progress
    sent: list[int] = []

    def progress(self: Any, step: int, *args: Any) -> Progress:
        if step >= 3 and not sent:
            sent.append(step)
            os.kill(os.getpid(), number)
        return whole(self, step, *args)

    with monkeypatch.context() as patch:
        patch.setattr(engine.Clock, "progress", progress)
        patch.setattr(engine, "PROGRESS_HZ", 1e9)
        assert main([*recon, "-o", str(folder)]) == 128 + number
    assert load_series(folder).info["step"] <= sent[0] + 1
    assert signal.getsignal(number) not in (None, signal.SIG_DFL) or number == signal.SIGTERM
    assert main(["recon", "-o", str(folder), "--resume", "--quiet"]) == 0
    assert (folder / "series.npy").read_bytes() == (tmp_path / "straight" / "series.npy").read_bytes()
    assert "stopping after this step" in capsys.readouterr().err


def test_a_loss_that_is_not_a_number_says_what_is_kept(tiny_kspace: KSpace, tmp_path: Path) -> None:
    settings = {"n_steps": 50, "learning_rate": 1.0, "width": 8, "depth": 1, "batch": 32}
    recipe = small_recipe(method="nik", settings=settings)
    broken = KSpace(
        tiny_kspace.kdata, tiny_kspace.ktraj, tiny_kspace.spoke_times_s, tiny_kspace.matrix, tiny_kspace.fov_mm
    )
    whole = engine.fit

    def diverges(method: Any, problem: Any, state: Any) -> Iterator[Any]:
        for losses in whole(method, problem, state):
            yield losses if state.step != 9 else {"data": torch.tensor(float("nan"))}

    patch = pytest.MonkeyPatch()
    patch.setattr(engine, "fit", diverges)
    patch.setattr(engine, "PROGRESS_HZ", 1e9)
    try:
        with pytest.raises(DainrError, match=r"diverged at step 9 .*no checkpoint was written"):
            finish(run(recipe, tmp_path / "none", kspace=broken, checkpoint_s=1e9))
        with pytest.raises(DainrError, match=r"diverged at step 9 .*last good state, of step 8, is kept"):
            finish(run(recipe, tmp_path / "run", kspace=broken, checkpoint_s=0.0))
    finally:
        patch.undo()
    assert int(load_state(tmp_path / "run" / "state.safetensors")[0]["step"]) == 8
    assert RunFolder(tmp_path / "run").has_checkpoint
    assert not (tmp_path / "none").exists()


SMALL: dict[str, dict[str, Any]] = {
    "nufft": {},
    "grasp": SETTINGS,
    "lowrank": {"n_steps": 8, "tolerance": 0},
    "dainr": {"n_steps": 8, "feature_steps": 6, "width": 16, "depth": 2, "n_min": 4, "table_log2": 10},
    "hashinr": {"n_steps": 6, "table_log2": 10, "frames_per_step": 3},
    "stinr": {"n_steps": 6, "table_log2": 10},
    "tddip": {"n_steps": 6, "width": 4, "levels": 2},
    "fmlp": {"n_steps": 6, "width": 16, "depth": 2},
    "nik": {"n_steps": 8, "width": 16, "depth": 2, "batch": 64},
}


@pytest.mark.parametrize("method", METHOD_NAMES)
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str) -> None:
    """Twice from memory, then again by ``rerun`` from what the folder says."""
    data = tmp_path / "tiny.h5"
    images = cine_phantom((21, 18), 4)
    write_ismrmrd(simulate_kspace(images, spokes_per_frame=8, n_coils=2, tr_s=0.01, fov_mm=(210.0, 180.0)), data)
    kspace = read_kspace(data)
    recipe = small_recipe(method=method, settings=SMALL[method], seed=5, data=str(data))
    for folder, threads in (("a", 1), ("b", 2)):
        finish(run(recipe.model_copy(update={"threads": threads}), tmp_path / folder, kspace=kspace))
    for name in ("series.npy", "state.safetensors"):
        one, other = ((tmp_path / folder / name).read_bytes() for folder in ("a", "b"))
        assert one == other or name == "state.safetensors"  # the state holds the recipe, and in it the threads
    states = [load_state(tmp_path / folder / "state.safetensors")[0] for folder in ("a", "b")]
    assert states[0].keys() == states[1].keys()
    assert all(states[0][name].tobytes() == states[1][name].tobytes() for name in states[0])
    finish(run(recipe, tmp_path / "c", kspace=kspace))
    assert (tmp_path / "c" / "state.safetensors").read_bytes() == (tmp_path / "a" / "state.safetensors").read_bytes()
    if method not in ("nufft", "grasp", "lowrank"):  # there, chance has no part
        finish(run(recipe.model_copy(update={"seed": 6}), tmp_path / "d", kspace=kspace))
        assert (tmp_path / "d" / "series.npy").read_bytes() != (tmp_path / "a" / "series.npy").read_bytes()
    assert main(["rerun", str(tmp_path / "a"), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("identical: SHA-256 ")


class _Starved(TorchDispatchMode):
    """No memory for the n-th tensor, as a full card or machine would say.

    Not inside a backward pass: torch keeps tensors where a mode, not an allocation, fails there.
    """

    def __init__(self, at: int | None) -> None:
        super().__init__()
        self.at, self.count = at, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch._C._current_graph_task_id() < 0:
            self.count += 1
            if self.count == self.at:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return func(*args, **(kwargs or {}))


def _tensor_bytes() -> int:
    gc.collect()
    storages = {
        thing.untyped_storage()._cdata: thing.untyped_storage().nbytes()
        for thing in gc.get_objects()
        if type(thing) in (torch.Tensor, torch.nn.Parameter)
    }
    return sum(storages.values())


def test_no_memory_at_fifty_places(tiny_kspace: KSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    """40 tensors, and 10 transforms, forward and backward, whose arrays numpy has no room for."""
    settings = {"n_steps": 4, "feature_steps": 2, "width": 8, "depth": 2, "n_min": 4, "table_log2": 8, "members": 1}
    recipe = small_recipe(method="dainr", settings=settings)
    transform = ThreadedNufft._transform
    transforms: list[int] = []

    def counted(self: Any, *args: Any) -> Any:
        transforms.append(0)
        if len(transforms) == fails_at:
            raise MemoryError("Unable to allocate 2.00 GiB for an array")
        return transform(self, *args)

    monkeypatch.setattr(ThreadedNufft, "_transform", counted)
    fails_at = -1
    with _Starved(None) as counting:
        straight = finish(run(recipe, kspace=tiny_kspace)).series.image
    n_transforms = len(transforms)
    before = _tensor_bytes()
    failed: list[str] = []

    def fail(at: int | None, what: str) -> None:
        with pytest.raises(ResourceError, match="ran out of memory") as caught, _Starved(at):
            finish(run(recipe, kspace=tiny_kspace))
        assert "\n" not in str(caught.value)
        del caught
        failed.append(what)
        if len(failed) % 5 == 0:  # looking takes longer than the run
            assert _tensor_bytes() <= before, f"memory is kept after failing at one of {failed[-5:]}"

    for at in np.linspace(1, counting.count, 40).astype(int):
        fail(int(at), f"tensor {at}")
    for fails_at in np.linspace(1, n_transforms, 10).astype(int):
        transforms.clear()
        fail(None, f"transform {fails_at}")
    fails_at = -1
    assert np.array_equal(finish(run(recipe, kspace=tiny_kspace)).series.image, straight)


def test_rerun_says_whether_it_is_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, folder = tmp_path / "cine.h5", tmp_path / "run"
    assert (
        main(["simulate", str(data), "--matrix", "24", "--frames", "4", "--coils", "2", "--spokes-per-frame", "5"]) == 0
    )
    recon = ["recon", str(data), "--method", "grasp", "--spokes-per-frame", "5", "--quiet", "--set", "n_steps=8"]
    assert main([*recon, "-o", str(folder)]) == 0
    capsys.readouterr()
    assert main(["rerun", str(folder), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith("identical: SHA-256 ")
    assert main(["rerun", str(folder), "-o", str(tmp_path / "again"), "--quiet"]) == 0
    assert (tmp_path / "again" / "series.npy").read_bytes() == (folder / "series.npy").read_bytes()

    facts = (folder / "provenance.json").read_text()
    series = np.load(folder / "series.npy")
    changed = RunFolder(folder).series()
    changed.image[0, 0, 0] += 0.1 * np.abs(series).max()
    (folder / "provenance.json").write_text(facts.replace(RunFolder(folder).provenance()["series_sha256"], "0" * 64))
    capsys.readouterr()
    assert main(["rerun", str(folder), "--quiet"]) == 1
    assert "not identical: relative difference 0 in the norm" in capsys.readouterr().out

    (folder / "provenance.json").write_text(facts)
    moved = tmp_path / "moved.h5"
    data.rename(moved)
    assert main(["rerun", str(folder), "--quiet"]) == 2
    assert main(["rerun", str(folder), "--data", str(moved), "--quiet"]) == 0
    assert main(["simulate", str(data), "--matrix", "24", "--frames", "4", "--coils", "2", "--spokes-per-frame", "5",
                 "--seed", "7"]) == 0  # fmt: skip
    capsys.readouterr()
    assert main(["rerun", str(folder), "--quiet"]) == 2
    assert "other data" in capsys.readouterr().err
    assert main(["render", str(folder), "--scale", "2", "-o", str(tmp_path / "drawn")]) == 0
    assert main(["rerun", str(tmp_path / "drawn")]) == 2
    assert "drawn from run" in capsys.readouterr().err


def test_a_stopped_run_is_done_again_as_far(tiny_kspace: KSpace, tmp_path: Path) -> None:
    finish(run(small_recipe(), tmp_path / "a", kspace=tiny_kspace, until=7))
    finish(run(small_recipe(), tmp_path / "b", kspace=tiny_kspace, until=7))
    said = RunFolder(tmp_path / "a").provenance()
    assert (said["step"], said["stopped"]) == (7, True)
    assert said["series_sha256"] == RunFolder(tmp_path / "b").provenance()["series_sha256"]
