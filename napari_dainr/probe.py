"""What a run costs, measured by carrying out small parts of it on this machine.

A step of a method is NUFFTs and the rest. How many transforms there are is counted while the method itself starts,
steps and draws on a *hollow* problem, whose transforms do nothing; the rest is what that takes. One true transform
is timed beside it, at the true size. So there is no table of methods that could go out of date: whatever a method
does is really done, on a few frames where a step sees but a few, else on all frames and a part of the pixels.
Memory is counted, not sampled: every tensor that comes and goes on a hollow problem of few frames, for two numbers
of frames, and from there to all. docs/adr/0011-forecast.md has the reasons and how well it does.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from napari_dainr.coils import FRAMES_AT_ONCE, compress_coils
from napari_dainr.data import BinnedKSpace, KSpace, bin_spokes
from napari_dainr.errors import DainrError
from napari_dainr.hollow import Sizes, Walk, timed
from napari_dainr.inr.parallel import threads_for_a_trial
from napari_dainr.machine import HighestMemory, give_back_memory, torch_on_one_thread
from napari_dainr.methods.base import Problem
from napari_dainr.methods.fit import make_method
from napari_dainr.methods.held_out import LEAST_SPOKES
from napari_dainr.methods.problem import make_problem
from napari_dainr.ops.nufft import make_nufft
from napari_dainr.ops.resample import scaled_matrix
from napari_dainr.paged import BOUND, is_paged, paged_from
from napari_dainr.pilot import pilot_steps
from napari_dainr.recipe import Recipe
from napari_dainr.trajectory import ramp_dcf

__all__ = ["Cost", "probe"]

COMPLEX = 8
"""Bytes of a complex64 number."""
CUT_STEPS = 3
"""Steps of each stage that are tried."""
STRIP_VOXELS = 400_000
"""Voxels (frame × y × x) of the hollow problem with all frames: enough that a step takes longer than calling it."""
SLACK = 48 << 20
"""Bytes that threads, plans of Fourier transforms and code that is compiled on the way keep beside the arrays."""
LOOSE = 1.3
"""What arrays of all frames take of the process over what they hold: an allocator keeps what was freed for more."""
MOST_LOOSE = 3
"""What drawing may take at most over what its arrays hold; above it, something else has taken it."""
TRIED_SIDE, WARM_SIDE = 128, 32
"""Sides of the images with which the preparation is tried, pixels, and made before, for what is loaded but once. From
some 100 pixels on a pixel takes as long as in larger images; in smaller ones, calls that have little to do count."""
DRAWN_SIDE = 512
"""Side of the largest image that is drawn for a trial, pixels."""
TRIES = 3
"""Transforms of each kind that are timed; their mean is taken, as a run meets the slow ones too."""
HASHED_BYTES = 1 << 23
SAVE_PASSES = 4
"""What is saved is summed up, written, read and compared: so many times as long as a SHA-256 of it."""
HELD_OUT_LOOKS = 25
CHECKPOINT_S = 30.0


@dataclass(frozen=True)
class Cost:
    """Seconds by part, and the bytes that the run adds at its peak."""

    seconds: dict[str, float]
    memory_bytes: int


def probe(recipe: Recipe, kspace: KSpace, *, seconds: bool = True, stop: threading.Event | None = None) -> Cost:
    """What a run will take; ``recipe`` has every ``auto`` resolved.

    Parameters
    ----------
    seconds
        Measure time too; without it, memory alone is told, sooner.
    stop
        When set, measuring ends after the piece in hand.

    Raises
    ------
    InputError
        If the recipe does not fit the data.
    DainrError
        If it was stopped.
    """
    binned = bin_spokes(kspace, recipe.spokes_per_frame, recipe.slice_index)
    with torch_on_one_thread():
        return _Probe(recipe, binned, stop or threading.Event()).cost(seconds)


class _Probe:
    """The measurements for one recipe."""

    def __init__(self, recipe: Recipe, binned: BinnedKSpace, stop: threading.Event) -> None:
        self.recipe, self.binned, self._stop = recipe, binned, stop
        self.device, self.threads = torch.device(recipe.device), recipe.threads or 1
        self.config = recipe.config()
        # The state is as large and a step as long as in the whole fit, but there are few of them.
        few: dict[str, Any] = {
            name: CUT_STEPS for name in ("n_steps", "feature_steps") if name in type(self.config).model_fields
        }
        self.method = make_method(recipe.method, self.config.model_copy(update=few), recipe.seed)
        self.n_steps = make_method(recipe.method, self.config, recipe.seed).n_steps
        some = np.linspace(0, binned.n_frames - 1, min(binned.n_frames, 6)).astype(int)
        coils = compress_coils(binned.kdata[some], recipe.coils)[0].shape[1]
        masked = bool((ramp_dcf(binned.ktraj[some[:1]], binned.matrix) == 0).any())
        self.holds_out = self.n_steps > 1 and recipe.held_out > 0 and binned.spokes_per_frame >= LEAST_SPOKES
        self.sizes = Sizes(
            frames=binned.n_frames,
            raw_coils=binned.n_coils,
            coils=coils,
            samples=binned.spokes_per_frame * binned.kdata.shape[3],
            matrix=binned.matrix,
            masked=masked or self.holds_out,
            device=self.device,
        )
        # No fewer than a step sees, so that what grows from one to the other grows with the frames of the series.
        seen = getattr(self.config, "frames_per_step", None) or 2
        self.more = min(max(seen, 2) + 1, binned.n_frames)
        self.fewer = max(self.more - 1, 1)

    def cost(self, seconds: bool) -> Cost:
        with threads_for_a_trial(1):  # the ledger sees one thread
            # What a first fit loads and compiles is not counted.
            height, width = (min(n, 32) for n in self.sizes.matrix)
            self._walk(self.fewer, (height, width), count=True)
            small, large = (self._counted(n, 1) for n in (self.fewer, self.more))
            memory = self._memory(small, large, self._counted(self.more, 2))
        if not seconds:
            return Cost({}, memory)
        with threads_for_a_trial(self.threads):
            return Cost(self._seconds(small, large), memory)

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise DainrError("The forecast was stopped.")

    def _walk(self, frames: int, matrix: tuple[int, int] | None = None, block: int | None = None, **how: Any) -> Walk:
        """The method started, stepped and drawn on a hollow problem of this size."""
        self._go_on()
        return Walk(self.method, self.sizes.hollow(frames, matrix, block), **how)

    def _counted(self, frames: int, block: int) -> Walk:
        """Memory of a few frames, so many of them at a time; what lives in a file in the whole run does so here."""
        with paged_from(BOUND * frames // self.sizes.frames):
            return self._walk(frames, block=block, count=True)

    def _to_all(self, few: float, more: float) -> float:
        """From the two numbers of frames that were tried to all, along a line."""
        if self.more == self.fewer:
            return more
        return more + (more - few) / (self.more - self.fewer) * (self.sizes.frames - self.more)

    # Seconds

    def _seconds(self, small: Walk, large: Walk) -> dict[str, float]:
        stages = [name for name in large.parts if name != "start"]
        rows = {
            name: {
                kind: self._to_all(small.parts[name].rows.get(kind, 0), n) for kind, n in large.parts[name].rows.items()
            }
            for name in large.parts
        }
        whole = frozenset(
            name for name in large.parts if self.more > self.fewer and small.parts[name].rows != large.parts[name].rows
        )
        alone = self._transforms(self.threads)
        together = self._transforms(self._frames_at_once) if whole else alone
        tall = self._walk(self.more, count=False)
        each = {name: part.seconds for name, part in tall.parts.items()}
        if whole and self.sizes.frames > self.more:
            matrix = self._strip()
            thin = self._walk(self.sizes.frames, matrix, count=False, until=frozenset(stages) - whole)
            pixels = matrix[0] * matrix[1]
            each |= {name: part.seconds * self.sizes.pixels / pixels for name, part in thin.parts.items()}
        for name in each:
            transforms = together if name in whole else alone
            each[name] += sum(n * transforms[kind] for kind, n in rows[name].items())
        parts = {"preparation": self._preparation() + each["start"]}
        draw = self._drawing(tall, self.recipe.scale)
        n, k = self.sizes.frames, self.recipe.upsample
        look = draw if self.recipe.scale == 1 else self._drawing(tall, 1.0)
        for name in stages:
            steps = self._steps(name, name == stages[-1], len(tall.parts[name].times))
            parts[name] = steps * each[name]
            if self.holds_out:
                held = float(np.clip(round(self.recipe.held_out * n * self.binned.spokes_per_frame), 1, n))
                looks = steps / max(1, self.n_steps // HELD_OUT_LOOKS)
                drawn = look(held) if name not in whole else 0.0
                parts[name] += looks * (drawn + held * alone["forward"] / 2)
        parts["drawing"] = draw((n - 1) * k + 1)
        parts["saving"] = self._saving(sum(parts.values()), self._to_all(small.state_bytes, large.state_bytes))
        return parts

    def _steps(self, stage: str, last: bool, tried: int) -> float:
        """Steps of a stage in the whole fit, as far as can be known; ``tried`` of them with the few frames."""
        if not last and not stage.endswith("feature"):
            # An extractor looks at frame after frame, and all are measured against k-space at once.
            return tried * self.sizes.frames / self.more if stage.endswith("features") else tried
        config = self.config
        most = config.n_steps if last and hasattr(config, "n_steps") else getattr(config, "feature_steps", 1)
        name = "tolerance" if last else "feature_tolerance"
        tolerance = getattr(config, name, 0)
        if not tolerance:
            return most
        # It stops when it has converged: a small problem of the same data is fitted to see when.
        endless = make_method(self.recipe.method, config.model_copy(update={name: 0.0}), self.recipe.seed)
        return pilot_steps(endless, tolerance, most, self.binned, self._stop)

    def _strip(self) -> tuple[int, int]:
        """Pixels of the hollow problem with all frames: the longer side is kept, hash grids go by it."""
        rows, columns = self.sizes.matrix
        longer = max(rows, columns)
        shorter = min(min(rows, columns), max(16, 8 * round(STRIP_VOXELS / (8 * self.sizes.frames * longer))))
        return (shorter, columns) if rows <= columns else (rows, shorter)

    @property
    def _frames_at_once(self) -> int:
        """Two blocks of frames for every thread."""
        return 2 * self.threads * self.sizes.hollow(1).frames_at_once

    def _transforms(self, n_frames: int) -> dict[str, float]:
        """Seconds of a true transform of one of so many frames with all coils, with the coil maps, by kind."""
        self._go_on()
        n = min(self.sizes.frames, max(n_frames, 2))
        frames = list(range(n))
        ktraj = self.binned.ktraj[:n].reshape(n, self.sizes.samples, 2)
        hollow = self.sizes.hollow(n)
        nufft = make_nufft(ktraj, self.sizes.matrix, self.device, threads=self.threads)
        problem = Problem(hollow.kdata, nufft, hollow.csm, hollow.dcf, 1.0, hollow.inside)
        image = hollow.kdata.new_ones(n, *self.sizes.matrix)

        def gradient() -> None:
            one = image[:1].clone().requires_grad_()
            problem.forward(one, [0]).abs().mean().backward()  # type: ignore[no-untyped-call]

        work: dict[str, tuple[Callable[[], Any], int]] = {
            "forward": (lambda: problem.forward(image, frames), n),
            "adjoint": (lambda: problem.adjoint(problem.kdata, frames), n),
            "gradient": (gradient, 1),
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in work}
        for _ in range(1 + TRIES):  # the first time, the places of the samples are prepared
            for kind, (what, rows) in work.items():  # in turn, as in a step: none finds its own arrays in the caches
                seconds[kind].append(timed(what, self.device)[0] / rows)
        return {kind: float(np.mean(took[1:])) for kind, took in seconds.items()}

    def _preparation(self) -> float:
        """Coil compression, maps, density and scale: all of it on a smaller image, from there by pixels."""
        side = self.sizes.pixels**0.5
        self._prepared(max(1.0, side / WARM_SIDE))
        seconds, pixels = self._prepared(max(1.0, side / TRIED_SIDE))
        return seconds * self.sizes.pixels / pixels

    def _prepared(self, shrink: float) -> tuple[float, int]:
        """Seconds and pixels of a preparation whose sides, readouts and spokes are fewer by this factor.

        So samples are as many for a pixel as in the whole, and all that takes long goes by pixels.
        """
        self._go_on()
        spokes = max(1, round(self.binned.spokes_per_frame / shrink))
        matrix = (max(2, round(self.sizes.matrix[0] / shrink)), max(2, round(self.sizes.matrix[1] / shrink)))
        radius = np.abs(self.binned.ktraj[0] / np.asarray(self.sizes.matrix)).max(axis=(0, 2))
        keep = np.flatnonzero(radius <= radius.max() / shrink)
        rows, columns = (np.arange(m) * n // m for m, n in zip(matrix, self.sizes.matrix, strict=True))
        small = replace(
            self.binned,
            kdata=np.ascontiguousarray(self.binned.kdata[:, :, :spokes, keep]),
            ktraj=np.ascontiguousarray(self.binned.ktraj[:, :spokes, keep]),
            matrix=matrix,
            csm=None if self.binned.csm is None else self.binned.csm[:, rows[:, None], columns],
        )

        def prepare() -> Problem:
            return make_problem(
                small,
                coils=self.recipe.coils,
                device=self.device,
                threads=self.threads,
                coil_maps=self.recipe.coil_maps,
            )

        return timed(prepare, self.device)[0], matrix[0] * matrix[1]

    def _drawing(self, walk: Walk, scale: float) -> Callable[[float], float]:
        """Seconds of drawing n frames at a scale: what a call takes, and every frame."""
        self._go_on()
        tried = self._drawn_scale(scale)
        few = self.threads
        one = walk.draw(few, tried)
        each, call = one / few, 0.0
        if one < 0.1:
            three = walk.draw(3 * few, tried)
            each = max(three - one, 0.0) / (2 * few)
            call = max(one - few * each, 0.0)
        return lambda n: call + n * each * (scale / tried) ** 2

    def _saving(self, seconds: float, state_bytes: float) -> float:
        """Checkpoints, state and series: written, read again and summed up."""
        begun = time.perf_counter()
        hashlib.sha256(bytes(HASHED_BYTES)).digest()
        per_byte = (time.perf_counter() - begun) / HASHED_BYTES
        saves = 1 + int(seconds / CHECKPOINT_S)
        data_bytes = self.binned.kdata.nbytes  # summed up too, for the provenance
        return per_byte * (saves * SAVE_PASSES * state_bytes + SAVE_PASSES * self._drawn_bytes + data_bytes)

    @property
    def _drawn_bytes(self) -> int:
        frames = (self.sizes.frames - 1) * self.recipe.upsample + 1
        height, width = scaled_matrix(self.sizes.matrix, self.recipe.scale)
        return COMPLEX * frames * height * width

    # Memory

    def _memory(self, small: Walk, large: Walk, wide: Walk) -> int:
        """``small`` and ``large`` were made frame by frame, ``wide`` with two frames at a time."""
        s = self.sizes
        on_cpu = self.device.type == "cpu"
        raw, kdata = (self._resident(COMPLEX * s.frames * n * s.samples) for n in (s.raw_coils, s.coils))
        # Positions of samples in double precision, and what the transform knows of each of them.
        places = s.frames * s.samples
        trajectory = self._resident(16 * places) + 32 * places
        maps, covariance = COMPLEX * s.coils * s.pixels, 3 * COMPLEX * s.coils**2 * s.pixels
        at_once = min(s.frames, s.hollow(1).frames_at_once * self.threads) if on_cpu else s.frames
        section = min(s.frames, FRAMES_AT_ONCE) * s.samples
        # methods/problem.py: compression; averages and maps; the scale, by the images of all frames.
        averaging = COMPLEX * 3 * section * s.coils + max(covariance, 300 * section)
        scaling = maps + 2 * kdata + s.frames * s.pixels * COMPLEX + 2 * COMPLEX * at_once * s.coils * s.pixels
        preparing = raw + trajectory + kdata + max(COMPLEX * 3 * section * s.raw_coils, averaging, scaling)
        kept = raw + kdata + maps + trajectory
        peaks: list[float] = [preparing]
        for name, more in large.parts.items():
            few, pair = small.parts[name], wide.parts[name]
            # Where a step sees but a few frames, they and the members are worked on beside each other, not one by one.
            whole = name == "start" or few.rows != more.rows
            together = 1 if whole else self._side_by_side
            stays = self._to_all(few.before, more.before)
            passing = max(self._to_all(few.peak, more.peak) - stays, 0)
            in_blocks = max(pair.peak - more.peak, 0) * (at_once - 1)
            held = [kept + stays + together * passing + in_blocks]
            for kind, (live, rows) in more.held.items():
                few_live, few_rows = few.held.get(kind, (live, rows))
                n = at_once if whole else min(self._to_all(few_rows, rows), s.frames)
                per_row = COMPLEX * s.coils * ((2 if kind == "adjoint" else 1) * s.pixels + 3 * s.samples)
                passing = max(self._to_all(few_live, live) - stays, 0)
                in_blocks = max(pair.held.get(kind, (live, rows))[0] - live, 0) * (at_once - 1)
                held.append(kept + stays + together * passing + in_blocks + n * per_row)
            peaks.append(max(held) * (LOOSE if whole and on_cpu else 1))
        state = self._to_all(small.state_bytes, large.state_bytes)
        peaks.append(kept + 3 * state)
        slack = SLACK if on_cpu else 0
        drawing = kept + state + 4 * self._drawn_bytes + self._drawing_bytes(large)
        return int(max(max(peaks) + slack, drawing + slack / 2))  # part of the slack is seen in the drawing itself

    def _resident(self, n_bytes: int) -> int:
        """Of an array of the series what is in memory: nothing of one that lives in a file."""
        return 0 if self.device.type == "cpu" and is_paged(n_bytes) else n_bytes

    def _drawing_bytes(self, walk: Walk) -> int:
        """What drawing takes while it lasts, beside what is drawn.

        Counted with two frames by one thread; and on the CPU it is looked at what the process takes, which can be
        three times as much as the arrays hold. Other threads of the process are seen there too, so within bounds.
        """
        tried = self._drawn_scale(self.recipe.scale)
        on_cpu = self.device.type == "cpu"
        members = min(self.threads, getattr(self.config, "members", None) or 1) if on_cpu else 1
        taken = members * walk.draw_bytes(min(2, walk.n_frames), tried)
        if on_cpu:
            give_back_memory()
            with threads_for_a_trial(self.threads), HighestMemory() as memory:
                walk.draw(2 * self.threads, tried)
            taken = int(np.clip(memory.rise, taken, MOST_LOOSE * taken))
        return int(taken * (self.recipe.scale / tried) ** 2)

    def _drawn_scale(self, scale: float) -> float:
        """The scale at which drawing is tried."""
        return min(scale, max(1.0, DRAWN_SIDE / max(self.sizes.matrix)))

    @property
    def _side_by_side(self) -> int:
        """Parts of a step that are worked on at the same time."""
        if self.device.type != "cpu":
            return 1
        parts = (getattr(self.config, "members", None) or 1) * (getattr(self.config, "frames_per_step", None) or 1)
        return min(self.threads, max(parts, 2))
