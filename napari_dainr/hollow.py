"""A problem whose transforms do nothing, and a short fit on it: what probe.py measures a method with."""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_dainr.counted import told_of_arrays
from napari_dainr.methods.base import Method, Problem
from napari_dainr.ops.nufft import make_nufft

__all__ = ["HollowProblem", "Ledger", "Part", "Sizes", "Walk", "timed"]


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of tensors and arrays that are alive and came into being while this was on; and transforms, counted.

    Tensors are counted as operators make them, arrays of NumPy as `napari_dainr.counted.empty` does: of this thread
    alone, so that what a fit in another thread takes is left out.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        """Bytes alive now."""
        self.peak = 0
        self.rows: dict[str, int] = {}
        self.held: dict[str, tuple[int, int]] = {}
        self._known: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # torch would load its compiler, a second and 60 MB, to leave this mode alone

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._note(args, new=False)  # of a numpy array, or older than this mode
        result = func(*args, **(kwargs or {}))
        self._note(result, new=True)
        return result

    def _note(self, tree: Any, *, new: bool) -> None:
        for leaf in tree_leaves(tree):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                key = storage._cdata
                if key not in self._known:
                    self._known.add(key)
                    weakref.finalize(storage, self._known.discard, key)
                    if new:
                        self._born(storage, storage.nbytes())

    def _note_array(self, array: NDArray[Any]) -> None:
        self._born(array, array.nbytes)

    def _born(self, thing: Any, n_bytes: int) -> None:
        self.live += n_bytes
        self.peak = max(self.peak, self.live)
        weakref.finalize(thing, self._gone, n_bytes)

    def _gone(self, n_bytes: int) -> None:
        self.live -= n_bytes

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count while this lasts."""
        with self, told_of_arrays(self._note_array):
            yield

    def begin(self) -> None:
        """A new part: its peak, its transforms."""
        self.peak, self.rows, self.held = self.live, {}, {}

    def transform(self, kind: str, rows: int) -> None:
        self.rows[kind] = self.rows.get(kind, 0) + rows
        before = self.held.get(kind, (0, 0))
        self.held[kind] = max(before, (self.live, rows))


@dataclass(frozen=True, eq=False)
class HollowProblem(Problem):
    """A problem whose transforms give arrays of the right shape, and nothing more; they are noted in the ledger."""

    ledger: Ledger = field(default_factory=Ledger)
    noise: Tensor = field(default_factory=lambda: torch.empty(0))
    """(frame, y, x): what all adjoints give. Noise, as the eigenvectors of anything plainer are found sooner."""

    block: int | None = None
    """Frames that are worked on at a time; None is as many as are in the whole run."""

    @property
    def frames_at_once(self) -> int:
        return super().frames_at_once if self.block is None else self.block

    def forward_rows(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        self.ledger.transform("gradient" if image.requires_grad else "forward", len(frames))
        kdata = self.kdata[list(frames)]
        return kdata + image.mean(dim=(-2, -1))[:, None, None] if image.requires_grad else kdata

    def adjoint_rows(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        self.ledger.transform("adjoint", len(frames))
        return self.noise[list(frames)]


@dataclass(frozen=True)
class Sizes:
    """Of the whole run: frames, raw and virtual coils, samples of a frame, matrix; what else decides."""

    frames: int
    raw_coils: int
    coils: int
    samples: int
    matrix: tuple[int, int]
    masked: bool
    device: torch.device

    @property
    def pixels(self) -> int:
        return self.matrix[0] * self.matrix[1]

    def hollow(self, frames: int, matrix: tuple[int, int] | None = None, block: int | None = None) -> HollowProblem:
        """A hollow problem of random numbers: so many frames, this matrix and samples in proportion."""
        matrix = matrix or self.matrix
        samples = max(16, self.samples * matrix[0] * matrix[1] // self.pixels)
        random = np.random.default_rng(0)
        ktraj = random.uniform(-0.5, 0.5, (frames, samples, 2)) * np.asarray(matrix)
        maps = torch.full((self.coils, *matrix), self.coils**-0.5, dtype=torch.complex64)
        kdata = torch.randn(frames, self.coils, samples, dtype=torch.complex64)
        weights = torch.ones(frames, samples, device=self.device)
        return HollowProblem(
            kdata.to(self.device),
            make_nufft(ktraj, matrix, self.device),
            maps.to(self.device),
            weights,
            1.0,
            weights.clone() if self.masked else None,
            noise=torch.randn(frames, *matrix, dtype=torch.complex64).to(self.device),
            block=block,
        )


@dataclass
class Part:
    """A part of a run on a hollow problem: seconds of a step, transforms of a step, and what it holds."""

    times: list[float] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    held: dict[str, tuple[int, int]] = field(default_factory=dict)
    before: int = 0
    peak: int = 0

    @property
    def seconds(self) -> float:
        return float(np.median(self.times))


class Walk:
    """A short fit on a hollow problem, part by part: ``start`` and the stages of the method, in order.

    Parameters
    ----------
    count
        Count tensors; else measure time.
    until
        Stages before which to stop.
    """

    def __init__(
        self, method: Method, problem: HollowProblem, *, count: bool, until: frozenset[str] = frozenset()
    ) -> None:
        self.parts: dict[str, Part] = {}
        self.method, self.ledger, self._device = method, problem.ledger, problem.device
        self.n_frames = problem.n_frames
        with self.ledger.counting() if count else contextlib.nullcontext():
            self.state: Any = self._do("start", lambda: method.start(problem))
            while not method.done(self.state) and method.stage(self.state) not in until:
                stage = method.stage(self.state)
                self._do(stage, lambda: method.step(problem, self.state))
        self.state_bytes = sum(tensor.nbytes for tensor in method.pack(self.state).values())

    def draw(self, n: int, scale: float) -> float:
        """Seconds of drawing n frames between the first and the last."""
        frames = torch.linspace(0, self.n_frames - 1, n)
        return timed(lambda: self.method.image(self.state, frames, scale), self._device)[0]

    def draw_bytes(self, n: int, scale: float) -> int:
        """What drawing n frames holds at its peak beside the state, bytes; to be asked of one thread."""
        frames = torch.linspace(0, self.n_frames - 1, n)
        with self.ledger.counting():
            self.ledger.begin()
            before = self.ledger.peak
            drawn = self.method.image(self.state, frames, scale)
            return max(self.ledger.peak - before, drawn.nbytes)

    def _do(self, name: str, work: Callable[[], Any]) -> Any:
        part = self.parts.setdefault(name, Part())
        self.ledger.begin()
        part.before = self.ledger.peak
        seconds, result = timed(work, self._device)
        part.times.append(seconds)
        part.rows, part.held = dict(self.ledger.rows), dict(self.ledger.held)
        part.peak = max(part.peak, self.ledger.peak)
        return result


def timed(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun, result
