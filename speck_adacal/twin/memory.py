"""Raw memory for the kernel: loads, stores and vector updates at addresses, as numba intrinsics.

Compiled numba code counts references whenever an array is handed from one function to another,
which costs more than a whole input event does here. The kernel therefore works on the addresses
of arrays that its caller keeps alive, and checks capacities itself.

`LANES` neurons are updated at once: load, saturating (or wrapping) 16-bit add, clamp from below,
store, compare; a comparison comes back as the bits of an int64, one a lane. These are LLVM's
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
_INT1 = _I64(1)


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
    return _INT(*[_INT] * 8), _row_update


@intrinsic
def fire_full(typingctx: Any, state: Any, threshold: Any, keep: Any) -> Any:
    """Let `LANES` neurons that reached their threshold fire once; bits of those that do.

    `keep` is -1 to subtract the threshold, 0 to return to zero. The threshold is above zero.
    """
    return _INT(_INT, _INT, _INT), _fire(LANES)


@intrinsic
def fire_sixteen(typingctx: Any, state: Any, threshold: Any, keep: Any) -> Any:
    """The same for 16 of them."""
    return _INT(_INT, _INT, _INT), _fire(16)


@intrinsic
def fire_eight(typingctx: Any, state: Any, threshold: Any, keep: Any) -> Any:
    """The same for 8 of them."""
    return _INT(_INT, _INT, _INT), _fire(8)


@intrinsic
def fire_some(typingctx: Any, state: Any, lanes: Any, threshold: Any, keep: Any) -> Any:
    """The same for the first `lanes` of 8."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state_at, count, threshold, keep = args
        return _fired(builder, state_at, threshold, keep, 8, _inside(builder, count, 8))

    return _INT(_INT, _INT, _INT, _INT), codegen


@intrinsic
def update_some(
    typingctx: Any, state: Any, weights: Any, lanes: Any, threshold: Any, low: Any
) -> Any:
    """Add int8 weights to the first `lanes` of `LANES` int16 states; bits of those that fire."""
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
    """Index of the lowest set bit of an integer, 64 for zero."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(_I1, 0))

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


def _inside(builder: Any, lanes: Any, width: int = LANES) -> Any:
    """One bit a lane: is its number below `lanes`?"""
    lane = ir.Constant(ir.VectorType(_I16, width), list(range(width)))
    return builder.icmp_unsigned("<", lane, _splat(builder, builder.trunc(lanes, _I16), width))


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


_STRAIGHT = (8, 16, 24, 32, 40, 48, 64, 80, 96, 128, 160)  # runs with code of their own
_PIECES = (LANES, 16, 8)


def _row_update(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Code of `update_rows`: the highest potential of each lane, kept over all rows."""
    state, weights, rows, run, state_step, weight_step, threshold, low = args
    highest = {lanes: cgutils.alloca_once_value(builder, _lowest(lanes)) for lanes in _PIECES}

    def piece(state_at: Any, weight_at: Any, lanes: int, inside: Any = None) -> None:
        at, total, old = _summed(builder, state_at, weight_at, low, _saturating_add, lanes)
        if inside is not None:
            total = builder.select(inside, total, old)
        builder.store(total, at, align=2)
        if inside is not None:
            total = builder.select(inside, total, _lowest(lanes))
        kept = builder.load(highest[lanes])
        higher = builder.icmp_signed(">", total, kept)
        builder.store(builder.select(higher, total, kept), highest[lanes])

    def each_row(work: Any) -> None:
        with cgutils.for_range(builder, rows) as row:
            state_at = builder.add(state, builder.mul(row.index, state_step))
            weight_at = builder.add(weights, builder.mul(row.index, weight_step))
            work(state_at, weight_at)

    def moved(state_at: Any, weight_at: Any, lanes: Any) -> tuple[Any, Any]:
        return builder.add(state_at, builder.shl(lanes, _INT1)), builder.add(weight_at, lanes)

    def straight(length: int) -> Any:
        def work(state_at: Any, weight_at: Any) -> None:
            done = 0
            for lanes in _PIECES:
                while length - done >= lanes:
                    piece(*moved(state_at, weight_at, _I64(done)), lanes)
                    done += lanes

        return work

    def any_length(state_at: Any, weight_at: Any) -> None:
        with cgutils.for_range(builder, builder.lshr(run, _I64(5))) as block:
            done = builder.shl(block.index, _I64(5))
            piece(*moved(state_at, weight_at, done), LANES)
        done = builder.and_(run, _I64(-LANES))
        for lanes in _PIECES[1:]:
            bit = builder.and_(run, _I64(lanes))
            with builder.if_then(builder.icmp_signed("!=", bit, _I64(0))):
                piece(*moved(state_at, weight_at, done), lanes)
            done = builder.add(done, bit)
        left = builder.and_(run, _I64(7))
        with builder.if_then(builder.icmp_signed("!=", left, _I64(0))):
            piece(*moved(state_at, weight_at, done), 8, _inside(builder, left, 8))

    def found(pieces: tuple[int, ...]) -> Any:
        bits = _I64(0)
        for lanes in pieces:
            reached = _reaches(builder, builder.load(highest[lanes]), threshold)
            bits = builder.or_(bits, _bits(builder, reached))
        return bits

    answer = cgutils.alloca_once(builder, _I64)
    after = builder.append_basic_block("rows.done")
    general = builder.append_basic_block("rows.general")
    choice = builder.switch(run, general)
    for length in _STRAIGHT:
        block = builder.append_basic_block(f"rows.{length}")
        choice.add_case(_I64(length), block)
        builder.position_at_end(block)
        each_row(straight(length))
        pieces = tuple(n for n in _PIECES if (length >= n if n == LANES else length & n))
        builder.store(found(pieces), answer)
        builder.branch(after)
    builder.position_at_end(general)
    each_row(any_length)
    builder.store(found(_PIECES), answer)
    builder.branch(after)
    builder.position_at_end(after)
    return builder.load(answer)


def _fire(lanes: int) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state, threshold, keep = args
        return _fired(builder, state, threshold, keep, lanes, None)

    return codegen


def _fired(builder: Any, state: Any, threshold: Any, keep: Any, lanes: int, inside: Any) -> Any:
    state_at = builder.inttoptr(state, ir.VectorType(_I16, lanes).as_pointer())
    potential = builder.load(state_at, align=2)
    fires = _reaches(builder, potential, threshold)
    if inside is not None:
        fires = builder.and_(fires, inside)
    level = _splat(builder, builder.trunc(threshold, _I16), lanes)
    kept = _splat(builder, builder.trunc(keep, _I16), lanes)
    left = builder.and_(builder.sub(potential, level), kept)
    builder.store(builder.select(fires, left, potential), state_at, align=2)
    return _bits(builder, fires)


def _lowest(lanes: int) -> Any:
    return ir.Constant(ir.VectorType(_I16, lanes), [-32768] * lanes)


def _partial_update(add: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state, weights, lanes, threshold, low = args
        inside = _inside(builder, lanes)
        state_at, total, old = _summed(builder, state, weights, low, add, LANES)
        builder.store(builder.select(inside, total, old), state_at, align=2)
        return _bits(builder, builder.and_(_reaches(builder, total, threshold), inside))

    return codegen
