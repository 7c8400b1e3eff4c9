"""Carrying out jobs one after another, each in a process of its own; what is finished is not done again."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from napari_dainr.bench.job import JOB, RUN, SNAPSHOTS, Job, Measured
from napari_dainr.errors import DainrError, ResourceError
from napari_dainr.io.atomic import write_text
from napari_dainr.io.state import state_exists
from napari_dainr.progress import show
from napari_dainr.recipe import Event, Finished, Notice, Progress
from napari_dainr.run_folder import RunFolder

__all__ = ["Runner"]

CHECKPOINT_S = 30.0
"""Seconds between checkpoints where no states are kept."""
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
        self._asked: list[tuple[Job, str]] | None = None

    def ahead(self, study: Callable[[], object], jobs: int) -> None:
        """Make the fits that a study will ask for, ``jobs`` of them at a time.

        The study is called once with nothing to be had, to see what it asks for; it must take that as it takes fits
        that cannot be made.
        """
        self._asked = []
        try:
            study()
            asked = {job.key: (job, label) for job, label in self._asked}
        finally:
            self._asked = None
        wanted = [one for one in asked.values() if Measured.load(one[0].folder(self.runs)) is None]
        self.say(f"{len(wanted)} fits, {jobs} at a time")
        pool = ThreadPoolExecutor(jobs)
        try:
            for number, name in enumerate(pool.map(self._one_of_many, wanted), 1):
                self.say(f"  {number}/{len(wanted)} {name}")
        finally:
            # After Ctrl-C only those under way are waited for; their processes were interrupted too.
            pool.shutdown(cancel_futures=True)

    def _one_of_many(self, one: tuple[Job, str]) -> str:
        job, label = one
        self._make(job, label, False, quiet=True)
        return f"{job.name} {label}"

    def __call__(self, job: Job, label: str, states: bool = False) -> Measured | None:
        """The finished fit; None if it cannot be made, with the reason in :attr:`failed`.

        With ``states`` those along the way are kept, to be scored.
        """
        if self._asked is not None:
            self._asked.append((job, label))
            return None
        done = Measured.load(job.folder(self.runs))
        if done is not None:
            self.found += 1
            return done
        if f"{job.name} ({label})" in self.failed:
            return None
        return self._make(job, label, states, self.quiet)

    def _make(self, job: Job, label: str, states: bool, quiet: bool) -> Measured | None:
        folder = job.folder(self.runs)
        if not state_exists(RunFolder(folder / RUN).state_path) and folder.exists():
            # Interrupted before its first checkpoint, or failed: there is nothing to go on from.
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / JOB).exists():
            # One that is there gives the same fit, perhaps by another preset; its checkpoint goes with its own recipe.
            write_text(folder / JOB, job.as_json(paths=True))
        try:
            show(self._events(folder, self.snapshot_s if states else CHECKPOINT_S), f"{job.name} {label}", quiet)
        except DainrError as error:
            self.leave_out(f"{job.name} ({label})", error)
            return None
        if not states:
            shutil.rmtree(folder / SNAPSHOTS, ignore_errors=True)
        self.made += 1
        return Measured.load(folder)

    def leave_out(self, name: str, error: DainrError) -> None:
        """Remember and tell why a fit is not made."""
        if self._asked is not None:
            return
        self.failed[name] = str(error)
        print(f"napari-dainr: {name} is left out: {error}", file=sys.stderr)

    def say(self, text: str) -> None:
        """A line for the terminal."""
        if not self.quiet:
            print(text, flush=True)

    def _events(self, folder: Path, interval_s: float) -> Iterator[Event]:
        """The events of the process that fits; it ends with this iterator."""
        root = str(Path(__file__).resolve().parents[2])
        command = [sys.executable, "-P", "-c", _START, root, str(folder), str(interval_s)]
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
                said = complaints.read().decode(errors="replace").strip()
                print(said, file=sys.stderr)
                # By its kind alone: what an error says may name a folder, and the report goes out.
                kind = said.splitlines()[-1].partition(":")[0] if said else "it said nothing"
                problem = f"the process that fits ended with code {code} ({kind})."
        if problem is not None:
            raise ResourceError(problem)
        done = Measured.load(folder)
        if done is None:
            raise ResourceError("the process that fits left no result; run the benchmark again.")
        run = RunFolder(folder / RUN)
        yield Finished(done.series(), run.recipe(), done.seconds, done.stopped, run.path)
