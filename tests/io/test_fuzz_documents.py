"""Mutants of the files beside raw data: regions, recipes, run folders, truths and weights.

They are read by the program itself, except for weights; so each ends in what was read or in one clear sentence, within
memory. 300 of each here, 10,000 in ``make fuzz``.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_dainr.analysis import PixelGrid, Region, RegionSet
from napari_dainr.analysis.phases import Phase
from napari_dainr.analysis.regions import box_corners, ellipse_corners
from napari_dainr.data import ImageSeries
from napari_dainr.errors import DainrError
from napari_dainr.io.checkpoint import read_checkpoint
from napari_dainr.io.imagej import load_imagej
from napari_dainr.io.labels import load_labels
from napari_dainr.io.regions import export_regions, load_regions
from napari_dainr.io.series import load_series, save_series
from napari_dainr.io.truth import read_truth
from napari_dainr.recipe import Recipe, load_recipe, save_recipe
from napari_dainr.run_folder import RunFolder

from .mutation import mutate
from .test_fuzz import N_MUTANTS

PLACE = PixelGrid((37, 30), (1.5, 1.5), (0.75, 0.0))
CORNERS = np.array([[8.0, 8.3], [40.2, 9.0], [20.1, 33.7], [11.0, 12.0]])
REGIONS = RegionSet(
    (
        Region(ellipse_corners((30, 20), (9.1, 5.2), 33), kind="ellipse", role="PV", name="vena portæ"),
        Region(box_corners(10.1, 10.2, 30.3, 33.4), kind="rectangle", role="AO", arrival_s=8.25),
        Region(CORNERS, kind="freehand", role="LIVER"),
    ),
    PLACE,
    (0.5, 6.0),
    (Phase("Early arterial", 8.25, 14), Phase("Later", 14, 30)),
)
IMAGE = np.random.default_rng(4).standard_normal((4, 9, 7)).astype(np.complex64)


def _regions(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        export_regions(REGIONS if name != "one.roi" else RegionSet(REGIONS.regions[:1], PLACE), folder / name, PLACE)
        return folder / name

    return make


def _series(damaged: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        times = np.array([0.1, 0.2, 0.35, 0.5])
        save_series(ImageSeries(IMAGE, times, (1.25, 2.5), 0.1, np.zeros(4, bool), "nufft", {}), folder)
        return folder / damaged

    return make


def _recipe(folder: Path) -> Path:
    save_recipe(Recipe(data="scan.h5", method="grasp", spokes_per_frame=13, seed=4), folder / "recipe.json")
    return folder / "recipe.json"


def _provenance(folder: Path) -> Path:
    text = '{"step": 7, "stopped": false, "series_sha256": "ab", "input": {"sha256": "cd"}, "rendered_from": null}'
    (folder / "provenance.json").write_text(text)
    return folder / "provenance.json"


def _truth(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        if name.endswith(".npy"):
            np.save(path, IMAGE)
        elif name.endswith(".npz"):
            np.savez(path, image=IMAGE, times_s=np.arange(4.0))
        else:
            nibabel.save(nibabel.Nifti1Image(np.abs(IMAGE).T[:, :, None], np.eye(4)), path)
        return path

    return make


def _weights(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        import torch
        from safetensors.torch import save_file

        tensors = {"head.weight": torch.arange(24.0).reshape(2, 3, 4), "head.bias": torch.ones(2)}
        if name.endswith(".pt"):
            torch.save(tensors, folder / name)
        else:
            save_file(tensors, folder / name)
        return folder / name

    return make


PARSERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "regions.json": (_regions("rois.json"), load_regions),
    "regions of ImageJ": (_regions("rois.zip"), lambda path: load_imagej(path, PLACE)),
    "one region of ImageJ": (_regions("one.roi"), lambda path: load_imagej(path, PLACE)),
    "label mask": (_regions("rois.nii"), lambda path: load_labels(path, PLACE)),
    "label mask, compressed": (_regions("rois.nii.gz"), lambda path: load_labels(path, PLACE)),
    "recipe.json": (_recipe, load_recipe),
    "series.json": (_series("series.json"), lambda path: load_series(path.parent)),
    "series.npy": (_series("series.npy"), lambda path: load_series(path.parent)),
    "provenance.json": (_provenance, lambda path: RunFolder(path.parent).provenance()),
    "truth.npy": (_truth("truth.npy"), read_truth),
    "truth.npz": (_truth("truth.npz"), read_truth),
    "truth.nii": (_truth("truth.nii"), read_truth),
    "weights.pt": (_weights("weights.pt"), read_checkpoint),
    "weights.safetensors": (_weights("weights.safetensors"), read_checkpoint),
}
"""File → what writes a sound one, and what reads it."""


@pytest.mark.usefixtures("one_child")
@pytest.mark.parametrize("name", PARSERS)
def test_mutants(name: str, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    make, read = PARSERS[name]
    path = make(tmp_path)
    read(path)
    whole = path.read_bytes()
    counts = {"loaded": 0, "refused": 0}
    slowest = (0.0, -1)
    for seed in range(N_MUTANTS):
        path.write_bytes(mutate(whole, seed, ((0, 400),)))
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                read(path)
        except DainrError as error:
            text = str(error)
            assert text.startswith((path.stem, tmp_path.name)) and text.endswith(".") and text.isprintable(), text
            assert str(tmp_path.parent) not in text, text
            counts["refused"] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
        else:
            counts["loaded"] += 1
        slowest = max(slowest, (time.monotonic() - start, seed))
    record_property("mutants", (name, counts, slowest[0]))
    assert slowest[0] < 10, f"seed {slowest[1]} took {slowest[0]:.1f} s"
    assert counts["refused"] > N_MUTANTS // 20, counts
