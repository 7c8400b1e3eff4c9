"""Clock, scores, tables and documents."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_dainr.bench import runner as runner_module
from napari_dainr.bench.ablations import feature_choices
from napari_dainr.bench.bench import Bench, Column, table_of, with_settings
from napari_dainr.bench.child import FitClock
from napari_dainr.bench.document import Block, Code, Heading, Picture, Table, Text, as_html, as_markdown
from napari_dainr.bench.job import Job, job_for
from napari_dainr.bench.runner import Runner
from napari_dainr.bench.scoring import cached, roi_errors
from napari_dainr.bench.suite import DataEntry, Suite, make_items, method_choice
from napari_dainr.recipe import Notice, Progress, Saved


def at(step: int, speed: float = 2.0) -> Progress:
    return Progress(step, 10, "s", {}, 0.0, speed, 0.0)


def test_clock_counts_steps_and_nothing_else(tmp_path: Path) -> None:
    clock = FitClock()
    clock.tell(Notice("device cpu"), 1.0)
    clock.tell(Notice("8 coils, 8 used; NUFFT by finufft"), 2.0)
    assert (clock.preparation_s, clock.fit_s) == (3.0, 0.0)
    clock.tell(at(1), 0.5, 0.75)
    state = tmp_path / "state"
    clock.tell(Saved(state, 1), 7.0)  # a checkpoint right behind its step costs the fit nothing
    assert clock.fit_s == 0.5
    clock.tell(Saved(state, 3), 7.0, 7.0)  # two steps at two a second, then a checkpoint
    assert clock.fit_s == 1.5
    assert clock.cpu_s == 1.75
    clock.tell(at(4), 0.5)
    clock.tell(Notice("stopped"), 1.0)
    clock.tell(Saved(state, 4), 1.0)
    clock.tell(Saved(tmp_path, 4), 4.0)
    assert clock.fit_s == 2.0
    assert clock.drawing_s == 4.0
    assert clock.preparation_s == 3.0


def test_region_error_is_what_its_definition_says() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random((6, 9, 8)) + 0.2
    masks = {"a": rng.random((9, 8)) > 0.6, "b": rng.random((9, 8)) > 0.6}
    image = (3.0 * truth + rng.standard_normal(truth.shape) * 0.1) * np.exp(1j * rng.random(truth.shape))
    r = np.abs(image)
    factor = np.vdot(r, truth) / np.vdot(r, r)
    for name, error in roi_errors(image, truth, masks).items():
        found = np.array([(factor * frame)[masks[name]].mean() for frame in r])
        true = np.array([frame[masks[name]].mean() for frame in truth])
        expected = np.sqrt(np.mean((found - true) ** 2)) / (true.max() - true.min())
        assert error == pytest.approx(expected, rel=1e-9)
    assert roi_errors(7 * truth, truth, masks)["a"] == pytest.approx(0, abs=1e-12)


def test_figures_are_made_again_when_what_judges_them_changes(tmp_path: Path) -> None:
    made = []

    def make() -> dict[str, float]:
        made.append(1)
        return {"x": float(len(made))}

    assert cached(tmp_path, "f", "one", make) == {"x": 1.0}
    assert cached(tmp_path, "f", "one", make) == {"x": 1.0}
    assert cached(tmp_path, "f", "two", make) == {"x": 2.0}
    (tmp_path / "f.json").write_text("{", encoding="utf-8")
    assert cached(tmp_path, "f", "two", make) == {"x": 3.0}


def test_table_marks_the_best_and_leaves_out_what_nobody_has() -> None:
    columns = [Column("up", "up", 1, 1), Column("down", "down", 2, -1), Column("none", "none", 1, 1)]
    rows = [("a", {"up": [1.0, 2.0], "down": [0.5]}), ("b", {"up": [4.0], "down": [0.25]}), ("c", {})]
    table = table_of("method", rows, columns)
    assert table.head == ["method", "up", "down"]
    assert table.rows == [["a", "1.5 ± 0.7", "0.50"], ["b", "**4.0**", "**0.25**"], ["c", "–", "–"]]


def test_document_in_both_forms(tmp_path: Path) -> None:
    Image.new("L", (3, 2)).save(tmp_path / "p.png")
    blocks: list[Block] = [
        Heading(1, "A < B"),
        Text("**bold** and `code`"),
        Code("$ x > y", "console"),
        Table(["a", "b"], [["1|2", "**3**"]], "cap"),
        Picture("p.png", "what it shows"),
    ]
    text = as_markdown(blocks)
    assert text.startswith("# A < B\n\n**bold** and `code`\n\n```console\n$ x > y\n```\n")
    assert "| 1\\|2 | **3** |" in text
    assert "![p](p.png)\n\n*what it shows*" in text
    page = as_html(blocks, tmp_path)
    assert "<h1>A &lt; B</h1>" in page
    assert "<strong>bold</strong> and <code>code</code>" in page
    assert "<td>1|2</td><td><strong>3</strong></td>" in page
    assert re.search(r'src="data:image/png;base64,[A-Za-z0-9+/=]{20,}"', page)


def test_table_of_features_names_every_choice_and_one_default() -> None:
    labels = [choice.label for choice in feature_choices()]
    assert {"none", "nufft", "mdsr of the NuFFT"} <= set(labels)
    assert sum("default" in label for label in labels) == 1


def test_a_variant_that_cannot_be_is_left_out_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = load_suite_of(tmp_path)
    bench = Bench(make_items(suite, tmp_path / "data"), None, {}, Runner(tmp_path / "runs", quiet=True), tmp_path)
    choice = with_settings(method_choice("dainr"), {"feature": "nufft", "extractor": "mdsr"}, "MDSR")
    assert bench.fit(bench.items[0], choice) is None
    ((name, reason),) = bench.runner.failed.items()
    assert name == "c-dainr (MDSR)"
    assert "extractor_weights" in reason
    assert "MDSR" in capsys.readouterr().err


def test_budgets_stand_before_each_other(tmp_path: Path) -> None:
    suite = load_suite_of(tmp_path)
    bench = Bench(make_items(suite, tmp_path / "data"), None, {}, Runner(tmp_path / "runs"), tmp_path)
    item, choice = bench.items[0], method_choice("nufft")
    assert bench.job(item, choice).budget_s is None
    assert replace(bench, budget_s=9.0).job(item, choice).budget_s == 9
    limited = replace(item, budget_s=7.0)
    assert replace(bench, budget_s=9.0).job(limited, choice).budget_s == 7
    assert replace(bench, study_s=3.0).job(limited, choice).budget_s == 3
    assert replace(bench, study_s=3.0, forced_s=1.0).job(limited, choice).budget_s == 1


def test_a_finished_job_names_files_without_their_folders(tmp_path: Path) -> None:
    suite = load_suite_of(tmp_path)
    (item,) = make_items(suite, tmp_path / "data")
    settings = {"feature": "nufft", "extractor": "edsr", "extractor_weights": str(tmp_path / "anna" / "edsr.pt")}
    job = job_for(item, with_settings(method_choice("dainr"), settings, "EDSR"))
    whole, names = job.as_json(paths=True), job.as_json(paths=False)
    assert Job.from_json(whole) == job
    assert str(tmp_path) in whole and str(tmp_path) not in names and "anna" not in names
    again = Job.from_json(names)
    assert (again.recipe.data, again.recipe.settings["extractor_weights"]) == (item.path.name, "edsr.pt")


def test_a_crash_is_told_without_the_folders_it_speaks_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner_module, "_START", "raise OSError('/home/anna/scan.h5')")
    (item,) = make_items(load_suite_of(tmp_path), tmp_path / "data")
    runner = Runner(tmp_path / "runs", quiet=True)
    assert runner(job_for(item, method_choice("nufft")), "NuFFT") is None
    assert list(runner.failed.values()) == ["the process that fits ended with code 1 (OSError)."]
    assert "/home/anna/scan.h5" in capsys.readouterr().err


def load_suite_of(folder: Path) -> Suite:
    """A suite of one tiny phantom."""
    entry = DataEntry(name="c", phantom="cine", matrix=16, frames=2, coils=2)
    return Suite([entry], folder, None, {}, None, 1)
