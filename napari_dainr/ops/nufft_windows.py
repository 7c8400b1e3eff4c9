"""Vector instructions of the gridding in ``nufft_compiled``: 8 × 8 taps of a complex grid, 8 complex taps at a time.

Written in LLVM's vector types, which every processor has instructions for or LLVM splits up; a loop in Python source
would keep its sums in memory. ``fmuladd`` rounds once where the processor can, always in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

from napari_dainr.vectors import address, floats, lanes, load, number, spread, store

from .kaiser_bessel import TAPS

__all__ = ["window_add", "window_sum"]

_LANES = 2 * TAPS
_ROW, _PAIR = floats(_LANES), floats(2)


def _times_plus(builder: Any, a: Any, b: Any, c: Any) -> Any:
    name = f"llvm.fmuladd.v{_LANES}f32"
    function = builder.module.declare_intrinsic(name, (), ir.FunctionType(a.type, [a.type] * 3))
    return builder.call(function, [a, b, c])


def _along_y(builder: Any, weights: Any, row: int) -> Any:
    """The weight of a row in every lane."""
    return spread(builder, load(builder, builder.gep(weights, [number(row)]), ir.FloatType()), _LANES)


Signature = tuple[Any, Callable[..., Any]]


def _signature(arrays: tuple[Any, ...], codegen: Callable[..., Any]) -> Signature:
    """For (grid, first, stride, along_y, along_x, window, values, index): three arrays of floats among them."""
    grid, along_y, along_x, values = arrays
    count = types.int64
    return types.void(grid, count, count, along_y, along_x, count, values, count), codegen


@intrinsic  # type: ignore[untyped-decorator]
def window_sum(
    typing_context: Any, grid: Any, first: Any, stride: Any, along_y: Any, along_x: Any, window: Any, values: Any,
    index: Any,
) -> Signature:  # fmt: skip
    """Add to ``values[index]`` the weighted sum of the grid's 8 × 8 numbers from ``first`` on.

    Parameters
    ----------
    grid, values : arrays of float32, contiguous
        Real and imaginary parts in turn; ``first``, ``stride`` (of a row) and ``index`` count complex numbers.
    along_y : (window, 8) float32
    along_x : (window, 16) float32
        Each weight twice, for real and imaginary part.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first_row, weights_y, weights_x, target = _addresses(context, builder, signature, arguments)
        step = builder.mul(arguments[2], number(2))
        total = ir.Constant(_ROW, [0.0] * _LANES)
        for row in range(TAPS):
            taps = load(builder, first_row, _ROW)
            total = _times_plus(builder, taps, _along_y(builder, weights_y, row), total)
            first_row = builder.gep(first_row, [step])
        total = builder.fmul(total, load(builder, weights_x, _ROW))
        half = _LANES // 2
        while half >= 2:
            low, high = (lanes(builder, total, list(range(k, k + half))) for k in (0, half))
            total = builder.fadd(low, high)
            half //= 2
        store(builder, builder.fadd(load(builder, target, _PAIR), total), target)
        return context.get_dummy_value()

    return _signature((grid, along_y, along_x, values), codegen)


@intrinsic  # type: ignore[untyped-decorator]
def window_add(
    typing_context: Any, grid: Any, first: Any, stride: Any, along_y: Any, along_x: Any, window: Any, values: Any,
    index: Any,
) -> Signature:  # fmt: skip
    """Add ``values[index]``, weighted, to the grid's 8 × 8 numbers from ``first`` on; arguments as `window_sum`."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first_row, weights_y, weights_x, source = _addresses(context, builder, signature, arguments)
        step = builder.mul(arguments[2], number(2))
        value = lanes(builder, load(builder, source, _PAIR), [0, 1] * TAPS)
        value = builder.fmul(value, load(builder, weights_x, _ROW))
        for row in range(TAPS):
            taps = load(builder, first_row, _ROW)
            store(builder, _times_plus(builder, value, _along_y(builder, weights_y, row), taps), first_row)
            first_row = builder.gep(first_row, [step])
        return context.get_dummy_value()

    return _signature((grid, along_y, along_x, values), codegen)


def _addresses(context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, Any, Any, Any]:
    """Pointers to the first row, to the window's weights along y and x, and to the value."""
    kinds = signature.args
    two = number(2)

    def at(array: int, offset: Any) -> Any:
        return address(context, builder, kinds[array], arguments[array], offset)

    return (
        at(0, builder.mul(arguments[1], two)),
        at(3, builder.mul(arguments[5], number(TAPS))),
        at(4, builder.mul(arguments[5], number(_LANES))),
        at(6, builder.mul(arguments[7], two)),
    )
