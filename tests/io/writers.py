"""Everything in the package that writes a file for the user, by name: a table for the tests of what writing promises.

Each writes into a folder what depends on a whole number, so that an older result can be told from a newer one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from napari_dainr.analysis import PixelGrid, Region, RegionSet
from napari_dainr.analysis.curves import Curve
from napari_dainr.analysis.phases import Phase
from napari_dainr.analysis.quantities import quantities_of
from napari_dainr.analysis.sections import Strip
from napari_dainr.bench import figures as bench_figures
from napari_dainr.bench.document import Heading, Picture, Text, write_report
from napari_dainr.bench.report import write_page
from napari_dainr.bench.scoring import cached
from napari_dainr.data import KSpace
from napari_dainr.deformation import DeformationSeries, save_deformation
from napari_dainr.gui._saving import copy_run
from napari_dainr.io import export_series
from napari_dainr.io.atomic import copy_file, write_text
from napari_dainr.io.curves import CurveEntry, PhaseEntry, QuantityEntry, write_curves, write_phases, write_quantities
from napari_dainr.io.error_maps import error_figure
from napari_dainr.io.export_formats import FORMATS
from napari_dainr.io.figure_file import save_figure
from napari_dainr.io.ismrmrd import write_ismrmrd
from napari_dainr.io.numpy_file import save_array
from napari_dainr.io.pictures import side_by_side_gif, xt_figure
from napari_dainr.io.regions import export_regions
from napari_dainr.io.series import save_series
from napari_dainr.io.state import save_state
from napari_dainr.io.strips import write_strips
from napari_dainr.recipe import Recipe, save_recipe
from napari_dainr.run_folder import RunFolder
from napari_dainr.trajectory import radial_ktraj

from .exported import make_series

__all__ = ["WRITERS", "Write"]

Write = Callable[[Path, int], Any]
"""(folder, whole number from 1)."""


_ID = "6c7a2c0e-3f4e-4a57-9d2b-0d8f3f1f2a10"


def _export(suffix: str) -> Write:
    return lambda folder, n: export_series(make_series(n_frames=3, size=(33, 21), seed=n), folder / f"out{suffix}")


def _ismrmrd(folder: Path, n: int) -> None:
    kdata = np.random.default_rng(n).standard_normal((1, 2, 24, 32)).astype(np.complex64)
    kspace = KSpace(kdata, radial_ktraj(24, 32, (16, 16)), 0.01 * np.arange(24), (16, 16), (40.0, 40.0), "scan")
    write_ismrmrd(kspace, folder / "scan.h5")


def _regions(suffix: str) -> Write:
    def write(folder: Path, n: int) -> None:
        corners = np.array([[1.0, 1.0], [9.0, 1.0], [9.0, 5.0 + n]])
        regions = RegionSet(
            (Region(corners, kind="polygon", role="AO", name=f"region {n}", id="6c7a2c0e-3f4e-4a57-9d2b-0d8f3f1f2a10"),)
        )
        export_regions(regions, folder / f"out{suffix}", PixelGrid.of(make_series(n_frames=1)))

    return write


def _curve(n: int) -> Curve:
    values = np.array([2.0, 3.0, 9.0 + n, 5.0])
    return Curve(np.arange(4.0), values, values, values, values, values, 6, np.zeros(4, bool), 1.9)


def _quantities(folder: Path, n: int) -> None:
    curve = _curve(n)
    found = quantities_of(curve.times_s, curve.mean, (0.0, 1.0))
    write_quantities([QuantityEntry("NuFFT", "aorta", "AO", 6, found)], folder / "out.csv")


def _strip(suffix: str) -> Write:
    def write(folder: Path, n: int) -> None:
        values = np.random.default_rng(n).random((5, 9))
        strip = Strip(values, 0.5 * np.arange(9), np.arange(5.0), np.zeros(5, bool), np.zeros((2, 2)))
        write_strips([("NuFFT", strip)], folder / f"out{suffix}")

    return write


def _figure(suffix: str) -> Write:
    def write(folder: Path, n: int) -> None:
        figure = Figure(figsize=(1.0, 0.5), dpi=50)
        figure.add_subplot().plot([0, n])
        save_figure(figure, folder / f"out{suffix}", (".png", ".svg", ".pdf"))

    return write


def _pair(n: int) -> list[tuple[str, Any]]:
    still = replace(make_series(n_frames=2, size=(12, 9), seed=n), interpolated=np.zeros(2, bool))
    return [("one", still), ("other", still)]


def _xt(folder: Path, n: int) -> None:
    pair = _pair(n)
    xt_figure(pair, np.abs(pair[0][1].image), folder / "xt.png")


def _errors(folder: Path, n: int) -> None:
    image = np.random.default_rng(n).random((9, 7))
    error_figure(("truth", image), [("one", image, image / 5)], 5.0, (1.0, 1.0), folder / "errors.png")


def _run_folder(folder: Path, n: int) -> None:
    recipe = Recipe(data="scan.h5", method="nufft", spokes_per_frame=13, seed=n)
    RunFolder(folder).finish(make_series(n_frames=2, size=(8, 6), seed=n), recipe, None, 1.0, False, n, 1)


def _log(folder: Path, n: int) -> None:
    path = folder / "log.csv"
    if not path.exists():
        path.write_text("step,stage,seconds,loss,value\n" + "".join(f"{i},fit,1.0,loss,1\n" for i in range(9)))
    RunFolder(folder).rewind_log(8 - n)


def _recipe(folder: Path, n: int) -> None:
    save_recipe(Recipe(data="scan.h5", method="grasp", spokes_per_frame=13, seed=n), folder / "recipe.json")


def _deformation(folder: Path, n: int) -> None:
    field = np.random.default_rng(n).standard_normal((2, 6, 5, 2)).astype(np.float32)
    save_deformation(DeformationSeries(field, np.arange(2.0), np.arange(2.0), (1.0, 1.0)), folder / "field.npz")


def _sources(folder: Path) -> Path:
    """A folder beside it with a file ``N`` for each number."""
    sources = folder.parent / "sources"
    if not sources.exists():
        sources.mkdir()
        for n in (1, 2):
            (sources / f"{n}").mkdir()
            (sources / f"{n}" / f"{n}.png").write_bytes(bytes([n]) * 5000)
    return sources


def _run_copy(folder: Path, n: int) -> None:
    copy_run(_sources(folder) / f"{n}", folder / f"copy {n}")


def _copied(folder: Path, n: int) -> None:
    copy_file(_sources(folder) / f"{n}" / f"{n}.png", folder / "copy.h5")


def _page(folder: Path, n: int) -> None:
    blocks = [Heading(1, f"Title {n}"), Picture(f"{n}/{n}.png", "a picture")]
    write_page(blocks, _sources(folder), folder / "page.md")


def _bench_picture(folder: Path, n: int) -> None:
    figure = bench_figures._figure(1, 1)
    figure.add_subplot().plot([0, n])
    bench_figures._save(figure, folder / "out.png")


WRITERS: dict[str, Write] = {
    **{f"export {suffix}": _export(suffix) for form in FORMATS for suffix in form.suffixes[:1]},
    "export .nii": _export(".nii"),
    **{f"regions {suffix}": _regions(suffix) for suffix in (".json", ".roi", ".zip", ".nii", ".nii.gz")},
    **{f"strip {suffix}": _strip(suffix) for suffix in (".png", ".npz", ".npy")},
    **{f"figure {suffix}": _figure(suffix) for suffix in (".png", ".svg", ".pdf")},
    "k-space": _ismrmrd,
    "series": lambda folder, n: save_series(make_series(n_frames=2, size=(8, 6), seed=n), folder),
    "end of a run": _run_folder,
    "log of a resumed run": _log,
    "checkpoint": lambda folder, n: save_state({"w": np.full(40, n)}, {"step": n}, folder / "state.safetensors"),
    "recipe": _recipe,
    "curves": lambda folder, n: write_curves([CurveEntry("NuFFT", "aorta", "AO", _curve(n), 2.0)], folder / "out.csv"),
    "quantities": _quantities,
    "phases": lambda folder, n: write_phases(
        [PhaseEntry("NuFFT", (Phase("arterial", 1.0, 1.0 + n),), "A suggestion.")], folder / "out.tsv"
    ),
    "side by side": lambda folder, n: side_by_side_gif(_pair(n), folder / "out.gif", 10),
    "x–t figure": _xt,
    "error maps": _errors,
    "array": lambda folder, n: save_array(folder / "truth.npy", np.full((3, 4), n, np.float32)),
    "deformation": _deformation,
    "text": lambda folder, n: write_text(folder / "scores.json", f"{n}\n" * 20),
    "copy of a file": _copied,
    "copy of a run": _run_copy,
    "report": lambda folder, n: write_report([Heading(1, f"Title {n}"), Text("words")], folder),
    "page of a report": _page,
    "picture of a report": _bench_picture,
    "scores of a report": lambda folder, n: cached(folder, "scores", f"{n}", lambda: {"psnr": float(n)}),
}
"""Name → writer."""
