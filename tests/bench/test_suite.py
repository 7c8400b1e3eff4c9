"""Suite files and data items."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dainr.bench.suite import Suite, load_suite, make_items, method_choice, suite_of
from napari_dainr.data import KSpace
from napari_dainr.errors import InputError
from napari_dainr.io.ismrmrd import write_ismrmrd
from napari_dainr.phantom import simulate_kspace


def written(folder: Path, content: Any) -> Path:
    path = folder / "suite.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "suite.json"),
        ({"data": []}, "data"),
        ({"data": [{"name": "a", "colour": 1}]}, "data.0.colour"),
        ({"data": [{"name": "../a"}]}, "data.0.name"),
        ({"data": [{"name": "a"}, {"name": "a"}]}, "two data sets"),
        ({"data": [{"name": "a"}], "studies": {"methods": {"data": ["b"]}}}, "no data set 'b'"),
        ({"data": [{"name": "a"}], "methods": ["magic"]}, "method is 'magic'"),
        ({"data": [{"name": "a"}], "methods": [{"method": "grasp", "settings": {"x": 1}}]}, "unknown key 'x'"),
    ],
)
def test_what_is_wrong_with_a_suite_is_said_in_a_sentence(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        load_suite(written(tmp_path, content))


def test_method_choices() -> None:
    assert method_choice("grasp").label == "GRASP"
    assert method_choice("dainr@paper").label == "DA-INR (paper)"
    assert method_choice("dainr@paper").preset == "paper"
    with pytest.raises(InputError, match="preset"):
        method_choice("dainr@best")


def one(suite: Suite, folder: Path) -> Any:
    (item,) = make_items(suite, folder)
    return item


@pytest.fixture(scope="module")
def scan(tiny_images: NDArray[np.complex64]) -> KSpace:
    """5 frames of 8 spokes, 33 × 28 pixels."""
    return simulate_kspace(tiny_images, spokes_per_frame=8, n_coils=3)


def test_file_with_truth_reference_and_regions(scan: KSpace, tmp_path: Path) -> None:
    write_ismrmrd(scan, tmp_path / "scan.h5")
    rng = np.random.default_rng(1)
    truth, mask = rng.random((5, 33, 28)), rng.random((33, 28)) > 0.8
    np.save(tmp_path / "truth.npy", truth.astype(np.complex64) * 1j)
    np.save(tmp_path / "mask.npy", mask)
    entry = {"name": "a", "file": "scan.h5", "truth": "truth.npy", "reference": "truth.npy"}
    rois = {"square": {"y": 20, "x": 10, "size": 5}, "drawn": "mask.npy"}
    item = one(load_suite(written(tmp_path, {"data": [entry | {"rois": rois}]})), tmp_path)
    assert item.spokes_per_frame == 8
    assert np.allclose(item.truth, truth, atol=1e-6)
    assert np.allclose(item.reference, truth, atol=1e-6)
    expected = np.zeros((33, 28), bool)
    expected[18:23, 8:13] = True
    assert np.array_equal(item.rois["square"], expected)
    assert np.array_equal(item.rois["drawn"], mask)
    other = one(load_suite(written(tmp_path, {"data": [entry]})), tmp_path)
    assert other.judged_by != item.judged_by
    for wrong, said in (
        ({"rois": {"off": {"y": 2, "x": 10}}}, "roi off"),
        ({"rois": {"off": "truth.npy"}}, "roi off"),
        ({"truth": "mask.npy"}, "has shape"),
        ({"truth": "none.npy"}, "cannot be read"),
        ({"file": "none.h5"}, "no such file"),
    ):
        with pytest.raises(InputError, match=said):
            make_items(load_suite(written(tmp_path, {"data": [entry | wrong]})), tmp_path)


def test_data_flag(scan: KSpace, tmp_path: Path) -> None:
    write_ismrmrd(scan, tmp_path / "my scan.h5")
    np.save(tmp_path / "t.npy", np.ones((5, 33, 28)))
    item = one(suite_of([f"{tmp_path / 'my scan.h5'}:{tmp_path / 't.npy'}"]), tmp_path)
    assert item.name == "my_scan"
    assert item.truth is not None
    assert one(suite_of([str(tmp_path / "my scan.h5")]), tmp_path).truth is None
    with pytest.raises(InputError, match="two data sets"):
        suite_of(["cine", "cine"])


def test_phantoms_are_made_once_and_know_their_truth(tmp_path: Path) -> None:
    small: dict[str, Any] = {"matrix": 32, "frames": 3, "coils": 3}
    entries = [
        {"name": "c", "phantom": "cine", **small},
        {"name": "n", "phantom": "cine", "noisy_frames": 0.05, **small},
        {"name": "l", "phantom": "liver", **small},
    ]
    path = written(tmp_path, {"data": entries})
    clean, noisy, liver = make_items(load_suite(path), tmp_path / "data")
    stamp = clean.path.stat().st_mtime_ns
    assert make_items(load_suite(path), tmp_path / "data")[0].digest == clean.digest
    assert clean.path.stat().st_mtime_ns == stamp
    assert clean.reference is None
    assert noisy.truth is not None
    assert noisy.reference is not None
    # Far inside the object the magnitude of truth + complex noise deviates by the noise of one component.
    bright = noisy.truth > 0.5 * noisy.truth.max()
    deviation = (noisy.reference - noisy.truth)[bright].std() / noisy.truth.max()
    assert deviation == pytest.approx(0.05, rel=0.15)
    assert noisy.digest != clean.digest
    assert set(liver.rois) == {"liver"}, "at 32 pixels nothing lies well inside the vessels"
    assert all(mask.shape == (32, 32) and mask.any() for mask in liver.rois.values())
