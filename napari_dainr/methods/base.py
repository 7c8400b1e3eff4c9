"""The contract that every reconstruction method keeps, and the problem they all solve.

A method is a small object of settings. All that changes lives in its ``State``; between two steps the state is at
rest, so it can be previewed, saved, loaded and continued. No method reads files, draws, times itself or sees the truth.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from napari_dainr.inr.parallel import get_threads, run_parts
from napari_dainr.machine import sent
from napari_dainr.ops.nufft import Nufft
from napari_dainr.paged import let_go_all, paged_empty

__all__ = ["Method", "Problem", "taken"]

BLOCK_BYTES = 4 << 20
"""What the coil images of the frames that one thread works on may take, unless one frame takes more."""


def taken(rows: Tensor, frames: Sequence[int]) -> Tensor:
    """``rows[frames]``, a view where the frames follow each other; on a GPU the host does not wait for it."""
    first = frames[0] if len(frames) else 0
    if list(frames) == list(range(first, first + len(frames))):
        return rows[first : first + len(frames)]
    return rows.index_select(0, sent(torch.tensor(frames), rows.device))


@dataclass(frozen=True, eq=False)
class Problem:
    """Multi-coil radial k-space with everything a reconstruction needs, on one device.

    Parameters
    ----------
    kdata : (frame, coil, sample) complex64 tensor
        Samples of all spokes of a frame, scaled so that the 99.9th percentile of the density-compensated adjoint
        NUFFT image is 1.
    nufft : Nufft
        Transform with one trajectory per frame, (y, x) ↔ sample.
    csm : (coil, y, x) complex64 tensor
        Coil sensitivity maps, sum of squares 1 inside the object.
    dcf : (frame, sample) float32 tensor
        Density compensation, such that the adjoint applied to weighted samples of a constant image has unit gain.
    unit : float
        What one unit of the scaled image is in the units of the raw data: image_raw = unit · image.
    inside : (frame, sample) float32 tensor or None
        1 where the matrix can represent a sample, 0 beyond its Nyquist band, where a sample would be aliased into the
        image; None where all are inside. Samples outside are no part of A.
    """

    kdata: Tensor
    nufft: Nufft
    csm: Tensor
    dcf: Tensor
    unit: float
    inside: Tensor | None = None

    @property
    def n_frames(self) -> int:
        return self.kdata.shape[0]

    @property
    def matrix(self) -> tuple[int, int]:
        return (self.csm.shape[-2], self.csm.shape[-1])

    @property
    def device(self) -> torch.device:
        return self.kdata.device

    @property
    def frames_at_once(self) -> int:
        """Frames that one thread works on at a time on the CPU, whatever the number of frames and of threads."""
        if self.device.type != "cpu":
            return self.n_frames
        return max(1, BLOCK_BYTES // (8 * self.csm.numel()))

    def forward_rows(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        """A x, Eq. 1, all rows at once by the calling thread: (n, y, x) images of the frames → (n, coil, sample)."""
        kdata = self.nufft(image[:, None] * self.csm, frames)
        return kdata if self.inside is None else kdata * taken(self.inside, frames)[:, None]

    def adjoint_rows(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        """Aᴴ y, all rows at once by the calling thread: (n, coil, sample) → (n, y, x)."""
        if self.inside is not None:
            kdata = kdata * taken(self.inside, frames)[:, None]
        return torch.linalg.vecdot(self.csm, self.nufft.adjoint(kdata, frames), dim=1)

    def forward(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        """A x, Eq. 1: (n, y, x) images of the given frames → (n, coil, sample)."""
        if image.requires_grad or len(frames) == 1:
            return self.forward_rows(image, frames)
        out = paged_empty(self.kdata, (len(frames), *self.kdata.shape[1:]))

        def part(rows: slice) -> None:
            out[rows] = self.forward_rows(image[rows], frames[rows])

        self.in_blocks(part, len(frames))
        return out

    def adjoint(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        """Aᴴ y: (n, coil, sample) → (n, y, x)."""
        if kdata.requires_grad:
            return self.adjoint_rows(kdata, frames)
        return self.adjoint_of(lambda rows: kdata[rows], frames)

    def adjoint_of(self, kdata: Callable[[slice], Tensor], frames: Sequence[int]) -> Tensor:
        """Aᴴ y of samples that are made when they are needed: ``kdata`` gives those of some rows, (n, coil, sample)."""
        out = paged_empty(self.kdata, (len(frames), *self.matrix))

        def part(rows: slice) -> None:
            out[rows] = self.adjoint_rows(kdata(rows), frames[rows])

        self.in_blocks(part, len(frames))
        return out

    def in_blocks(self, work: Callable[[slice], None], n: int, at_once: int | None = None) -> None:
        """``work`` on rows, ``at_once`` or `frames_at_once` at a time, on the CPU by several threads.

        What it does to a row must not depend on the rows beside it; then the bits do not depend on the number of
        threads, and what it takes of memory not on the number of rows.
        """
        at_once = at_once or self.frames_at_once
        groups = 1 if self.device.type != "cpu" else max(1, min(n, get_threads()))

        def run(group: int) -> None:
            torch.get_num_threads()  # OpenMP's number of threads is a thread's own, set by its first call of this
            first, last = n * group // groups, n * (group + 1) // groups
            for start in range(first, last, at_once):
                work(slice(start, min(start + at_once, last)))
                let_go_all()

        if groups == 1:
            run(0)
        else:
            run_parts(run, groups)


class Method(Protocol):
    """What a reconstruction method offers; ``State`` is the method's own dataclass with at least a ``step: int``.

    Methods subclass this, and so get what has a body here.
    """

    name: ClassVar[str]

    @property
    def notices(self) -> tuple[str, ...]:
        """Sentences for the log of a run, complete once there is a state: what was chosen, or is missing."""
        return ()

    @property
    @abstractmethod
    def n_steps(self) -> int:
        """Steps of a whole fit."""

    def done(self, state: Any) -> bool:
        """Whether the fit is over: all steps made, or converged."""
        return bool(state.step >= self.n_steps)

    @abstractmethod
    def stage(self, state: Any) -> str:
        """What the next step is part of, in words for a progress bar."""

    @abstractmethod
    def start(self, problem: Problem) -> Any:
        """State before the first step."""

    @abstractmethod
    def step(self, problem: Problem, state: Any) -> Mapping[str, Tensor | float]:
        """Do one step in place; returns named losses (tensors, not synchronised with the host)."""

    @abstractmethod
    def image(self, state: Any, frames: Tensor | None = None, scale: float = 1.0) -> Tensor:
        """Draw (n, round(scale·y), round(scale·x)) complex images at fractional frame indices.

        ``frames`` holds positions in [0, n_frames − 1]; None means every measured frame. Needs no k-space.
        """

    def preview(self, state: Any) -> Tensor:
        """A quick look at all measured frames, (frame, y, x) complex."""
        return self.image(state)

    @abstractmethod
    def pack(self, state: Any) -> dict[str, Tensor]:
        """All of the state as named tensors, enough to continue bit by bit."""

    @abstractmethod
    def unpack(self, tensors: Mapping[str, Tensor], device: torch.device) -> Any:
        """The state again from what :meth:`pack` gave."""
