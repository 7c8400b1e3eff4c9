"""The cache of compiled kernels: processes that fill it together, and what makes a file of it out of date."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KERNEL = """
import numpy as np
from napari_dainr.compiled import compiled
from napari_dainr_tried_parts import part

@compiled
def kernel(values, factors):
    total = 0.0
    for value in values:
        total += part(value) * len(factors)
    return total
"""
PART = """
import numba

FACTOR = {factor}

@numba.extending.register_jitable
def part(value):
    return FACTOR * value
"""
CALL = """
import sys
import numpy as np
from napari_dainr_tried_kernel import kernel
print(kernel(np.ones(3), (0,) * int(sys.argv[1])), sum(kernel.stats.cache_hits.values()))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "napari_dainr_tried_kernel.py").write_text(KERNEL)
    (tmp_path / "napari_dainr_tried_parts.py").write_text(PART.format(factor=2))
    return tmp_path


def start(folder: Path, factors: int) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", CALL, str(factors)],
        cwd=folder,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join((str(folder), root)), NUMBA_CACHE_DIR=str(folder / "cache")),
        stdout=subprocess.PIPE,
        text=True,
    )


def told(process: subprocess.Popen[str]) -> tuple[float, int]:
    """What the kernel gave, and whether it came from the cache."""
    out, _ = process.communicate()
    assert process.returncode == 0
    value, hits = out.split()
    return float(value), int(hits)


def test_what_another_process_has_compiled_is_loaded(folder: Path) -> None:
    assert told(start(folder, 2)) == (12.0, 0)
    assert told(start(folder, 2)) == (12.0, 1)
    assert told(start(folder, 3)) == (18.0, 0)


def test_processes_that_compile_side_by_side_each_find_their_own(folder: Path) -> None:
    together = [start(folder, factors) for factors in (1, 2, 3)]
    assert [told(process) for process in together] == [(6.0, 0), (12.0, 0), (18.0, 0)]
    again = [start(folder, factors) for factors in (1, 2, 3)]
    assert [told(process) for process in again] == [(6.0, 1), (12.0, 1), (18.0, 1)]


def test_a_change_in_a_file_that_the_kernel_calls_is_seen(folder: Path) -> None:
    assert told(start(folder, 2)) == (12.0, 0)
    (folder / "napari_dainr_tried_parts.py").write_text(PART.format(factor=5))
    assert told(start(folder, 2)) == (30.0, 0)


def test_a_file_that_was_cut_off_is_compiled_anew(folder: Path) -> None:
    assert told(start(folder, 2)) == (12.0, 0)
    (kept,) = (folder / "cache").rglob("*kernel*.nbc")
    kept.write_bytes(kept.read_bytes()[:-100])
    assert told(start(folder, 2)) == (12.0, 0)
    assert told(start(folder, 2)) == (12.0, 1)
