"""What the NUFFTs on the CPU share: frames and blocks of coils side by side, each block on one thread."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.counted import empty

from .nufft import Nufft

__all__ = ["Complex", "ThreadedNufft"]

Complex = NDArray[np.complex64]


class ThreadedNufft(Nufft):
    """A NUFFT that transforms some coils of one frame at a time, several of them side by side.

    Every coil is computed alone, by one thread, so results depend neither on the number of threads nor on how coils
    are grouped.

    Parameters
    ----------
    ktraj, matrix, device
        See `Nufft`.
    threads : int
        How many transforms may run at the same time. Does not change the result.
    """

    def __init__(
        self, ktraj: NDArray[np.floating], matrix: tuple[int, int], device: torch.device, threads: int = 1
    ) -> None:
        super().__init__(ktraj, matrix, device)
        self.threads = max(1, threads)
        self._pool = ThreadPoolExecutor(self.threads, "nufft") if self.threads > 1 else None

    @abstractmethod
    def _execute(self, kind: int, frame: int, lane: int, source: Complex, target: Complex) -> None:
        """Transform coils of a frame, scaled as in the contract; ``kind`` 2 is forward, 1 the adjoint.

        Parameters
        ----------
        lane : int
            Tells apart the blocks of coils of one frame that may be under way at the same time.
        source, target : (coil, y, x) and (coil, sample), or the other way round
            Contiguous.
        """

    def _blocks(self, n_coils: int, n_rows: int) -> Iterator[tuple[int, slice]]:
        """(lane, coils): with fewer rows than threads, coils are split so that every thread has work."""
        n_blocks = min(n_coils, -(-self.threads // max(1, n_rows)))
        edges = np.linspace(0, n_coils, n_blocks + 1).astype(int)
        for lane in range(n_blocks):
            yield lane, slice(int(edges[lane]), int(edges[lane + 1]))

    def _transform(self, kind: int, data: Tensor, frames: Sequence[int], shape: tuple[int, ...]) -> Tensor:
        source: Complex = data.detach().to(torch.complex64).resolve_conj().resolve_neg().contiguous().numpy()
        n_rows, n_coils = source.shape[:2]
        target: Complex = empty((n_rows, n_coils, *shape), np.complex64)

        def work(task: tuple[int, int, slice]) -> None:
            row, lane, coils = task
            self._execute(kind, frames[row], lane, source[row, coils], target[row, coils])

        tasks = [(row, lane, coils) for row in range(n_rows) for lane, coils in self._blocks(n_coils, n_rows)]
        if self._pool is None or len(tasks) < 2:
            for task in tasks:
                work(task)
        else:
            list(self._pool.map(work, tasks))
        return torch.from_numpy(target)

    def _forward(self, image: Tensor, frames: Sequence[int]) -> Tensor:
        return self._transform(2, image, frames, (self.n_samples,))

    def _adjoint(self, kdata: Tensor, frames: Sequence[int]) -> Tensor:
        return self._transform(1, kdata, frames, self.matrix)
