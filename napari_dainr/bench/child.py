"""The process that fits: one job, timed step by step, its memory its own.

Events go to standard output as lines of JSON. States are kept as hard links to the checkpoints, so that they can be
drawn and scored afterwards by another process and cost neither time nor memory here.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from napari_dainr.bench.job import CLOCK, JOB, RESULT, RUN, SNAPSHOTS, Job
from napari_dainr.bench.memory import gpu_memory, peak_memory
from napari_dainr.errors import DainrError
from napari_dainr.io import read_kspace
from napari_dainr.io.atomic import write_text
from napari_dainr.io.state import state_exists
from napari_dainr.recipe import Event, Finished, Notice, Progress, Saved, run
from napari_dainr.run_folder import RunFolder

__all__ = ["FitClock", "main"]

PREPARED = "NUFFT by"
"""In the notice that the engine gives once coils, maps and transform are ready: the fit begins behind it."""


class FitClock:
    """Wall and processor time of the parts of a run, from how long each event took to come.

    A checkpoint and the drawing come between steps; where steps and a checkpoint lie before one event, the steps are
    counted at the speed that was told last.
    """

    def __init__(
        self, fit_s: float = 0.0, snapshots: list[tuple[int, float]] | None = None, cpu_s: float = 0.0
    ) -> None:
        self.preparation_s = self.drawing_s = 0.0
        self.fit_s = fit_s
        self.cpu_s = cpu_s
        self.snapshots = list(snapshots or [])
        self.step = 0
        self.prepared = False
        self._speed = 0.0

    def tell(self, event: Event, spent_s: float, cpu_s: float = 0.0) -> None:
        """Count the seconds that passed before an event, by the clock and on all processors."""
        if not self.prepared:
            self.preparation_s += spent_s
            self.prepared = isinstance(event, Notice) and PREPARED in event.text
        elif isinstance(event, Progress):
            self.fit_s += spent_s
            self.cpu_s += cpu_s
            self.step, self._speed = event.step, event.steps_per_s
        elif isinstance(event, Saved) and event.step > self.step:
            steps_s = min(spent_s, (event.step - self.step) / max(self._speed, 1e-9))
            self.fit_s += steps_s
            self.cpu_s += cpu_s * steps_s / max(spent_s, 1e-9)
            self.step = event.step
        elif (isinstance(event, Saved) and event.path.is_dir()) or isinstance(event, Finished):
            self.drawing_s += spent_s


def main(arguments: list[str]) -> int:
    """``FOLDER SNAPSHOT_SECONDS``: fit the job of a folder, going on from a checkpoint where there is one."""
    folder, interval = Path(arguments[0]), float(arguments[1])
    try:
        _fit(Job.from_json((folder / JOB).read_text(encoding="utf-8")), folder, interval)
    except DainrError as error:
        _say({"error": str(error)})
        return 2
    return 0


def _say(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)


def _fit(job: Job, folder: Path, interval: float) -> None:
    target = folder / RUN
    resume = state_exists(RunFolder(target).state_path)
    clock = _clock(folder) if resume else FitClock()
    (folder / SNAPSHOTS).mkdir(exist_ok=True)
    stop = threading.Event()
    began = time.monotonic()
    kspace = job.kspace(read_kspace(Path(job.recipe.data)))
    clock.preparation_s = time.monotonic() - began
    events = run(job.recipe, target, kspace=kspace, resume=resume, stop=stop, checkpoint_s=interval)
    before = time.monotonic(), time.process_time()
    for event in events:
        clock.tell(event, time.monotonic() - before[0], time.process_time() - before[1])
        if isinstance(event, Notice):
            _say({"notice": event.text})
        elif isinstance(event, Progress):
            if job.budget_s is not None and clock.fit_s >= job.budget_s:
                stop.set()
            _say(
                {
                    "progress": [
                        event.step,
                        event.n_steps,
                        event.stage,
                        event.losses,
                        clock.fit_s,
                        event.steps_per_s,
                        event.eta_s,
                    ]
                }
            )
        elif isinstance(event, Saved) and event.path.is_file():
            _keep(event, clock, folder)
        elif isinstance(event, Finished):
            facts = {
                "preparation_s": clock.preparation_s,
                "fit_s": clock.fit_s,
                "cpu_s": clock.cpu_s,
                "drawing_s": clock.drawing_s,
                "peak_bytes": peak_memory(),
                "gpu_bytes": gpu_memory(event.recipe.device),
                "step": event.series.info["step"],
                "n_steps": event.series.info["n_steps"],
                "stopped": event.stopped,
                "snapshots": clock.snapshots,
            }
            write_text(folder / RESULT, json.dumps(facts, indent=1) + "\n")
            # Nothing is left to be done with the paths; as in any run folder, recipe.json alone keeps them.
            write_text(folder / JOB, job.as_json(paths=False))
        before = time.monotonic(), time.process_time()


def _keep(event: Saved, clock: FitClock, folder: Path) -> None:
    """Link the checkpoint, so that the next one does not take it away, and write down the time that it stands for."""
    kept = folder / SNAPSHOTS / f"{event.step:08d}.safetensors"
    if not kept.exists():
        os.link(event.path, kept)
        os.link(event.path.with_name(event.path.name + ".sha256"), kept.with_name(kept.name + ".sha256"))
        clock.snapshots.append((event.step, clock.fit_s))
    write_text(
        folder / CLOCK, json.dumps({"fit_s": clock.fit_s, "cpu_s": clock.cpu_s, "snapshots": clock.snapshots}) + "\n"
    )


def _clock(folder: Path) -> FitClock:
    """The clock as it stood at the last checkpoint."""
    try:
        facts = json.loads((folder / CLOCK).read_text(encoding="utf-8"))
        kept = [(int(step), float(seconds)) for step, seconds in facts["snapshots"]]
        return FitClock(facts["fit_s"], kept, facts["cpu_s"])
    except (OSError, ValueError, KeyError):
        return FitClock()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
