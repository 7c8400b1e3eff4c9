"""Every installed NUFFT backend against the direct sum, on one contract."""

from __future__ import annotations

import threading
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.errors import ResourceError
from napari_dainr.ops.nufft import BACKENDS, make_nufft
from napari_dainr.ops.nufft_compiled import CompiledNufft
from napari_dainr.ops.nufft_finufft import FinufftNufft

MATRICES = [(32, 32), (33, 28), (31, 45), (20, 21), (2, 3)]


def installed(backend: str) -> bool:
    if backend in DEVICE:
        return find_spec(backend) is not None and torch.cuda.is_available()
    return True


DEVICE = {"cufinufft": "cuda", "triton": "cuda"}
BACKENDS_HERE = [pytest.param(b, marks=[] if installed(b) else pytest.mark.skip("not installed")) for b in BACKENDS]


def trajectory(matrix: tuple[int, int], n_frames: int = 4, n_samples: int = 300, seed: int = 0) -> NDArray[np.float64]:
    """Random samples, some of them outside ±n/2, with the exact corner and the centre among them."""
    k = np.random.default_rng(seed).uniform(-0.55, 0.55, (n_frames, n_samples, 2)) * np.array(matrix)
    k[:, 0] = 0
    k[:, 1] = np.array(matrix) / 2
    k[:, 2] = -np.array(matrix) / 2
    return k


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def relative(a: Tensor, b: Tensor) -> float:
    return float((a.cpu() - b.cpu()).norm() / b.cpu().norm())


def test_exact_is_the_sum_in_the_contract() -> None:
    """The oracle itself, against a loop over pixels, at an odd and an even size."""
    matrix = (5, 4)
    k = trajectory(matrix, n_frames=2, n_samples=7)
    image = random(1, 2, *matrix)
    got = make_nufft(k, matrix, backend="exact")(image, [1])
    for coil in range(2):
        for j in range(7):
            total = 0j
            for y in range(5):
                for x in range(4):
                    phase = k[1, j, 0] * (y - 2) / 5 + k[1, j, 1] * (x - 2) / 4
                    total += complex(image[0, coil, y, x]) * np.exp(-2j * np.pi * phase)
            assert abs(complex(got[0, coil, j]) - total / np.sqrt(20)) < 1e-6


def test_exact_does_not_depend_on_its_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = (9, 12)
    nufft = make_nufft(trajectory(matrix), matrix, backend="exact")
    image = random(1, 3, *matrix)
    kdata = nufft(image, [0])
    back = nufft.adjoint(kdata, [0])
    monkeypatch.setattr("napari_dainr.ops.nufft_exact._CHUNK_VALUES", 7 * 3 * 12)
    torch.testing.assert_close(nufft(image, [0]), kdata)
    torch.testing.assert_close(nufft.adjoint(kdata, [0]), back)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("backend", BACKENDS_HERE)
def test_agrees_with_the_direct_sum(backend: str, matrix: tuple[int, int]) -> None:
    k = trajectory(matrix)
    oracle = make_nufft(k, matrix, backend="exact")
    nufft = make_nufft(k, matrix, DEVICE.get(backend, "cpu"), backend)
    assert nufft.name == backend
    frames = [2, 0, 3]
    image = random(3, 5, *matrix)
    kdata = random(3, 5, k.shape[1], seed=1)
    assert relative(nufft(image.to(nufft.device), frames), oracle(image, frames)) < 1e-4
    assert relative(nufft.adjoint(kdata.to(nufft.device), frames), oracle.adjoint(kdata, frames)) < 1e-4


@pytest.mark.parametrize("backend", BACKENDS_HERE)
def test_samples_beyond_the_edge_wrap(backend: str) -> None:
    """k and k + n are the same sample, also many periods away."""
    matrix = (18, 15)
    k = trajectory(matrix, n_frames=1)
    far = k + 40 * np.array(matrix)
    image = random(1, 2, *matrix)
    near_y = make_nufft(k, matrix, DEVICE.get(backend, "cpu"), backend)(image, [0])
    far_y = make_nufft(far, matrix, DEVICE.get(backend, "cpu"), backend)(image, [0])
    assert relative(far_y, near_y) < 1e-5


@pytest.mark.parametrize("matrix", MATRICES[:3])
@pytest.mark.parametrize("backend", BACKENDS_HERE)
def test_adjoint_is_the_conjugate_transpose(backend: str, matrix: tuple[int, int]) -> None:
    """⟨A x, y⟩ = ⟨x, Aᴴ y⟩."""
    k = trajectory(matrix)
    nufft = make_nufft(k, matrix, DEVICE.get(backend, "cpu"), backend)
    image, kdata = random(2, 3, *matrix).to(nufft.device), random(2, 3, k.shape[1], seed=1).to(nufft.device)
    forward = nufft(image, [3, 1]).cpu().to(torch.complex128)
    backward = nufft.adjoint(kdata, [3, 1]).cpu().to(torch.complex128)
    left = torch.vdot(kdata.cpu().to(torch.complex128).flatten(), forward.flatten())
    right = torch.vdot(backward.flatten(), image.cpu().to(torch.complex128).flatten())
    scale = forward.norm() * kdata.cpu().norm()
    assert float((left - right).abs() / scale) < 1e-5


@pytest.mark.parametrize("backend", BACKENDS_HERE)
def test_gradient_is_the_adjoint(backend: str) -> None:
    """∇ ½‖A x − y‖² = Aᴴ(A x − y), and the other way round for the adjoint's own gradient."""
    matrix = (21, 16)
    k = trajectory(matrix)
    nufft = make_nufft(k, matrix, DEVICE.get(backend, "cpu"), backend)
    frames = [1, 2]
    image = random(2, 3, *matrix).to(nufft.device).requires_grad_()
    kdata = random(2, 3, k.shape[1], seed=1).to(nufft.device)
    residual = nufft(image, frames) - kdata
    (grad,) = torch.autograd.grad(0.5 * residual.abs().square().sum(), image)
    assert relative(grad, nufft.adjoint(residual.detach(), frames)) < 1e-6

    kdata.requires_grad_()
    back = nufft.adjoint(kdata, frames)
    (grad,) = torch.autograd.grad(0.5 * back.abs().square().sum(), kdata)
    assert relative(grad, nufft(back.detach(), frames)) < 1e-6


def test_gradcheck_and_second_derivative() -> None:
    matrix = (4, 3)
    nufft = make_nufft(trajectory(matrix, n_samples=6), matrix, backend="exact")
    image = random(1, 2, *matrix).to(torch.complex128).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: nufft(x, [1]), image)
    assert torch.autograd.gradgradcheck(lambda x: nufft(x, [1]), image)


@pytest.mark.parametrize("backend", BACKENDS_HERE)
def test_frames_in_any_order_and_repeated(backend: str) -> None:
    matrix = (16, 19)
    k = trajectory(matrix)
    nufft = make_nufft(k, matrix, DEVICE.get(backend, "cpu"), backend)
    image = random(5, 2, *matrix).to(nufft.device)
    frames = [3, 1, 1, 0, 3]
    together = nufft(image, frames)
    back = nufft.adjoint(together, frames)
    for row, frame in enumerate(frames):
        alone = nufft(image[row : row + 1], [frame])
        assert relative(together[row : row + 1], alone) < 1e-6
        assert relative(back[row : row + 1], nufft.adjoint(together[row : row + 1], [frame])) < 1e-6


@pytest.mark.parametrize("backend", BACKENDS_HERE)
def test_views_conjugates_and_strides(backend: str) -> None:
    matrix = (12, 14)
    nufft = make_nufft(trajectory(matrix), matrix, DEVICE.get(backend, "cpu"), backend)
    wide = random(1, 4, *matrix).to(nufft.device)
    view = wide[:, ::2].conj()
    assert relative(nufft(view, [0]), nufft(view.resolve_conj().contiguous(), [0])) < 1e-6
    turned = wide.transpose(-1, -2).contiguous().transpose(-1, -2)
    assert relative(nufft(turned, [0]), nufft(wide, [0])) < 1e-6


@pytest.mark.parametrize("backend", ["compiled", "finufft"])
@pytest.mark.parametrize("n_coils", [1, 2, 5, 10])
def test_does_not_depend_on_threads(n_coils: int, backend: str) -> None:
    """Bit-identical for any number of threads, one frame or all, coils together or one by one, run after run."""
    matrix = (48, 40)
    k = trajectory(matrix, n_samples=900)
    image, kdata = random(4, n_coils, *matrix), random(4, n_coils, 900, seed=1)
    frames = range(4)
    single = make_nufft(k, matrix, backend=backend, threads=1)
    forward, back = single(image, frames), single.adjoint(kdata, frames)
    for threads in (1, 2, 3, 7):
        nufft = make_nufft(k, matrix, backend=backend, threads=threads)
        for _ in range(2):
            assert torch.equal(nufft(image, frames), forward)
            assert torch.equal(nufft.adjoint(kdata, frames), back)
            assert torch.equal(nufft(image[2:3], [2]), forward[2:3])
            assert torch.equal(nufft.adjoint(kdata[2:3], [2]), back[2:3])
        assert torch.equal(nufft(image[1:2, :1], [1]), forward[1:2, :1])


def test_finufft_reuses_plans_and_bounds_them() -> None:
    matrix = (16, 16)
    k = trajectory(matrix, n_frames=30, n_samples=50)
    nufft = make_nufft(k, matrix, backend="finufft", threads=2)
    assert isinstance(nufft, FinufftNufft)
    image = random(30, 3, *matrix)
    first = nufft(image, range(30))
    plans = dict(nufft._plans)
    assert len(plans) == 30
    nufft(image, range(30))
    assert all(nufft._plans[key] is plan for key, plan in plans.items())
    nufft._max_plans = 5
    assert torch.equal(nufft(image, range(30)), first)
    nufft.adjoint(first, range(30))
    assert len(nufft._plans) == 5


@pytest.mark.parametrize("backend", ["compiled", "finufft", "torchkbnufft"])
def test_many_python_threads(backend: str) -> None:
    """Two operators, and one operator shared, used from several threads at the same time."""
    matrix = (40, 36)
    operators = [make_nufft(trajectory(matrix, seed=s), matrix, backend=backend, threads=2) for s in (0, 1)]
    image = random(4, 4, *matrix)
    expected = [op(image, range(4)) for op in operators]
    back = [op.adjoint(y, range(4)) for op, y in zip(operators, expected, strict=True)]
    wrong: list[str] = []

    def work(which: int) -> None:
        op = operators[which % 2]
        for _ in range(8):
            y = op(image, range(4))
            if relative(y, expected[which % 2]) > 1e-6:
                wrong.append("forward")
            if relative(op.adjoint(expected[which % 2], range(4)), back[which % 2]) > 1e-6:
                wrong.append("adjoint")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(st.integers(2, 70), st.integers(2, 70), st.integers(0, 400), st.integers(1, 3), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_compiled_agrees_for_any_size(height: int, width: int, n_random: int, n_coils: int, seed: int) -> None:
    """Against the direct sum, with samples on all edges, corners and cell borders of the grid."""
    matrix = (height, width)
    rng = np.random.default_rng(seed)
    edges = np.array([-0.5, -0.5 + 1e-9, -0.4, 0, 0.4, 0.5 - 1e-9, 0.5])
    corners = np.stack(np.meshgrid(edges, edges, indexing="ij"), -1).reshape(-1, 2)
    k = np.concatenate([corners, rng.uniform(-0.5, 0.5, (n_random, 2))])[None] * np.array(matrix)
    image, kdata = random(1, n_coils, *matrix, seed=seed), random(1, n_coils, k.shape[1], seed=seed + 1)
    oracle, nufft = (make_nufft(k, matrix, backend=backend) for backend in ("exact", "compiled"))
    assert relative(nufft(image, [0]), oracle(image, [0])) < 5e-5
    assert relative(nufft.adjoint(kdata, [0]), oracle.adjoint(kdata, [0])) < 5e-5


def test_compiled_groups_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coils in groups and samples in several blocks of windows; the bits do not depend on the groups."""
    matrix = (26, 31)
    k = trajectory(matrix, n_frames=1, n_samples=5000)
    nufft, oracle = make_nufft(k, matrix, threads=1), make_nufft(k, matrix, backend="exact")
    assert isinstance(nufft, CompiledNufft)
    image, kdata = random(1, 7, *matrix), random(1, 7, 5000, seed=1)
    forward, back = nufft(image, [0]), nufft.adjoint(kdata, [0])
    assert relative(forward, oracle(image, [0])) < 5e-5
    assert relative(back, oracle.adjoint(kdata, [0])) < 5e-5
    monkeypatch.setattr("napari_dainr.ops.nufft_compiled._GROUP_BYTES", 3 * 8 * 36 * 40)
    assert torch.equal(nufft(image, [0]), forward)
    assert torch.equal(nufft.adjoint(kdata, [0]), back)


def test_no_frames_and_no_leak_of_gradient_tracking() -> None:
    matrix = (8, 8)
    nufft = make_nufft(trajectory(matrix), matrix)
    assert nufft(torch.zeros((0, 2, *matrix), dtype=torch.complex64), []).shape == (0, 2, 300)
    assert not nufft(random(1, 1, *matrix), [0]).requires_grad


def test_auto_on_cpu_is_compiled() -> None:
    assert make_nufft(trajectory((8, 8)), (8, 8)).name == "compiled"


def test_refuses_what_it_cannot_do() -> None:
    k = trajectory((8, 8))
    with pytest.raises(ResourceError, match="no NUFFT backend 'fast'"):
        make_nufft(k, (8, 8), backend="fast")
    with pytest.raises(ResourceError, match="CUDA only"):
        make_nufft(k, (8, 8), backend="cufinufft")
    if not torch.cuda.is_available():
        with pytest.raises(ResourceError, match="no CUDA GPU"):
            make_nufft(k, (8, 8), device="cuda")
    with pytest.raises(ResourceError, match="CPU only"):
        make_nufft(k, (8, 8), device="meta", backend="finufft")
    with pytest.raises(ValueError, match="frame, sample, 2"):
        make_nufft(k[0], (8, 8))
    with pytest.raises(ValueError, match="NaN"):
        make_nufft(np.full_like(k, np.nan), (8, 8))
    with pytest.raises(ValueError, match="at least 2"):
        make_nufft(k, (8, 1))
    nufft = make_nufft(k, (8, 8))
    with pytest.raises(ValueError, match=r"expected \(1, coil, 8, 8\)"):
        nufft(random(1, 2, 8, 9), [0])
    with pytest.raises(ValueError, match=r"expected \(2, coil, 300\)"):
        nufft.adjoint(random(1, 2, 300), [0, 1])
    with pytest.raises(IndexError, match="0…3"):
        nufft(random(1, 2, 8, 8), [4])
