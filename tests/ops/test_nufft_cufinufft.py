"""How cufinufft is called: plans, streams and memory, with finufft in its place; and itself, where there is a GPU.

A stand-in for ``cufinufft.Plan`` has the interface of cufinufft 2.5 and computes on the CPU, so that the order of axes,
signs, scale and the reuse of plans are tested without a card; whether cufinufft itself runs, the tests marked ``gpu``
tell.
"""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import finufft
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.ops import nufft_cufinufft
from napari_dainr.ops.nufft import make_nufft
from napari_dainr.ops.nufft_cufinufft import CufinufftNufft

MATRIX = (17, 12)
OPTIONS = {"upsampfac", "gpu_maxbatchsize", "gpu_device_id", "gpu_stream"}
made: list[StandIn] = []


class StandIn:
    """A plan on the CPU that insists on what cufinufft insists on."""

    def __init__(
        self, kind: int, n_modes: tuple[int, ...], n_trans: int, eps: float, isign: int, dtype: str, **options: Any
    ) -> None:
        assert set(options) == OPTIONS
        self.options, self.n_trans, self.points_set = options, n_trans, 0
        self._plan = finufft.Plan(kind, n_modes, n_trans, eps, isign, dtype=dtype, nthreads=1)
        made.append(self)

    def setpts(self, y: Tensor, x: Tensor) -> None:
        assert y.is_contiguous() and x.is_contiguous() and y.dtype == x.dtype == torch.float32
        self.points_set += 1
        self._plan.setpts(y.numpy(), x.numpy())

    def execute(self, data: Tensor, out: Tensor) -> Tensor:
        assert data.is_contiguous() and out.is_contiguous() and data.dtype == out.dtype == torch.complex64
        assert not data.is_conj() and not data.requires_grad and len(data) == self.n_trans
        result = self._plan.execute(data.squeeze(0).numpy())
        out.copy_(torch.from_numpy(np.asarray(result)).reshape(out.shape))
        return out


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Pretends that the CPU is a CUDA device with this current stream."""
    current = SimpleNamespace(cuda_stream=7)
    made.clear()
    monkeypatch.setattr(nufft_cufinufft, "require", lambda *a, **k: SimpleNamespace(Plan=StandIn))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    return current


def trajectory(n_frames: int, n_samples: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).uniform(-9, 9, (n_frames, n_samples, 2))


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(len(shape)))


@pytest.mark.parametrize("n_coils", [1, 3])
def test_keeps_the_contract(stream: SimpleNamespace, n_coils: int) -> None:
    ktraj = trajectory(4, 50)
    nufft, exact = CufinufftNufft(ktraj, MATRIX, torch.device("cpu")), make_nufft(ktraj, MATRIX, backend="exact")
    frames = [2, 0, 2]
    image, kdata = random(3, n_coils, *MATRIX).conj(), random(3, n_coils, 50)
    for got, expected in (
        (nufft(image, frames), exact(image, frames)),
        (nufft.adjoint(kdata, frames), exact.adjoint(kdata, frames)),
    ):
        assert float((got - expected).norm() / expected.norm()) < 2e-4
    image = image.resolve_conj().requires_grad_()
    (slope,) = torch.autograd.grad(torch.vdot(kdata.flatten(), nufft(image, frames).flatten()).real, image)
    assert float((slope - exact.adjoint(kdata, frames)).norm() / slope.norm()) < 2e-4


def test_plans_are_made_once_for_each_frame_kind_and_stream(stream: SimpleNamespace) -> None:
    nufft = CufinufftNufft(trajectory(3, 20), MATRIX, torch.device("cpu"))
    image = random(3, 2, *MATRIX)
    for _ in range(4):
        kdata = nufft(image, [0, 1, 2])
        nufft.adjoint(kdata, [0, 1, 2])
    assert len(made) == 6
    assert all(plan.points_set == 1 and plan.options["gpu_stream"] == 7 for plan in made)
    stream.cuda_stream = 9
    nufft(image[:1], [1])
    assert len(made) == 7
    assert made[-1].options["gpu_stream"] == 9


def test_memory_for_plans_is_bounded_however_many_frames(
    stream: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer coils at a time where there are more frames; then plans change their points, and results stay right."""
    grid_bytes = 8 * 4 * MATRIX[0] * MATRIX[1]
    monkeypatch.setattr(nufft_cufinufft, "_PLAN_BYTES", 24 * grid_bytes)
    for n_frames, batch, plans in ((1, 8, 2), (3, 4, 6), (12, 1, 24), (20, 1, 24)):
        made.clear()
        ktraj = trajectory(n_frames, 20)
        nufft, exact = CufinufftNufft(ktraj, MATRIX, torch.device("cpu")), make_nufft(ktraj, MATRIX, backend="exact")
        image = random(n_frames, 9, *MATRIX)
        every = list(range(n_frames))
        for _ in range(2):
            kdata = nufft(image, every)
            back = nufft.adjoint(kdata, every)
        assert float((kdata - exact(image, every)).norm() / kdata.norm()) < 2e-4
        assert float((back - exact.adjoint(kdata, every)).norm() / back.norm()) < 2e-4
        assert {plan.options["gpu_maxbatchsize"] for plan in made} == {batch}
        assert len(made) == plans
        assert sum(plan.options["gpu_maxbatchsize"] for plan in made) * grid_bytes <= 24 * grid_bytes


@pytest.mark.gpu
def test_the_installed_library_keeps_the_contract_without_waiting(gpu: str) -> None:
    """After its plans are made, a transform and its gradient never wait for the device."""
    pytest.importorskip("cufinufft")
    ktraj = trajectory(3, 60)
    nufft, exact = make_nufft(ktraj, MATRIX, gpu, "cufinufft"), make_nufft(ktraj, MATRIX, backend="exact")
    image, every = random(3, 2, *MATRIX), [0, 1, 2]
    there = image.to(gpu).requires_grad_()
    kdata = nufft(there, every)
    torch.autograd.grad(kdata.abs().sum(), there)
    torch.cuda.set_sync_debug_mode("error")
    try:
        kdata = nufft(there, every)
        torch.autograd.grad(kdata.abs().sum(), there)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = exact(image, every)
    assert float((kdata.cpu() - expected).norm() / expected.norm()) < 2e-4
