"""States that are plain dataclasses as named tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = ["pack_fields", "unpack_fields"]

State = TypeVar("State")


def pack_fields(state: Any) -> dict[str, Tensor]:
    """The fields of a dataclass by name: tensors as they are, whole numbers and float64 numbers as scalars.

    What is None is left out.
    """
    values = {field.name: getattr(state, field.name) for field in fields(state)}
    return {name: _as_tensor(value) for name, value in values.items() if value is not None}


def _as_tensor(value: Tensor | int | float) -> Tensor:
    if isinstance(value, Tensor):
        return value
    return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else torch.int64)


def unpack_fields(cls: type[State], tensors: Mapping[str, Tensor], device: torch.device) -> State:
    """The dataclass again; a field that has a default may be missing. Scalars become numbers."""
    values: dict[str, Any] = {}
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name in tensors or field.default is MISSING:
            tensor = tensors[field.name]
            values[field.name] = tensor.item() if tensor.ndim == 0 else tensor.to(device)
    return cls(**values)
