"""One whole run of the liver phantom's size: ``python benchmarks/large.py [--method dainr] [--matrix 384]``.

The DCE phantom of 384 × 384 × 17 frames, 12 coils, 34 spokes a frame, its k-space by the fast NUFFT; from k-space to
the saved result with the defaults, two threads. Prints seconds by the clock and of CPU for each stage, the most
resident memory, with all libraries and the input, and scores against the truth.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from napari_dainr.data import KSpace
from napari_dainr.machine import MemoryWatch, give_back_memory
from napari_dainr.metrics import score
from napari_dainr.ops.nufft import make_nufft
from napari_dainr.phantom import coil_maps, liver_phantom
from napari_dainr.recipe import Finished, Progress, Recipe, run
from napari_dainr.trajectory import radial_ktraj

N_FRAMES, N_COILS, N_SPOKES, SNR, THREADS = 17, 12, 34, 30.0, 2


def liver(n: int) -> tuple[KSpace, np.ndarray]:
    """K-space and truth."""
    image = liver_phantom((n, n), N_FRAMES)[0]
    ktraj = radial_ktraj(N_FRAMES * N_SPOKES, 2 * n, (n, n))
    nufft = make_nufft(ktraj.reshape(N_FRAMES, -1, 2), (n, n), threads=THREADS)
    maps = torch.from_numpy(coil_maps(N_COILS, (n, n)).astype(np.complex64))
    kdata = nufft(torch.from_numpy(image)[:, None] * maps, list(range(N_FRAMES))).numpy()
    magnitude = np.abs(image)
    deviation = magnitude[magnitude > 0.1 * magnitude.max()].mean() / SNR / np.sqrt(2)
    noise = np.random.default_rng(0).standard_normal((*kdata.shape, 2), np.float32)
    kdata = (kdata + deviation * noise.view(np.complex64)[..., 0]).astype(np.complex64)
    kdata = kdata.reshape(N_FRAMES, N_COILS, N_SPOKES, 2 * n).transpose(1, 0, 2, 3).reshape(1, N_COILS, -1, 2 * n)
    times = 0.0049 * np.arange(N_FRAMES * N_SPOKES)
    return KSpace(
        kdata.copy(), ktraj, times, (n, n), (380.0, 380.0), "liver", spokes_per_frame_hint=N_SPOKES
    ), magnitude


def used() -> float:
    """CPU seconds of all threads."""
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="dainr")
    parser.add_argument("--matrix", type=int, default=384)
    options = parser.parse_args()
    kspace, truth = liver(options.matrix)
    give_back_memory()
    watch = MemoryWatch("cpu")
    recipe = Recipe(data="memory", spokes_per_frame=N_SPOKES, method=options.method, threads=THREADS)
    cpu, wall, stage = used(), time.perf_counter(), ""

    def tell(what: str) -> None:
        print(f"{time.perf_counter() - wall:8.1f} s {used() - cpu:8.1f} CPU s  {what}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        for event in run(recipe, Path(folder) / "run", kspace=kspace):
            if isinstance(event, Progress) and event.stage != stage:
                stage = event.stage
                tell(f"{stage}, step {event.step}")
    tell(f"done; {watch.peak() / 1e9:.2f} GB at most")
    assert isinstance(event, Finished)
    found = score(np.abs(event.series.image), truth)
    print(f"psnr_fit {found['psnr_fit']:.2f} dB, ssim_fit {found['ssim_fit']:.4f}")


if __name__ == "__main__":
    main()
