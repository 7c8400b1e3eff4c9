"""BART's files, and BART itself where it is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_dainr.bench.bart import bart_program, bart_version, read_cfl, reconstruct_with_bart, write_cfl
from napari_dainr.data import KSpace, bin_spokes
from napari_dainr.errors import ResourceError
from napari_dainr.methods.problem import density_compensated, make_problem
from napari_dainr.metrics import score


def test_files_of_bart(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    array = (rng.standard_normal((3, 4, 1, 2)) + 1j * rng.standard_normal((3, 4, 1, 2))).astype(np.complex64)
    write_cfl(array, tmp_path / "a")
    assert (tmp_path / "a.hdr").read_text().split("\n")[1] == "3 4 1 2"
    raw = np.fromfile(tmp_path / "a.cfl", dtype=np.complex64)
    assert raw[1] == array[1, 0, 0, 0]  # the first index runs fastest
    assert np.array_equal(read_cfl(tmp_path / "a"), array)


@pytest.mark.skipif(bart_program() is None, reason="BART is not on the path")
def test_bart_sees_the_same_object_the_right_way_round(tiny_kspace: KSpace, tiny_images: NDArray[np.complex64]) -> None:
    binned = bin_spokes(tiny_kspace, 8)
    image, seconds, _ = reconstruct_with_bart(binned, 0.001, 30)
    assert image.shape == (5, 33, 28)
    assert seconds > 0
    adjoint = density_compensated(make_problem(binned, threads=1)).numpy()
    ours, theirs = (score(series, np.abs(tiny_images))["psnr_fit"] for series in (adjoint, image))
    # Mirrored, transposed or shifted by a pixel it would be far below the NuFFT.
    assert theirs > ours + 3
    assert bart_version().startswith("v")


def test_absent_bart_is_said(monkeypatch: pytest.MonkeyPatch, tiny_kspace: KSpace) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ResourceError, match="not on the path"):
        reconstruct_with_bart(bin_spokes(tiny_kspace, 8), 0.01, 5)
    assert bart_version() == "absent"
