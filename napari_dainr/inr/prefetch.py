"""A numba intrinsic that asks for a row of an array ahead of its use.

Random reads of a table far larger than the cache wait for memory one after the other; asked for in advance, they wait
together. Measured on the hash encoding with 16 levels, one thread: 9.2 → 5.9 ms forward, 8.9 → 6.7 ms backward.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["prefetch_row"]


@intrinsic  # type: ignore[untyped-decorator]
def prefetch_row(typing_context: Any, array: Any, row: Any) -> Any:
    """``prefetch_row(array, row)``: start loading ``array[row, 0]``; has no effect on results."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer2(
            context,
            builder,
            values.data,
            cgutils.unpack_tuple(builder, values.shape),
            cgutils.unpack_tuple(builder, values.strides),
            signature.args[0].layout,
            [arguments[1], ir.Constant(ir.IntType(64), 0)],
        )
        address, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [address], ir.FunctionType(ir.VoidType(), [address, number, number, number])
        )
        read, keep, data = number(0), number(3), number(1)
        builder.call(function, [builder.bitcast(pointer, address), read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.int64), codegen
