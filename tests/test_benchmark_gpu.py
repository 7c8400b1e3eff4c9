"""The script for GPUs, rehearsed on the CPU, so that its first run on a card is not spent on its own mistakes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch


def run_script(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(repository / "benchmarks" / "gpu.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def whole(repository: Path, output: Path, *arguments: str) -> dict[str, Any]:
    done = run_script(repository, "-o", str(output), *arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "All sections done, all checks passed." in done.stdout
    assert "a rehearsal: no figure means anything" in done.stdout
    return json.loads(output.read_text())["sections"]


def test_every_section_runs_at_tiny_sizes(repository: Path, tmp_path: Path) -> None:
    sections = whole(repository, tmp_path / "gpu.json", "--cpu-rehearsal")
    assert len(sections) == 8
    assert all(section["rows"] and not section["wrong"] for section in sections.values())
    assert {row[0] for row in sections["steps"]["rows"]} >= {"grasp", "dainr", "nik"}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_triton_takes_part_in_its_interpreter(repository: Path, tmp_path: Path) -> None:
    sections = whole(repository, tmp_path / "gpu.json", "--interpret", "--only", "hash grid,NUFFT")
    assert {row[0] for row in sections["NUFFT speed"]["rows"]} == {"compiled", "finufft", "triton"}
    assert {row[1] for row in sections["hash grid correctness"]["rows"]} == {"torch", "numba", "triton"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so(repository: Path) -> None:
    done = run_script(repository)
    assert done.returncode == 2
    assert done.stdout.startswith("PyTorch finds no CUDA GPU here, so nothing was measured")
    assert len(done.stdout.splitlines()) == 1


@pytest.fixture
def script(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[ModuleType, list[str]]]:
    """The script as a module with sections of one's own, and its arguments."""

    def load(sections: dict[str, Callable[[Any], Any]], *arguments: str) -> tuple[ModuleType, list[str]]:
        path = repository / "benchmarks" / "gpu.py"
        monkeypatch.syspath_prepend(str(path.parent))
        argv = [str(path), "--cpu-rehearsal", *arguments]
        monkeypatch.setattr(sys, "argv", argv)
        spec = importlib.util.spec_from_file_location("gpu", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, "gpu", module)
        spec.loader.exec_module(module)
        monkeypatch.setattr(module, "SECTIONS", sections)
        return module, argv

    return load


def failing(run: Any) -> Any:
    raise RuntimeError("something in this section")


def wrong(run: Any) -> list[list[str]]:
    return [[run.check("values", float("nan"), 1e-4), run.check("more", 0.5, 1.0)]]


def fine(run: Any) -> list[list[str]]:
    return [["a figure"]]


def test_a_section_that_fails_does_not_stop_the_next(
    script: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "gpu.json"
    module, _ = script({"bad": failing, "wrong": wrong, "good": fine}, "-o", str(output))
    assert module.main() == 1
    sections = json.loads(output.read_text())["sections"]
    assert sections["bad"]["error"] == "RuntimeError: something in this section"
    assert sections["wrong"]["wrong"] == ["values: nan > 1e-04"]
    assert sections["good"]["rows"] == [["a figure"]]
    told = capsys.readouterr().out
    assert "Traceback" in told
    assert "WRONG: values: nan > 1e-04" in told
    assert told.rstrip().endswith("FAILED: bad, wrong")


def test_no_section_begins_without_time(script: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    module, _ = script({"good": fine}, "--seconds", "0")
    assert module.main() == 1
    assert "good: left out: no time left" in capsys.readouterr().out


def test_after_an_error_that_stays_the_rest_runs_in_a_new_process(
    script: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA answers every call with an error after an access outside memory, until the process ends."""
    output = tmp_path / "gpu.json"
    module, _ = script({"bad": failing, "good": fine}, "-o", str(output))
    monkeypatch.setattr(module.Card, "broken", lambda run: True)
    called: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda command: called.append(command) or 1)
    assert module.main() == 1
    assert called[0][2:6] == ["--go-on", str(output), "-o", str(output)]
    assert "--cpu-rehearsal" in called[0]
    assert list(json.loads(output.read_text())["sections"]) == ["bad"]
    # What that process does: the sections that are left, and the verdict over all.
    monkeypatch.undo()
    module, _ = script({"bad": failing, "good": fine}, *called[0][2:])
    assert module.main() == 1
    assert list(json.loads(output.read_text())["sections"]) == ["bad", "good"]
