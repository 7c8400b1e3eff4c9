"""Stacks of stars: slices against the sum that defines them, wherever the centre lies and whatever is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_dainr.errors import InputError
from napari_dainr.preparation.partitions import describe_partitions, require_aligned, slices_of_partitions

SHAPE = (2, 5, 7)
"""Coils, spokes, samples."""


def _complex(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_against_the_sum(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 21))
    centre = data.draw(st.integers(0, 30))
    offsets = np.arange(count) - count // 2
    chosen = [o for o in offsets if o + centre >= 0]
    numbers = data.draw(
        st.lists(st.sampled_from(chosen), min_size=1, unique=True).map(lambda o: [v + centre for v in o])
    )
    kdata = _complex(np.random.default_rng(count), len(numbers), *SHAPE)
    z = np.arange(count) - count // 2
    waves = np.exp(2j * np.pi * np.outer(z, np.asarray(numbers) - centre) / count) / np.sqrt(count)
    expected = np.einsum("zp,pcsr->zcsr", waves, kdata)
    np.testing.assert_allclose(slices_of_partitions(kdata, tuple(numbers), count, centre), expected, atol=1e-5)
    other = np.einsum("zp,pcsr->zcsr", waves.conj(), kdata)
    np.testing.assert_allclose(slices_of_partitions(kdata, tuple(numbers), count, centre, True), other, atol=1e-5)


@pytest.mark.parametrize("count", [8, 9])
def test_slices_come_back_in_their_places(count: int) -> None:
    slices = _complex(np.random.default_rng(1), count, *SHAPE)
    offsets = np.arange(count) - count // 2
    waves = np.exp(-2j * np.pi * np.outer(offsets, offsets) / count) / np.sqrt(count)
    partitions = np.einsum("pz,zcsr->pcsr", waves, slices).astype(np.complex64)
    shuffled = np.random.default_rng(2).permutation(count)
    again = slices_of_partitions(partitions[shuffled], tuple(int(n) for n in shuffled), count, count // 2)
    np.testing.assert_allclose(again, slices, atol=1e-5)


def test_partial_fourier_of_a_smooth_stack() -> None:
    # Partition 11 of 31 at the centre, zero-filled to 48: a smooth profile keeps its shape.
    z = (np.arange(48) - 24) / 48
    profile = np.exp(-((z / 0.12) ** 2))
    kz = np.arange(31) - 11
    samples = (np.exp(-2j * np.pi * np.outer(kz, z)) @ profile / np.sqrt(48)).astype(np.complex64)
    kdata = np.broadcast_to(samples[:, None, None, None], (31, 1, 1, 1)).copy()
    slices = slices_of_partitions(kdata, tuple(range(31)), 48, 11)[:, 0, 0, 0]
    assert np.abs(slices - profile).max() < 5e-3
    text = describe_partitions(tuple(range(31)), 48, 11)
    assert "partial Fourier, 11 before the centre and 19 after it" in text and "the rest is zero" in text


def test_words_and_refusals() -> None:
    assert "1 missing in between: 2" in describe_partitions((0, 1, 3, 4), 5, 2)
    kdata = np.zeros((2, *SHAPE), np.complex64)
    with pytest.raises(InputError, match="there twice"):
        slices_of_partitions(kdata, (1, 1), 4, 2)
    with pytest.raises(InputError, match="do not fit into a stack of 4"):
        slices_of_partitions(kdata, (0, 5), 4, 2)


def test_rotated_partitions_are_refused() -> None:
    rng = np.random.default_rng(0)
    plane = rng.standard_normal((4, 6, 2))
    same = np.broadcast_to(plane, (3, 4, 6, 2)).copy()
    np.testing.assert_array_equal(require_aligned(same), plane)
    same[1] = same[1] @ np.array([[np.cos(0.05), np.sin(0.05)], [-np.sin(0.05), np.cos(0.05)]])
    with pytest.raises(InputError, match="rotated from partition to partition"):
        require_aligned(same)
