"""Raw memory for the kernel: loads, stores and vector updates at addresses, as numba intrinsics.

Compiled numba code counts references whenever an array is handed from one function to another,
which costs more than a whole input event does here. The kernel therefore works on the addresses
of arrays that its caller keeps alive, and checks capacities itself.

The work on many neurons at once is in `vectors`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from speck_adacal.twin.vectors import (
    LANES,
    fire,
    fired,
    inside,
    partial_update,
    row_update,
    saturating_add,
    wrapping_add,
)

_I1, _I8, _I16, _I64 = (ir.IntType(n) for n in (1, 8, 16, 64))
_V16 = ir.VectorType(_I16, LANES)
_INT = types.int64


@intrinsic
def load64(typingctx: Any, base: Any, index: Any) -> Any:
    """The int64 at place `index` of an array at address `base`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_element(builder, args[0], args[1], _I64), align=8)

    return _INT(_INT, _INT), codegen


@intrinsic
def setting(typingctx: Any, base: Any, index: Any) -> Any:
    """Like `load64`, of memory that no kernel writes: it need not be read again after a store."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_element(builder, args[0], args[1], _I64), align=8)
        value.set_metadata("invariant.load", builder.module.add_metadata([]))
        return value

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
def update_rows(
    typingctx: Any,
    state: Any,
    weights: Any,
    rows: Any,
    run: Any,
    state_step: Any,
    weight_step: Any,
    threshold: Any,
    low: Any,
) -> Any:
    """Add `rows` runs of `run` int8 weights to int16 states; does any reach the threshold?

    The steps lead from one row to the next, in bytes. The commonest lengths have straight code of
    their own, so that only the choice among them can be mispredicted. Nothing is called inside:
    a call would push threshold and clamp out of the vector registers.
    """
    return _INT(*[_INT] * 8), row_update


@intrinsic
def fire_full(typingctx: Any, state: Any, threshold: Any, keep: Any) -> Any:
    """Let `LANES` neurons that reached their threshold fire once; bits of those that do.

    `keep` is -1 to subtract the threshold, 0 to return to zero. The threshold is above zero.
    """
    return _INT(_INT, _INT, _INT), fire(LANES)


@intrinsic
def fire_sixteen(typingctx: Any, state: Any, threshold: Any, keep: Any) -> Any:
    """The same for 16 of them."""
    return _INT(_INT, _INT, _INT), fire(16)


@intrinsic
def fire_eight(typingctx: Any, state: Any, threshold: Any, keep: Any) -> Any:
    """The same for 8 of them."""
    return _INT(_INT, _INT, _INT), fire(8)


@intrinsic
def fire_some(typingctx: Any, state: Any, lanes: Any, threshold: Any, keep: Any) -> Any:
    """The same for the first `lanes` of 8."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state_at, count, threshold, keep = args
        return fired(builder, state_at, threshold, keep, 8, inside(builder, count, 8))

    return _INT(_INT, _INT, _INT, _INT), codegen


@intrinsic
def update_some(
    typingctx: Any, state: Any, weights: Any, lanes: Any, threshold: Any, low: Any
) -> Any:
    """Add int8 weights to the first `lanes` of `LANES` int16 states; bits of those that fire."""
    return _INT(_INT, _INT, _INT, _INT, _INT), partial_update(saturating_add)


@intrinsic
def update_wrapping(
    typingctx: Any, state: Any, weights: Any, lanes: Any, threshold: Any, low: Any
) -> Any:
    """The same with sums that wrap round at 16 bits."""
    return _INT(_INT, _INT, _INT, _INT, _INT), partial_update(wrapping_add)


@intrinsic
def raise_peak(typingctx: Any, peak: Any, state: Any, lanes: Any) -> Any:
    """`peak = max(peak, state)` for `lanes` int16 values at these addresses."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        peak_at = builder.inttoptr(args[0], _V16.as_pointer())
        state_at = builder.inttoptr(args[1], _V16.as_pointer())
        old, new = builder.load(peak_at, align=2), builder.load(state_at, align=2)
        higher = builder.and_(builder.icmp_signed(">", new, old), inside(builder, args[2]))
        builder.store(builder.select(higher, new, old), peak_at, align=2)
        return context.get_dummy_value()

    return types.void(_INT, _INT, _INT), codegen


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """Index of the lowest set bit of an integer, 64 for zero."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(_I1, 0))

    return _INT(_INT), codegen


def _element(builder: Any, base: Any, index: Any, kind: Any) -> Any:
    return builder.gep(builder.inttoptr(base, kind.as_pointer()), [index])
