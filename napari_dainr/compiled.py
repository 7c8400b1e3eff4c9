"""Functions compiled by numba, without the GIL, and kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["compiled"]

_PACKAGE = __name__.partition(".")[0]


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """``numba.njit`` without the GIL, cached on disk where a cache can be written."""
    options = {"nogil": True, "error_model": "numpy", **options}
    kernel = numba.njit(**options)(function)
    with contextlib.suppress(RuntimeError):  # "cannot cache": neither the package's folder nor the user's is writable
        kernel._cache = _Cache(function)
    return kernel


class _Cache(FunctionCache):  # type: ignore[misc]
    """numba's cache of one function, with files of its own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        plain: Any = self._cache_file  # type: ignore[has-type]
        self._cache_file = _Files(function, plain)


class _Files(IndexDataCacheFile):  # type: ignore[misc]
    """One file for each signature, named after all that decides what is in it.

    numba numbers the files and keeps a list of the numbers. Two processes that compile for different arguments at the
    same time can give both the same number, and code for other arguments is loaded ever after (numba issue 4807).
    And numba looks at the one source file that defines a function; what that calls may be defined elsewhere.
    """

    def __init__(self, function: Callable[..., Any], plain: IndexDataCacheFile) -> None:
        self.__dict__.update(plain.__dict__)
        self._function = function

    @cached_property
    def _sources(self) -> str:
        """Digest of the files of all functions that the kernel is made of, and of the constants in them."""
        functions = list(_called(self._function, set()))
        digest = hashlib.sha256()
        for file in sorted({function.__code__.co_filename for function in functions}):
            digest.update(Path(file).read_bytes())
        digest.update(repr(sorted({constant for function in functions for constant in _constants(function)})).encode())
        return digest.hexdigest()

    def _name(self, key: Any) -> str:
        content = hashlib.sha256(repr((self._version, self._sources, key)).encode()).hexdigest()
        return f"{self._index_name.removesuffix('.nbi')}.{content[:24]}.nbc"

    def save(self, key: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk: it will be compiled again
            self._save_data(self._name(key), data)  # written beside it and renamed

    def load(self, key: Any) -> Any:
        try:
            return self._load_data(self._name(key))
        except Exception:  # not there, or cut off by a crash: it is compiled anew
            return None


def _called(function: Any, seen: set[Any]) -> Iterator[FunctionType]:
    """A function of ours and all of ours that it calls, also while it is compiled."""
    function = getattr(function, "py_func", getattr(function, "_defn", function))  # of a kernel, of an intrinsic
    if not isinstance(function, FunctionType) or function in seen or not function.__module__.startswith(_PACKAGE):
        return
    seen.add(function)
    yield function
    for name in _names(function.__code__):
        if name in function.__globals__:
            yield from _called(function.__globals__[name], seen)


def _constants(function: FunctionType) -> Iterator[str]:
    """Numbers of its module that a function uses: they are compiled into it."""
    for name in _names(function.__code__):
        if isinstance(value := function.__globals__.get(name), int | float | np.generic | tuple):
            yield f"{function.__module__}.{name} = {value!r}"


def _names(code: CodeType) -> Iterator[str]:
    """Names that a function uses, with those of the functions in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
