"""How fast a fit is, when it will be done, and what it holds."""

from __future__ import annotations

import time

from napari_dainr.machine import MemoryWatch
from napari_dainr.recipe import Progress

__all__ = ["Clock"]


class Clock:
    """Speed and time left, from a smoothed time per step; time spent paused between two pulls does not count."""

    def __init__(self, step: int, memory: MemoryWatch) -> None:
        self._memory = memory
        self.step = step
        self.told = time.monotonic()
        self.seconds = 0.0
        self.per_step: float | None = None
        self.stage = ""
        self.odd = False

    def progress(self, step: int, n_steps: int, stage: str, losses: dict[str, float]) -> Progress:
        now = time.monotonic()
        spent = now - self.told
        each = spent / max(step - self.step, 1)
        # A pause shows as one absurdly long step, which says nothing about speed; two in a row are no pause.
        if stage != self.stage or self.per_step is None:
            self.per_step, self.odd = each, False
        elif each < 20 * self.per_step or self.odd:
            self.per_step = each if self.odd else 0.8 * self.per_step + 0.2 * each
            self.odd = False
        else:
            self.odd = True
        self.seconds += 0.0 if self.odd else spent
        self.told, self.step, self.stage = now, step, stage
        return Progress(
            step=step,
            n_steps=n_steps,
            stage=stage,
            losses=losses,
            seconds=self.seconds,
            steps_per_s=1 / max(self.per_step, 1e-9),
            eta_s=max(n_steps - step, 0) * self.per_step,
            memory_bytes=self._memory.now(),
            peak_memory_bytes=self._memory.peak(),
        )
