"""tinycudann: the real one where it is installed, else a model of its published formulas; and how a backend is chosen.

The model proves the conversion of coordinates, levels and table under the formulas of tiny-cuda-nn's source. That the
installed library follows them, only the tests marked ``gpu`` can show.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dainr.errors import ResourceError
from napari_dainr.inr import hashgrid
from napari_dainr.inr.hashgrid import BACKEND_VARIABLE, HashGridSpec, encode
from napari_dainr.inr.hashgrid_tinycudann import composite_config, level_coordinates, packed_table

SPECS = {
    "2-D, dense and hashed": HashGridSpec(levels=6, table_log2=9, features=2, n_min=5, growth=1.7),
    "2-D, sizes of a 128 matrix": HashGridSpec(levels=4, table_log2=19, features=2, n_min=16, growth=2.0),
    "2-D, one feature, all hashed": HashGridSpec(levels=2, table_log2=4, features=1, n_min=9, growth=1.5),
    "3-D": HashGridSpec(levels=4, table_log2=9, features=4, n_min=3, growth=2.0, dims=3),
    "a level of 8 entries": HashGridSpec(levels=2, table_log2=3, features=8, n_min=1, growth=5.0),
}
SPEC_CASES = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


def modelled(config: dict[str, Any], params: NDArray[np.float64], x: NDArray[np.float32]) -> NDArray[np.float64]:
    """tiny-cuda-nn's composite of grid encodings, written out: positions in float32, sums in float64."""
    columns, first, axis = [], 0, 0
    for grid in config["nested"]:
        dims, features = grid["n_dims_to_encode"], grid["n_features_per_level"]
        scale = np.exp2(0 * np.log2(grid["per_level_scale"])) * grid["base_resolution"] - 1
        side = int(np.ceil(scale)) + 1
        size = min(-(-(side**dims) // 8) * 8, 2 ** grid["log2_hashmap_size"])
        position = (x[:, axis : axis + dims].astype(np.float64) * scale + 0.5).astype(np.float32)  # fma
        low = np.floor(position)
        fraction = (position - low).astype(np.float64)
        values = params[first * features : (first + size) * features].reshape(size, features)
        total = np.zeros((len(x), features))
        for corner in range(2**dims):
            weight = np.ones(len(x))
            index, mixed, stride = np.zeros(len(x), np.uint64), np.zeros(len(x), np.uint64), 1
            for d, factor in zip(range(dims), (1, 2654435761, 805459861), strict=False):
                up = corner >> d & 1
                vertex = (low[:, d].astype(np.int64) + up).astype(np.uint64) & np.uint64(0xFFFFFFFF)
                weight *= fraction[:, d] if up else 1 - fraction[:, d]
                mixed ^= vertex * np.uint64(factor) & np.uint64(0xFFFFFFFF)
                index += vertex * np.uint64(stride)
                stride *= side
            total += weight[:, None] * values[(mixed if size < stride else index) % np.uint64(size)]
        columns.append(total)
        first, axis = first + size, axis + dims
    assert first * grid["n_features_per_level"] == len(params)
    assert axis == x.shape[1]
    return np.concatenate(columns, 1)


def drawn(spec: HashGridSpec, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points in and around the box, some on its faces and corners, and a table."""
    generator = torch.Generator().manual_seed(seed)
    coords = (torch.rand(n, spec.dims, generator=generator) * 2 - 1) * 1.2
    coords[: n // 4] = coords[: n // 4].round()
    return coords, torch.randn(spec.n_entries, spec.features, generator=generator)


@SPEC_CASES
def test_converted_coordinates_and_table_give_the_same_encoding(spec: HashGridSpec) -> None:
    coords, table = drawn(spec, 400)
    got = modelled(
        composite_config(spec), packed_table(table, spec).double().numpy(), level_coordinates(coords, spec).numpy()
    )
    expected = encode(coords, table, spec, "torch")
    # Float32 coordinates leave this much of a cell undetermined.
    room = 4 * 2.0**-24 * max(spec.resolutions) * 2 * float(table.abs().max())
    np.testing.assert_allclose(got, expected.numpy(), atol=room + 1e-5)


@SPEC_CASES
def test_points_stay_in_cells_that_exist(spec: HashGridSpec) -> None:
    """On the faces of the box, where pixels lie, the slope must not be that of a cell beyond."""
    faces = torch.tensor([-1.0, 1.0, -3.0, 3.0])[:, None].expand(-1, spec.dims)
    places = level_coordinates(faces, spec).numpy().astype(np.float64).reshape(4, spec.levels, spec.dims)
    cells = np.asarray(spec.resolutions, np.float64)[:, None]
    position = (places * cells + 0.5).astype(np.float32)
    assert (position >= 0).all()
    assert (position < cells).all()
    np.testing.assert_allclose(position[0], 0, atol=1e-3)
    np.testing.assert_allclose(position[1], np.broadcast_to(cells, position[1].shape), atol=1e-3)


@SPEC_CASES
def test_gradients_come_back_in_our_layout(spec: HashGridSpec) -> None:
    """Of the table through its gaps, of the points through the shifts and the order of axes; nothing outside."""
    coords, table = drawn(spec, 50)
    coords.requires_grad_()
    table.requires_grad_()
    packed = packed_table(table, spec)
    slope = torch.randn(packed.shape, generator=torch.Generator().manual_seed(1))
    (of_table,) = torch.autograd.grad(packed, table, slope)
    start = 0
    for level, entries in enumerate(spec.entries):
        part = slope[start * spec.features : (start + entries) * spec.features].reshape(entries, -1)
        assert torch.equal(of_table[spec.offsets[level] : spec.offsets[level + 1]], part)
        start += -(-entries // 8) * 8
    places = level_coordinates(coords, spec)
    (of_coords,) = torch.autograd.grad(places, coords, torch.ones_like(places))
    inside = (coords > -1) & (coords < 1)
    assert torch.equal(of_coords[inside], torch.full_like(of_coords[inside], spec.levels / 2))
    assert not of_coords[coords.abs() > 1].any()


@pytest.mark.parametrize("spec", [HashGridSpec(levels=2, features=3), HashGridSpec(levels=1, table_log2=2, n_min=9)])
def test_a_grid_that_it_does_not_have_is_refused(spec: HashGridSpec) -> None:
    with pytest.raises(ResourceError, match="tinycudann has no hash grid of"):
        composite_config(spec)


def test_it_needs_cuda() -> None:
    spec = SPECS["2-D, dense and hashed"]
    coords, table = drawn(spec, 5)
    with pytest.raises(ValueError, match="float32 tensors on cuda"):
        encode(coords, table, spec, "tinycudann")


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``auto`` on a CUDA device that need not exist, with a ``hashgrid_triton`` that says what it is told to."""
    hashgrid._choose.cache_clear()
    monkeypatch.delenv(BACKEND_VARIABLE, raising=False)

    def with_triton(trial: str | None, installed: bool = True) -> str:
        stand_in = ModuleType("napari_dainr.inr.hashgrid_triton")
        stand_in.triton_runs = lambda device: trial  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
        why = None if installed else "the package triton is not installed"
        monkeypatch.setattr(hashgrid, "why_no_triton", lambda: why)
        hashgrid._choose.cache_clear()
        return hashgrid._choose(torch.device("cuda:0"))

    yield with_triton
    hashgrid._choose.cache_clear()


def test_auto_takes_triton_where_it_runs_and_says_where_it_does_not(choose: Any) -> None:
    assert choose(None) == "triton"
    with pytest.warns(RuntimeWarning, match=r"plain PyTorch on cuda:0.*\(no C compiler\)"):
        assert choose("no C compiler") == "torch"
    with pytest.warns(RuntimeWarning, match="triton is not installed"):
        assert choose(None, installed=False) == "torch"
    assert hashgrid._choose(torch.device("cpu")) == "numba"


@pytest.mark.parametrize("wish", ["tinycudann", "torch", "triton"])
def test_the_environment_names_a_backend(choose: Any, monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    monkeypatch.setenv(BACKEND_VARIABLE, wish)
    assert choose("no C compiler") == wish
    monkeypatch.setenv(BACKEND_VARIABLE, "numba")
    with pytest.raises(ResourceError, match=BACKEND_VARIABLE):
        choose(None)


def test_without_triton_its_backend_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SPECS["2-D, dense and hashed"]
    coords, table = drawn(spec, 5)
    monkeypatch.setattr(hashgrid, "why_no_triton", lambda: "the package triton is not installed")
    with pytest.raises(ResourceError, match=r"hash grid triton cannot be used .*not installed"):
        encode(coords, table, spec, "triton")


@pytest.mark.gpu
@pytest.mark.skipif(find_spec("tinycudann") is None, reason="tinycudann is not installed; it is built from source")
@SPEC_CASES
def test_the_installed_library_agrees_with_the_reference(spec: HashGridSpec, gpu: str) -> None:
    coords, table = drawn(spec, 300)
    # Away from grid lines, where either slope is right.
    position = (coords[:, None, :].double().clamp(-1, 1) + 1) / 2 * torch.tensor(spec.resolutions)[:, None]
    coords = coords[((position - position.round()).abs() > 1e-3).all(2).all(1)]
    weight = torch.randn(len(coords), spec.width, generator=torch.Generator().manual_seed(1))
    results = []
    for backend, device in (("tinycudann", gpu), ("torch", "cpu")):
        points, numbers = (t.to(device).clone().requires_grad_() for t in (coords, table))
        out = encode(points, numbers, spec, backend)
        grads = torch.autograd.grad((out * weight.to(device)).sum(), (points, numbers))
        results.append([t.detach().cpu() for t in (out, *grads)])
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
