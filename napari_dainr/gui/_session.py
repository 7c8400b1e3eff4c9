"""Between the model, the engine jobs and the layers: everything the dock does that is not a widget.

All methods run on the main thread. A session outlives its dock when the dock is closed in mid-run, until the job has
ended; what a job of an older generation says is dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_dainr.data import ImageSeries
from napari_dainr.errors import DainrError
from napari_dainr.gui import _worker
from napari_dainr.gui._at_exit import at_rest, at_work
from napari_dainr.gui._background import Once, write_in_background
from napari_dainr.gui._layers import LayerData, SeriesLayer, layer_data, layer_name, run_folder_of
from napari_dainr.gui._model import Action, Model, Phase, Source
from napari_dainr.gui._saving import copy_run, write_recipe, write_series
from napari_dainr.gui._scratch import ScratchFolders
from napari_dainr.gui._settings import ViewerSettings, kept
from napari_dainr.gui._snapshots import Snapshot, Snapshots
from napari_dainr.gui._worker import Ended, Failed, Job, Loaded, Mail, Picture
from napari_dainr.methods.config import TITLES
from napari_dainr.recipe import Recipe

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

__all__ = ["Session"]

POLL_MS = 100


class Session:
    """One dock's work.

    Signals
    -------
    progressed(Progress)
    losses_came(list)
        (stage, step, losses by name) since the last call.
    run_began()
        Plot and progress start afresh.
    run_ended()
    pictured(Picture)
        A look at the fit, and at its end the result.
    told(str, str, str)
        (kind, sentence, details), kind one of ``error``, ``warning``, ``info``.
    """

    progressed = Signal(object)
    losses_came = Signal(list)
    run_began = Signal()
    run_ended = Signal()
    pictured = Signal(object)
    told = Signal(str, str, str)

    def __init__(self, viewer: ViewerModel) -> None:
        self.model = Model()
        self.asked: Source | None = None
        """What was to be read last, whether or not it could be."""
        self.series: ImageSeries | None = None
        self.recipe: Recipe | None = None
        self.folder: Path | None = None
        self._viewer: ViewerModel | None = viewer
        self._generation = 0
        self._job: Job | None = None
        self._open_jobs: list[Job] = []
        self._name = ""
        self._layer: SeriesLayer | None = None
        self._quick_layer: SeriesLayer | None = None
        self._fresh = False
        self._log: list[str] = []
        self.snapshots = Snapshots()
        self._scratch = ScratchFolders()
        self._devices_known = False
        self._delivering = False
        self._take: Callable[[LayerData], None] | None = None
        self._timer = QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._poll)
        remembered, form = kept(ViewerSettings), self.model.form
        form.device, form.keep_previous = remembered.device, remembered.keep_previous

    # ---------------------------------------------------------------- what the user asks for

    def load(self, source: Source, take: Callable[[LayerData], None] | None = None) -> bool:
        """Read k-space and take a first look; refused (with a banner) while a fit runs.

        The look becomes a layer, unless ``take`` wants its layer data.
        """
        if not self.model.apply(Action.LOAD):
            self.told.emit("warning", f"{source.label} was not opened: a reconstruction is running; stop it first.", "")
            return False
        self._take, self.asked = take, source
        job = self._new_job()
        self._begin(job, self._loaded, _worker.load, source, self._scratch.samples)
        return True

    def start(self) -> None:
        """Fit with the form's settings; data and recipe are frozen here."""
        if not self.model.can(Action.START) or self.model.held_back:
            return
        try:
            recipe = self.model.recipe()
        except DainrError as error:
            self.told.emit("error", str(error), "")
            return
        self.start_with(recipe, own_layer=self.model.form.keep_previous)

    def start_with(self, recipe: Recipe, own_layer: bool = True) -> None:
        """Fit the data that are loaded by a recipe, into a layer of its own or that of the run before."""
        model = self.model
        if not model.can(Action.START):
            return
        assert model.kspace is not None
        try:
            folder = self._scratch.new()
        except OSError as error:
            failed = _worker.as_failed_write(error, "The run's temporary folder was not made")
            self.told.emit("error", failed.message, failed.details)
            return
        model.apply(Action.START)
        if self._layer is None or own_layer:
            self._layer = self._new_layer()
        self._name, self._fresh, self._log = model.kspace.name, True, []
        settings = kept(ViewerSettings)
        job = self._new_job()
        self.snapshots.clear()
        self.run_began.emit()
        self.recipe = recipe
        more = (recipe, model.kspace, folder, settings.preview_hz, settings.checkpoint_s)
        self._begin(job, self._ended, _worker.fit, *more)

    def pause(self) -> None:
        """Rest after the step in hand, or go on."""
        if self._job is None:
            return
        if self.model.apply(Action.PAUSE):
            self._job.pause()
        elif self.model.apply(Action.RESUME):
            self._job.resume()

    def stop(self) -> None:
        """End the fit after the step in hand and keep the result."""
        if self._job is not None and self.model.apply(Action.STOP):
            self._job.request_stop()

    def show_snapshot(self, snapshot: Snapshot, layer: SeriesLayer | None) -> SeriesLayer | None:
        """Show an earlier look at the last fit, in a new layer or in that of another snapshot."""
        if self._viewer is None or self.recipe is None:
            return None
        new = layer is None
        layer = layer or self._new_layer()
        name = f"{self._name} · step {snapshot.step}"
        shown = layer.show(snapshot.series, snapshot.magnitude, self.recipe, name, new_run=new)
        shown.name = layer_name(self.recipe, name)
        return layer

    def save_recipe(self, path: Path) -> None:
        """Write the form as a recipe file."""
        try:
            write_recipe(self.model.recipe(), self.model.source, path)
        except (DainrError, OSError) as error:
            failed = _worker.as_failed_write(error, f"{path.name} was not written")
            self.told.emit("error", failed.message, failed.details)
            return
        self.told.emit("info", f"Recipe saved: {path.name}.", f"Run it with: napari-dainr recon --recipe {path} -o RUN")

    def export(self, path: Path, series: ImageSeries | None = None) -> None:
        """Write the last series, or another one, format by suffix, beside the event loop."""
        series = self.series if series is None else series
        if series is not None:
            self._write(lambda: write_series(series, path), "Series exported", path)

    def save_run(self, path: Path) -> None:
        """Copy the run folder of the last run to a new place, beside the event loop."""
        folder = self.folder
        if folder is not None:
            self._write(lambda: copy_run(folder, path), "Run saved", path)

    def _write(self, write: Callable[[], None], done: str, path: Path) -> None:
        write_in_background(write, done, path, self.told.emit, self._scratch)

    # ---------------------------------------------------------------- leaving

    def leave(self) -> None:
        """The dock was closed: a running fit stops, and its result still reaches its layer."""
        for job in self._open_jobs:
            job.request_stop()
        if not self._open_jobs:
            self.abandon()

    def abandon(self) -> None:
        """The viewer is gone: stop, and drop whatever comes."""
        self._generation += 1
        for job in self._open_jobs:
            job.drop()
        with suppress(RuntimeError):  # when the application ends, Qt may have deleted the timer already
            self._timer.stop()
        self._job = self._viewer = self._layer = self._quick_layer = None
        if not self._open_jobs:
            self._clear_scratch()

    # ---------------------------------------------------------------- jobs

    def _new_job(self) -> Job:
        if self._job is not None:
            self._job.request_stop()
        self._generation += 1
        self._job = Job(self._generation)
        return self._job

    def _begin(
        self,
        job: Job,
        then: Callable[[Any], None],
        work: Callable[..., object],
        *more: object,
        lasting: bool = False,
    ) -> None:
        """Run ``work(job, *more)`` in a thread; ``then`` gets what it returns, unless a newer job has begun.

        ``lasting`` outcomes are welcome at any time while the viewer is there.
        """
        from napari.qt.threading import create_worker

        from napari_dainr.gui._job_worker import JobWorker

        def returned(outcome: object) -> None:
            if self._delivering:  # napari's progress bars process events: news in hand goes first
                QTimer.singleShot(0, lambda: returned(outcome))
                return
            self._close(job)
            if self._viewer is not None and (lasting or job.generation == self._generation):
                then(outcome)

        def finished() -> None:
            """A worker that napari quit returns nothing; one that returned something comes here after that."""
            if self._delivering:
                QTimer.singleShot(0, finished)
            else:
                self._close(job)

        worker = create_worker(Once(partial(work, job, *more)), job, _start_thread=False, _worker_class=JobWorker)
        worker.returned.connect(Once(returned))
        worker.finished.connect(Once(finished))
        self._open_jobs.append(job)
        at_work(self, self.abandon)
        self._timer.start()
        worker.start()

    def _close(self, job: Job) -> None:
        if job in self._open_jobs:
            self._open_jobs.remove(job)
        job.request_stop()
        if not self._open_jobs:
            self._timer.stop()
            at_rest(self)
            if self._viewer is None:
                self._clear_scratch()

    def _poll(self) -> None:
        if self._job is None or self._delivering:
            return
        self._delivering = True
        try:
            self._deliver(self._job.collect())
        finally:
            self._delivering = False

    def _deliver(self, mail: Mail) -> None:
        if self.model.phase is Phase.LOADING:
            return
        if mail.losses:
            self.losses_came.emit(mail.losses)
        if mail.progress is not None:
            self.progressed.emit(mail.progress)
        if mail.notices:
            self._log += mail.notices
            self.told.emit("news", mail.notices[-1], "\n".join(self._log))
        if mail.picture is not None and self.recipe is not None:
            self._show(mail.picture, self.recipe)
            self.snapshots.add(mail.picture)
            self.pictured.emit(mail.picture)

    # ---------------------------------------------------------------- outcomes

    def _loaded(self, outcome: Loaded | Failed) -> None:
        if isinstance(outcome, Failed):
            self._fail(outcome)
            return
        self.asked = outcome.source
        self.model.set_data(outcome.kspace, outcome.source)
        self._name = outcome.kspace.name
        try:
            recipe = self.model.quick_look_recipe()
        except ValueError:  # the file's own hint cannot be used; the form marks it
            self.model.apply(Action.LOADED)
            return
        self.recipe = recipe
        job = self._new_job()
        self._begin(job, self._looked, _worker.fit, recipe, outcome.kspace, None, 0.0)

    def _looked(self, outcome: Ended | Failed) -> None:
        if self._job is not None:
            self._job.collect()  # the progress of a first look is not shown
        if isinstance(outcome, Failed):
            self._fail(outcome)
        else:
            self._show_quick_look(outcome.picture, outcome.finished.recipe)
            self.model.apply(Action.LOADED)
        if not self._devices_known:
            self._begin(Job(self._generation), self._found_devices, _worker.available_devices, lasting=True)

    def _found_devices(self, outcome: tuple[str, ...] | Failed) -> None:
        if isinstance(outcome, Failed):
            self.told.emit("warning", outcome.message, outcome.details)
            return
        self._devices_known = True
        wanted = self.model.form.device
        if self.model.set_devices(outcome):
            self.told.emit("warning", f"Device {wanted} is not there; auto was chosen.", "")

    def _ended(self, outcome: Ended | Failed) -> None:
        assert self._job is not None
        mail = self._job.collect()
        mail.picture = None
        self._deliver(mail)
        self.run_ended.emit()
        if isinstance(outcome, Failed):
            self._fail(outcome)
            return
        finished, picture = outcome.finished, outcome.picture
        self.series, self.recipe, self.folder = finished.series, finished.recipe, finished.folder
        self.model.has_result = True
        try:
            self._show(picture, finished.recipe, finished.folder)
            self._scratch.drop_all_but(self._runs_on_show())
        except Exception as error:  # the result is there to be saved, whatever became of its layer
            self._fail(_worker.as_failed(error, "showing the result"))
            return
        self.pictured.emit(picture)
        self.model.apply(Action.FINISH)
        verb = "Stopped; the result so far is kept" if finished.stopped else "Finished"
        title = TITLES[finished.recipe.method]
        self.told.emit("news", f"{verb}: {title} in {finished.seconds:.1f} s.", "\n".join(self._log))

    def _fail(self, failed: Failed) -> None:
        self.model.apply(Action.FAIL)
        self.told.emit("error", failed.message, failed.details)

    # ---------------------------------------------------------------- layers

    @property
    def layer(self) -> Image | None:
        """The layer that shows the fit, or the last one."""
        return None if self._layer is None else self._layer.layer

    def _new_layer(self) -> SeriesLayer:
        assert self._viewer is not None
        return SeriesLayer(self._viewer)

    def _show(self, picture: Picture, recipe: Recipe, folder: Path | None = None) -> None:
        """Show a preview, or the result with its run folder."""
        if self._layer is None or self._viewer is None:
            return
        self._layer.show(picture.series, picture.magnitude, recipe, self._name, new_run=self._fresh, folder=folder)
        self._fresh = False

    def _runs_on_show(self) -> list[Path]:
        """Run folders of the layers that are there: more can be asked of these results."""
        layers = () if self._viewer is None else self._viewer.layers
        return [folder for layer in layers if (folder := run_folder_of(layer)) is not None]

    def _show_quick_look(self, picture: Picture, recipe: Recipe) -> None:
        if self._take is not None:
            self._take(layer_data(picture.series, recipe, self._name, picture.magnitude))
            return
        if self._quick_layer is None or self.model.form.keep_previous:
            self._quick_layer = self._new_layer()
        self._quick_layer.show(picture.series, picture.magnitude, recipe, self._name, new_run=True)

    # ---------------------------------------------------------------- files

    def _clear_scratch(self) -> None:
        self._scratch.clear()
        self.folder = None
        if self._viewer is None:
            self._scratch.clear_samples()
