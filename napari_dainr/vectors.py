"""Vectors of floats in LLVM's terms, for numba intrinsics whose sums a loop in Python source would keep in memory.

LLVM has instructions of every processor for them or splits them up; what is computed does not depend on that.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]

__all__ = ["address", "floats", "gather_pairs", "lanes", "load", "number", "spread", "store"]

_I32, _I64, _FLOAT = ir.IntType(32), ir.IntType(64), ir.FloatType()


def floats(n: int) -> Any:
    """The type of n floats."""
    return ir.VectorType(_FLOAT, n)


def number(value: int) -> Any:
    """An index or a count."""
    return ir.Constant(_I64, value)


def address(context: Any, builder: Any, kind: Any, array: Any, offset: Any, of: Any = _FLOAT) -> Any:
    """Pointer to number ``offset`` of a contiguous array of floats, or of another type of 4 bytes."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(builder.bitcast(data, of.as_pointer()), [offset])


def load(builder: Any, pointer: Any, kind: Any) -> Any:
    """A value or vector of 4-byte numbers, at any address that one of them may have."""
    value = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    value.align = 4
    return value


def store(builder: Any, value: Any, pointer: Any) -> None:
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer())).align = 4


def lanes(builder: Any, vector: Any, chosen: list[int], other: Any = None) -> Any:
    """Lanes by number; those of ``other`` come after those of ``vector``."""
    pattern = ir.Constant(ir.VectorType(_I32, len(chosen)), [ir.Constant(_I32, lane) for lane in chosen])
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined) if other is None else other, pattern)


def spread(builder: Any, value: Any, n: int) -> Any:
    """n times the same float."""
    first = builder.insert_element(ir.Constant(floats(n), ir.Undefined), value, ir.Constant(_I32, 0))
    return lanes(builder, first, [0] * n)


def gather_pairs(builder: Any, table: Any, rows: Any, n: int) -> tuple[Any, Any]:
    """First and second floats of n rows of two floats, by their numbers (a vector of 32 bits without sign)."""
    wide, pointers = ir.VectorType(_I64, n), ir.VectorType(_I64.as_pointer(), n)
    base = builder.ptrtoint(table, _I64)
    first = builder.insert_element(ir.Constant(wide, ir.Undefined), base, ir.Constant(_I32, 0))
    bases = lanes(builder, first, [0] * n)
    offsets = builder.mul(builder.zext(rows, wide), ir.Constant(wide, [8] * n))
    where = builder.inttoptr(builder.add(bases, offsets), pointers)
    every = ir.VectorType(ir.IntType(1), n)
    function = builder.module.declare_intrinsic(
        f"llvm.masked.gather.v{n}i64.v{n}p0", (), ir.FunctionType(wide, [pointers, _I32, every, wide])
    )
    found = builder.call(
        function, [where, ir.Constant(_I32, 4), ir.Constant(every, [1] * n), ir.Constant(wide, ir.Undefined)]
    )
    both = builder.bitcast(found, floats(2 * n))
    return lanes(builder, both, list(range(0, 2 * n, 2))), lanes(builder, both, list(range(1, 2 * n, 2)))
