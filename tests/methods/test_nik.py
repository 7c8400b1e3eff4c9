"""NIK: k-space as a function, and images drawn from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.inr.fourier import FourierFeatures, PeriodicMlp
from napari_dainr.methods.base import Problem
from napari_dainr.methods.config import NikConfig, method_config
from napari_dainr.methods.nik import NikMethod, NikState
from napari_dainr.ops.resample import fourier_resize

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_drawing_known_kspace_gives_the_image(
    fit_tiny: Callable[..., Any], tiny_images: NDArray[np.complex64], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the true k-space in the network's place, the drawn image is the true one, in scale, place and phase."""
    method, state = fit_tiny("nik", 1)
    truth = torch.from_numpy(tiny_images)
    coils = state.csm * truth[2]
    y, x = (torch.arange(n) - n // 2 for n in state.matrix)

    def exact(self: NikMethod, state: NikState, coords: Tensor) -> Tensor:
        assert torch.allclose(coords[:, 2], torch.zeros(1))  # frame 2 of 5 sits at t = 0
        waves_y = torch.exp(-1j * torch.pi * coords[:, :1] * y)
        waves_x = torch.exp(-1j * torch.pi * coords[:, 1:2] * x)
        return torch.einsum("ky,cyx,kx->kc", waves_y, coils, waves_x) / (len(y) * len(x)) ** 0.5

    monkeypatch.setattr(NikMethod, "_kspace", exact)
    state.reach = 2.0  # all of the grid
    drawn = method.image(state, torch.tensor([2.0]))[0]
    expected = (state.csm.abs() ** 2).sum(dim=0) * truth[2]
    assert torch.allclose(drawn, expected, atol=1e-4)


def test_kspace_beyond_the_spokes_is_zero(tiny_problem: Problem, fit_tiny: Callable[..., Any]) -> None:
    method, state = fit_tiny("nik", 20)
    place = 2 * tiny_problem.nufft.ktraj / np.asarray(state.matrix)
    inside = (np.abs(place) <= 1).all(axis=-1)
    assert state.reach == pytest.approx(np.hypot(*place[inside].T).max(), abs=0.02) and state.reach < 1.3
    one = dataclasses.replace(state, csm=torch.ones_like(state.csm) / 3)
    spectrum = torch.fft.fftshift(torch.fft.fft2(torch.fft.ifftshift(method.image(one)[0])))
    ky, kx = (2 * (torch.arange(n) - n // 2) / n for n in state.matrix)
    beyond = torch.hypot(ky[:, None], kx[None]) > state.reach + 1e-6
    assert beyond.any()
    assert float(spectrum[beyond].abs().max()) < 1e-4 * float(spectrum.abs().max())


def test_loss_is_the_high_dynamic_range_loss(fit_tiny: Callable[..., Any]) -> None:
    method, state = fit_tiny("nik", 1, envelope=False, hdr_power=1.0)
    assert state.coords is not None and state.samples is not None
    coords, samples = state.coords[:50], state.samples[:50]
    with torch.no_grad():
        y, target = method._kspace(state, coords) / state.peak, samples / state.peak
        expected = (((y - target).abs() / (y.abs() + 1e-2)) ** 2).sum()
    assert method._loss(state, coords, samples).item() == pytest.approx(expected.item(), rel=1e-4)


def test_envelope_follows_the_magnitude(tiny_problem: Problem, small_method: Callable[..., Any]) -> None:
    method = small_method("nik", n_steps=1)
    state = method.start(tiny_problem)
    method.step(tiny_problem, state)
    flat = method.start(tiny_problem)
    assert torch.equal(flat.envelope, state.envelope)
    assert float(state.envelope[0]) > 10 * float(state.envelope[30]) > 0
    even = small_method("nik", envelope=False).start(tiny_problem)
    assert torch.allclose(even.envelope, even.envelope[:1].expand(65))


def test_samples_that_the_matrix_cannot_represent_are_left_out(
    tiny_problem: Problem, small_method: Callable[..., Any]
) -> None:
    inside = torch.ones_like(tiny_problem.dcf)
    inside[:, ::3] = 0
    state = small_method("nik").start(dataclasses.replace(tiny_problem, inside=inside))
    assert state.samples is not None and len(state.samples) == int(inside.sum())


def test_sine_layers_keep_their_scale() -> None:
    """SIREN's first weights: pre-activations of every hidden layer after the first spread alike, about 1."""
    source = torch.Generator().manual_seed(0)
    network = PeriodicMlp(
        FourierFeatures((1.0, 1.0, 1.0), 256, source),
        width=256,
        depth=4,
        n_out=2,
        activation="sine",
        omega=30.0,
        generator=source,
    )
    x = network.features(2 * torch.rand(500, 3) - 1)
    with torch.no_grad():
        for index, layer in enumerate(network.layers[:-1]):
            before = 30 * layer(x)
            assert index == 0 or 0.5 < float(before.std()) < 2
            x = before.sin()


def test_images_need_no_kspace_and_are_drawn_anywhere(fit_tiny: Callable[..., Any]) -> None:
    method, fitted = fit_tiny("nik", 30)
    state = method.unpack(method.pack(fitted), torch.device("cpu"))
    assert state.samples is None
    whole = method.image(state)
    assert torch.equal(whole, method.image(fitted)) and whole.shape == (5, 33, 28)
    drawn = method.image(state, torch.tensor([0.0, 1.5, 4.0]))
    assert torch.equal(drawn[0], whole[0]) and torch.equal(drawn[2], whole[4])
    assert not torch.equal(drawn[1], (whole[1] + whole[2]) / 2)
    assert torch.equal(method.image(state, scale=1.5), fourier_resize(whole, (50, 42)))
    preview = method.preview(state)
    assert preview.shape == whole.shape and not torch.equal(preview, whole)


def test_paper_preset_has_the_numbers_of_the_published_program() -> None:
    config = method_config("nik", "paper")
    assert isinstance(config, NikConfig)
    assert (config.width, config.depth, config.features, config.omega) == (512, 8, 512, 30)
    assert (config.n_steps, config.batch, config.learning_rate) == (50_000, 30_000, 3e-5)
    assert (config.activation, config.hdr_epsilon, config.hdr_power, config.envelope) == ("sine", 1e-2, 1, False)
