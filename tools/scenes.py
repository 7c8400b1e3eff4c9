"""Simulated dynamic radial acquisitions to train the extractor on: moving shapes and textures, boluses, coils, noise.

Half of a scene's content are random shapes, half are patches of the photographs that come with scikit-image, whose
edges and textures have statistics like those of real images. No MR image is used. A seed makes the same scene again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import skimage
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.io import imread
from skimage.transform import resize
from torch import Tensor

from napari_dainr.data import bin_spokes
from napari_dainr.methods.config import LowrankConfig
from napari_dainr.methods.lowrank import LowrankMethod
from napari_dainr.methods.primal_dual import noise_level
from napari_dainr.methods.problem import make_problem, weighted_residual
from napari_dainr.phantom import band_limit, coil_maps, simulate_kspace

__all__ = ["Scene", "make_scene"]

Array = NDArray[np.floating]
PHOTOGRAPHS = (
    *("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "moon.png", "rocket.jpg", "retina.jpg"),
    *("motorcycle_left.png", "ihc.png", "grass.png", "gravel.png", "brick.png", "cell.png", "hubble_deep_field.jpg"),
)
SPOKES_AT_128 = (4, 5, 5, 5, 6, 8, 10, 13, 13, 13, 17, 21)


@dataclass(frozen=True)
class Scene:
    """A series as DA-INR's feature reconstructs it, with what it should be; complex (frame, y, x) all three."""

    truth: Tensor
    images: Tensor
    residual: Tensor
    noise: float


def make_scene(seed: int) -> Scene:
    """Simulate and reconstruct one scene; a few seconds."""
    rng = np.random.default_rng(10_000 + seed)
    side, n_frames = int(rng.integers(72, 108)), int(rng.integers(12, 20))
    bolus = rng.choice(["cine", "cine", "dce"]) == "dce"
    fine = int(side * rng.uniform(1.25, 1.6))
    spokes = max(3, round(int(rng.choice(SPOKES_AT_128)) * side / 128))
    n_coils, snr = int(rng.integers(6, 11)), float(np.exp(rng.uniform(np.log(10), np.log(600))))
    image = _series(rng, fine, n_frames, bolus)
    kspace = simulate_kspace(
        image, spokes_per_frame=spokes, n_coils=n_coils, matrix=(side, side), snr=snr, seed=seed, name=f"scene {seed}"
    )
    problem = make_problem(bin_spokes(kspace, spokes), threads=1, coils=n_coils)
    # As the maps that were estimated combine coil images: their errors are not for an extractor to mend.
    maps = coil_maps(n_coils, (fine, fine))
    coil_images = (band_limit(image * c, (side, side)) for c in maps)
    truth = sum(one * np.conj(m.numpy()) for one, m in zip(coil_images, problem.csm, strict=True)) / problem.unit
    method = LowrankMethod(LowrankConfig(space_factor=0.015, n_steps=60, tolerance=1e-3))
    state = method.start(problem)
    while not method.done(state):
        method.step(problem, state)
    residual = weighted_residual(problem, state.x)
    return Scene(torch.from_numpy(np.asarray(truth, np.complex64)), state.x, residual, noise_level(problem))


def _series(rng: np.random.Generator, n: int, n_frames: int, bolus: bool) -> NDArray[np.complex64]:
    """(frame, y, x) of magnitude about 1."""
    shapes = _shapes(rng, n, n_frames, bolus)
    kind = rng.uniform()
    return shapes if kind < 0.35 else _photographs(rng, shapes, n, n_frames, bolus, kind)


def _shapes(rng: np.random.Generator, n: int, n_frames: int, bolus: bool) -> NDArray[np.complex64]:
    """Organic shapes with textures in one moving layer, or two that slide over each other."""
    t = np.arange(n_frames) / max(n_frames - 1, 1)
    y, x = np.mgrid[:n, :n].astype(np.float32)
    yy, xx = y / n - 0.5, x / n - 0.5
    out = np.zeros((n_frames, n, n), np.float32)
    ry, rx = rng.uniform(0.33, 0.48), rng.uniform(0.33, 0.48)
    body = (yy / ry) ** 2 + (xx / rx) ** 2 + 0.06 * _field(rng, n, n / 8) < 1
    for layer in range(1 if bolus else 2):
        labels = _leaves(rng, n, int(rng.integers(15, 60)), 0.008, rng.uniform(0.1, 0.25))
        count = int(labels.max()) + 1
        value = rng.uniform(0, 1, count) ** rng.uniform(0.7, 2)
        value[rng.uniform(size=count) < 0.15] *= 0.05
        curves = np.repeat(value[None], n_frames, 0)
        for j in range(count):
            if rng.uniform() < (0.5 if bolus else 0.08):
                curves[:, j] += rng.uniform(0, 1.5) * _bolus(rng, t)
            elif rng.uniform() < 0.2 and not bolus:
                depth, beats = rng.uniform(), rng.choice([1, 2])
                curves[:, j] *= 1 + 0.3 * depth * np.sin(2 * np.pi * t * beats + rng.uniform(0, 6.3))
        texture = 1 + rng.uniform(0, 0.2) * _field(rng, n, rng.uniform(1, 2))
        texture = texture + rng.uniform(0, 0.2) * _field(rng, n, rng.uniform(2, 6))
        texture = texture + rng.uniform(0, 0.3) * _field(rng, n, n / 6)
        soft = rng.uniform(0.4, 1.2)
        moved = _motion(rng, n, n_frames, bolus)
        mask = gaussian_filter(body.astype(np.float32), soft) if layer == 0 else _region(rng, yy, xx, soft)
        for i in range(n_frames):
            at = [y + moved[i, 0] * n, x + moved[i, 1] * n]
            picture = map_coordinates(gaussian_filter(curves[i][labels] * texture, soft), at, order=1, mode="nearest")
            over = map_coordinates(mask, at, order=1)
            out[i] = picture * over if layer == 0 else out[i] * (1 - over) + over * picture
    phase = rng.uniform(0, 1.5) * _field(rng, n, n / 4)
    phase = phase + rng.uniform(0, 0.3) * _field(rng, n, n / 10)
    return np.asarray(np.maximum(out, 0) * np.exp(1j * phase), np.complex64)


def _photographs(
    rng: np.random.Generator, shapes: NDArray[np.complex64], n: int, n_frames: int, bolus: bool, kind: float
) -> NDArray[np.complex64]:
    """A photograph inside a body, parts of it enhanced, with another moving region over it."""
    t = np.arange(n_frames) / max(n_frames - 1, 1)
    y, x = np.mgrid[:n, :n].astype(np.float32)
    yy, xx = y / n - 0.5, x / n - 0.5
    ry, rx = rng.uniform(0.36, 0.5), rng.uniform(0.36, 0.5)
    inside = (yy / ry) ** 2 + (xx / rx) ** 2 + 0.06 * _field(rng, n, n / 8) < 1
    body = gaussian_filter(inside.astype(np.float32), 0.7)
    below, above = _patch(rng, n), _patch(rng, n)
    moved, moved_above = _motion(rng, n, n_frames, bolus), _motion(rng, n, n_frames, bolus)
    labels = _leaves(rng, n, int(rng.integers(4, 20)), 0.01, rng.uniform(0.05, 0.2))
    curves = np.ones((n_frames, int(labels.max()) + 1))
    for j in range(1, curves.shape[1]):
        if rng.uniform() < (0.6 if bolus else 0.1):
            curves[:, j] += rng.uniform(-0.2, 1.5) * _bolus(rng, t)
        elif rng.uniform() < 0.3:
            curves[:, j] = rng.uniform(0.2, 1.5)
    region = _region(rng, yy, xx, None)
    out = np.zeros((n_frames, n, n), np.float32)
    for i in range(n_frames):
        at = [y + moved[i, 0] * n, x + moved[i, 1] * n]
        out[i] = map_coordinates(below * body * gaussian_filter(curves[i][labels], 0.6), at, order=1, mode="nearest")
        if not bolus or kind > 0.7:
            at = [y + moved_above[i, 0] * n, x + moved_above[i, 1] * n]
            over = map_coordinates(region, at, order=1)
            picture = map_coordinates(above if kind < 0.8 else np.abs(shapes[i]), at, order=1, mode="nearest")
            out[i] = out[i] * (1 - over) + over * picture * (0.3 + body)
    return np.asarray(np.maximum(out, 0) * np.exp(1j * np.angle(shapes[0])), np.complex64)


def _region(rng: np.random.Generator, yy: Array, xx: Array, soft: float | None) -> Array:
    """A roundish region with a soft edge."""
    cy, cx = rng.uniform(-0.2, 0.2, 2)
    width = rng.uniform(0.1, 0.25)
    n = len(yy)
    inside = ((yy - cy) ** 2 + (xx - cx) ** 2) / width**2 + 0.2 * _field(rng, n, n / 10) < 1
    return gaussian_filter(inside.astype(np.float32), rng.uniform(0.4, 1.2) if soft is None else soft)


def _field(rng: np.random.Generator, n: int, sigma: float) -> Array:
    """Smooth noise of mean 0 and standard deviation 1."""
    smooth = gaussian_filter(rng.standard_normal((n, n)), sigma, mode="wrap")
    return (smooth - smooth.mean()) / smooth.std()


def _leaves(rng: np.random.Generator, n: int, count: int, smallest: float, largest: float) -> NDArray[np.intp]:
    """Labels of shapes that lie over each other as fallen leaves do, with wavy outlines."""
    y, x = np.mgrid[:n, :n] / n
    labels = np.zeros((n, n), np.intp)
    for i in range(1, count + 1):
        cy, cx = rng.uniform(0.05, 0.95, 2)
        radius = smallest * (largest / smallest) ** rng.uniform()
        flat, turn = rng.uniform(0.4, 1.0), rng.uniform(0, np.pi)
        dy, dx = y - cy, x - cx
        u, v = dy * np.cos(turn) + dx * np.sin(turn), (-dy * np.sin(turn) + dx * np.cos(turn)) / flat
        angle = np.arctan2(v, u)
        wave = sum(rng.normal(0, 0.25 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(1, 6))
        labels[np.hypot(u, v) < radius * (1 + wave)] = i
    return labels


def _bolus(rng: np.random.Generator, t: Array) -> Array:
    """A first pass that washes out, and a slow rise."""
    onset, rise = rng.uniform(0, 0.7), rng.uniform(0.03, 0.4)
    s = np.maximum(t - onset, 0) / rise
    first = s * np.exp(1 - s) * (1 - 0.5 * rng.uniform())
    return first + rng.uniform(0, 0.6) * (1 - np.exp(-s))


def _motion(rng: np.random.Generator, n: int, n_frames: int, bolus: bool) -> Array:
    """Displacements (frame, 2, y, x) in fields of view: the whole to and fro, and regions that contract and twist."""
    y, x = np.mgrid[:n, :n] / n - 0.5
    t = np.arange(n_frames) / n_frames
    moved = np.zeros((n_frames, 2, n, n), np.float32)
    if rng.uniform() < 0.7:
        cycles, start, far = rng.choice([0.5, 1, 1, 2]), rng.uniform(0, 6.3), rng.uniform(0, 0.02)
        towards = rng.normal(size=2)
        towards /= np.linalg.norm(towards)
        uneven = 1 + 0.5 * _field(rng, n, n / 5)
        for i in range(n_frames):
            moved[i] += (far * np.sin(2 * np.pi * cycles * t[i] + start) * towards)[:, None, None] * uneven
    for _ in range(rng.integers(0, 2) if bolus else rng.integers(1, 4)):
        centre, width = rng.uniform(-0.25, 0.25, 2), rng.uniform(0.06, 0.2)
        near = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * width**2))
        cycles, start = rng.choice([1, 1, 1, 2]), rng.uniform(0, 6.3)
        beat = (0.5 - 0.5 * np.cos(2 * np.pi * cycles * t + start)) ** rng.uniform(0.7, 2)
        shrink, turn = rng.uniform(0.05, 0.35), rng.normal(0, 0.15)
        for i in range(n_frames):
            moved[i, 0] += beat[i] * near * (shrink * (y - centre[0]) - turn * (x - centre[1]))
            moved[i, 1] += beat[i] * near * (shrink * (x - centre[1]) + turn * (y - centre[0]))
    return moved


@cache
def _photograph(name: str) -> Array:
    picture = imread(Path(skimage.__file__).parent / "data" / name).astype(np.float32)
    grey = picture if picture.ndim == 2 else picture[..., :3].mean(axis=-1)
    return (grey - grey.min()) / np.ptp(grey)


def _patch(rng: np.random.Generator, n: int) -> Array:
    """A square of a photograph, drawn with n pixels across."""
    photograph = _photograph(PHOTOGRAPHS[rng.integers(len(PHOTOGRAPHS))])
    shorter = min(photograph.shape)
    zoom = np.exp(rng.uniform(np.log(1.5), np.log(max(1.6, shorter / n))))
    side = min(int(n * zoom), shorter)
    top, left = (int(rng.integers(0, length - side + 1)) for length in photograph.shape)
    square = resize(
        np.rot90(photograph[top : top + side, left : left + side], rng.integers(4)), (n, n), anti_aliasing=True
    )
    square = square if rng.uniform() < 0.7 else square.max() - square
    low, high = np.percentile(square, [2, 99])
    clipped = np.clip((square - low) / max(high - low, 1e-3), 0, 1.3)
    return np.asarray(clipped ** rng.uniform(0.8, 2), np.float32)
