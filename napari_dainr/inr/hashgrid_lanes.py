"""Vector instructions of the hash encoding with two features an entry: eight points at a time, entries as pairs.

The arithmetic is that of the loops in ``hashgrid_numba`` in the same order, without fused operations: the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

from napari_dainr.vectors import address, floats, gather_pairs, lanes, load, number, store

__all__ = [
    "BLOCK", "LANES", "add_pairs_2d", "add_pairs_3d", "add_slopes", "blend_pairs_2d", "blend_pairs_3d", "clear_pair",
]  # fmt: skip

BLOCK = 128
"""Points whose entries and fractions are held at a time."""
LANES = 8
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_ROWS = ir.VectorType(_I32, LANES)
_EIGHT, _PAIR = floats(LANES), floats(2)

Signature = tuple[Any, Callable[..., Any]]


@intrinsic  # type: ignore[untyped-decorator]
def clear_pair(typing_context: Any, values: Any, row: Any) -> Signature:
    """``values[row] = 0`` for contiguous (entry, 2)."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target = address(context, builder, signature.args[0], arguments[0], builder.mul(arguments[1], number(2)))
        store(builder, ir.Constant(_PAIR, [0.0, 0.0]), target)
        return context.get_dummy_value()

    return types.void(values, types.int64), codegen


@intrinsic  # type: ignore[untyped-decorator]
def add_slopes(
    typing_context: Any, total: Any, grads: Any, grad: Any, slope: Any, row: Any, scales: Any, level: Any
) -> Signature:
    """``total`` and, one after the other, the shares of eight levels of two features in a point's gradient.

    Parameters
    ----------
    grads, slope : arrays of float32, contiguous
        From numbers ``grad`` and ``row`` on, the pairs of the eight levels.
    scales : (level,) float32
        What the share of each level is multiplied by, from ``level`` on.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds, wide = signature.args, floats(2 * LANES)
        pairs = [
            load(builder, address(context, builder, kinds[k], arguments[k], arguments[k + 1]), wide) for k in (1, 3)
        ]
        product = builder.fmul(*pairs)
        share = builder.fadd(*(lanes(builder, product, list(range(f, 2 * LANES, 2))) for f in range(2)))
        scale = load(builder, address(context, builder, kinds[5], arguments[5], arguments[6]), _EIGHT)
        terms = builder.fmul(share, scale)
        whole = arguments[0]
        for k in range(LANES):
            whole = builder.fadd(whole, builder.extract_element(terms, ir.Constant(_I32, k)))
        return whole

    count = types.int64
    return types.float32(total, grads, count, slope, count, scales, count), codegen


def _block(context: Any, builder: Any, kind: Any, array: Any, row: int, first: Any, of: Any) -> Any:
    """Eight numbers from ``first`` on of a row of an array (…, BLOCK)."""
    place = builder.add(first, number(row * BLOCK))
    return load(builder, address(context, builder, kind, array, place, of.element), of)


def _scatter(builder: Any, pair: tuple[Any, Any], start: Any, stride: Any) -> None:
    """Two features of eight points to their rows, ``stride`` floats apart."""
    mixed = lanes(builder, pair[0], [n for k in range(LANES) for n in (k, LANES + k)], pair[1])
    for k in range(LANES):
        store(builder, lanes(builder, mixed, [2 * k, 2 * k + 1]), start)
        start = builder.gep(start, [stride])


def _blend(dims: int) -> Callable[..., Any]:
    def blend(
        typing_context: Any, values: Any, entry: Any, fraction: Any, first: Any, out: Any, slope: Any, slopes: Any,
        point: Any, width: Any, column: Any,
    ) -> Signature:  # fmt: skip
        """Interpolate entries at eight points of a block, from ``first`` on.

        Parameters
        ----------
        values : (entry, 2) float32
        entry : (corner, BLOCK) uint32
        fraction : (axis, BLOCK) float32
        out : (point, width) float32
            Gets the pair of each point at ``column``.
        slope : (point, axis, width) float32
            Gets the derivative per cell, where the flag ``slopes`` is set; only in 2-D.
        """

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds, (table, entries, fractions, q, result, derivative, wanted, p, stride, place) = (
                signature.args,
                arguments,
            )
            base = address(context, builder, kinds[0], table, number(0))
            corners = []
            for corner in range(2**dims):
                rows = _block(context, builder, kinds[1], entries, corner, q, _ROWS)
                corners.append(gather_pairs(builder, base, rows, LANES))
            near, far = _fractions(context, builder, kinds[2], fractions, q, dims)
            weights = [_weight(builder, near, far, bits) for bits in range(2**dims)]
            total = []
            for f in range(2):
                terms = [builder.fmul(v[f], w) for v, w in zip(corners, weights, strict=True)]
                whole = terms[0]
                for term in terms[1:]:
                    whole = builder.fadd(whole, term)
                total.append(whole)
            row = builder.add(builder.mul(p, stride), place)
            _scatter(builder, (total[0], total[1]), address(context, builder, kinds[4], result, row), stride)
            if dims == 2:
                with builder.if_then(wanted):
                    v00, v01, v10, v11 = corners
                    along_y = tuple(
                        _lerp(builder, far[1], (v10[f], v00[f]), near[1], (v11[f], v01[f])) for f in range(2)
                    )
                    along_x = tuple(
                        _lerp(builder, far[0], (v01[f], v00[f]), near[0], (v11[f], v10[f])) for f in range(2)
                    )
                    two = builder.mul(stride, number(2))
                    start = address(context, builder, kinds[5], derivative, builder.add(builder.mul(p, two), place))
                    _scatter(builder, along_y, start, two)
                    _scatter(builder, along_x, builder.gep(start, [stride]), two)
            return context.get_dummy_value()

        count = types.int64
        return types.void(values, entry, fraction, count, out, slope, types.boolean, count, count, count), codegen

    return blend


def _add(dims: int) -> Callable[..., Any]:
    def add(
        typing_context: Any, values: Any, entry: Any, fraction: Any, first: Any, grads: Any, width: Any, point: Any,
        column: Any,
    ) -> Signature:  # fmt: skip
        """Add the gradients of eight points of a block, weighted, to the entries of their corners: point by point.

        Parameters
        ----------
        values : (entry, 2) float32
        entry : (corner, BLOCK) uint32
        fraction : (axis, BLOCK) float32
        grads : (point, width) float32
            The pair at ``column`` of the eight points from ``point`` on.
        """

        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds, (table, entries, fractions, q, gradient, stride, p, place) = signature.args, arguments
            base = address(context, builder, kinds[0], table, number(0))
            near, far = _fractions(context, builder, kinds[2], fractions, q, dims)
            weights = [_weight(builder, near, far, bits) for bits in range(2**dims)]
            rows = [_block(context, builder, kinds[1], entries, corner, q, _ROWS) for corner in range(2**dims)]
            start = address(context, builder, kinds[4], gradient, builder.add(builder.mul(p, stride), place))
            for k in range(LANES):
                grad = load(builder, start, _PAIR)
                start = builder.gep(start, [stride])
                for weight, row in zip(weights, rows, strict=True):
                    share = builder.fmul(grad, lanes(builder, weight, [k, k]))
                    place_of = builder.zext(builder.extract_element(row, ir.Constant(_I32, k)), _I64)
                    target = builder.gep(base, [builder.mul(place_of, number(2))])
                    store(builder, builder.fadd(load(builder, target, _PAIR), share), target)
            return context.get_dummy_value()

        count = types.int64
        return types.void(values, entry, fraction, count, grads, count, count, count), codegen

    return add


def _fractions(context: Any, builder: Any, kind: Any, array: Any, first: Any, dims: int) -> tuple[list[Any], list[Any]]:
    """By axis: fractions of eight points from ``first`` on, and one less these."""
    near = [_block(context, builder, kind, array, axis, first, _EIGHT) for axis in range(dims)]
    ones = ir.Constant(_EIGHT, [1.0] * LANES)
    return near, [builder.fsub(ones, f) for f in near]


def _weight(builder: Any, near: list[Any], far: list[Any], bits: int) -> Any:
    """Product over the axes, first axis first."""
    dims = len(near)
    weight = None
    for axis in range(dims):
        factor = near[axis] if bits >> (dims - 1 - axis) & 1 else far[axis]
        weight = factor if weight is None else builder.fmul(weight, factor)
    return weight


def _lerp(builder: Any, low: Any, a: tuple[Any, Any], high: Any, b: tuple[Any, Any]) -> Any:
    """low · (a₀ − a₁) + high · (b₀ − b₁)."""
    return builder.fadd(builder.fmul(low, builder.fsub(*a)), builder.fmul(high, builder.fsub(*b)))


add_pairs_2d, add_pairs_3d = intrinsic(_add(2)), intrinsic(_add(3))
blend_pairs_2d, blend_pairs_3d = intrinsic(_blend(2)), intrinsic(_blend(3))
