"""Raw memory for the kernel: loads, stores and vector updates at addresses, as numba intrinsics.

Compiled numba code counts references whenever an array is handed from one function to another,
which costs more than a whole input event does here. The kernel therefore works on the addresses
of arrays that its caller keeps alive, and checks capacities itself.

`LANES` neurons are updated at once: load, saturating (or wrapping) 16-bit add, clamp from below,
store, compare; the comparison comes back as the bits of an int64, one a lane. These are LLVM's
portable vectors: one AVX-512, two AVX2 or four SSE or NEON instructions each.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 32

_I1, _I8, _I16, _I32, _I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
_V16 = ir.VectorType(_I16, LANES)
_INT = types.int64


@intrinsic
def load64(typingctx: Any, base: Any, index: Any) -> Any:
    """The int64 at place `index` of an array at address `base`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_element(builder, args[0], args[1], _I64), align=8)

    return _INT(_INT, _INT), codegen


@intrinsic
def store64(typingctx: Any, base: Any, index: Any, value: Any) -> Any:
    """Write an int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _element(builder, args[0], args[1], _I64), align=8)
        return context.get_dummy_value()

    return types.void(_INT, _INT, _INT), codegen


@intrinsic
def load16(typingctx: Any, base: Any, index: Any) -> Any:
    """The int16 at place `index` of an array at address `base`, as int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_element(builder, args[0], args[1], _I16), align=2)
        return builder.sext(value, _I64)

    return _INT(_INT, _INT), codegen


@intrinsic
def store16(typingctx: Any, base: Any, index: Any, value: Any) -> Any:
    """Write the low 16 bits of a value."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _element(builder, args[0], args[1], _I16)
        builder.store(builder.trunc(args[2], _I16), pointer, align=2)
        return context.get_dummy_value()

    return types.void(_INT, _INT, _INT), codegen


@intrinsic
def load8(typingctx: Any, base: Any, index: Any) -> Any:
    """The int8 at place `index` of an array at address `base`, as int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_element(builder, args[0], args[1], _I8), align=1)
        return builder.sext(value, _I64)

    return _INT(_INT, _INT), codegen


@intrinsic
def update_all(typingctx: Any, state: Any, weights: Any, threshold: Any, low: Any) -> Any:
    """Add `LANES` int8 weights to int16 states at these addresses; bits of those that fire."""
    return _INT(_INT, _INT, _INT, _INT), _full_update(LANES)


@intrinsic
def update_sixteen(typingctx: Any, state: Any, weights: Any, threshold: Any, low: Any) -> Any:
    """The same for 16 of them."""
    return _INT(_INT, _INT, _INT, _INT), _full_update(16)


@intrinsic
def update_eight(typingctx: Any, state: Any, weights: Any, threshold: Any, low: Any) -> Any:
    """The same for 8 of them."""
    return _INT(_INT, _INT, _INT, _INT), _full_update(8)


@intrinsic
def update_some(
    typingctx: Any, state: Any, weights: Any, lanes: Any, threshold: Any, low: Any
) -> Any:
    """The same for the first `lanes` of `LANES`; the others keep their values.

    Slower, also for who comes next: a masked store cannot be forwarded to the next event's load.
    """
    return _INT(_INT, _INT, _INT, _INT, _INT), _partial_update(_saturating_add)


@intrinsic
def update_wrapping(
    typingctx: Any, state: Any, weights: Any, lanes: Any, threshold: Any, low: Any
) -> Any:
    """The same with sums that wrap round at 16 bits."""
    return _INT(_INT, _INT, _INT, _INT, _INT), _partial_update(_wrapping_add)


@intrinsic
def raise_peak(typingctx: Any, peak: Any, state: Any, lanes: Any) -> Any:
    """`peak = max(peak, state)` for `lanes` int16 values at these addresses."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        peak_at = builder.inttoptr(args[0], _V16.as_pointer())
        state_at = builder.inttoptr(args[1], _V16.as_pointer())
        old, new = builder.load(peak_at, align=2), builder.load(state_at, align=2)
        higher = builder.and_(builder.icmp_signed(">", new, old), _inside(builder, args[2]))
        builder.store(builder.select(higher, new, old), peak_at, align=2)
        return context.get_dummy_value()

    return types.void(_INT, _INT, _INT), codegen


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """Index of the lowest set bit of an integer that is not zero."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(_I1, 1))

    return _INT(_INT), codegen


def _bits(builder: Any, lanes: Any) -> Any:
    """A vector of booleans as the bits of an int64."""
    return builder.zext(builder.bitcast(lanes, ir.IntType(lanes.type.count)), _I64)


def _element(builder: Any, base: Any, index: Any, kind: Any) -> Any:
    return builder.gep(builder.inttoptr(base, kind.as_pointer()), [index])


def _splat(builder: Any, value: Any, lanes: int = LANES) -> Any:
    unset = ir.Constant(ir.VectorType(_I16, lanes), ir.Undefined)
    one = builder.insert_element(unset, value, _I32(0))
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(one, unset, zeros)


def _inside(builder: Any, lanes: Any) -> Any:
    """One bit a lane: is its number below `lanes`?"""
    lane = ir.Constant(_V16, list(range(LANES)))
    return builder.icmp_unsigned("<", lane, _splat(builder, builder.trunc(lanes, _I16)))


def _saturating_add(builder: Any, a: Any, b: Any) -> Any:
    function_type = ir.FunctionType(a.type, [a.type, a.type])
    name = f"llvm.sadd.sat.v{a.type.count}i16"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, [a, b])


def _wrapping_add(builder: Any, a: Any, b: Any) -> Any:
    return builder.add(a, b)


def _summed(builder: Any, state: Any, weights: Any, low: Any, add: Any, lanes: int) -> Any:
    """Pointer to the states, their new values after the clamp, and the old ones."""
    wide, narrow = ir.VectorType(_I16, lanes), ir.VectorType(_I8, lanes)
    state_at = builder.inttoptr(state, wide.as_pointer())
    weight_at = builder.inttoptr(weights, narrow.as_pointer())
    old = builder.load(state_at, align=2)
    total = add(builder, old, builder.sext(builder.load(weight_at, align=1), wide))
    floor = _splat(builder, builder.trunc(low, _I16), lanes)
    return state_at, builder.select(builder.icmp_signed("<", total, floor), floor, total), old


def _reaches(builder: Any, total: Any, threshold: Any) -> Any:
    level = _splat(builder, builder.trunc(threshold, _I16), total.type.count)
    return builder.icmp_signed(">=", total, level)


def _full_update(lanes: int) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state, weights, threshold, low = args
        state_at, total, _ = _summed(builder, state, weights, low, _saturating_add, lanes)
        builder.store(total, state_at, align=2)
        return _bits(builder, _reaches(builder, total, threshold))

    return codegen


def _partial_update(add: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state, weights, lanes, threshold, low = args
        inside = _inside(builder, lanes)
        state_at, total, old = _summed(builder, state, weights, low, add, LANES)
        builder.store(builder.select(inside, total, old), state_at, align=2)
        return _bits(builder, builder.and_(_reaches(builder, total, threshold), inside))

    return codegen
