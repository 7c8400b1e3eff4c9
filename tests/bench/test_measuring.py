"""The comparison of ``make bench``: what counts as slower or worse, and that nothing names a host or a folder."""

from __future__ import annotations

import importlib.util
import json
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def measuring(repository: Path) -> ModuleType:
    """benchmarks/measuring.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("measuring", repository / "benchmarks" / "measuring.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rows(measuring: ModuleType) -> dict[str, Any]:
    seconds = {"most": 20.0, "repeats": 3}
    return {
        "fast": measuring.Row("fit", "fast", 1.2, 1.0, cpu=2.0, rival="BART", psnr=36.3, ssim=0.91, **seconds),
        "BART": measuring.Row("fit", "BART", 7.0, 6.0, cpu=12.0, psnr=36.2, ssim=0.90, **seconds),
        "alone": measuring.Row("start", "alone", 1.1, 1.0, cpu=1.0, **seconds),
    }


def found(measuring: ModuleType, old: dict[str, Any], **changed: Any) -> list[str]:
    """What is told about rows of which some have changed; None takes a row away."""
    new = [row for row in {**old, **changed}.values() if row is not None]
    sentences: list[str] = measuring.compare(measuring.document(new), measuring.document(old.values()))
    return sentences


def test_nothing_changed_nothing_told(measuring: ModuleType, rows: dict[str, Any]) -> None:
    assert found(measuring, rows) == []


def test_a_busy_machine_is_no_regression(measuring: ModuleType, rows: dict[str, Any]) -> None:
    slow = {name: replace(rows[name], least=3 * rows[name].least) for name in ("fast", "BART")}
    assert found(measuring, rows, **slow) == []


def test_a_smaller_ratio_is_a_regression(measuring: ModuleType, rows: dict[str, Any]) -> None:
    limit = 1 / (1 - measuring.SLOWER)
    assert found(measuring, rows, fast=replace(rows["fast"], least=0.98 * limit)) == []
    (sentence,) = found(measuring, rows, fast=replace(rows["fast"], least=1.02 * limit))
    assert "fit, fast" in sentence and "it was 6.00" in sentence


def test_without_a_rival_cpu_seconds_count(measuring: ModuleType, rows: dict[str, Any]) -> None:
    assert found(measuring, rows, alone=replace(rows["alone"], least=9.0)) == []
    (sentence,) = found(measuring, rows, alone=replace(rows["alone"], cpu=1.01 + measuring.SLOWER))
    assert "start, alone" in sentence and "CPU s" in sentence


def test_a_rival_may_become_slower_worse_or_go(measuring: ModuleType, rows: dict[str, Any]) -> None:
    assert found(measuring, rows, BART=replace(rows["BART"], cpu=99.0, least=99.0)) == []
    assert found(measuring, rows, BART=None) == []


def test_lost_quality_and_lost_rows_are_told(measuring: ModuleType, rows: dict[str, Any]) -> None:
    assert found(measuring, rows, fast=replace(rows["fast"], psnr=36.21)) == []
    (sentence,) = found(measuring, rows, fast=replace(rows["fast"], psnr=36.19))
    assert "36.19 dB, it was 36.30" in sentence
    assert found(measuring, rows, alone=None) == ["start, alone: not measured now"]


def test_other_machines_are_not_compared(measuring: ModuleType, rows: dict[str, Any]) -> None:
    result = measuring.document(rows.values())
    with pytest.raises(ValueError, match="figures of abacus"):
        measuring.compare(result, {**result, "kind": "abacus"})


def test_a_record_names_no_host_and_no_folder(measuring: ModuleType, rows: dict[str, Any]) -> None:
    text = json.dumps(measuring.document(rows.values()))
    assert socket.gethostname() not in text and str(Path.home()) not in text and "/" not in text
    assert json.loads(text)["versions"]["numpy"] != "absent"


def test_jobs_take_turns_and_time_themselves(measuring: ModuleType) -> None:
    calls = []

    def sleeps() -> None:
        calls.append("sleeps")
        time.sleep(0.01)

    def says() -> float:
        calls.append("says")
        return 42.0

    slept, said = measuring.timed("turns", {"sleeps": sleeps, "says": says}, 2, rival="says", warm=False)
    assert calls == ["sleeps", "says"] * 2
    assert slept.least >= 0.01 and slept.rival == "says" and slept.cpu < 0.01
    assert (said.median, said.least, said.rival, said.repeats) == (42.0, 42.0, "", 2)


def test_committed_figures_can_be_compared(measuring: ModuleType, repository: Path) -> None:
    files = sorted((repository / "benchmarks" / "results").glob("*.json"))
    records = [json.loads(file.read_text()) for file in files]
    for file, record in zip(files, records, strict=True):
        if "rows" in record:  # others have formats of their own
            assert record["kind"] == file.stem
            assert measuring.compare(record, record) == []
            assert "| work | by |" in measuring.markdown(record)
