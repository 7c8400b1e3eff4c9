"""Interpolation (Table III, Figs. 8 and 9): finer pixels from cropped spokes, and frames that were never measured."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.bench.bench import Bench, Column, table_of
from napari_dainr.bench.document import Block, Heading, Picture, Text
from napari_dainr.bench.figures import frames_figure, section_figure
from napari_dainr.bench.job import Measured
from napari_dainr.bench.retrospective import coarse_matrix, unmeasured_frames
from napari_dainr.bench.scoring import Figures, cached, fitted_magnitude, judge
from napari_dainr.bench.suite import DataItem
from napari_dainr.errors import InputError
from napari_dainr.methods.config import TITLES

__all__ = ["spatial", "temporal"]

RATIOS = (1.2, 1.5, 2.0)
FACTORS = (2, 3)
METHODS = ("nufft", "grasp", "tddip", "hashinr", "dainr")
"""The paper's rivals, and GRASP."""
GRIDDED = ("nufft", "grasp", "lowrank")
"""Methods that make pixels and frames, not a function: what lies between is interpolated."""
COLUMNS = [
    Column("psnr_fit", "psnr_fit (dB)", 2, 1),
    Column("ssim_fit", "ssim_fit", 4, 1),
    Column("psnr", "psnr (dB)", 2, 1),
    Column("ssim", "ssim", 4, 1),
    Column("fit_s", "fit (s)", 1),
]
Row = tuple[str, dict[str, list[float]]]


def _row(label: str, done: Measured, figures: Figures) -> Row:
    return label, {name: [value] for name, value in figures.items() if name != "rois"} | {"fit_s": [done.fit_s]}


def _verdict(rows: list[Row]) -> str:
    """Whether DA-INR is first by both scores."""
    ours = [row for label, row in rows if label.startswith(TITLES["dainr"])]
    others = [(label, row) for label, row in rows if not label.startswith(TITLES["dainr"])]
    if not ours or not others:
        return ""
    words = []
    for name, unit, digits in (("psnr_fit", " dB", 2), ("ssim_fit", "", 4)):
        label, row = max(others, key=lambda pair: pair[1][name][0])
        lead = ours[0][name][0] - row[name][0]
        words.append(f"`{name}` {lead:+.{digits}f}{unit} against {label}".replace("-0.", "−0."))
    return "DA-INR and the best of the others: " + ", ".join(words) + "."


def spatial(bench: Bench) -> list[Block]:
    """Fit to centre-cropped spokes, draw at the full matrix."""
    blocks: list[Block] = [
        Heading(2, "Spatial interpolation"),
        Text(
            "Table III and Fig. 8. The spokes are cropped to the band of a matrix r times coarser, methods are "
            "fitted to what is left and drawn at the full matrix. NuFFT and GRASP are brought there by bilinear "
            "interpolation of their images, and by filling their spectrum with zeros; the others are functions that "
            "are evaluated at more points. Coil maps come from the cropped data too."
        ),
    ]
    for item in bench.items_of("spatial"):
        for ratio in bench.choice("spatial").ratios or RATIOS:
            try:
                blocks += _spatial_one(bench, item, ratio)
            except InputError as error:
                blocks.append(Text(f"{item.name}, r = {ratio:g}: {error}"))
    return blocks


def _spatial_one(bench: Bench, item: DataItem, ratio: float) -> list[Block]:
    assert item.truth is not None
    matrix = (item.truth.shape[1], item.truth.shape[2])
    coarse = coarse_matrix(matrix, ratio)
    scale = matrix[0] / coarse[0]
    rows: list[Row] = []
    shown: list[tuple[str, NDArray[np.floating[Any]]]] = []
    for choice in bench.methods_of("spatial", METHODS):
        gridded = choice.method in GRIDDED
        done = bench.fit(item, choice, crop=ratio, scale=1.0 if gridded else scale)
        if done is None:
            continue
        image = done.series().image
        ways = {"bilinear": _bilinear, "zero-filled": _zero_filled} if gridded else {"": None}
        for way, resize in ways.items():
            drawn = image if resize is None else resize(image, matrix)
            label = f"{way} {choice.label}".strip()
            figures = cached(done.folder, f"scores-{way or 'drawn'}", item.judged_by, partial(judge, drawn, item))
            rows.append(_row(label, done, figures))
            shown.append((label, fitted_magnitude(drawn, item.truth)))
    if not rows:
        return []
    path, link = bench.picture(f"spatial-{item.name}-{ratio:g}")
    frames_figure(item.truth, shown, (0,), path, f"{item.name}: r = {ratio:g}, {coarse[0]} → {matrix[0]} pixels")
    caption = f"{item.name}, r = {ratio:g} ({coarse[0]} × {coarse[1]} → {matrix[0]} × {matrix[1]})"
    return [
        table_of("method", rows, COLUMNS, caption),
        Text(_verdict(rows)),
        Picture(link, f"{caption}: first frame and absolute error (as Fig. 8)"),
    ]


def _bilinear(image: NDArray[np.complexfloating], matrix: tuple[int, int]) -> NDArray[np.complex64]:
    import torch

    from napari_dainr.inr.coordinates import bilinear_resize

    return bilinear_resize(torch.from_numpy(image.astype(np.complex128)), matrix).numpy().astype(np.complex64)


def _zero_filled(image: NDArray[np.complexfloating], matrix: tuple[int, int]) -> NDArray[np.complex64]:
    import torch

    from napari_dainr.ops.resample import fourier_resize

    return fourier_resize(torch.from_numpy(np.ascontiguousarray(image)), matrix).numpy()


def temporal(bench: Bench) -> list[Block]:
    """Fit to every k-th frame, draw all frames, judge by those that were left out."""
    blocks: list[Block] = [
        Heading(2, "Temporal interpolation"),
        Text(
            "Fig. 9. Only every second or third frame is given, with its own spokes at its own time; the scores are "
            "those of the frames that were left out. NuFFT and GRASP are interpolated linearly between frames; the "
            "others are functions of time."
        ),
    ]
    for item in bench.items_of("temporal"):
        for factor in bench.choice("temporal").factors or FACTORS:
            try:
                blocks += _temporal_one(bench, item, int(factor))
            except InputError as error:
                blocks.append(Text(f"{item.name}, × {factor:g}: {error}"))
    return blocks


def _temporal_one(bench: Bench, item: DataItem, factor: int) -> list[Block]:
    assert item.truth is not None
    absent = unmeasured_frames(len(item.truth), factor)
    if not len(absent):
        raise InputError("there are too few frames to leave some out.")
    rows: list[Row] = []
    series = []
    for choice in bench.methods_of("temporal", METHODS):
        done = bench.fit(item, choice, keep_every=factor)
        if done is None:
            continue
        label = f"{choice.label}, linear" if choice.method in GRIDDED else choice.label
        one = done.series()
        figures = cached(
            done.folder, f"scores-unmeasured-{factor}", item.judged_by, partial(judge, one.image, item, absent)
        )
        rows.append(_row(label, done, figures))
        series.append((label, one))
    if not rows:
        return []
    path, link = bench.picture(f"temporal-{item.name}-{factor}")
    truth = item.truth[: series[0][1].n_frames]
    shown = [(label, fitted_magnitude(one.image, truth)) for label, one in series]
    section_figure(truth, shown, series[0][1].times_s, path, f"{item.name}, × {factor}")
    caption = f"{item.name}, × {factor}: {len(absent)} frames that were not measured"
    return [
        table_of("method", rows, COLUMNS, caption),
        Text(_verdict(rows)),
        Picture(link, f"{item.name}, × {factor}: one image row over time, all frames (as Fig. 9)"),
    ]
