"""Vector code of Winograd's convolutions: transforms, products, copies, prefetches.

`LANES` channels are worked on at once, as LLVM's portable vectors. Numba's cache is kept apart by
processor, so what is chosen here by processor is what is in the cache. All arguments are integers
and addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

_WIDE = "+avx512f" in cpu_target.target_context.codegen().magic_tuple()[2]
LANES = 16 if _WIDE else 8
ROWS = 8 if _WIDE else 6  # tiles multiplied at once: with two vectors each, what registers hold
TAPS = 36

_FLOAT, _I32, _I64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INT = types.int64
VECTOR_BYTES = 4 * LANES
_Vectors = list[Any]


def _load(builder: Any, at: Any) -> Any:
    return builder.load(builder.inttoptr(at, _VECTOR.as_pointer()), align=4)


def _store(builder: Any, value: Any, at: Any) -> None:
    builder.store(value, builder.inttoptr(at, _VECTOR.as_pointer()), align=4)


def _number(value: float) -> Any:
    return ir.Constant(_VECTOR, [float(value)] * LANES)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """`a b + c`, in one instruction where there is one."""
    kind, name = ir.FunctionType(_VECTOR, [_VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


def _at(builder: Any, base: Any, index: int, step: Any) -> Any:
    return base if index == 0 else builder.add(base, builder.mul(step, _I64(index)))


def _from_inputs(builder: Any, d: Sequence[Any]) -> _Vectors:
    """`Bᵀ d`, with rows 4 0 -5 0 1 0; 0 ∓4 -4 ±1 1 0; 0 ∓2 -1 ±2 1 0; 0 4 0 -5 0 1."""
    even = _multiply_add(builder, _number(-4), d[2], d[4])
    odd = _multiply_add(builder, _number(-4), d[1], d[3])
    narrow, slope = builder.fsub(d[4], d[2]), builder.fsub(d[3], d[1])
    first = _multiply_add(builder, _number(-5), d[2], d[4])
    last = _multiply_add(builder, _number(-5), d[3], d[5])
    return [
        _multiply_add(builder, _number(4), d[0], first),
        builder.fadd(even, odd),
        builder.fsub(even, odd),
        _multiply_add(builder, _number(2), slope, narrow),
        _multiply_add(builder, _number(-2), slope, narrow),
        _multiply_add(builder, _number(4), d[1], last),
    ]


def _to_outputs(builder: Any, m: Sequence[Any]) -> _Vectors:
    """`Aᵀ m`, with rows 1 1 1 1 1 0; 0 1 -1 2 -2 0; 0 1 1 4 4 0; 0 1 -1 8 -8 1."""
    near, near_slope = builder.fadd(m[1], m[2]), builder.fsub(m[1], m[2])
    far, far_slope = builder.fadd(m[3], m[4]), builder.fsub(m[3], m[4])
    return [
        builder.fadd(builder.fadd(m[0], near), far),
        _multiply_add(builder, _number(2), far_slope, near_slope),
        _multiply_add(builder, _number(4), far, near),
        builder.fadd(_multiply_add(builder, _number(8), far_slope, near_slope), m[5]),
    ]


def _in_both_directions(builder: Any, grid: Sequence[_Vectors], transform: Any) -> list[_Vectors]:
    """A transform of the rows, then of the columns; columns first in what is returned."""
    rows = [transform(builder, row) for row in grid]
    return [transform(builder, list(column)) for column in zip(*rows, strict=True)]


@intrinsic
def transform_inputs(
    typingctx: Any, source: Any, row_step: Any, column_step: Any, target: Any, target_step: Any
) -> Any:
    """`Bᵀ d B` of 6 × 6 vectors; steps in bytes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, row_step, column_step, target, target_step = args
        rows = [_at(builder, source, i, row_step) for i in range(6)]
        grid = [[_load(builder, _at(builder, r, j, column_step)) for j in range(6)] for r in rows]
        columns = _in_both_directions(builder, grid, _from_inputs)
        for tap in range(TAPS):
            value = columns[tap % 6][tap // 6]
            _store(builder, value, _at(builder, target, tap, target_step))
        return context.get_dummy_value()

    return types.void(*[_INT] * 5), codegen


@intrinsic
def transform_outputs(
    typingctx: Any,
    source: Any,
    source_step: Any,
    bias: Any,
    target: Any,
    row_step: Any,
    column_step: Any,
) -> Any:
    """`Aᵀ m A` plus a bias, 4 × 4 vectors; steps in bytes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, source_step, bias, target, row_step, column_step = args
        taps = [_load(builder, _at(builder, source, tap, source_step)) for tap in range(TAPS)]
        grid = [taps[6 * i : 6 * i + 6] for i in range(6)]
        shift = _load(builder, bias)
        for j, column in enumerate(_in_both_directions(builder, grid, _to_outputs)):
            for i, value in enumerate(column):
                place = _at(builder, _at(builder, target, i, row_step), j, column_step)
                _store(builder, builder.fadd(value, shift), place)
        return context.get_dummy_value()

    return types.void(*[_INT] * 6), codegen


def _product(vectors: int) -> Any:
    """Code for `ROWS` rows of a matrix product and `vectors` times `LANES` of its columns."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        left, left_step, right, right_step, target, target_step, depth = args
        places = [(i, j) for i in range(ROWS) for j in range(vectors)]
        sums = {p: cgutils.alloca_once_value(builder, _number(0)) for p in places}
        for p in places:
            builder.store(_number(0), sums[p])
        rows = [_at(builder, left, i, left_step) for i in range(ROWS)]
        unset = ir.Constant(_VECTOR, ir.Undefined)
        zeros = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
        with cgutils.for_range(builder, depth) as loop:
            row = builder.add(right, builder.mul(loop.index, right_step))
            columns = [
                _load(builder, builder.add(row, _I64(VECTOR_BYTES * j))) for j in range(vectors)
            ]
            offset = builder.shl(loop.index, _I64(2))
            for i, at in enumerate(rows):
                place = builder.inttoptr(builder.add(at, offset), _FLOAT.as_pointer())
                one = builder.insert_element(unset, builder.load(place, align=4), _I32(0))
                factor = builder.shuffle_vector(one, unset, zeros)
                for j, column in enumerate(columns):
                    total = builder.load(sums[i, j])
                    builder.store(_multiply_add(builder, factor, column, total), sums[i, j])
        for i, j in places:
            place = builder.add(_at(builder, target, i, target_step), _I64(VECTOR_BYTES * j))
            _store(builder, builder.load(sums[i, j]), place)
        return context.get_dummy_value()

    return codegen


def _multiply(vectors: int) -> Any:
    """`ROWS` rows of a product, `vectors` times `LANES` columns; steps in bytes."""

    @intrinsic
    def multiply(
        typingctx: Any, left: Any, left_step: Any, right: Any, right_step: Any, target: Any,
        target_step: Any, depth: Any,
    ) -> Any:  # fmt: skip
        """`depth` factors a sum."""
        return types.void(*[_INT] * 7), _product(vectors)

    return multiply


multiply_one, multiply_two = _multiply(1), _multiply(2)


@intrinsic
def copy_vector(typingctx: Any, source: Any, target: Any) -> Any:
    """One vector."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _store(builder, _load(builder, args[0]), args[1])
        return context.get_dummy_value()

    return types.void(_INT, _INT), codegen


@intrinsic
def clear_vector(typingctx: Any, target: Any) -> Any:
    """One vector of zeros."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _store(builder, _number(0), args[0])
        return context.get_dummy_value()

    return types.void(_INT), codegen


def _prefetch(write: int) -> Any:
    """Code that asks for a cache line, to be read or written soon; any address will do."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [byte, _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        near, data = _I32(2), _I32(1)
        builder.call(function, [builder.inttoptr(args[0], byte), _I32(write), near, data])
        return context.get_dummy_value()

    return codegen


@intrinsic
def will_read(typingctx: Any, place: Any) -> Any:
    """Bring the cache line at an address near."""
    return types.void(_INT), _prefetch(0)


@intrinsic
def will_write(typingctx: Any, place: Any) -> Any:
    """The same, to be changed."""
    return types.void(_INT), _prefetch(1)
