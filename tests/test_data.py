"""K-space and series check themselves; frames are consecutive spokes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dainr.data import ImageSeries, KSpace, bin_spokes
from napari_dainr.errors import InputError
from napari_dainr.trajectory import radial_ktraj


def _kspace(slices: int = 2, coils: int = 3, spokes: int = 11, readout: int = 8) -> KSpace:
    rng = np.random.default_rng(0)
    shape = (slices, coils, spokes, readout)
    return KSpace(
        kdata=(rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64),
        ktraj=radial_ktraj(spokes, readout, (4, 4)),
        spoke_times_s=np.arange(spokes) * 0.003,
        matrix=(4, 4),
        fov_mm=(100.0, 100.0),
        name="scan",
    )


@settings(max_examples=30, deadline=None)
@given(spokes=st.integers(1, 20), per_frame=st.integers(1, 20), slice_index=st.integers(0, 1))
def test_every_spoke_lands_in_its_frame(spokes: int, per_frame: int, slice_index: int) -> None:
    kspace = _kspace(spokes=spokes)
    if per_frame > spokes:
        with pytest.raises(InputError, match=f"spokes per frame is {per_frame}, but the file holds only {spokes}"):
            bin_spokes(kspace, per_frame, slice_index)
        return
    binned = bin_spokes(kspace, per_frame, slice_index)
    assert binned.n_frames == spokes // per_frame
    for frame in range(binned.n_frames):
        for i in range(per_frame):
            spoke = frame * per_frame + i
            np.testing.assert_array_equal(binned.kdata[frame, :, i], kspace.kdata[slice_index, :, spoke])
            np.testing.assert_array_equal(binned.ktraj[frame, i], kspace.ktraj[spoke])
    if spokes > 1:
        np.testing.assert_allclose(np.diff(binned.times_s), binned.frame_duration_s)
        assert binned.times_s[0] == pytest.approx(per_frame * 0.0015)


def _with(change: str) -> KSpace:
    kspace = _kspace()
    kdata = kspace.kdata.copy()
    if change == "nan":
        kdata[0, 1, 4, 2] = np.nan
    elif change == "inf":
        kdata[1, 2, 0, 0] = np.inf
    elif change == "dead":
        kdata[:, 2] = 0
    elif change == "zero":
        kdata[:] = 0
    return replace(kspace, kdata=kdata)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nan", "NaN or Inf in coil 1"),
        ("inf", "coil 2"),
        ("dead", "all zero in coil 2"),
        ("zero", "zero in every coil"),
    ],
)
def test_bad_coils_are_named(change: str, message: str) -> None:
    with pytest.raises(InputError, match=f"scan: .*{message}"):
        _with(change)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kdata", np.ones((3, 11, 8), np.complex64), "3 axes"),
        ("ktraj", np.zeros((10, 8, 2), np.float32), "ktraj has shape"),
        ("ktraj", np.full((11, 8, 2), np.nan, np.float32), "ktraj holds NaN"),
        ("spoke_times_s", np.zeros(3), "spoke_times_s"),
        ("matrix", (1, 4), "too small"),
        ("fov_mm", (0.0, 100.0), "positive"),
    ],
)
def test_misfits_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(_kspace(), **{field: value})


def test_no_such_slice() -> None:
    with pytest.raises(InputError, match="choose 0 to 1"):
        bin_spokes(_kspace(), 3, 2)


def test_a_series_needs_a_time_and_a_mark_per_frame() -> None:
    image = np.ones((3, 4, 5), np.complex64)
    with pytest.raises(InputError, match="3 frames"):
        ImageSeries(image, np.arange(2.0), (1.0, 1.0), 0.1, np.zeros(3, bool), "nufft")
    with pytest.raises(InputError, match="axes"):
        ImageSeries(image[0], np.arange(4.0), (1.0, 1.0), 0.1, np.zeros(4, bool), "nufft")
