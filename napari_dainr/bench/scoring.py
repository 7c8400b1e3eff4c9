"""From finished fits to figures: scores, curves of regions, quality over time. Cached beside each fit."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.analysis import roi_curve
from napari_dainr.bench.job import RUN, SNAPSHOTS, Measured
from napari_dainr.bench.suite import DataItem
from napari_dainr.io.atomic import write_text
from napari_dainr.io.state import load_state
from napari_dainr.metrics import fit_factor, score
from napari_dainr.run_folder import RunFolder

__all__ = ["Figures", "cached", "curve_of", "fitted_magnitude", "judge", "roi_errors", "scores_of"]

Figures = dict[str, Any]
"""Figures of one fit by name, JSON-able."""

VERSION = 1


def fitted_magnitude(image: NDArray[Any], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """|image| times the factor that brings it nearest to the truth (least squares over all pixels and frames)."""
    magnitude = np.abs(image).astype(np.float64)
    return np.asarray(magnitude * fit_factor(magnitude, truth))


def roi_errors(
    image: NDArray[Any], truth: NDArray[np.floating], rois: dict[str, NDArray[np.bool_]]
) -> dict[str, float]:
    """RMSE of each region's mean curve over the range of the true curve, after one factor for the whole series."""
    fitted = fitted_magnitude(image, truth)
    errors = {}
    for name, mask in rois.items():
        found, true = roi_curve(fitted, mask), roi_curve(np.asarray(truth), mask)
        errors[name] = float(np.sqrt(((found - true) ** 2).mean()) / max(float(np.ptp(true)), 1e-30))
    return errors


def judge(image: NDArray[Any], item: DataItem, frames: NDArray[np.intp] | None = None) -> Figures:
    """Scores of a series at the item's matrix, with its frames 0, 1, 2, … or those that are named."""
    if frames is not None:
        image = image[frames]
    chosen = np.arange(len(image)) if frames is None else frames
    figures: Figures = {}
    if item.truth is not None:
        figures |= score(image, item.truth[chosen])
        if item.rois:
            figures["rois"] = roi_errors(image, item.truth[chosen], item.rois)
    if item.reference is not None:
        against = score(image, item.reference[chosen])
        figures |= {f"reference_{name}": value for name, value in against.items()}
    return figures


def cached(folder: Path, name: str, inputs: str, make: Callable[[], Figures]) -> Figures:
    """Figures from ``folder/name.json``, made anew where what they are judged by has changed."""
    path = folder / f"{name}.json"
    inputs = f"{VERSION} {inputs}"
    with contextlib.suppress(OSError, ValueError, KeyError):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["inputs"] == inputs:
            return dict(facts["figures"])
    figures = make()
    write_text(path, json.dumps({"inputs": inputs, "figures": figures}) + "\n")
    return figures


def scores_of(done: Measured, item: DataItem) -> Figures:
    """Scores of a whole reconstruction at the measured frames."""
    return cached(done.folder, "scores", item.judged_by, lambda: judge(done.series().image, item))


def curve_of(done: Measured, item: DataItem) -> list[tuple[float, Figures]]:
    """(fit seconds, scores) along the way and at the end; the states are drawn as the final series is.

    The states are removed once they are scored.
    """
    states = done.folder / SNAPSHOTS

    def make() -> Figures:
        points = []
        for step, seconds in done.snapshots:
            state = states / f"{step:08d}.safetensors"
            if step < done.step and state.is_file():
                points.append([seconds, judge(_drawn(done.folder, state), item)])
        return {"points": points}

    found = cached(done.folder, "curve", item.judged_by, make)
    shutil.rmtree(states, ignore_errors=True)
    return [(seconds, figures) for seconds, figures in found["points"]] + [(done.fit_s, scores_of(done, item))]


def _drawn(folder: Path, state: Path) -> NDArray[Any]:
    """The series of a kept state, (frame, y, x)."""
    import torch

    from napari_dainr.methods.fit import make_method

    recipe = RunFolder(folder / RUN).recipe()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        method = make_method(recipe.method, recipe.config(), recipe.seed)
        tensors, _ = load_state(state, as_torch=True)
        return method.image(method.unpack(tensors, torch.device("cpu"))).numpy()
    finally:
        torch.set_num_threads(before)
