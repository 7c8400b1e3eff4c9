"""A run on disk: recipe, series, fitted state, provenance and log in one folder that can be reopened."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from napari_dainr import RESEARCH_USE, __version__
from napari_dainr.data import ImageSeries, KSpace
from napari_dainr.errors import ExportError, InputError, reason_of
from napari_dainr.io.atomic import clear_unfinished, is_unfinished, write_text
from napari_dainr.io.failpoints import reached
from napari_dainr.io.lock import LOCK, FolderLock
from napari_dainr.io.series import load_series, save_series
from napari_dainr.io.state import state_completed, state_exists
from napari_dainr.recipe import Event, Notice, Progress, Recipe, Saved, load_recipe, save_recipe

__all__ = ["RunFolder", "facts_of"]

PACKAGES = ("numpy", "torch", "finufft", "numba", "torchkbnufft", "cufinufft", "scipy")


class RunFolder:
    """Paths and rules of one run folder.

    ``recipe.json``, ``series.npy`` + ``series.json``, ``state.safetensors``, ``provenance.json``, ``log.csv``.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.state_path = self.path / "state.safetensors"
        self._made = self._fresh = False
        self._lock = FolderLock(self.path)

    def snapshot_path(self, step: int) -> Path:
        """Folder of the series kept at a step of the fit."""
        return self.path / "snapshots" / f"step-{step:06d}"

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to resume from; a run that was killed before can only begin anew."""
        return state_completed(self.state_path)

    def recipe(self) -> Recipe:
        """The recipe of this run; raises InputError where there is none."""
        if not (self.path / "recipe.json").is_file():
            raise InputError(
                f"{self.path.name}: is not a run folder: it holds no recipe.json; give a folder made by recon."
            )
        return load_recipe(self.path / "recipe.json")

    def provenance(self) -> dict[str, Any]:
        """How the series came about; raises InputError where it is not said or damaged."""
        try:
            facts = json.loads((self.path / "provenance.json").read_text(encoding="utf-8"))
            return {
                name: facts[name] for name in ("step", "stopped", "series_sha256", "input", "rendered_from")
            } | facts
        except OSError as error:
            raise InputError(
                f"{self.path.name}/provenance.json: cannot be read ({reason_of(error)}); give a finished run."
            ) from None
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{self.path.name}/provenance.json: is damaged; repeat the run.") from None

    def series(self) -> ImageSeries:
        """The series of this run; raises InputError where there is none."""
        return load_series(self.path)

    def check_for(self, recipe: Recipe, resume: bool) -> None:
        """Check that the folder is free for a new run, or holds the run to be resumed; changes nothing.

        Raises
        ------
        InputError
            If the folder is already in use, or holds another run than the one to resume, or another process is
            writing to it.
        ExportError
            If it cannot be read.
        """
        self._lock.check()
        if resume:
            stored = self.recipe()
            differs = [
                name
                for name in Recipe.model_fields
                if name not in ("schema_version", "threads", "device")
                and getattr(stored, name) != getattr(recipe, name)
            ]
            if differs:
                raise InputError(
                    f"{self.path.name}: holds a run with another {differs[0]} "
                    f"({getattr(stored, differs[0])!r}, not {getattr(recipe, differs[0])!r}); "
                    "resume it with its own settings or choose a new folder."
                )
            return
        try:
            in_use = self.path.is_file() or (
                self.path.is_dir() and not all(is_unfinished(path) or path.name == LOCK for path in self.path.iterdir())
            )
        except OSError as error:
            raise ExportError(
                f"{self.path.name}: the output folder cannot be used ({reason_of(error)}); choose another."
            ) from None
        if in_use:
            raise InputError(
                f"{self.path.name}: already exists and is not empty; choose a new folder, or --resume to go on with it."
            )

    def open_for(self, recipe: Recipe, resume: bool) -> None:
        """Make the folder for a new run, or go on with the one in it; :meth:`close` lets others write there again.

        Raises
        ------
        InputError
            As :meth:`check_for`, or if another process is writing to the folder.
        ExportError
            If it cannot be made or written.
        """
        self.check_for(recipe, resume)
        if not resume:
            self._made, self._fresh = not self.path.exists(), True
            self._make()
        self._take()
        try:
            self.check_for(recipe, resume)  # again: two may have found it free
            clear_unfinished(self.path)
            if not resume:
                reached("made folder")
                save_recipe(recipe, self.path / "recipe.json")
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExportError(
                f"{self.path.name}: the output folder cannot be made ({reason_of(error)}); choose another place."
            ) from None

    def _take(self) -> None:
        if not os.access(self.path, os.W_OK):
            raise ExportError(f"{self.path.name}: the output folder is not writable; choose another place.")
        try:
            self._lock.take()
        except OSError as error:
            raise ExportError(
                f"{self.path.name}: the output folder is not writable ({reason_of(error)}); choose another place."
            ) from None

    @property
    def kept_apart(self) -> bool:
        """Whether other processes are kept out of the folder; not so where its file system knows no locks."""
        return self._lock.kept

    def close(self) -> None:
        """Let others write to the folder."""
        self._lock.release()

    def abandon(self) -> None:
        """After a failure: take away a folder of our own making that holds nothing worth resuming.

        Otherwise the second, corrected try would be told that the folder is already in use.
        """
        if state_exists(self.state_path) or not self._fresh or (self.path / "snapshots").exists():
            return
        for name in ("recipe.json", "log.csv", "log.txt"):
            (self.path / name).unlink(missing_ok=True)
        self.close()
        if self._made:
            # Not empty any more: somebody else put something there, and it stays.
            with contextlib.suppress(OSError):
                self.path.rmdir()

    def rewind_log(self, step: int) -> None:
        """Take out of ``log.csv`` what lies after a step, or was cut off: a run goes on from there."""
        path = self.path / "log.csv"
        if not path.is_file():
            return
        head, *rows = path.read_text(encoding="utf-8").splitlines(keepends=True) or [""]
        kept = [row for row in rows if row.endswith("\n") and _step_of(row) <= step]
        if kept:
            write_text(path, "".join([head, *kept]))
        else:
            path.unlink()

    def log(self, event: Event) -> None:
        """Append progress to ``log.csv`` and other events to ``log.txt``."""
        try:
            if isinstance(event, Progress):
                lines = [
                    f"{event.step},{event.stage},{event.seconds:.3f},{name},{value:.8g}\n"
                    for name, value in event.losses.items()
                ]
                new = not (self.path / "log.csv").exists()
                with (self.path / "log.csv").open("a", encoding="utf-8") as file:
                    file.writelines(["step,stage,seconds,loss,value\n", *lines] if new else lines)
            elif isinstance(event, Notice | Saved):
                text = event.text if isinstance(event, Notice) else f"saved {event.path.name} at step {event.step}"
                with (self.path / "log.txt").open("a", encoding="utf-8") as file:
                    file.write(text + "\n")
        except OSError as error:
            raise ExportError(
                f"{self.path.name}: the log cannot be written ({reason_of(error)}); make room or choose another place."
            ) from None

    def finish(
        self,
        series: ImageSeries,
        recipe: Recipe,
        data: dict[str, Any] | None,
        seconds: float,
        stopped: bool,
        step: int,
        peak_memory_bytes: int,
        rendered_from: str | None = None,
    ) -> None:
        """Write the series and how it came about; ``data`` is what :func:`facts_of` says."""
        digest = save_series(series, self.path)
        provenance: dict[str, Any] = {
            "notice": RESEARCH_USE,
            "napari_dainr": __version__,
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            "packages": {name: _version(name) for name in PACKAGES},
            "recipe": recipe.shareable(),
            "settings": recipe.config().shareable(recipe.config().model_dump()),
            "input": data,
            "rendered_from": rendered_from,
            "step": step,
            "stopped": stopped,
            "seconds": round(seconds, 3),
            "peak_memory_bytes": peak_memory_bytes,
            "series_sha256": digest,
        }
        write_text(self.path / "provenance.json", json.dumps(provenance, indent=2, ensure_ascii=False) + "\n")


def _step_of(row: str) -> float:
    """Step of a row of the log; infinite where the row is not whole."""
    first, *others = row.split(",")
    return int(first) if first.isdigit() and len(others) >= 4 else math.inf


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def facts_of(kspace: KSpace) -> dict[str, Any]:
    """What identifies the data without naming file, place or person."""
    return {
        "kdata_sha256": hashlib.sha256(np.ascontiguousarray(kspace.kdata).view(np.uint8).data).hexdigest(),
        "kdata_shape": list(kspace.kdata.shape),
        "detected": kspace.detected,
        "assumed": kspace.assumed,
    }
