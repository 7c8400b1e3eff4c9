"""How well runs are forecast: ``python benchmarks/forecast.py [--only N …] [--json OUT]``.

Ten recipes on simulated data: the forecast in one process, the run in another, with its seconds and the most memory
that it adds; so neither finds memory that the other has left. Before the run a tiny one of the same method loads what
is loaded but once. Prints a Markdown table of both and their ratio, and where the time went. Within ±30 % is the aim.
On a machine that is busy with other things the figures say little.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from napari_dainr.data import KSpace
from napari_dainr.forecast import forecast
from napari_dainr.machine import memory_in_use
from napari_dainr.phantom import cine_phantom, liver_phantom, simulate_kspace
from napari_dainr.recipe import Progress, Recipe, run

CASES: list[dict[str, Any]] = [
    {"method": "nufft", "matrix": 192, "frames": 30, "spokes": 13, "coils": 16},
    {"method": "grasp", "matrix": 96, "frames": 24, "spokes": 8, "coils": 8},
    {"method": "grasp", "matrix": 160, "frames": 16, "spokes": 13, "coils": 12, "phantom": "liver"},
    {"method": "lowrank", "matrix": 96, "frames": 30, "spokes": 8, "coils": 8},
    {"method": "lowrank", "matrix": 112, "frames": 20, "spokes": 8, "coils": 6,
     "settings": {"scope": "global", "model": "sum"}},
    {"method": "dainr", "matrix": 96, "frames": 20, "spokes": 8, "coils": 8},
    {"method": "dainr", "matrix": 128, "frames": 12, "spokes": 13, "coils": 10, "phantom": "liver",
     "recipe": {"scale": 2.0, "upsample": 3}, "settings": {"feature_steps": 40}},
    {"method": "tddip", "matrix": 96, "frames": 20, "spokes": 8, "coils": 8, "settings": {"n_steps": 300}},
    {"method": "stinr", "matrix": 96, "frames": 20, "spokes": 8, "coils": 8},
    {"method": "nik", "matrix": 96, "frames": 16, "spokes": 8, "coils": 8, "settings": {"n_steps": 1000}},
]  # fmt: skip


def data(case: dict[str, Any]) -> KSpace:
    matrix = (case["matrix"], case["matrix"])
    liver = case.get("phantom") == "liver"
    image = liver_phantom(matrix, case["frames"])[0] if liver else cine_phantom(matrix, case["frames"], 0)
    return simulate_kspace(image, spokes_per_frame=case["spokes"], n_coils=case["coils"], snr=30)


class Peak:
    """The most resident memory, looked at every few milliseconds; on a GPU what torch says."""

    def __init__(self, device: str) -> None:
        self.device, self.highest = device, memory_in_use(device)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.003):
            self.highest = max(self.highest, psutil.Process().memory_info().rss if self.device == "cpu" else 0)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.device.startswith("cuda"):
            self.highest = torch.cuda.max_memory_allocated()


def recipe_of(case: dict[str, Any], device: str, **settings: int) -> Recipe:
    return Recipe.model_validate(
        {"data": "simulated", "spokes_per_frame": case["spokes"], "method": case["method"], "device": device}
        | {"settings": case.get("settings", {}) | settings} | case.get("recipe", {})
    )  # fmt: skip


def told(case: dict[str, Any], device: str) -> dict[str, Any]:
    """The forecast: the first of a process, which loads what it needs, and the next."""
    kspace, recipe = data(case), recipe_of(case, device)
    took = []
    for _ in range(2):
        begun = time.perf_counter()
        said = forecast(recipe, kspace)
        took.append(time.perf_counter() - begun)
    return {
        "first_forecast_took": took[0], "forecast_took": took[1], "told_seconds": said.seconds,
        "told_memory": said.memory_bytes, "told_parts": said.parts,
    }  # fmt: skip


def taken(case: dict[str, Any], device: str) -> dict[str, Any]:
    """The run."""
    kspace, recipe = data(case), recipe_of(case, device)
    few = {name: 1 for name in ("n_steps", "feature_steps") if name in type(recipe.config()).model_fields}
    list(run(recipe_of(case, device, **few), kspace=data(case | {"matrix": 32, "frames": 3, "coils": 2})))
    gc.collect()
    parts: dict[str, float] = {}
    before = memory_in_use(device)
    with tempfile.TemporaryDirectory() as folder, Peak(device) as peak:
        last = begun = time.perf_counter()
        cpu = time.process_time()
        for event in run(recipe, Path(folder) / "run", kspace=kspace):
            now = time.perf_counter()
            name = event.stage if isinstance(event, Progress) else type(event).__name__.lower()
            parts[name], last = parts.get(name, 0.0) + now - last, now
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return {
        "seconds": seconds, "cpu_seconds": cpu, "memory": peak.highest - before, "parts": parts,
    }  # fmt: skip


def line(case: dict[str, Any], result: dict[str, Any]) -> str:
    n = f"{case['matrix']}² × {case['frames']}, {case['coils']} coils"
    return (
        f"| {case['method']} | {n} | {result['forecast_took']:.1f} | {result['told_seconds']:.1f} "
        f"| {result['seconds']:.1f} | {result['told_seconds'] / result['seconds']:.2f} "
        f"| {result['told_memory'] / 1e6:.0f} | {result['memory'] / 1e6:.0f} "
        f"| {result['told_memory'] / max(result['memory'], 1):.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of cases, from 0")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=("told", "taken"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case is not None:
        part = told if args.part == "told" else taken
        print(json.dumps(part(CASES[args.case], args.device)))
        return
    print("| method | size | forecast took s | told s | took s | ratio | told MB | took MB | ratio |\n|" + "---|" * 9)
    results = []
    for number in args.only or range(len(CASES)):
        results.append({"case": CASES[number]})
        for part in ("told", "taken"):
            command = [sys.executable, __file__, "--case", str(number), "--part", part, "--device", args.device]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            results[-1] |= json.loads(done.stdout.splitlines()[-1])
        print(line(CASES[number], results[-1]), flush=True)
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
