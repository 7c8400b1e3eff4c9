"""Carrying out jobs one after another, each in a process of its own; what is finished is not done again."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_dainr.bench.job import RUN, Job, Measured
from napari_dainr.errors import DainrError, ResourceError
from napari_dainr.io.atomic import write_text
from napari_dainr.io.state import state_exists
from napari_dainr.progress import show
from napari_dainr.recipe import Event, Finished, Notice, Progress
from napari_dainr.run_folder import RunFolder

__all__ = ["Runner"]

_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from napari_dainr.bench.child import main; sys.exit(main(sys.argv[1:]))"
)


class Runner:
    """Makes fits in ``runs``, or takes those that are there.

    Parameters
    ----------
    snapshot_s
        Seconds between the states that are kept to be scored for curves of quality over time.
    """

    def __init__(self, runs: Path, snapshot_s: float = 4.0, quiet: bool = False) -> None:
        self.runs = runs
        self.snapshot_s = snapshot_s
        self.quiet = quiet
        self.made = self.found = 0
        self.failed: dict[str, str] = {}
        """Name of each fit that could not be made → the sentence that says why."""

    def __call__(self, job: Job, label: str) -> Measured | None:
        """The finished fit; None if it cannot be made, with the reason in :attr:`failed`."""
        folder = job.folder(self.runs)
        done = Measured.load(folder)
        if done is not None:
            self.found += 1
            return done
        if not state_exists(RunFolder(folder / RUN).state_path) and folder.exists():
            # Interrupted before its first checkpoint, or failed: there is nothing to go on from.
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "job.json").exists():
            # One that is there gives the same fit, perhaps by another preset; its checkpoint goes with its own recipe.
            write_text(folder / "job.json", job.as_json())
        try:
            show(self._events(folder), f"{job.name} {label}", self.quiet)
        except DainrError as error:
            self.leave_out(f"{job.name} ({label})", error)
            return None
        self.made += 1
        return Measured.load(folder)

    def leave_out(self, name: str, error: DainrError) -> None:
        """Remember and tell why a fit is not made."""
        self.failed[name] = str(error)
        print(f"napari-dainr: {name} is left out: {error}", file=sys.stderr)

    def say(self, text: str) -> None:
        """A line for the terminal."""
        if not self.quiet:
            print(text, flush=True)

    def _events(self, folder: Path) -> Iterator[Event]:
        """The events of the process that fits; it ends with this iterator."""
        root = str(Path(__file__).resolve().parents[2])
        command = [sys.executable, "-P", "-c", _START, root, str(folder), str(self.snapshot_s)]
        problem: str | None = None
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, text=True
            )
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    told: dict[str, Any] = json.loads(line)
                    if "notice" in told:
                        yield Notice(told["notice"])
                    elif "progress" in told:
                        yield Progress(*told["progress"])
                    problem = told.get("error", problem)
                code = process.wait()
            finally:
                process.stdout.close()
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                process.wait()
            if problem is None and code != 0:
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip().splitlines()
                problem = f"the process that fits ended with code {code} ({said[-1] if said else 'it said nothing'})."
        if problem is not None:
            raise ResourceError(problem)
        done = Measured.load(folder)
        if done is None:
            raise ResourceError("the process that fits left no result; run the benchmark again.")
        run = RunFolder(folder / RUN)
        yield Finished(done.series(), run.recipe(), done.seconds, done.stopped, run.path)
