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

__all__ = ["TAPS", "window_add", "window_sum"]

TAPS = 8
_LANES = 2 * TAPS
_FLOAT = ir.FloatType()
_ROW = ir.VectorType(_FLOAT, _LANES)
_PAIR = ir.VectorType(_FLOAT, 2)
_I32, _I64 = ir.IntType(32), ir.IntType(64)


def _address(context: Any, builder: Any, kind: Any, array: Any, offset: Any) -> Any:
    """Pointer to float number ``offset`` of a contiguous array of floats."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(builder.bitcast(data, _FLOAT.as_pointer()), [offset])


def _load(builder: Any, address: Any, kind: Any) -> Any:
    value = builder.load(builder.bitcast(address, kind.as_pointer()))
    value.align = 4
    return value


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, builder.bitcast(address, value.type.as_pointer())).align = 4


def _spread_out(builder: Any, value: Any, lanes: list[int]) -> Any:
    """Lanes of a vector by number."""
    pattern = ir.Constant(ir.VectorType(_I32, len(lanes)), [ir.Constant(_I32, lane) for lane in lanes])
    return builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), pattern)


def _times_plus(builder: Any, a: Any, b: Any, c: Any) -> Any:
    name = f"llvm.fmuladd.v{_LANES}f32"
    function = builder.module.declare_intrinsic(name, (), ir.FunctionType(a.type, [a.type] * 3))
    return builder.call(function, [a, b, c])


def _along_y(builder: Any, weights: Any, row: int) -> Any:
    """The weight of a row in every lane."""
    one = _load(builder, builder.gep(weights, [ir.Constant(_I64, row)]), _FLOAT)
    start = builder.insert_element(ir.Constant(_ROW, ir.Undefined), one, ir.Constant(_I32, 0))
    return _spread_out(builder, start, [0] * _LANES)


Signature = tuple[Any, Callable[..., Any]]


def _signature(arrays: tuple[Any, ...], codegen: Callable[..., Any]) -> Signature:
    """For (grid, first, stride, along_y, along_x, window, values, index): three arrays of floats among them."""
    grid, along_y, along_x, values = arrays
    number = types.int64
    return types.void(grid, number, number, along_y, along_x, number, values, number), codegen


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
        step = builder.mul(arguments[2], ir.Constant(_I64, 2))
        total = ir.Constant(_ROW, [0.0] * _LANES)
        for row in range(TAPS):
            taps = _load(builder, first_row, _ROW)
            total = _times_plus(builder, taps, _along_y(builder, weights_y, row), total)
            first_row = builder.gep(first_row, [step])
        total = builder.fmul(total, _load(builder, weights_x, _ROW))
        half = _LANES // 2
        while half >= 2:
            low, high = (_spread_out(builder, total, list(range(k, k + half))) for k in (0, half))
            total = builder.fadd(low, high)
            half //= 2
        _store(builder, builder.fadd(_load(builder, target, _PAIR), total), target)
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
        step = builder.mul(arguments[2], ir.Constant(_I64, 2))
        value = _spread_out(builder, _load(builder, source, _PAIR), [0, 1] * TAPS)
        value = builder.fmul(value, _load(builder, weights_x, _ROW))
        for row in range(TAPS):
            taps = _load(builder, first_row, _ROW)
            _store(builder, _times_plus(builder, value, _along_y(builder, weights_y, row), taps), first_row)
            first_row = builder.gep(first_row, [step])
        return context.get_dummy_value()

    return _signature((grid, along_y, along_x, values), codegen)


def _addresses(context: Any, builder: Any, signature: Any, arguments: Any) -> tuple[Any, Any, Any, Any]:
    """Pointers to the first row, to the window's weights along y and x, and to the value."""
    kinds = signature.args
    two = ir.Constant(_I64, 2)

    def at(array: int, offset: Any) -> Any:
        return _address(context, builder, kinds[array], arguments[array], offset)

    return (
        at(0, builder.mul(arguments[1], two)),
        at(3, builder.mul(arguments[5], ir.Constant(_I64, TAPS))),
        at(4, builder.mul(arguments[5], ir.Constant(_I64, _LANES))),
        at(6, builder.mul(arguments[7], two)),
    )
