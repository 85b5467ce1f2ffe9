"""Vector code of the twin's kernels: many neurons updated, compared and fired at once.

`LANES` neurons at a time: load, saturating (or wrapping) 16-bit add, clamp from below, store,
compare; a comparison comes back as the bits of an int64, one a lane. These are LLVM's portable
vectors: one AVX-512, two AVX2 or four SSE or NEON instructions each. `raw_memory` makes numba
intrinsics of them.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils

LANES = 32

_I8, _I16, _I32, _I64 = (ir.IntType(n) for n in (8, 16, 32, 64))
_INT1 = _I64(1)


def _bits(builder: Any, lanes: Any) -> Any:
    """A vector of booleans as the bits of an int64."""
    return builder.zext(builder.bitcast(lanes, ir.IntType(lanes.type.count)), _I64)


def _splat(builder: Any, value: Any, lanes: int = LANES) -> Any:
    unset = ir.Constant(ir.VectorType(_I16, lanes), ir.Undefined)
    one = builder.insert_element(unset, value, _I32(0))
    zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    return builder.shuffle_vector(one, unset, zeros)


def inside(builder: Any, lanes: Any, width: int = LANES) -> Any:
    """One bit a lane: is its number below `lanes`?"""
    lane = ir.Constant(ir.VectorType(_I16, width), list(range(width)))
    return builder.icmp_unsigned("<", lane, _splat(builder, builder.trunc(lanes, _I16), width))


def saturating_add(builder: Any, a: Any, b: Any) -> Any:
    function_type = ir.FunctionType(a.type, [a.type, a.type])
    name = f"llvm.sadd.sat.v{a.type.count}i16"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, [a, b])


def wrapping_add(builder: Any, a: Any, b: Any) -> Any:
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


def row_update(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Code of `update_rows`: the highest potential of each lane, kept over all rows."""
    state, weights, rows, run, state_step, weight_step, threshold, low = args
    highest = {lanes: cgutils.alloca_once_value(builder, _lowest(lanes)) for lanes in _PIECES}

    def piece(state_at: Any, weight_at: Any, lanes: int, within: Any = None) -> None:
        at, total, old = _summed(builder, state_at, weight_at, low, saturating_add, lanes)
        if within is not None:
            total = builder.select(within, total, old)
        builder.store(total, at, align=2)
        if within is not None:
            total = builder.select(within, total, _lowest(lanes))
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
            piece(*moved(state_at, weight_at, done), 8, inside(builder, left, 8))

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


def fire(lanes: int) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state, threshold, keep = args
        return fired(builder, state, threshold, keep, lanes, None)

    return codegen


def fired(builder: Any, state: Any, threshold: Any, keep: Any, lanes: int, within: Any) -> Any:
    state_at = builder.inttoptr(state, ir.VectorType(_I16, lanes).as_pointer())
    potential = builder.load(state_at, align=2)
    fires = _reaches(builder, potential, threshold)
    if within is not None:
        fires = builder.and_(fires, within)
    level = _splat(builder, builder.trunc(threshold, _I16), lanes)
    kept = _splat(builder, builder.trunc(keep, _I16), lanes)
    left = builder.and_(builder.sub(potential, level), kept)
    builder.store(builder.select(fires, left, potential), state_at, align=2)
    return _bits(builder, fires)


def _lowest(lanes: int) -> Any:
    return ir.Constant(ir.VectorType(_I16, lanes), [-32768] * lanes)


def partial_update(add: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state, weights, lanes, threshold, low = args
        within = inside(builder, lanes)
        state_at, total, old = _summed(builder, state, weights, low, add, LANES)
        builder.store(builder.select(within, total, old), state_at, align=2)
        return _bits(builder, builder.and_(_reaches(builder, total, threshold), within))

    return codegen
