"""Carrying out a recipe: the one place for devices, threads, previews, checkpoints, stopping and run folders."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from napari_dainr.clock import Clock
from napari_dainr.data import ImageSeries, KSpace, bin_spokes
from napari_dainr.errors import DainrError, InputError, ResourceError, is_out_of_memory
from napari_dainr.inr.parallel import set_threads
from napari_dainr.io import read_kspace
from napari_dainr.io.series import save_series
from napari_dainr.io.state import load_state, save_state
from napari_dainr.machine import MemoryWatch, cores, give_back_memory, torch_on_one_thread
from napari_dainr.methods.base import Method, Problem
from napari_dainr.methods.fit import fit, make_method
from napari_dainr.methods.held_out import HeldOut, hold_out
from napari_dainr.methods.problem import make_problem
from napari_dainr.recipe import HELD_OUT, Event, Finished, Notice, Preview, Recipe, Saved, recipe_from
from napari_dainr.run_folder import RunFolder, facts_of
from napari_dainr.series_grid import SeriesGrid

__all__ = ["render", "resolved", "run_recipe"]

PROGRESS_HZ = 10.0
HELD_OUT_LOOKS = 25
"""How often in a fit the held-out spokes are looked at; by steps, not by time, so that a log can be repeated."""


@dataclass(frozen=True)
class _Wishes:
    """How a recipe is carried out; none of it changes the result. See :func:`napari_dainr.recipe.run`."""

    resume: bool
    stop: threading.Event
    preview_hz: float
    checkpoint_s: float
    snapshots: int
    until: int | None


def run_recipe(
    recipe: Recipe,
    folder: Path | None = None,
    *,
    kspace: KSpace | None = None,
    resume: bool = False,
    stop: threading.Event | None = None,
    preview_hz: float = 0.0,
    checkpoint_s: float = 30.0,
    snapshots: int = 0,
    until: int | None = None,
) -> Iterator[Event]:
    """See :func:`napari_dainr.recipe.run`."""
    began = time.monotonic()
    recipe = resolved(recipe)
    wishes = _Wishes(resume, stop or threading.Event(), preview_hz, checkpoint_s, snapshots, until)
    out = RunFolder(folder) if folder is not None else None
    if out is not None:
        out.open_for(recipe, resume)
    with _guarded(recipe, out):
        events = _Run(recipe, out, wishes, began).events(kspace)
        # Closed before the guard gives memory back: a generator that is left open holds model and data.
        with contextlib.closing(events):
            for event in events:
                if out is not None:
                    out.log(event)
                yield event


@contextlib.contextmanager
def _guarded(recipe: Recipe, out: RunFolder | None) -> Iterator[None]:
    """Threads set and given back, failures to allocate told in one sentence, no useless folder left behind."""
    complete = False
    try:
        # NUFFT, hash encoding and DA-INR's members use recipe.threads, with the same bits for any number.
        set_threads(recipe.threads or cores())
        with torch_on_one_thread():
            yield
        complete = True
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise _out_of_memory(recipe) from error
        raise
    finally:
        if out is not None:
            if not complete:
                out.abandon()
            out.close()
        give_back_memory()
        if recipe.device.startswith("cuda"):
            torch.cuda.empty_cache()


class _Run:
    """One recipe on its way through preparation, fit and drawing; each part yields what it has to tell."""

    problem: Problem
    method: Method
    held_out: HeldOut | None
    grid: SeriesGrid
    state: Any
    data: dict[str, Any]
    """Facts of the data for the provenance, among them the SHA-256 that a checkpoint is bound to."""

    def __init__(self, recipe: Recipe, out: RunFolder | None, wishes: _Wishes, began: float) -> None:
        self.recipe, self.out, self.wishes, self.began = recipe, out, wishes, began
        self.memory = MemoryWatch(recipe.device)
        self.saved_at: int | None = None
        """Step of the newest checkpoint that is known to be good."""

    def events(self, kspace: KSpace | None) -> Generator[Event, None, None]:
        recipe = self.recipe
        yield Notice(f"device {recipe.device}, {recipe.threads} CPU threads, seed {recipe.seed}")
        if self.out is not None and not self.out.kept_apart:
            yield Notice(
                "the file system of the run folder knows no locks; another process that writes to it is not kept out"
            )
        yield from self._prepare(kspace if kspace is not None else read_kspace(Path(recipe.data), recipe.importing))
        yield from self._begin()
        yield from self._fit()
        yield from self._finish()

    def _prepare(self, kspace: KSpace) -> Iterator[Event]:
        """From k-space to the problem, the method and the held-out spokes."""
        recipe = self.recipe
        self.data = facts_of(kspace) if self.out is not None else {"kdata_sha256": ""}
        self.name = kspace.name
        for field, text in kspace.assumed.items():
            yield Notice(f"assumed {field}: {text}")
        binned = bin_spokes(kspace, recipe.spokes_per_frame, recipe.slice_index)
        yield Notice(
            f"{binned.n_frames} frames of {binned.spokes_per_frame} spokes, "
            f"{binned.frame_duration_s * 1e3:.1f} ms each, acceleration factor {binned.acceleration:.1f}"
        )
        problem = make_problem(
            binned,
            coils=recipe.coils,
            device=torch.device(recipe.device),
            threads=recipe.threads,
            coil_maps=recipe.coil_maps,
        )
        yield Notice(f"{kspace.n_coils} coils, {problem.csm.shape[0]} used; NUFFT by {problem.nufft.name}")
        self.method = make_method(recipe.method, recipe.config(), recipe.seed)
        self.held_out = None
        if self.method.n_steps > 1:
            problem, self.held_out = hold_out(problem, binned.spokes_per_frame, recipe.held_out, recipe.threads)
        if self.held_out is not None:
            n_spokes = binned.n_frames * binned.spokes_per_frame
            yield Notice(f"{len(self.held_out.frames)} of {n_spokes} spokes are held out of the fit")
        self.problem = problem
        self.grid = SeriesGrid.of(binned, problem.unit)

    def _begin(self) -> Iterator[Event]:
        """The first state, or that of the newest whole checkpoint."""
        out, resume = self.out, self.wishes.resume
        if resume and out is not None and out.has_checkpoint:
            self.state, meta = _saved_state(self.method, out, torch.device(self.recipe.device))
            if meta.get("data") not in (None, self.data["kdata_sha256"]):
                raise InputError(
                    f"{out.path.name}: its checkpoint is of other data than {self.name} holds now; "
                    "give back the file that it was begun with, or choose a new folder."
                )
            if meta["generation"] == "previous":
                yield Notice("the newest checkpoint is damaged; the one before it is used")
            self.saved_at = self.state.step
            yield Notice(f"resumed at step {self.saved_at}")
            out.rewind_log(self.state.step)
        else:
            if resume and out is not None:
                yield Notice("there is no checkpoint yet; the fit begins anew")
                out.rewind_log(-1)
            self.state = self.method.start(self.problem)
        give_back_memory()
        for text in self.method.notices:
            yield Notice(text)

    def _fit(self) -> Iterator[Event]:
        """The steps, with what is told, drawn and saved between them."""
        method, state, wishes = self.method, self.state, self.wishes
        keep_at = {round(method.n_steps * k / (wishes.snapshots + 1)) for k in range(1, wishes.snapshots + 1)}
        look = max(1, method.n_steps // HELD_OUT_LOOKS)
        clock = Clock(state.step, self.memory)
        last_preview = last_checkpoint = time.monotonic()
        told_stage, next_stage, before = "", method.stage(state), state.step
        for losses in fit(method, self.problem, state):
            done = method.done(state)
            over = done or self._stopped()
            # A method may skip steps, as where its feature converged early.
            snapshot_due = self.out is not None and any(before < step <= state.step for step in keep_at) and not over
            checkpoint_due = self.out is not None and time.monotonic() - last_checkpoint >= wishes.checkpoint_s
            before = state.step
            stage, next_stage = next_stage, method.stage(state)
            if next_stage != stage:
                give_back_memory()  # the next stage has arrays of other sizes
            unseen = self._unseen() if done or state.step % look == 0 else {}  # who asks to stop need not wait for it
            # What is going to be saved is looked at first, so that no state that is not a number lies in a checkpoint.
            due = over or unseen or snapshot_due or checkpoint_due or stage != told_stage
            if due or time.monotonic() - clock.told >= 1 / PROGRESS_HZ:
                told_stage = stage
                values = {name: float(value) for name, value in losses.items()} | unseen
                if not all(math.isfinite(value) for value in values.values()):
                    raise _diverged(state.step, self.saved_at)
                yield clock.progress(state.step, method.n_steps, stage, values)
            # Measured after the yield: a consumer that pauses does not pile up previews and checkpoints.
            now = time.monotonic()
            if self._stopped():
                break
            if wishes.preview_hz > 0 and now - last_preview >= 1 / wishes.preview_hz:
                yield Preview(state.step, self.grid.preview(method, state, self.recipe))
                last_preview = time.monotonic()
            if snapshot_due:
                yield self._snapshot()
            if checkpoint_due:
                yield self._checkpoint()
                last_checkpoint = time.monotonic()

    def _stopped(self) -> bool:
        return self.wishes.stop.is_set() or self.state.step == self.wishes.until

    def _unseen(self) -> dict[str, float]:
        """The error of the spokes that the fit does not see."""
        if self.held_out is None:
            return {}
        with torch.no_grad():
            image = self.method.image(self.state, self.held_out.frames.to(torch.float32))
            return {HELD_OUT: self.held_out.error(image)}

    def _snapshot(self) -> Saved:
        assert self.out is not None
        folder = self.out.snapshot_path(self.state.step)
        save_series(self.grid.series(self.method, self.state, self.recipe), folder)
        return Saved(folder, self.state.step)

    def _checkpoint(self) -> Saved:
        assert self.out is not None
        saved = _save(self.out, self.method, self.state, self.grid, self.recipe, self.data["kdata_sha256"])
        self.saved_at = saved.step
        return saved

    def _finish(self) -> Iterator[Event]:
        """The last state saved and drawn."""
        method, state, out = self.method, self.state, self.out
        stopped = not method.done(state)
        if stopped:
            stage = method.stage(state)
            yield Notice(f"stopped at step {state.step} of {method.n_steps} ({stage}); the result so far is kept")
        if out is not None:
            # Before the drawing, which may want more memory than there is: the fit is what takes long.
            yield self._checkpoint()
        give_back_memory()
        series = self.grid.series(method, state, self.recipe)
        seconds, peak = time.monotonic() - self.began, self.memory.peak()
        if out is not None:
            out.finish(series, self.recipe, self.data, seconds, stopped, state.step, peak)
            yield Saved(out.path, state.step)
        yield Finished(series, self.recipe, seconds, stopped, out.path if out is not None else None, peak)


def render(source: Path, target: Path, scale: float = 1.0, upsample: int = 1) -> ImageSeries:
    """Draw a finished run at another scale ratio and temporal upsampling, without fitting again.

    Raises
    ------
    InputError
        If ``source`` holds no fitted state, or ``target`` is already in use.
    """
    run = RunFolder(source)
    values = run.recipe().model_dump() | {"scale": scale, "upsample": upsample, "device": "cpu"}
    recipe = resolved(recipe_from(values, "render"))
    method = make_method(recipe.method, recipe.config(), recipe.seed)
    state, meta = _saved_state(method, run, torch.device("cpu"))
    grid = SeriesGrid.from_meta(meta["geometry"])
    out = RunFolder(target)
    out.open_for(recipe, resume=False)
    with _guarded(recipe, out):
        began, memory = time.monotonic(), MemoryWatch(recipe.device)
        series = grid.series(method, state, recipe)
        if meta["generation"] == "previous":
            out.log(Notice("the newest checkpoint is damaged; the one before it is drawn"))
        _save(out, method, state, grid, recipe, meta.get("data"))
        out.finish(
            series,
            recipe,
            None,
            time.monotonic() - began,
            False,
            state.step,
            memory.peak(),
            rendered_from=run.path.name,
        )
    return series


def _save(out: RunFolder, method: Method, state: Any, grid: SeriesGrid, recipe: Recipe, data: str | None) -> Saved:
    """``data`` is the SHA-256 of the k-space, so that a run is not resumed with another."""
    meta = {"geometry": grid.meta(), "recipe": recipe.shareable(), "data": data}
    save_state(method.pack(state), meta, out.state_path)
    return Saved(out.state_path, state.step)


def _saved_state(method: Method, run: RunFolder, device: torch.device) -> tuple[Any, dict[str, Any]]:
    tensors, meta = load_state(run.state_path, as_torch=True)
    return method.unpack(tensors, device), meta


def resolved(recipe: Recipe) -> Recipe:
    """The recipe with every ``auto`` decided, so that what is stored says what was done."""
    recipe.config()
    device = recipe.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = "unknown"
    if kind not in ("cpu", "cuda"):
        raise InputError(f"device is {device!r}; choose auto, cpu, cuda or cuda:N.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ResourceError(f"device is {device!r}, but torch finds no GPU on this machine; use --device cpu.")
    if kind == "cuda" and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise ResourceError(f"device is {device!r}, but there are only {torch.cuda.device_count()} GPUs; use cuda:0.")
    return recipe.model_copy(update={"device": device, "threads": recipe.threads or cores()})


def _diverged(step: int, saved_at: int | None) -> DainrError:
    if saved_at is None:
        kept = "no checkpoint was written before"
    else:
        kept = f"the last good state, of step {saved_at}, is kept: --resume goes on from it"
    return DainrError(
        f"The fit diverged at step {step} (the loss is not a number); {kept}; lower the learning rate in a new run."
    )


def _out_of_memory(recipe: Recipe) -> ResourceError:
    where = "The GPU" if recipe.device.startswith("cuda") else "The machine"
    return ResourceError(
        f"{where} ran out of memory; draw at a smaller scale or upsampling, use fewer coils, a smaller hash table "
        "(table_log2), or --device cpu; what was saved before is unharmed, and --resume goes on from it."
    )
