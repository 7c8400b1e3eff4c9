"""Delays and frames of an animation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_dainr.errors import ExportError
from napari_dainr.io.gif import frame_delays_ms, save_animation


@given(n_frames=st.integers(1, 400), step_s=st.floats(0.02, 3.0))
def test_delays_follow_the_true_time(n_frames: int, step_s: float) -> None:
    delays = np.array(frame_delays_ms(n_frames, step_s))
    assert len(delays) == n_frames and delays.min() >= 20 and not (delays % 10).any()
    assert np.abs(np.cumsum(delays) - 1000 * step_s * np.arange(1, n_frames + 1)).max() <= 5 + 1e-6


def test_an_animation_that_lost_frames_is_refused(tmp_path: Path) -> None:
    same = Image.new("L", (30, 20), 99)
    with pytest.raises(ExportError, match="1 frames instead of 3"):
        save_animation([same, same.copy(), same.copy()], [50, 50, 50], tmp_path / "out.gif")
    assert not list(tmp_path.iterdir())
