"""The profile of steps still knows the parts of every method."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_dainr.methods import METHOD_NAMES


@pytest.mark.slow
def test_every_method_is_profiled() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "steps.py"
    done = subprocess.run([sys.executable, script, "--repeats", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in done.stdout.partition("Roofline")[0].splitlines()
        if line.startswith("|") and "---" not in line
    ]
    parts = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert set(parts) == set(METHOD_NAMES)
    for name, row in parts.items():
        assert float(row["1 thread"]) > 0
        needed = {"nufft": ["NUFFT"], "grasp": ["NUFFT"], "lowrank": ["NUFFT"], "nik": ["network"]}
        for part in needed.get(name, ["NUFFT", "network", "optimiser"]):
            assert float(row[part]) > 0, (name, part)
