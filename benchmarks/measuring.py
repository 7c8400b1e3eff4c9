"""What ``make bench`` is made of: timing side by side, a record with its machine, comparison with the last one.

A row is one way of doing one thing. Within a group the rows take turns, so that a disturbance meets all of them, and a
row that has a rival is judged by the ratio of their least times: other work on the machine makes times longer, never
shorter, so that the least of several is what it disturbs least.
"""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FOLDER",
    "SLOWER",
    "WORSE_DB",
    "Row",
    "compare",
    "document",
    "last_committed",
    "machine_kind",
    "markdown",
    "timed",
    "turns",
]

SLOWER = 0.30
"""A row has become slower where its ratio to its rival fell by more than this fraction, or, without a rival, its CPU
seconds rose by more."""
WORSE_DB = 0.1
"""A fit has become worse where it lost more than this in psnr_fit."""
FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """Seconds of one job: median, least and most by the clock, median CPU seconds of all threads and children."""

    group: str
    name: str
    median: float
    least: float
    most: float
    cpu: float
    repeats: int
    rival: str = ""
    """The row of the group that this one is compared with; empty for rivals themselves."""
    psnr: float | None = None
    ssim: float | None = None


def _cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def turns(
    jobs: Mapping[str, Callable[[], object]], repeats: int, *, warm: int = 1, counted: int = 1
) -> dict[str, NDArray[np.float64]]:
    """Seconds of jobs that take turns, by name: (call, 2), by the clock and of the processor.

    In every turn a job is called ``warm`` times, which do not count, so that it is measured as in a fit and not with
    the caches full of its rival's data, and then ``counted`` times. What a job leaves running on a GPU is waited for. A
    job that returns a float has timed itself: that many seconds count instead of the clock's.
    """
    torch = sys.modules.get("torch")  # a benchmark that has not loaded it uses no GPU
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            for call in range(warm + counted):
                cpu, begun = _cpu(), time.perf_counter()
                own = job()
                if torch is not None and torch.cuda.is_available():
                    torch.cuda.synchronize()
                if call >= warm:
                    wall = own if isinstance(own, float) else time.perf_counter() - begun
                    taken[name].append((wall, _cpu() - cpu))
    return {name: np.array(pairs) for name, pairs in taken.items()}


def timed(
    group: str,
    jobs: dict[str, Callable[[], object]],
    repeats: int,
    rival: str = "",
    quality: dict[str, tuple[float, float]] | None = None,
    warm: bool = True,
) -> list[Row]:
    """Rows of jobs that take turns.

    Parameters
    ----------
    jobs
        By name; see `turns`.
    rival
        Name of the job with which those named before it in ``jobs`` are compared.
    quality
        psnr_fit and ssim_fit by name, filled by the jobs while they run.
    warm
        Whether every turn begins with a call that does not count.
    """
    names = list(jobs)
    ours = names[: names.index(rival)] if rival else []
    rows = []
    for name, pairs in turns(jobs, repeats, warm=int(warm)).items():
        wall, used = pairs.T
        psnr, ssim = (quality or {}).get(name, (None, None))
        seconds = float(np.median(wall)), float(wall.min()), float(wall.max()), float(np.median(used))
        rows.append(Row(group, name, *seconds, repeats, rival if name in ours else "", psnr, ssim))
    return rows


def machine_kind() -> str:
    """Processor, cores and GPU as a file name; machines of one kind share it, and no host is named."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        name = next((line.split(":")[1] for line in info.read_text().splitlines() if "model name" in line), name)
    words = re.sub(r"\(.*?\)|processor|cpu|@.*", "", name, flags=re.IGNORECASE)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return re.sub(r"[^a-z0-9]+", "-", f"{words} {platform.machine()} {cores} cores".lower()).strip("-")


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def document(rows: Iterable[Row], **facts: str) -> dict[str, Any]:
    """Everything of a run that may be committed."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=FOLDER.parent, check=False
    )
    packages = ("napari-dainr", "torch", "numpy", "numba", "finufft", "torchkbnufft")
    return {
        "kind": machine_kind(),
        "commit": commit.stdout.strip() or "unknown",
        "versions": {"python": platform.python_version()} | {name: _installed(name) for name in packages} | facts,
        "rows": [asdict(row) for row in rows],
    }


def _ratio(row: dict[str, Any], rows: list[dict[str, Any]]) -> float | None:
    """How many times as fast as its rival, by the least times."""
    for other in rows:
        if row["rival"] and (other["group"], other["name"]) == (row["group"], row["rival"]):
            return float(other["least"] / row["least"])
    return None


def compare(new: dict[str, Any], old: dict[str, Any]) -> list[str]:
    """Sentences about what became slower or worse since ``old``; empty where nothing did.

    Raises
    ------
    ValueError
        If they are of different kinds of machine, whose figures cannot be compared.
    """
    if new["kind"] != old["kind"]:
        raise ValueError(f"these are figures of {old['kind']}, not of {new['kind']}")
    before = {(row["group"], row["name"]): row for row in old["rows"]}
    found = []
    for row in new["rows"]:
        last = before.pop((row["group"], row["name"]), None)
        if last is None:
            continue
        what = f"{row['group']}, {row['name']}"
        now, then = _ratio(row, new["rows"]), _ratio(last, old["rows"])
        if now is not None and then is not None:
            if now < (1 - SLOWER) * then:
                found.append(f"{what}: {now:.2f} times as fast as {row['rival']}, it was {then:.2f}")
        elif not _is_rival(row, new["rows"]) and row["cpu"] > (1 + SLOWER) * last["cpu"]:
            found.append(f"{what}: {row['cpu']:.3g} CPU s, it was {last['cpu']:.3g}")
        if row["psnr"] is not None and last["psnr"] is not None and row["psnr"] < last["psnr"] - WORSE_DB:
            found.append(f"{what}: {row['psnr']:.2f} dB, it was {last['psnr']:.2f}")
    ours = [key for key, row in before.items() if not _is_rival(row, old["rows"])]
    return found + [f"{group}, {name}: not measured now" for group, name in ours]


def _is_rival(row: dict[str, Any], rows: list[dict[str, Any]]) -> bool:
    return any((other["group"], other["rival"]) == (row["group"], row["name"]) for other in rows)


def last_committed(kind: str) -> dict[str, Any] | None:
    """What the repository's newest commit holds for a kind of machine."""
    path = f"benchmarks/results/{kind}.json"
    shown = subprocess.run(
        ["git", "show", f"HEAD:{path}"], capture_output=True, text=True, cwd=FOLDER.parent, check=False
    )
    if shown.returncode == 0:
        return dict(json.loads(shown.stdout))
    file = FOLDER / f"{kind}.json"  # a copy of the sources without git
    return dict(json.loads(file.read_text())) if file.exists() else None


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def markdown(result: dict[str, Any]) -> str:
    """All rows as one table."""
    heads = ["work", "by", "median", "least … most", "CPU", "times as fast", "psnr_fit / ssim_fit"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in result["rows"]:
        ratio = _ratio(row, result["rows"])
        against = "" if ratio is None else f"{ratio:.1f} × {row['rival']}"
        scores = "" if row["psnr"] is None else f"{row['psnr']:.2f} / {row['ssim']:.4f}"
        spread = f"{_seconds(row['least'])} … {_seconds(row['most'])}"
        cells = [row["group"], row["name"], _seconds(row["median"]), spread, _seconds(row["cpu"]), against, scores]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
