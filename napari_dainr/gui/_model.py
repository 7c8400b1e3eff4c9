"""What the dock knows: data, form, phase, and everything derived from them. No Qt, no torch, no napari.

The widgets write into :class:`Form` and show what :class:`Model` derives. Every button follows from :attr:`Model.phase`
through one table, so two widgets can never disagree about what may be pressed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

from psygnal import Signal, SignalGroupDescriptor
from pydantic import ValidationError

from napari_dainr.data import KSpace
from napari_dainr.errors import InputError
from napari_dainr.importing import ImportOptions
from napari_dainr.machine import cores
from napari_dainr.methods.config import CONFIGS, PRESETS, preset_values
from napari_dainr.recipe import Recipe

__all__ = [
    "FIBONACCI",
    "SAMPLES",
    "TRANSITIONS",
    "Action",
    "Button",
    "Form",
    "Model",
    "Phase",
    "ReadOut",
    "Source",
    "default_spokes",
    "viewer_threads",
]

FIBONACCI = (3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377)
"""Numbers of golden-angle spokes that cover k-space most evenly."""

SAMPLES = {"cine": "moving cardiac cine (phantom)", "liver": "liver with contrast agent (phantom)"}
"""Built-in sample data, by the name that ``phantom.sample_kspace`` takes."""


def viewer_threads() -> int:
    """CPU threads of a fit while a viewer is open: one core is left to the event loop."""
    return max(1, cores() - 1)


def default_spokes(kspace: KSpace) -> int:
    """Spokes per frame to begin with: the file's own, else the Fibonacci number nearest to a tenth of the matrix."""
    if kspace.spokes_per_frame_hint is not None:
        return kspace.spokes_per_frame_hint
    wanted = min(FIBONACCI, key=lambda n: abs(n - kspace.matrix[0] / 10))
    return max(1, min(wanted, kspace.n_spokes))


class Phase(Enum):
    """Where the dock stands."""

    EMPTY = "no data"
    LOADING = "loading"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"


class Action(Enum):
    """What can happen to it."""

    LOAD = "load"
    LOADED = "loaded"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    FINISH = "finish"
    FAIL = "fail"


_AT_REST = (Phase.READY, Phase.DONE, Phase.FAILED)
_BUSY = (Phase.RUNNING, Phase.PAUSED, Phase.STOPPING)

TRANSITIONS: dict[tuple[Phase, Action], Phase] = {
    (Phase.EMPTY, Action.LOAD): Phase.LOADING,
    (Phase.LOADING, Action.LOAD): Phase.LOADING,
    (Phase.LOADING, Action.LOADED): Phase.READY,
    (Phase.LOADING, Action.FAIL): Phase.FAILED,
    **{(phase, Action.LOAD): Phase.LOADING for phase in _AT_REST},
    **{(phase, Action.START): Phase.RUNNING for phase in _AT_REST},
    (Phase.RUNNING, Action.PAUSE): Phase.PAUSED,
    (Phase.PAUSED, Action.RESUME): Phase.RUNNING,
    (Phase.RUNNING, Action.STOP): Phase.STOPPING,
    (Phase.PAUSED, Action.STOP): Phase.STOPPING,
    **{(phase, Action.FINISH): Phase.DONE for phase in _BUSY},
    **{(phase, Action.FAIL): Phase.FAILED for phase in _BUSY},
}
"""The whole state machine; what is not in it cannot happen."""


@dataclass(frozen=True)
class Source:
    """Where k-space comes from: a file, or a built-in sample (which has a file of its own once it is loaded)."""

    path: Path | None = None
    sample: str | None = None
    importing: ImportOptions = field(default_factory=ImportOptions)
    """What the user says about the file."""

    @property
    def label(self) -> str:
        if self.sample is not None:
            return SAMPLES.get(self.sample, self.sample)
        return self.path.name if self.path is not None else ""


@dataclass
class Form:
    """What the user chose. Values are kept as typed; :attr:`Model.problems` says which cannot be used."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    method: str = "dainr"
    preset: str = "fast"
    spokes_per_frame: int = 13
    slice_index: int = 0
    scale: float = 1.0
    upsample: int = 1
    coil_maps: str = Recipe.model_fields["coil_maps"].default
    held_out: float = Recipe.model_fields["held_out"].default
    device: str = "auto"
    seed: int = 0
    keep_previous: bool = True
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ReadOut:
    """What follows from the form and the data, shown while the user types."""

    n_frames: int
    frame_s: float
    acceleration: float
    fibonacci: bool
    unused_spokes: int
    drawn_frames: int
    drawn_matrix: tuple[int, int]

    @property
    def text(self) -> str:
        """For instance ``23 frames · 35.1 ms per frame · AF 9.8``."""
        per_frame = f"{self.frame_s:.2f} s" if self.frame_s >= 1 else f"{1e3 * self.frame_s:.1f} ms"
        frames = "1 frame" if self.n_frames == 1 else f"{self.n_frames} frames"
        parts = [frames, f"{per_frame} per frame", f"AF {self.acceleration:.1f}"]
        if self.unused_spokes:
            parts.append(f"{self.unused_spokes} spokes left over")
        return " · ".join(parts)

    @property
    def drawn_text(self) -> str:
        """Size of the finished series, for instance ``draws 45 frames of 192 × 192 pixels``."""
        y, x = self.drawn_matrix
        return f"draws {self.drawn_frames} frames of {y} × {x} pixels"


@dataclass(frozen=True)
class Button:
    """How a button looks."""

    text: str
    enabled: bool
    tip: str


class Model:
    """State of one dock. All of it lives on the main thread.

    Signals
    -------
    phase_changed(Phase)
    data_changed()
        Other k-space is here, or a summary of it.
    form_changed()
        Something in the form or in what is derived from it.
    """

    phase_changed = Signal(Phase)
    data_changed = Signal()
    form_changed = Signal()

    def __init__(self) -> None:
        self.form = Form()
        self.phase = Phase.EMPTY
        self.kspace: KSpace | None = None
        self.source: Source | None = None
        self.has_result = False
        self.devices: tuple[str, ...] = ("auto", "cpu")
        self.problems: dict[str, str] = {}
        self.held_back = ""
        """Why Start waits for the user's word although nothing is wrong with the form; empty: it does not."""
        self._settings_of: dict[str, dict[str, Any]] = {}
        self.form.events.connect(self._form_edited)

    # ---------------------------------------------------------------- data and form

    def set_data(self, kspace: KSpace, source: Source) -> None:
        """Take over k-space that was read; spokes per frame and slice start from what the file says."""
        self.kspace, self.source = kspace, source
        with self.form.events.blocked():
            self.form.spokes_per_frame = default_spokes(kspace)
            self.form.slice_index = 0
        self.data_changed.emit()
        self._form_edited()

    def choose_method(self, method: str) -> None:
        """Change the method; each method remembers its own settings."""
        form = self.form
        self._settings_of[form.method] = form.settings
        with form.events.blocked():
            form.method = method
            form.settings = self._settings_of.get(method, {})
        self._form_edited()

    def set_devices(self, devices: tuple[str, ...]) -> bool:
        """Take over the list of devices that are there; True if the chosen one is not among them (then auto is)."""
        self.devices = devices
        missing = self.form.device not in devices
        if missing:
            self.form.device = "auto"
        self.form_changed.emit()
        return missing

    def hold_back(self, why: str) -> None:
        """Hold Start back, or let it go (``""``)."""
        if why != self.held_back:
            self.held_back = why
            self.form_changed.emit()

    def _form_edited(self, *_: object) -> None:
        self.problems = self._validate()
        self.form_changed.emit()

    def values(self) -> dict[str, Any]:
        """The form as the named values of a recipe, unchecked."""
        form, source = self.form, self.source
        data = str(source.path.absolute()) if source is not None and source.path is not None else ""
        return {
            "data": data,
            "importing": ImportOptions() if source is None else source.importing,
            "slice_index": form.slice_index,
            "spokes_per_frame": form.spokes_per_frame,
            "method": form.method,
            "preset": form.preset,
            "settings": dict(form.settings),
            "scale": form.scale,
            "upsample": form.upsample,
            "coil_maps": form.coil_maps,
            "held_out": form.held_out,
            "device": form.device,
            "threads": viewer_threads(),
            "seed": form.seed,
        }

    def recipe(self) -> Recipe:
        """The form as a recipe.

        Raises
        ------
        InputError
            With the first problem of the form.
        """
        if self.kspace is None:
            raise InputError("there is no k-space yet; open a file or the sample data first.")
        if self.problems:
            name, reason = next(iter(self.problems.items()))
            raise InputError(f"{name.replace('_', ' ')}: {reason}")
        return Recipe.model_validate(self.values())

    def quick_look_recipe(self) -> Recipe:
        """NuFFT at the current spokes per frame, for the first look at the data."""
        values = self.values() | {"method": "nufft", "preset": "fast", "settings": {}, "scale": 1.0, "upsample": 1}
        return Recipe.model_validate(values)

    def _validate(self) -> dict[str, str]:
        problems: dict[str, str] = {}
        try:
            Recipe.model_validate(self.values())
        except ValidationError as error:
            for entry in error.errors():
                problems[str(entry["loc"][0])] = _sentence(entry["msg"])
        form, kspace = self.form, self.kspace
        if form.method in CONFIGS and form.preset in PRESETS:
            try:
                CONFIGS[form.method].model_validate(preset_values(form.method, form.preset, form.settings))
            except ValidationError as error:
                for entry in error.errors():
                    problems[str(entry["loc"][0])] = _sentence(entry["msg"])
        else:
            problems["method"] = f"{form.method} with preset {form.preset} is not known."
        if kspace is not None:
            n, total = form.spokes_per_frame, kspace.n_spokes
            if n > total:
                problems["spokes_per_frame"] = f"The file holds only {total} spokes; choose {total} or fewer."
            if form.coil_maps == "given" and kspace.csm is None:
                problems["coil_maps"] = "The file holds no coil maps; choose adaptive or espirit."
            if not 0 <= form.slice_index < kspace.n_slices:
                problems["slice_index"] = f"The file holds {kspace.n_slices} slices; choose 0 to {kspace.n_slices - 1}."
        return problems

    @property
    def read_out(self) -> ReadOut | None:
        """What follows from form and data; None without data or while spokes per frame is invalid."""
        kspace, form = self.kspace, self.form
        if kspace is None or not {"spokes_per_frame", "scale", "upsample"}.isdisjoint(self.problems):
            return None
        n = form.spokes_per_frame
        frames = kspace.n_spokes // n
        y, x = kspace.matrix
        return ReadOut(
            n_frames=frames,
            frame_s=n * kspace.tr_s,
            acceleration=y / n,
            fibonacci=n in FIBONACCI,
            unused_spokes=kspace.n_spokes - frames * n,
            drawn_frames=(frames - 1) * form.upsample + 1,
            drawn_matrix=(round(form.scale * y), round(form.scale * x)),
        )

    # ---------------------------------------------------------------- phase

    def can(self, action: Action) -> bool:
        """Whether the action is possible now."""
        if action is Action.START and (self.kspace is None or bool(self.problems)):
            return False
        return (self.phase, action) in TRANSITIONS

    def apply(self, action: Action) -> bool:
        """Go to the next phase; False (and nothing changes) where the table has no such transition."""
        if not self.can(action):
            return False
        self.phase = TRANSITIONS[self.phase, action]
        self.phase_changed.emit(self.phase)
        return True

    @property
    def busy(self) -> bool:
        """A fit holds the engine."""
        return self.phase in _BUSY

    @property
    def buttons(self) -> Mapping[str, Button]:
        """Look of every button, from the phase alone (and what the phase cannot know: data and problems)."""
        at_rest, phase = self.phase in _AT_REST, self.phase
        if self.kspace is None:
            why = "Open k-space first."
        elif self.problems:
            why = "Mend the marked field first."
        else:
            why = self.held_back or "Fit with these settings."
        start = {Phase.DONE: "Start again", Phase.FAILED: "Start again" if self.kspace else "Start"}
        stop = {Phase.STOPPING: "Stopping…"}
        resuming = phase is Phase.PAUSED
        return {
            "open": Button(
                "Open…",
                self.can(Action.LOAD),
                "Open a raw file with radial k-space.",
            ),
            "start": Button(start.get(phase, "Start"), self.can(Action.START) and not self.held_back, why),
            "pause": Button(
                "Resume" if resuming else "Pause",
                self.can(Action.RESUME) or self.can(Action.PAUSE),
                "Go on from here." if resuming else "Rest after the step in hand; nothing is lost.",
            ),
            "stop": Button(
                stop.get(phase, "Stop && keep"), self.can(Action.STOP), "End the fit now and keep what it has reached."
            ),
            "save_recipe": Button(
                "Save recipe…",
                self.kspace is not None and not self.problems,
                "Write a file that the command line runs to the same result.",
            ),
            "save_run": Button(
                "Save run…", self.has_result and at_rest, "Keep the run folder: recipe, series, fitted state, log."
            ),
            "export": Button(
                "Export series…", self.has_result and at_rest, "Write the series to a file; the suffix says which kind."
            ),
        }


def _sentence(message: str) -> str:
    text = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return ("Must be " + text if text != message else text).rstrip(".") + "."
