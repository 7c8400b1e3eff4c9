"""The NUFFT by Triton: against the exact sum, in the interpreter on the CPU or on a CUDA device; compiled for Hopper.

Triton decides when it is imported whether kernels are interpreted, so the environment is set before that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

if find_spec("triton") is None:
    pytest.skip("triton is not installed; it is among the test packages on Linux x86-64", allow_module_level=True)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    assert "triton" not in sys.modules or os.environ.get("TRITON_INTERPRET") == "1", "imported before it was to be"
    os.environ["TRITON_INTERPRET"] = "1"

from napari_dainr.errors import ResourceError  # noqa: E402
from napari_dainr.ops import nufft_triton  # noqa: E402
from napari_dainr.ops.nufft import Nufft, make_nufft  # noqa: E402


def trajectory(n_frames: int, n_samples: int, matrix: tuple[int, int]) -> NDArray[np.float64]:
    """Anywhere, also beyond the Nyquist band and on the edges of it, at 0 and at whole numbers."""
    ktraj = np.random.default_rng(0).uniform(-0.7, 0.7, (n_frames, n_samples, 2)) * matrix
    ktraj[:, :3] = [[0, 0], [-matrix[0] / 2, matrix[1] / 2], [1, -2]]
    return ktraj


def both(n_frames: int, n_samples: int, matrix: tuple[int, int]) -> tuple[Nufft, Nufft]:
    ktraj = trajectory(n_frames, n_samples, matrix)
    return make_nufft(ktraj, matrix, DEVICE, "triton"), make_nufft(ktraj, matrix, backend="exact")


def random(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(sum(shape)))


def relative(got: Tensor, expected: Tensor) -> float:
    return float((got.detach().cpu() - expected).norm() / expected.norm())


@pytest.mark.parametrize("matrix", [(16, 16), (17, 12), (2, 9), (33, 20)])
def test_agrees_with_the_exact_sum(matrix: tuple[int, int]) -> None:
    """Odd, even and tiny sizes; frames in any order and twice; more samples than a block has."""
    nufft, exact = both(3, nufft_triton.BLOCK + 5, matrix)
    frames = [2, 0, 2]
    image, kdata = random(3, 2, *matrix).conj(), random(3, 2, nufft_triton.BLOCK + 5)
    assert relative(nufft(image.to(DEVICE), frames), exact(image, frames)) < 5e-5
    assert relative(nufft.adjoint(kdata.to(DEVICE), frames), exact.adjoint(kdata, frames)) < 5e-5


@given(st.integers(2, 14), st.integers(2, 14), st.integers(1, 3), st.integers(4, 9))
@settings(max_examples=5, deadline=None, derandomize=True)
def test_adjoint_is_the_adjoint(ny: int, nx: int, coils: int, samples: int) -> None:
    nufft, _ = both(2, samples, (ny, nx))
    x, y = random(2, coils, ny, nx), random(2, coils, samples)
    forward, back = nufft(x.to(DEVICE), [0, 1]).cpu(), nufft.adjoint(y.to(DEVICE), [0, 1]).cpu()
    gap = torch.vdot(forward.flatten(), y.flatten()) - torch.vdot(x.flatten(), back.flatten())
    assert float(gap.abs() / (forward.norm() * y.norm())) < 1e-6


def test_the_gradient_is_the_adjoint_of_the_slope() -> None:
    nufft, exact = both(2, 20, (9, 12))
    image, slope = random(1, 2, 9, 12).to(DEVICE).requires_grad_(), random(1, 2, 20)
    (gradient,) = torch.autograd.grad(nufft(image, [1]), image, slope.to(DEVICE))
    assert relative(gradient, exact.adjoint(slope, [1])) < 5e-5


def test_frames_go_in_groups_that_bound_the_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    nufft, exact = both(5, 11, (12, 9))
    image, every = random(5, 2, 12, 9), list(range(5))
    calls: list[int] = []
    forward = nufft_triton.TritonNufft._forward_chunk

    def counted(self: nufft_triton.TritonNufft, image: Tensor, frames: Tensor, kdata: Tensor) -> None:
        calls.append(len(image))
        forward(self, image, frames, kdata)

    monkeypatch.setattr(nufft_triton.TritonNufft, "_forward_chunk", counted)
    monkeypatch.setattr(nufft_triton, "_GRID_BYTES", 2 * 2 * 8 * 16 * 16)
    kdata = nufft(image.to(DEVICE), every)
    assert calls == [2, 2, 1]
    assert relative(kdata, exact(image, every)) < 5e-5
    assert relative(nufft.adjoint(kdata, every), exact.adjoint(kdata.cpu(), every)) < 5e-5


def test_no_frames() -> None:
    nufft, _ = both(2, 8, (6, 6))
    assert nufft(random(0, 2, 6, 6).to(DEVICE), []).shape == (0, 2, 8)


def test_its_trial_and_where_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nufft_triton.triton_nufft_runs.cache_clear()
    assert nufft_triton.triton_nufft_runs(torch.device(DEVICE)) is None
    if DEVICE == "cpu":
        monkeypatch.delenv("TRITON_INTERPRET")
        with pytest.raises(ResourceError, match="triton runs on cuda here, not on cpu"):
            both(1, 4, (6, 6))
    nufft_triton.triton_nufft_runs.cache_clear()


COMPILE = """
import re, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from napari_dainr.ops import nufft_triton as module

SIZES = {"n_samples", "ny", "nx", "height", "width"}
INTEGERS = {"start": "*i32", "frames": "*i32"}


def ptx(kernel, **fixed):
    names = kernel.arg_names
    types = {n: "constexpr" if n in fixed else "i32" if n in SIZES else INTEGERS.get(n, "*fp32") for n in names}
    values = {(names.index(name),): value for name, value in fixed.items()}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if types[name].startswith("*")}
    source = ASTSource(fn=kernel, signature=types, constexprs=values, attrs=aligned)
    done = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": module.WARPS})
    return done.asm["ptx"]


for kernel in (module._gather, module._spread):
    code = ptx(kernel, taps=module.TAPS, block=module.BLOCK)
    assert ".local" not in code
    if kernel is module._spread:
        assert len(re.findall(r"(?:atom|red)\\.global\\S*add\\S*\\.v2\\.f32", code)) >= module.TAPS
for kernel in (module._fill, module._crop):
    assert re.search(r"ld\\.global\\S*\\.v2\\.b32", ptx(kernel, block=module.PIXELS))
print("compiled")
"""


def test_compiles_for_hopper(tmp_path: Path) -> None:
    """Without a card, to machine code: nothing spills; a complex number is one load, one store, one addition."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip() == "compiled"
