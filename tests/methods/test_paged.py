"""Arrays in files: they hold what is written, leave memory and vanish; and series in them have the same bits."""

from __future__ import annotations

import errno
import gc
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.errors import ResourceError
from napari_dainr.inr.parallel import get_threads, set_threads
from napari_dainr.machine import memory_in_use
from napari_dainr.methods.config import method_config
from napari_dainr.methods.fit import make_method
from napari_dainr.methods.held_out import hold_out
from napari_dainr.methods.problem import make_problem
from napari_dainr.paged import BOUND, is_paged, let_go, let_go_all, paged_empty, paged_from, room


def mapped_files() -> int:
    """Files of ours that are mapped by this process; they have no name, and the system says that they are deleted."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return len({line.split()[4] for line in lines if "deleted" in line and tempfile.gettempdir() in line})


def test_holds_what_was_written_after_it_was_let_go() -> None:
    with paged_from(0):
        array = room((37, 11), np.complex64)
        tensor = paged_empty(torch.zeros(5, 3, dtype=torch.float64), (7, 2))
    assert not array.any() and tensor.shape == (7, 2) and tensor.dtype == torch.float64
    values = np.random.default_rng(0).standard_normal((37, 11)).astype(np.complex64)
    array[...] = values
    tensor[3] = 4.5
    let_go(array)
    let_go_all()
    assert np.array_equal(array, values) and float(tensor.sum()) == 9.0


def test_small_arrays_are_in_memory() -> None:
    assert not is_paged(BOUND) and is_paged(BOUND + 1)
    with paged_from(8 * 12):
        assert not is_paged(8 * 12)
        let_go(room((3, 4)))  # does nothing, and says nothing
        with paged_from(0):
            assert is_paged(1)
        assert not is_paged(8)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_takes_no_memory_once_let_go_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before, files = memory_in_use(), mapped_files()
    array = room((BOUND // 4 + 1,), np.float32)
    array[...] = 1.0
    assert mapped_files() == files + 1
    assert memory_in_use() > before + BOUND // 2
    let_go(array)
    assert memory_in_use() < before + BOUND // 8
    assert not list(tmp_path.iterdir())  # it never had a name
    del array
    gc.collect()
    assert mapped_files() == files


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_process_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, signal, numpy as np\n"
        "from napari_dainr.paged import paged_from, room\n"
        "with paged_from(0): array = room((1 << 20,), np.float32)\n"
        "array[...] = 1\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"TMPDIR": str(tmp_path)}, check=False)
    assert done.returncode == -9 and not list(tmp_path.iterdir())


def test_a_full_disk_is_told_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with paged_from(0), pytest.raises(ResourceError, match=r"temporary files.*TMPDIR"):
        room((3,), np.float32)


@pytest.mark.usefixtures("one_torch_thread")
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("nufft", {}),
        ("grasp", {"space_factor": 0.1, "n_steps": 7}),
        ("lowrank", {"space_factor": 0.1, "n_steps": 7}),
        ("lowrank", {"scope": "global", "model": "sum", "n_steps": 7}),
        (
            "dainr",
            {
                "feature_steps": 3,
                "n_steps": 4,
                "extractor": "dynres",
                "n_min": 4,
                "table_log2": 8,
                "width": 8,
                "depth": 2,
            },
        ),
    ],
)
def test_a_series_in_files_has_the_same_bits(tiny_kspace: KSpace, name: str, settings: dict[str, object]) -> None:
    def fitted() -> dict[str, torch.Tensor]:
        problem, _ = hold_out(make_problem(bin_spokes(tiny_kspace, 8), threads=1), 8, 0.05, 1)
        method = make_method(name, method_config(name, "fast", settings), 3)
        state = method.start(problem)
        while not method.done(state):
            method.step(problem, state)
        return method.pack(state)

    threads = get_threads()
    try:
        set_threads(1)
        expected = fitted()
        set_threads(2)
        with paged_from(0):
            found = fitted()
    finally:
        set_threads(threads)
    assert expected.keys() == found.keys()
    assert [key for key, value in expected.items() if not torch.equal(value, found[key])] == []


LONG = """
import json, sys
import numpy as np, torch
from napari_dainr.data import KSpace
from napari_dainr.machine import HighestMemory, memory_in_use
from napari_dainr.paged import let_go_all, room
from napari_dainr.recipe import Finished, Recipe, run
from napari_dainr.trajectory import radial_ktraj

def of(frames, matrix):
    spokes, readout = 10, 2 * matrix
    ktraj = radial_ktraj(frames * spokes, readout, (matrix, matrix)).astype(np.float32)
    kdata = room((1, 8, frames * spokes, readout))
    for coil in range(8):
        noise = np.random.default_rng(coil).standard_normal((frames * spokes, 2 * readout), np.float32)
        kdata[0, coil] = noise.view(np.complex64) / (1 + (ktraj**2).sum(axis=-1))
    let_go_all()
    return KSpace(kdata, ktraj, 0.004 * np.arange(frames * spokes), (matrix, matrix), (300.0, 300.0))

def go(kspace):
    settings = {"n_steps": 10, "tolerance": 0.0}
    recipe = Recipe.model_validate({"data": "memory", "spokes_per_frame": 10, "method": "grasp", "threads": 2,
                                    "settings": settings})
    return next(event for event in run(recipe, kspace=kspace) if isinstance(event, Finished))

go(of(3, 32))
kspace = of(int(sys.argv[1]), 96)
let_go_all()
before = memory_in_use()
with HighestMemory() as memory:
    image = go(kspace).series.image
assert np.isfinite(image).all() and len(image) == int(sys.argv[1])
print(json.dumps({"rise": memory.highest - before}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system itself decides which pages are in memory")
def test_a_thousand_frames_take_little_more_memory_than_three_hundred() -> None:
    """96 × 96 pixels and 8 coils, 0.2 MiB a frame: 10 iterations of GRASP with the engine, from samples to series."""

    def rise(n_frames: int) -> int:
        done = subprocess.run([sys.executable, "-c", LONG, str(n_frames)], capture_output=True, text=True, check=True)
        return int(json.loads(done.stdout.splitlines()[-1])["rise"])

    short, long = rise(300), rise(1000)
    assert long < 450 << 20
    assert long - short < 700 * (1 << 18)
