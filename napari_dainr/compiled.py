"""Functions compiled by numba, without the GIL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["compiled"]


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """``numba.njit`` without the GIL, cached on disk where a cache can be written."""
    options = {"nogil": True, "error_model": "numpy", **options}
    try:
        kernel: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # "cannot cache": neither the package's folder nor the user's cache is writable
        kernel = numba.njit(**options)(function)
    return kernel
