"""The hash encoding: its two backends against each other, against a plain loop, and against finite differences."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from napari_dainr.inr import parallel
from napari_dainr.inr.hashgrid import HashGrid, HashGridSpec, encode

SPECS = {
    "2-D, dense and hashed": HashGridSpec(levels=6, table_log2=9, features=2, n_min=5, growth=1.7),
    "2-D, all dense": HashGridSpec(levels=3, table_log2=19, features=4, n_min=4, growth=2.0),
    "2-D, all hashed, one feature": HashGridSpec(levels=2, table_log2=4, features=1, n_min=9, growth=1.5),
    "3-D": HashGridSpec(levels=4, table_log2=9, features=3, n_min=3, growth=2.0, dims=3),
}
SPEC_CASES = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


@pytest.fixture(autouse=True)
def restore_threads() -> Iterator[None]:
    before = parallel.get_threads()
    yield
    parallel.set_threads(before)


def points(n: int, dims: int, seed: int = 0, reach: float = 1.0) -> Tensor:
    return (torch.rand(n, dims, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * reach


def table_for(spec: HashGridSpec, seed: int = 0) -> Tensor:
    return torch.randn(spec.n_entries, spec.features, generator=torch.Generator().manual_seed(seed))


def results(
    coords: Tensor, table: Tensor, spec: HashGridSpec, backend: str, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Values and both gradients of a weighted sum of the encoding."""
    coords, table = coords.clone().requires_grad_(), table.clone().requires_grad_()
    out = encode(coords, table, spec, backend)
    grad_coords, grad_table = torch.autograd.grad((out * weight).sum(), (coords, table))
    return out.detach(), grad_coords, grad_table


def test_resolutions_follow_eq_8() -> None:
    spec = HashGridSpec()
    assert spec.resolutions == tuple(16 * 2**level for level in range(16))
    assert spec.entries[:6] == tuple((16 * 2**level + 1) ** 2 for level in range(6))
    assert spec.entries[6:] == (2**19,) * 10
    assert spec.hashed == (False,) * 6 + (True,) * 10
    assert spec.n_params == 2 * sum(spec.entries)
    assert spec.offsets[0] == 0
    assert spec.offsets[-1] == spec.n_entries == 10 * 2**19 + sum((16 * 2**level + 1) ** 2 for level in range(6))
    assert spec.width == 32
    assert HashGridSpec(levels=4, n_min=3, growth=1.5).resolutions == (3, 4, 6, 10)
    # 16·b⁴ = 192 for this b, which floats put just beside it.
    assert HashGridSpec(levels=5, growth=(192 / 16) ** 0.25).resolutions[-1] == 192


@pytest.mark.parametrize(("dims", "cells"), [(2, 31), (3, 7)])
def test_a_level_that_just_fits_is_dense(dims: int, cells: int) -> None:
    """(N + 1)^dims = T is dense, one more cell is hashed; a dense level gives every vertex an entry of its own."""
    fits = HashGridSpec(levels=1, table_log2=10 if dims == 2 else 9, n_min=cells, dims=dims)
    more = HashGridSpec(levels=1, table_log2=10 if dims == 2 else 9, n_min=cells + 1, dims=dims)
    assert (cells + 1) ** dims == 2**fits.table_log2
    assert fits.hashed == (False,)
    assert more.hashed == (True,)
    assert fits.entries == more.entries
    axis = torch.arange(cells + 1) * (2 / cells) - 1
    vertices = torch.stack(torch.meshgrid(*[axis] * dims, indexing="ij"), -1).reshape(-1, dims)
    table = torch.arange(fits.n_entries, dtype=torch.float32)[:, None].expand(-1, 2).contiguous()
    for backend in ("numba", "torch"):
        got = encode(vertices, table, fits, backend)[:, 0]
        torch.testing.assert_close(got, table[:, 0], rtol=0, atol=0.1)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_against_a_loop(backend: str) -> None:
    """The definition written out for single points, with the hash in 32-bit unsigned arithmetic as published."""
    spec = SPECS["2-D, dense and hashed"]
    coords, table = points(40, 2, reach=1.2), table_for(spec)
    got = encode(coords, table, spec, backend).numpy()
    values = table.numpy().astype(np.float64)
    for p, point in enumerate(coords.numpy().astype(np.float64)):
        for level, cells in enumerate(spec.resolutions):
            position = np.clip((point + 1) / 2, 0, 1) * cells
            corner = np.minimum(np.floor(position), cells - 1).astype(int)
            fy, fx = position - corner
            expected = np.zeros(spec.features)
            for uy, wy in ((0, 1 - fy), (1, fy)):
                for ux, wx in ((0, 1 - fx), (1, fx)):
                    y, x = int(corner[0]) + uy, int(corner[1]) + ux
                    if spec.hashed[level]:
                        entry = ((y * 2654435761 & 0xFFFFFFFF) ^ x) % 2**spec.table_log2
                    else:
                        entry = y * (cells + 1) + x
                    expected += wy * wx * values[spec.offsets[level] + entry]
            np.testing.assert_allclose(got[p, 2 * level : 2 * level + 2], expected, atol=2e-4)


@SPEC_CASES
@pytest.mark.parametrize("n", [1, 7, 1500])
def test_backends_agree(spec: HashGridSpec, n: int) -> None:
    """Values and both gradients, with points inside, outside, on the faces and in the corners of the box."""
    coords = points(n, spec.dims, reach=1.3)
    coords[: n // 4] = coords[: n // 4].round()
    table, weight = table_for(spec), torch.randn(n, spec.width, generator=torch.Generator().manual_seed(1))
    for got, expected in zip(
        results(coords, table, spec, "numba", weight), results(coords, table, spec, "torch", weight), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("dims", [2, 3])
def test_points_side_by_side_are_points_one_by_one(dims: int) -> None:
    """Eight at a time in vectors, the rest in a loop: the same bits, and sums in the order of the points."""
    spec = HashGridSpec(levels=5, table_log2=9, features=2, n_min=4, growth=1.7, dims=dims)
    coords, table = points(21, dims, reach=1.1), table_for(spec)
    weight = torch.randn(21, spec.width, generator=torch.Generator().manual_seed(1))
    out, grad_coords, grad_table = results(coords, table, spec, "numba", weight)
    alone = [results(coords[p : p + 1], table, spec, "numba", weight[p : p + 1]) for p in range(21)]
    assert torch.equal(out, torch.cat([one[0] for one in alone]))
    assert torch.equal(grad_coords, torch.cat([one[1] for one in alone]))
    added = torch.zeros_like(table)
    for one in alone:
        added += one[2]
    assert torch.equal(grad_table, added)


def test_backends_agree_at_the_papers_size() -> None:
    spec = HashGridSpec()
    coords, table = points(600, 2), table_for(spec)
    weight = torch.randn(600, spec.width, generator=torch.Generator().manual_seed(1))
    for got, expected in zip(
        results(coords, table, spec, "numba", weight), results(coords, table, spec, "torch", weight), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@given(
    st.integers(1, 5), st.integers(3, 10), st.integers(1, 5), st.integers(1, 20), st.floats(1, 2.5), st.integers(2, 3)
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_backends_agree_for_any_spec(
    levels: int, table_log2: int, features: int, n_min: int, growth: float, dims: int
) -> None:
    spec = HashGridSpec(levels, table_log2, features, n_min, growth, dims)
    coords, table = points(33, dims), table_for(spec)
    weight = torch.randn(33, spec.width, generator=torch.Generator().manual_seed(2))
    for got, expected in zip(
        results(coords, table, spec, "numba", weight), results(coords, table, spec, "torch", weight), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@SPEC_CASES
def test_reference_passes_gradcheck(spec: HashGridSpec) -> None:
    coords = points(5, spec.dims).double().requires_grad_()
    table = table_for(spec).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda c: encode(c, table.detach(), spec, "torch"), coords)
    assert torch.autograd.gradcheck(lambda c, t: encode(c, t, spec, "torch"), (coords, table), fast_mode=True)


@SPEC_CASES
def test_compiled_gradient_is_the_slope(spec: HashGridSpec) -> None:
    """Inside a cell the encoding is multilinear, so a central difference along an axis is exact at any step."""
    table = table_for(spec)
    finest = max(spec.resolutions)
    coords = points(200, spec.dims)
    step = 0.05 / finest
    # Keep points whose step crosses no grid line of any level.
    position = (coords[:, None, :].double() + 1) / 2 * torch.tensor(spec.resolutions)[:, None]
    margin = (position - position.round()).abs().amin((1, 2))
    coords = coords[margin > 0.06]
    assert len(coords) > 5
    weight = torch.randn(len(coords), spec.width, generator=torch.Generator().manual_seed(3))
    _, grad, _ = results(coords, table, spec, "numba", weight)
    for axis in range(spec.dims):
        shift = torch.zeros(spec.dims)
        shift[axis] = step
        high = encode((coords + shift).double(), table.double(), spec, "torch")
        low = encode((coords - shift).double(), table.double(), spec, "torch")
        width = ((coords + shift).double() - (coords - shift).double())[:, axis]
        slope = ((high - low) * weight).sum(1) / width
        torch.testing.assert_close(grad[:, axis].double(), slope, rtol=1e-3, atol=1e-3 * float(slope.abs().max()))


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_outside_is_the_nearest_face_with_no_slope(backend: str) -> None:
    spec = SPECS["2-D, dense and hashed"]
    table = table_for(spec)
    coords = torch.tensor([[1.5, 0.3], [-7.0, -0.2], [0.1, 1.0001]])
    out, grad, _ = results(coords, table, spec, backend, torch.ones(3, spec.width))
    assert torch.equal(out, encode(coords.clamp(-1, 1), table, spec, backend))
    assert grad[0, 0] == grad[1, 0] == grad[2, 1] == 0
    assert (grad[0, 1], grad[1, 1], grad[2, 0]) != (0, 0, 0)


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_nan_does_not_read_outside_the_table(backend: str) -> None:
    """A diverged deformation must end in NaN or a number, not in a crash."""
    spec = SPECS["2-D, dense and hashed"]
    coords = torch.tensor([[float("nan"), 0.0], [float("inf"), float("-inf")], [1e30, -1e30]])
    out, _, grad_table = results(coords, table_for(spec), spec, backend, torch.ones(3, spec.width))
    assert torch.isnan(out[0]).all()
    assert torch.isfinite(out[1:]).all()
    assert grad_table.shape == (spec.n_entries, 2)


@SPEC_CASES
def test_same_bits_for_any_number_of_threads(spec: HashGridSpec) -> None:
    coords, table = points(3000, spec.dims), table_for(spec)
    weight = torch.randn(3000, spec.width, generator=torch.Generator().manual_seed(1))
    parallel.set_threads(1)
    expected = results(coords, table, spec, "numba", weight)
    for threads in (2, 3, 8):
        parallel.set_threads(threads)
        for _ in range(2):
            for got, want in zip(results(coords, table, spec, "numba", weight), expected, strict=True):
                assert torch.equal(got, want)


def test_concurrent_calls_and_thread_changes() -> None:
    spec = SPECS["2-D, dense and hashed"]
    coords, table = points(2000, 2), table_for(spec)
    weight = torch.randn(2000, spec.width, generator=torch.Generator().manual_seed(1))
    parallel.set_threads(2)
    expected = results(coords, table, spec, "numba", weight)
    wrong: list[str] = []

    def work() -> None:
        for _ in range(20):
            for got, want in zip(results(coords, table, spec, "numba", weight), expected, strict=True):
                if not torch.equal(got, want):
                    wrong.append("differs")

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for threads in (1, 3, 2, 1, 4):
        parallel.set_threads(threads)
    for worker in workers:
        worker.join()
    assert not wrong


def test_an_error_in_a_part_reaches_the_caller() -> None:
    def work(part: int) -> None:
        if part == 0:
            raise RuntimeError("part 0")

    parallel.set_threads(3)
    with pytest.raises(RuntimeError, match="part 0"):
        parallel.run_parts(work, 3)
    with pytest.raises(ValueError, match="at least 1"):
        parallel.set_threads(0)


def test_an_error_waits_for_the_other_parts() -> None:
    ended: list[int] = []

    def work(part: int) -> None:
        if part == 0:
            raise RuntimeError("part 0")
        threading.Event().wait(0.2)
        ended.append(part)

    parallel.set_threads(4)
    with pytest.raises(RuntimeError, match="part 0"):
        parallel.run_parts(work, 4)
    assert sorted(ended) == [1, 2, 3]


def test_only_the_gradients_asked_for() -> None:
    spec = SPECS["2-D, dense and hashed"]
    coords, table = points(50, 2), table_for(spec)
    weight = torch.ones(50, spec.width)
    _, grad_coords, grad_table = results(coords, table, spec, "numba", weight)
    leaf = table.clone().requires_grad_()
    encode(coords, leaf, spec, "numba").sum().backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, grad_table)
    moving = coords.clone().requires_grad_()
    encode(moving, table, spec, "numba").sum().backward()
    assert moving.grad is not None
    assert torch.equal(moving.grad, grad_coords)
    assert not encode(coords, table, spec, "numba").requires_grad


class TestGradientBuffer:
    """One block of memory serves every step; nothing that a caller still holds is written over."""

    spec = HashGridSpec(levels=3, table_log2=8, n_min=6)

    def test_a_training_loop_reuses_memory(self) -> None:
        grid = HashGrid(self.spec)
        addresses = set()
        for step in range(4):
            grid.zero_grad(set_to_none=True)
            grid(points(40, 2, seed=step)).square().sum().backward()
            assert grid.table.grad is not None
            addresses.add(grid.table.grad.data_ptr())
        assert len(addresses) == 1

    def test_gradients_are_whole_at_every_step(self) -> None:
        """Entries of the last step do not linger."""
        grid, weight = HashGrid(self.spec), torch.ones(40, self.spec.width)
        for step in range(3):
            grid.zero_grad(set_to_none=True)
            coords = points(40, 2, seed=step)
            grid(coords).sum().backward()
            _, _, expected = results(coords, grid.table.detach(), self.spec, "torch", weight)
            torch.testing.assert_close(grid.table.grad, expected)

    def test_a_held_gradient_is_left_alone(self) -> None:
        grid = HashGrid(self.spec)
        (first,) = torch.autograd.grad(grid(points(40, 2, seed=0)).sum(), grid.table)
        part = first[3:]
        copy = part.clone()
        del first
        torch.autograd.grad(grid(points(40, 2, seed=1)).sum(), grid.table)
        assert torch.equal(part, copy)

    @pytest.mark.parametrize("set_to_none", [True, False])
    def test_accumulation(self, set_to_none: bool) -> None:
        """Two backward passes add up, and so do two uses of the table in one."""
        grid, weight = HashGrid(self.spec), torch.ones(40, self.spec.width)
        a, b = points(40, 2, seed=0), points(40, 2, seed=1)
        table = grid.table.detach()
        expected = results(a, table, self.spec, "torch", weight)[2] + results(b, table, self.spec, "torch", weight)[2]
        for _ in range(2):
            grid.zero_grad(set_to_none=set_to_none)
            grid(a).sum().backward()
            grid(b).sum().backward()
            torch.testing.assert_close(grid.table.grad, expected)
            grid.zero_grad(set_to_none=set_to_none)
            (grid(a).sum() + grid(b).sum()).backward()
            torch.testing.assert_close(grid.table.grad, expected)

    def test_memory_goes_with_the_table(self) -> None:
        from napari_dainr.inr import hashgrid

        before = len(hashgrid._buffers)
        grid = HashGrid(self.spec)
        grid(points(4, 2)).sum().backward()
        assert len(hashgrid._buffers) == before + 1
        del grid
        gc.collect()
        assert len(hashgrid._buffers) == before


def test_module_starts_small_uniform_and_seeded() -> None:
    spec = HashGridSpec(levels=4)
    table = HashGrid(spec, seed=3).table.detach()
    assert table.shape == (spec.n_entries, 2)
    assert float(table.abs().max()) <= 1e-4
    assert float(table.std()) == pytest.approx(1e-4 / 3**0.5, rel=0.02)
    assert torch.equal(table, HashGrid(spec, seed=3).table)
    assert torch.equal(table, HashGrid(spec, seed=torch.Generator().manual_seed(3)).table)
    assert not torch.equal(table, HashGrid(spec, seed=4).table)


def test_checkpoints_pass_between_backends() -> None:
    """A table trained by one backend is loaded and continued by the other."""
    spec, coords, target = SPECS["2-D, dense and hashed"], points(300, 2), torch.randn(300, 12)

    def train(grid: HashGrid, steps: int) -> float:
        optimizer = torch.optim.AdamW(grid.parameters(), lr=1e-2, weight_decay=0)
        loss = torch.zeros(())
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (grid(coords) - target).square().mean()
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    one, other = HashGrid(spec, backend="numba"), HashGrid(spec, seed=9, backend="torch")
    start = train(one, 20)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other(coords), one(coords))
    assert train(other, 20) == pytest.approx(train(one, 20), rel=1e-3)
    assert float((one(coords) - target).detach().square().mean()) < start


def test_the_wrong_thing_is_refused() -> None:
    spec = HashGridSpec(levels=2)
    table = table_for(spec)
    with pytest.raises(ValueError, match=r"coords must be \(n, 2\)"):
        encode(torch.zeros(4, 3), table, spec)
    with pytest.raises(ValueError, match="table must be"):
        encode(torch.zeros(4, 2), table[:-1], spec)
    with pytest.raises(ValueError, match="float32"):
        encode(torch.zeros(4, 2).double(), table, spec, "numba")
    with pytest.raises(ValueError, match="no hash grid backend 'tcnn'"):
        encode(torch.zeros(4, 2), table, spec, "tcnn")
    assert encode(torch.zeros(4, 2).double(), table.double(), spec).dtype == torch.float64
    assert encode(torch.zeros(0, 2), table, spec).shape == (0, 4)
    for bad in ({"levels": 0}, {"features": 0}, {"dims": 4}, {"table_log2": 31}, {"growth": 0.5}, {"growth": 9.0}):
        with pytest.raises(ValueError, match=r"must|exceeds"):
            HashGridSpec(**bad)


def test_a_second_derivative_is_refused_not_wrong() -> None:
    spec = HashGridSpec(levels=2)
    coords = points(3, 2).requires_grad_()
    encoded = encode(coords, table_for(spec).requires_grad_(), spec, "numba")
    with pytest.raises(RuntimeError, match="differentiated twice"):
        torch.autograd.grad(encoded.sum(), coords, create_graph=True)
