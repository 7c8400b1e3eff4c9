"""The demonstration: a simulated cardiac cine, every method, one table, one cine, one x–t picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_dainr import RESEARCH_USE
from napari_dainr.data import ImageSeries
from napari_dainr.errors import InputError

__all__ = ["run_demo"]

MATRIX, FINE = (128, 128), (192, 192)
FRAMES, SPOKES, COILS, TR_S, FOV_MM = 23, 13, 8, 2.7e-3, (300.0, 300.0)


def run_demo(folder: Path) -> None:
    """Simulate, reconstruct with NuFFT, GRASP and DA-INR, and leave pictures and run folders in ``folder``.

    The phantom is drawn on a finer grid than the reconstruction and its k-space comes from an exact DFT, so that no
    method is helped by sharing the simulation's grid.
    """
    from rich.console import Console
    from rich.table import Table

    from napari_dainr.io.ismrmrd import write_ismrmrd
    from napari_dainr.io.numpy_file import save_array
    from napari_dainr.io.pictures import side_by_side_gif, xt_figure
    from napari_dainr.metrics import score
    from napari_dainr.phantom import band_limit, cine_phantom, simulate_kspace
    from napari_dainr.progress import show
    from napari_dainr.recipe import Recipe, run

    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder.name}: already exists and is not empty; remove it or choose another folder with -o.")
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"Simulating a cardiac cine: {FRAMES} frames, {SPOKES} spokes each, {COILS} coils")
    fine = cine_phantom(FINE, FRAMES)
    kspace = simulate_kspace(
        fine,
        matrix=MATRIX,
        spokes_per_frame=SPOKES,
        n_coils=COILS,
        tr_s=TR_S,
        fov_mm=FOV_MM,
        snr=30.0,
        seed=0,
        name="cine",
    )
    data = folder / "cine.h5"
    write_ismrmrd(kspace, data)
    truth = np.abs(band_limit(fine, MATRIX))
    save_array(folder / "truth.npy", truth.astype(np.float32))

    table = Table("method", "seconds", "PSNR (dB)", "SSIM", title="Against the true phantom")
    shown: list[tuple[str, ImageSeries]] = []
    for method, label in (("nufft", "NuFFT"), ("grasp", "GRASP"), ("dainr", "DA-INR")):
        recipe = Recipe(data=str(data.resolve()), spokes_per_frame=SPOKES, method=method)
        finished = show(run(recipe, folder / method), label)
        figures = score(finished.series.image, truth)
        table.add_row(label, f"{finished.seconds:.1f}", f"{figures['psnr_fit']:.2f}", f"{figures['ssim_fit']:.4f}")
        shown.append((label, finished.series))
    side_by_side_gif(shown, folder / "cine.gif", fps=12.5)
    xt_figure(shown, truth, folder / "xt.png")
    console.print(table)
    console.print(f"Left in {folder}: cine.gif, xt.png, and the run folders nufft, grasp, dainr. {RESEARCH_USE}")
