"""Truths from files: what other programs write is read, what is no series is refused in one sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_dainr.errors import InputError
from napari_dainr.io.truth import read_truth

SERIES = np.random.default_rng(0).random((4, 7, 5)).astype(np.float32)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64, np.complex64, np.bool_])
def test_arrays_of_any_numeric_type(tmp_path: Path, dtype: type) -> None:
    np.save(tmp_path / "t.npy", (100 * SERIES).astype(dtype))
    image, times = read_truth(tmp_path / "t.npy")
    np.testing.assert_array_equal(image, (100 * SERIES).astype(dtype))
    assert times is None


def test_one_frame_and_named_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", SERIES[0])
    assert read_truth(tmp_path / "one.npy")[0].shape == (1, 7, 5)
    np.savez(tmp_path / "named.npz", anything=SERIES, scale=np.ones(2))
    np.testing.assert_array_equal(read_truth(tmp_path / "named.npz")[0], SERIES)
    np.savez(tmp_path / "both.npz", image=SERIES, other=2 * SERIES, times_s=np.arange(4) * 0.5)
    image, times = read_truth(tmp_path / "both.npz")
    np.testing.assert_array_equal(image, SERIES)
    np.testing.assert_array_equal(times, [0, 0.5, 1, 1.5])


@pytest.mark.parametrize(("unit", "factor"), [("sec", 1.0), ("msec", 1e-3), ("unknown", None)])
def test_a_nifti_of_another_program(tmp_path: Path, unit: str, factor: float | None) -> None:
    image = nibabel.Nifti1Image(SERIES.transpose(2, 1, 0)[:, :, None], np.eye(4))
    image.header.set_zooms((1, 1, 1, 20))
    image.header.set_xyzt_units("mm", unit)
    image.header["toffset"] = 10
    nibabel.save(image, tmp_path / "t.nii.gz")
    found, times = read_truth(tmp_path / "t.nii.gz")
    np.testing.assert_array_equal(found, SERIES)
    if factor is None:
        assert times is None
    else:
        np.testing.assert_allclose(times, factor * (10 + 20 * np.arange(4)))


def test_what_is_no_series(tmp_path: Path) -> None:
    np.save(tmp_path / "line.npy", np.zeros(3))
    np.save(tmp_path / "text.npy", np.array([[["a"]]]))
    np.save(tmp_path / "nan.npy", np.full((2, 3, 3), np.nan))
    np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=SERIES, b=SERIES)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "nan.npy").read_bytes()[:100])
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(b"not a NIfTI")[:-4])
    (tmp_path / "notes.txt").write_text("notes")
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 5, 3, 2), np.float32), np.eye(4)), tmp_path / "slices.nii")
    said = {
        "line.npy": "a numeric (frame, y, x) series is needed",
        "text.npy": "a numeric (frame, y, x) series is needed",
        "nan.npy": "NaN or Inf",
        "objects.npy": "cannot be read",
        "two.npz": "holds 2 series",
        "cut.npy": "cannot be read",
        "cut.nii.gz": "cannot be read",
        "notes.txt": "cannot be a truth",
        "slices.nii": "one slice over time",
        "missing.npy": "no such file",
    }
    for name, sentence in said.items():
        with pytest.raises(InputError) as raised:
            read_truth(tmp_path / name)
        assert str(raised.value).startswith(f"{name}: ")
        assert sentence in str(raised.value)
        assert str(tmp_path) not in str(raised.value)
