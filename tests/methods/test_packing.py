"""States as named tensors, and what may be missing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from napari_dainr.methods.packing import pack_fields, unpack_fields


@dataclass
class State:
    step: int
    x: Tensor
    size: float
    more: Tensor | None = None


@pytest.mark.parametrize("more", [None, torch.arange(3)])
def test_every_field_comes_back_as_it_was(more: Tensor | None) -> None:
    state = State(3, torch.randn(2, 3, dtype=torch.complex64), 1 / 3, more)
    packed = pack_fields(state)
    assert set(packed) == {"step", "x", "size"} | ({"more"} if more is not None else set())
    again = unpack_fields(State, packed | {"of another version": torch.zeros(1)}, torch.device("cpu"))
    assert (again.step, again.size) == (3, 1 / 3) and isinstance(again.step, int)
    assert torch.equal(again.x, state.x)
    assert again.more is None if more is None else again.more is not None and torch.equal(again.more, more)


def test_infinity_is_a_number_too() -> None:
    assert unpack_fields(State, pack_fields(State(0, torch.ones(1), float("inf"))), torch.device("cpu")).size > 1e300


def test_a_missing_field_is_an_error() -> None:
    packed = pack_fields(State(0, torch.ones(1), 1.0))
    del packed["x"]
    with pytest.raises(KeyError):
        unpack_fields(State, packed, torch.device("cpu"))
