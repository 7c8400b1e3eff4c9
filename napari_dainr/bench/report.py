"""A whole benchmark: studies one after another, the report written anew after each."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from napari_dainr import RESEARCH_USE, __version__
from napari_dainr.bench import ablations, interpolation
from napari_dainr.bench.bench import Bench
from napari_dainr.bench.document import Block, Code, Heading, Picture, Table, Text, as_markdown, write_report
from napari_dainr.bench.reconstruction import reconstruction
from napari_dainr.io.atomic import copy_file, write_text
from napari_dainr.machine import cores

__all__ = ["run_bench", "write_page"]

PICTURES = "pictures"
PACKAGES = ("numpy", "torch", "finufft", "numba", "scikit-image")
DRAW: dict[str, Callable[[Bench], list[Block]]] = {
    "methods": reconstruction,
    "lambda": ablations.lambda_sweep,
    "bart": ablations.outside,
    "spatial": interpolation.spatial,
    "temporal": interpolation.temporal,
    "encoders": ablations.encoders,
    "extractors": ablations.extractors,
    "sensitivity": ablations.sensitivity,
}
"""Study → what runs it and tells of it."""
TIMED = ("methods", "bart")
"""Studies whose seconds matter: one fit at a time, on all threads."""


def run_bench(bench: Bench, studies: list[str], folder: Path, command: str) -> list[Block]:
    """Run studies and write ``report.md`` and ``report.html`` after each.

    Parameters
    ----------
    studies
        Names of :data:`DRAW`, in the order of the report.
    command
        What was typed, without paths, to be shown.

    Returns
    -------
    The blocks of the report.
    """
    told: list[Block] = []
    blocks: list[Block] = []
    for study in studies:
        own = replace(bench, study_s=bench.choice(study).budget_s)
        if bench.jobs > 1 and study not in TIMED:
            own = replace(own, threads=max(1, (bench.threads or cores()) // bench.jobs))
            bench.runner.ahead(partial(DRAW[study], own), bench.jobs)
        told += DRAW[study](own)
        blocks = [*_head(bench, command), *told, *_tail(bench)]
        write_report(blocks, folder)
    return blocks


def _head(bench: Bench, command: str) -> list[Block]:
    seeds = "one seed" if bench.seeds == 1 else f"{bench.seeds} seeds (mean ± standard deviation)"
    limit = bench.budget_s if bench.forced_s is None else bench.forced_s
    budget = "as many steps as each method asks for" if limit is None else f"at most {limit:g} s of fitting"
    own = [f"{item.name}: {item.budget_s:g} s" for item in bench.items if item.budget_s]
    own += [f"study {name}: {study.budget_s:g} s" for name, study in bench.studies.items() if study.budget_s]
    if own and bench.forced_s is None:
        budget += f" ({', '.join(own)})"
    if bench.jobs > 1:
        budget += f"; {bench.jobs} fits at a time with fewer threads each in the studies below that compare no times"
    data = [
        [
            item.name,
            "–" if item.truth is None else " × ".join(str(n) for n in item.truth.shape),
            str(item.spokes_per_frame),
            "yes" if item.truth is not None else "no",
            "yes" if item.reference is not None else "no",
            ", ".join(item.rois) or "–",
            item.digest[:12],
        ]
        for item in bench.items
    ]
    return [
        Heading(1, "Benchmarks"),
        Text(f"{RESEARCH_USE} Made by `napari-dainr bench`; every figure below comes from this command:"),
        Code(f"$ {command}", "console"),
        Text(
            f"{_machine()}, {bench.threads or cores()} threads. {_versions()}. {seeds[0].upper()}{seeds[1:]}, "
            f"{budget}. Every method gets the same samples, the same virtual coils and the same coil maps. Each fit "
            "is a process of its own: `fit` is wall time of its start and its steps, without checkpoints, scoring "
            "and drawing, `CPU` is the processor time of all its threads; its memory is the largest resident size of "
            "the process, interpreter and libraries included. Scores are means over frames. The first fit of a "
            "method may include compiling. Other work on the machine, if any, makes seconds longer, and where a "
            "budget ends a fit, the fit shorter."
        ),
        Table(["data", "frame × y × x", "spokes", "truth", "noisy reference", "regions", "sha256"], data),
    ]


def _tail(bench: Bench) -> list[Block]:
    if not bench.runner.failed:
        return []
    lines = [[name, reason] for name, reason in bench.runner.failed.items()]
    return [Heading(2, "Left out"), Table(["fit", "reason"], lines)]


def _machine() -> str:
    """Processor and system, without the machine's name."""
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    try:
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    except (AttributeError, ValueError, OSError):
        memory = ""
    return f"{model}, {cores()} cores{memory}, {platform.system()}"


def _versions() -> str:
    found = [f"napari-dainr {__version__}", f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def write_page(blocks: list[Block], folder: Path, page: Path) -> None:
    """The report as a page of a documentation: Markdown, with its pictures in a folder of the page's name beside it."""
    pictures = page.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        if isinstance(block, Picture):
            copy_file(folder / block.path, pictures / Path(block.path).name)
    text = as_markdown(blocks).replace(f"]({PICTURES}/", f"]({pictures.name}/")
    write_text(page, text)
