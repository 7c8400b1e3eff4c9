"""The Triton kernels: against the reference, interpreted on the CPU or on a CUDA device, and compiled for Hopper.

Triton decides when it is imported whether kernels are interpreted, so the environment is set before that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

if find_spec("triton") is None:
    pytest.skip("triton is not installed; it is among the test packages on Linux x86-64", allow_module_level=True)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    assert "triton" not in sys.modules, "triton was imported before this module could ask for its interpreter"
    os.environ["TRITON_INTERPRET"] = "1"

from napari_dainr.inr import hashgrid_triton  # noqa: E402
from napari_dainr.inr.hashgrid import HashGrid, HashGridSpec, encode  # noqa: E402

SPECS = {
    "2-D, dense and hashed": HashGridSpec(levels=5, table_log2=8, features=2, n_min=5, growth=1.7),
    "2-D, four features, dense": HashGridSpec(levels=2, table_log2=19, features=4, n_min=7, growth=2.0),
    "2-D, one feature, hashed": HashGridSpec(levels=2, table_log2=4, features=1, n_min=9, growth=1.5),
    "2-D, three features": HashGridSpec(levels=2, table_log2=7, features=3, n_min=6, growth=2.1),
    "3-D, dense and hashed": HashGridSpec(levels=3, table_log2=9, features=2, n_min=3, growth=2.0, dims=3),
    "3-D, three features": HashGridSpec(levels=2, table_log2=8, features=3, n_min=4, growth=1.6, dims=3),
}
SPEC_CASES = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


def drawn(spec: HashGridSpec, n: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Points in and around the box, some of them on grid lines and corners; a table; weights of the results."""
    generator = torch.Generator().manual_seed(seed)
    coords = (torch.rand(n, spec.dims, generator=generator) * 2 - 1) * 1.2
    coords[: n // 4] = coords[: n // 4].round()
    table = torch.randn(spec.n_entries, spec.features, generator=generator)
    return coords, table, torch.randn(n, spec.width, generator=generator)


def results(coords: Tensor, table: Tensor, weight: Tensor, spec: HashGridSpec, backend: str) -> list[Tensor]:
    """Values, and the gradients of their weighted sum with respect to points and table, on the CPU."""
    device = "cpu" if backend == "torch" else DEVICE
    coords, table = (t.to(device).clone().requires_grad_() for t in (coords, table))
    out = encode(coords, table, spec, backend)
    return [t.detach().cpu() for t in (out, *torch.autograd.grad((out * weight.to(device)).sum(), (coords, table)))]


def assert_agree(spec: HashGridSpec, n: int, seed: int = 0) -> None:
    coords, table, weight = drawn(spec, n, seed)
    got, expected = (results(coords, table, weight, spec, backend) for backend in ("triton", "torch"))
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6 * float(b.abs().max()))


@SPEC_CASES
@pytest.mark.parametrize("n", [1, 7, 129])
def test_agrees_with_the_reference(spec: HashGridSpec, n: int) -> None:
    """One block, part of one, and one point more than one."""
    assert_agree(spec, n)


@given(
    st.integers(1, 3), st.integers(3, 10), st.integers(1, 5), st.integers(1, 20), st.floats(1, 2.5), st.integers(2, 3)
)
@settings(max_examples=4, deadline=None, derandomize=True)
def test_agrees_for_any_spec(levels: int, table_log2: int, features: int, n_min: int, growth: float, dims: int) -> None:
    assert_agree(HashGridSpec(levels, table_log2, features, n_min, growth, dims), 33, seed=2)


def test_values_are_the_references_to_the_bit_at_the_papers_finest_level() -> None:
    """2^19 cells: a fused multiply-add would move the fraction of a cell by up to 1/16."""
    spec = HashGridSpec(levels=2, n_min=2**18)
    coords, table, weight = drawn(spec, 40)
    got, expected = (results(coords, table, weight, spec, backend) for backend in ("triton", "torch"))
    assert torch.equal(got[0], expected[0])


def test_only_what_wants_a_gradient_gets_one() -> None:
    spec = SPECS["2-D, dense and hashed"]
    coords, table, weight = (t.to(DEVICE) for t in drawn(spec, 20))
    points, numbers = coords.clone().requires_grad_(), table.clone().requires_grad_()
    (encode(points, table, spec, "triton") * weight).sum().backward()
    (encode(coords, numbers, spec, "triton") * weight).sum().backward()
    both = results(coords.cpu(), table.cpu(), weight.cpu(), spec, "torch")
    torch.testing.assert_close(points.grad.cpu(), both[1], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(numbers.grad.cpu(), both[2], rtol=1e-5, atol=1e-4)


def test_levels_that_are_not_open_yet_get_no_gradient() -> None:
    """Coarse to fine: factors of the levels behind the encoding, as the fields of space and time have them."""
    spec = SPECS["2-D, dense and hashed"]
    coords, table, weight = drawn(spec, 50)
    factor = torch.tensor([1.0, 1.0, 0.4, 0.0, 0.0]).repeat_interleave(spec.features)
    got, expected = (results(coords, table, weight * factor, spec, backend) for backend in ("triton", "torch"))
    torch.testing.assert_close(got[2], expected[2], rtol=1e-5, atol=1e-5)
    assert not got[2][spec.offsets[3] :].any()
    assert got[2][: spec.offsets[3]].any()


def test_nan_and_infinity_do_not_read_outside_the_table() -> None:
    spec = SPECS["2-D, dense and hashed"]
    coords = torch.tensor([[float("nan"), 0.0], [float("inf"), float("-inf")], [1e30, -1e30]])
    table = drawn(spec, 1)[1]
    out, _, grad_table = results(coords, table, torch.ones(3, spec.width), spec, "triton")
    assert torch.isnan(out[0]).all()
    assert torch.isfinite(out[1:]).all()
    assert grad_table.shape == table.shape


def test_no_points_and_any_layout_of_the_gradient() -> None:
    spec = SPECS["2-D, dense and hashed"]
    coords, table, weight = (t.to(DEVICE) for t in drawn(spec, 24))
    assert encode(coords[:0], table, spec, "triton").shape == (0, spec.width)
    expected = results(coords.cpu(), table.cpu(), weight.cpu(), spec, "torch")[2]
    apart = torch.empty(24, 2 * spec.width, device=DEVICE)[:, ::2]
    for slope in (weight, weight.T.contiguous().T, apart.copy_(weight)):
        numbers = table.clone().requires_grad_()
        (got,) = torch.autograd.grad(encode(coords.T.contiguous().T, numbers, spec, "triton"), numbers, slope)
        torch.testing.assert_close(got.cpu(), expected, rtol=1e-5, atol=1e-4)


def test_refuses_what_it_cannot_do() -> None:
    spec = SPECS["2-D, dense and hashed"]
    coords, table, weight = (t.to(DEVICE) for t in drawn(spec, 3))
    with pytest.raises(ValueError, match="float32"):
        encode(coords.double(), table.double(), spec, "triton")
    coords.requires_grad_()
    with pytest.raises(RuntimeError, match="differentiated twice"):
        torch.autograd.grad((encode(coords, table, spec, "triton") * weight).sum(), coords, create_graph=True)


def test_checkpoints_move_between_backends() -> None:
    """A table that one backend trained goes on under the others, with the same encoding."""
    spec = SPECS["3-D, dense and hashed"]
    coords, _, weight = drawn(spec, 30)
    first = HashGrid(spec, seed=3, backend="triton").to(DEVICE)
    first(coords.to(DEVICE)).backward(weight.to(DEVICE))
    with torch.no_grad():
        first.table -= 0.1 * first.table.grad
    saved = {name: value.cpu() for name, value in first.state_dict().items()}
    for backend in ("numba", "torch"):
        other = HashGrid(spec, seed=4, backend=backend)
        other.load_state_dict(saved)
        torch.testing.assert_close(other(coords), first(coords.to(DEVICE)).cpu(), rtol=1e-5, atol=1e-6)
        back = HashGrid(spec, seed=5, backend="triton").to(DEVICE)
        back.load_state_dict(other.state_dict())
        assert torch.equal(back.table.cpu(), saved["table"])


def test_the_trial_says_why_the_kernels_do_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device(DEVICE)
    hashgrid_triton.triton_runs.cache_clear()
    assert hashgrid_triton.triton_runs(device) is None

    def broken(*arguments: object) -> Tensor:
        raise RuntimeError("no C compiler")

    monkeypatch.setattr(hashgrid_triton, "encode_triton", broken)
    hashgrid_triton.triton_runs.cache_clear()
    assert hashgrid_triton.triton_runs(device) == "RuntimeError: no C compiler"
    hashgrid_triton.triton_runs.cache_clear()


COMPILE = """
import re, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from napari_dainr.inr import hashgrid_triton  # noqa: E402

TYPES = {"geometry": "*i64", "n": "i32", "row_stride": "i32", "column_stride": "i32"}


def ptx(kernel, **fixed):
    names = kernel.arg_names
    types = {name: "constexpr" if name in fixed else TYPES.get(name, "*fp32") for name in names}
    values = {(names.index(name),): value for name, value in fixed.items()}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if types[name].startswith("*")}
    source = ASTSource(fn=kernel, signature=types, constexprs=values, attrs=aligned)
    options = {"num_warps": hashgrid_triton.WARPS, "enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["ptx"]


for dims, features, wide in ((2, 2, False), (3, 2, True), (2, 3, False)):
    sizes = {"dims": dims, "features": features, "padded": triton.next_power_of_2(features), "wide": wide}
    sizes["block"] = hashgrid_triton.BLOCK
    forward = ptx(hashgrid_triton._forward, **sizes)
    backward = ptx(hashgrid_triton._backward, want_table=True, want_coords=True, **sizes)
    assert "fma.rn" not in forward + backward
    if features == 2:
        assert len(re.findall(r"ld\\.global\\S*\\.v2\\.b32", forward)) == 2**dims, forward
        assert len(re.findall(r"(?:atom|red)\\.global\\S*add\\S*\\.v2\\.f32", backward)) == 2**dims, backward
print("compiled")
"""


def test_compiles_for_hopper_as_intended(tmp_path: Path) -> None:
    """Without a card, to machine code: one load and one addition per corner of two features, no fused multiply-add."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.strip() == "compiled"
