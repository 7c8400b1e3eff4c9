"""Other sizes and times of a series without a model, against the sums and lines that they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_dainr.ops.resample import at_frames, draw_series, fourier_resize, scaled_matrix


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("old", "new"), [((7, 8), (11, 12)), ((8, 5), (16, 10)), ((9, 6), (5, 4)), ((4, 7), (9, 7))])
def test_fourier_resize_is_the_sum_of_waves(old: tuple[int, int], new: tuple[int, int]) -> None:
    """The waves that both sizes hold, each drawn at the new pixels; pixel n // 2 is the origin."""
    image = draw(2, *old)
    waves = []
    for n, m in zip(old, new, strict=True):
        k = min(n, m)
        frequencies = np.arange(-(k // 2), k - k // 2)
        forward = np.exp(-2j * np.pi * np.outer(frequencies, np.arange(n) - n // 2) / n) / n
        waves.append(np.exp(2j * np.pi * np.outer(np.arange(m) - m // 2, frequencies) / m) @ forward)
    expected = waves[0] @ image.numpy().astype(complex) @ waves[1].T
    assert np.allclose(fourier_resize(image, new).numpy(), expected, atol=1e-5)


def test_resizing_keeps_what_it_should() -> None:
    image = draw(3, 9, 6)
    assert fourier_resize(image, (9, 6)) is image
    assert torch.allclose(fourier_resize(fourier_resize(image, (15, 11)), (9, 6)), image, atol=1e-5)
    assert torch.allclose(fourier_resize(torch.full((1, 9, 6), 2 - 1j), (13, 8)), torch.full((1, 13, 8), 2 - 1j))


def test_frames_between_are_mixed_linearly_and_none_lies_beyond() -> None:
    series = draw(4, 3, 2)
    drawn = at_frames(series, torch.tensor([0.0, 1.25, 3.0, -1.0, 9.0]))
    assert torch.equal(drawn[[0, 2]], series[[0, 3]]) and torch.equal(drawn[[3, 4]], series[[0, 3]])
    assert torch.allclose(drawn[1], 0.75 * series[1] + 0.25 * series[2], atol=1e-6)
    assert at_frames(series, None) is series
    assert torch.equal(at_frames(series[:1], torch.tensor([0.0, 0.5])), series[[0, 0]])


def test_a_drawn_series_has_the_scaled_matrix() -> None:
    assert scaled_matrix((33, 28), 1.5) == (50, 42) and scaled_matrix((3, 2), 0.5) == (2, 2)
    series = draw(3, 9, 6)
    drawn = draw_series(series, torch.tensor([0.5]), 2.0)
    assert torch.allclose(drawn[0], fourier_resize((series[0] + series[1]) / 2, (18, 12)), atol=1e-5)
