"""The main study: every method on every data set (Tables I and II, Figs. 4 to 7), and quality against time."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dainr.analysis import roi_curve
from napari_dainr.bench.bench import Bench, Column, table_of
from napari_dainr.bench.document import Block, Heading, Picture, Text
from napari_dainr.bench.figures import curves_figure, frames_figure, regions_figure, section_figure, two_frames
from napari_dainr.bench.job import Measured
from napari_dainr.bench.scoring import Figures, curve_of, fitted_magnitude, scores_of
from napari_dainr.bench.suite import DataItem
from napari_dainr.methods import METHOD_NAMES

__all__ = ["SCORES", "TIMES", "figures_of", "reconstruction"]

SCORES = [
    Column("psnr_fit", "psnr_fit (dB)", 2, 1),
    Column("ssim_fit", "ssim_fit", 4, 1),
    Column("psnr", "psnr (dB)", 2, 1),
    Column("ssim", "ssim", 4, 1),
    Column("reference_psnr", "psnr, noisy ref. (dB)", 2, 1),
    Column("reference_ssim", "ssim, noisy ref.", 4, 1),
]
TIMES = [
    Column("fit_s", "fit (s)", 1),
    Column("cpu_s", "CPU (s)", 1),
    Column("seconds", "in all (s)", 1),
    Column("peak", "peak memory (MB)", 0),
    Column("gpu", "GPU memory (MB)", 0),
]


def figures_of(done: list[Measured], scores: list[Figures]) -> dict[str, list[float]]:
    """What tables show of the fits of one method, one value per seed."""
    figures: dict[str, list[float]] = {
        "fit_s": [one.fit_s for one in done],
        "cpu_s": [one.cpu_s for one in done],
        "seconds": [one.seconds for one in done],
        "peak": [one.peak_bytes / 1e6 for one in done if one.peak_bytes],
        "gpu": [one.gpu_bytes / 1e6 for one in done if one.gpu_bytes],
    }
    for name in scores[0] if scores else ():
        if name != "rois":
            figures[name] = [score[name] for score in scores]
    for region in scores[0].get("rois", {}) if scores else ():
        figures[f"roi {region}"] = [score["rois"][region] for score in scores]
    return figures


def reconstruction(bench: Bench) -> list[Block]:
    """Run the study and tell of it."""
    blocks: list[Block] = [
        Heading(2, "Reconstruction"),
        Text(
            "Tables I and II and Figs. 4 to 7 of the paper for the data at hand. `psnr_fit` and `ssim_fit` are taken "
            "after one least-squares factor against the clean truth, `psnr` and `ssim` as in the paper (each series "
            "scaled by its own extremes). Where a noisy reference is given, the paper's scores against it stand "
            "beside them: such a score rewards reproducing the noise of the reference."
        ),
    ]
    for item in bench.items_of("methods"):
        blocks += _one(bench, item)
    return blocks


def _one(bench: Bench, item: DataItem) -> list[Block]:
    fits: dict[str, list[Measured]] = {}
    stopped: list[str] = []
    for choice in bench.methods_of("methods", METHOD_NAMES, item):
        for seed in range(bench.seeds):
            done = bench.fit(item, choice, seed=seed, states=seed == 0)
            if done is not None:
                fits.setdefault(choice.label, []).append(done)
                if done.stopped and choice.label not in stopped:
                    stopped.append(choice.label)
    blocks: list[Block] = [Heading(3, item.title)]
    if not fits:
        return [*blocks, Text("No fit could be made; see the end of this page.")]
    rows = [(label, figures_of(done, [scores_of(one, item) for one in done])) for label, done in fits.items()]
    rois = [Column(f"roi {name}", name, 4, -1) for name in item.rois]
    judged = item.truth is not None or item.reference is not None
    blocks.append(table_of("method", rows, [*SCORES, *TIMES]))
    if judged:
        blocks.append(Text(_words(rows)))
    if stopped:
        blocks.append(Text(f"Ended by the budget before all steps were made: {', '.join(stopped)}."))
    if rois and item.truth is not None:
        blocks.append(table_of("method", rows, rois, "Curves of regions: RMSE over the range of the true curve"))
    return blocks + _pictures(bench, item, fits, judged)


def _words(rows: list[tuple[str, dict[str, list[float]]]]) -> str:
    """Who is best, and how far DA-INR is from the best of the others."""
    name = "psnr_fit" if rows[0][1].get("psnr_fit") else "reference_psnr_fit"
    other = name.replace("psnr", "ssim")
    means = {label: (fmean(row[name]), fmean(row[other])) for label, row in rows}
    best = max(means, key=lambda label: means[label][0])
    words = f"Highest `{name}`: {best} ({means[best][0]:.2f} dB)."
    ours = next((label for label in means if label.startswith("DA-INR")), None)
    rivals = [label for label in means if not label.startswith("DA-INR")]
    if ours is not None and rivals:
        rival = max(rivals, key=lambda label: means[label][0])
        similar = max(rivals, key=lambda label: means[label][1])
        words += (
            f" {ours} against {rival}, the best other by this score: {means[ours][0] - means[rival][0]:+.2f} dB; "
            f"against {similar}, the best other by `{other}`: {means[ours][1] - means[similar][1]:+.4f}."
        )
    return words.replace("-0.", "−0.").replace(" -", " −")


def _pictures(bench: Bench, item: DataItem, fits: dict[str, list[Measured]], judged: bool) -> list[Block]:
    blocks: list[Block] = []
    if judged:
        path, link = bench.picture(f"time-{item.name}")
        name = "psnr_fit" if item.truth is not None else "reference_psnr_fit"
        curves = {label: _named(curve_of(done[0], item), name) for label, done in fits.items()}
        curves_figure(curves, path, f"{item.name}: quality against time")
        blocks.append(
            Picture(
                link, f"{item.name}: quality against seconds of fitting, without scoring, checkpoints and preparation"
            )
        )
    series = [(label, done[0].series()) for label, done in fits.items()]
    goal = item.truth if item.truth is not None else item.reference
    images: list[tuple[str, NDArray[np.floating[Any]]]] = [
        (label, one.magnitude if goal is None else fitted_magnitude(one.image, goal)) for label, one in series
    ]
    path, link = bench.picture(f"frames-{item.name}")
    frames = two_frames(images[0][1] if goal is None else goal)
    frames_figure(goal, images, frames, path, f"{item.name}: images and errors")
    below = "" if goal is None else ", absolute error below"
    blocks.append(Picture(link, f"{item.name}: two frames{below} (as Figs. 4 and 5)"))
    path, link = bench.picture(f"xt-{item.name}")
    section_figure(goal, images, series[0][1].times_s, path, item.name)
    blocks.append(Picture(link, f"{item.name}: one image row over time (as Fig. 6)"))
    if item.rois and goal is not None:
        path, link = bench.picture(f"rois-{item.name}")
        true = {name: roi_curve(np.asarray(goal), mask) for name, mask in item.rois.items()}
        found = {
            label: {name: roi_curve(np.asarray(image), mask) for name, mask in item.rois.items()}
            for label, image in images
        }
        regions_figure(series[0][1].times_s, true, found, path, f"{item.name}: mean signal of regions")
        blocks.append(Picture(link, f"{item.name}: mean signal of regions over time (as Fig. 7)"))
    return blocks


def _named(points: list[tuple[float, Figures]], name: str) -> list[tuple[float, Figures]]:
    """Points with psnr_fit and ssim_fit under these names, whatever they were taken against."""
    return [
        (seconds, {"psnr_fit": figures[name], "ssim_fit": figures[name.replace("psnr", "ssim")]})
        for seconds, figures in points
    ]
