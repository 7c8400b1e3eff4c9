"""What the dock remembers from one day to the next: napari's plugin preferences, page "Cine". No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_dainr.gui._settings import Settings, keep, kept
from napari_dainr.gui.cine.player import Mode

__all__ = ["CineSettings", "Pace", "cine_settings", "remember"]

Pace = Literal["true speed", "frames per second", "seconds per cycle"]


@dataclass(frozen=True)
class CineSettings(Settings):
    """Playback and export; the defaults are those of the manifest."""

    PAGE = "cine"
    pace: Pace = "true speed"
    speed: float = 1.0
    fps: float = 10.0
    cycle_s: float = 5.0
    mode: Mode = "loop"
    cycles: int = 0
    enlarge: int = 0
    interpolation: str = "nearest"
    time_stamp: bool = True
    frame_number: bool = True
    scale_bar: bool = True
    method_name: bool = True
    regions: bool = True

    def rate(self, step_s: float | None, n_frames: int) -> float | None:
        """Frames per second to show; None where the true speed is asked for and not known."""
        if self.pace == "frames per second":
            return self.fps
        if self.pace == "seconds per cycle":
            return self.frames_per_cycle(n_frames) / self.cycle_s
        return None if step_s is None else self.speed / step_s

    def frames_per_cycle(self, n_frames: int) -> int:
        """Frames from the first to the first again."""
        return 2 * n_frames - 2 if self.mode == "back and forth" and n_frames > 2 else n_frames


def cine_settings() -> CineSettings:
    """As they stand."""
    return kept(CineSettings)


def remember(settings: CineSettings) -> None:
    """Keep them."""
    keep(CineSettings, **vars(settings))
