"""The inner loop's vector operations, as numba intrinsics that emit portable LLVM vectors.

`LANES` neurons are updated at once: load, saturating (or wrapping) 16-bit add, clamp from below,
compare, store; the comparison comes back as a bit mask, one bit a lane. Which machine
instructions these become is LLVM's affair (one AVX-512, two AVX2 or four SSE/NEON operations).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 32

_I1, _I8, _I16, _I32 = (ir.IntType(n) for n in (1, 8, 16, 32))
_V1, _V8, _V16 = (ir.VectorType(t, LANES) for t in (_I1, _I8, _I16))


def _splat(builder: Any, value: Any) -> Any:
    one = builder.insert_element(ir.Constant(_V16, ir.Undefined), value, _I32(0))
    zeros = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(_V16, ir.Undefined), zeros)


def _vector_pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    vector = _V8 if array_type.dtype.bitwidth == 8 else _V16
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _saturating_add(builder: Any, a: Any, b: Any) -> Any:
    function_type = ir.FunctionType(_V16, [_V16, _V16])
    name = f"llvm.sadd.sat.v{LANES}i16"
    function = cgutils.get_or_insert_function(builder.module, function_type, name)
    return builder.call(function, [a, b])


def _update(saturate: bool) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        state, at, weights, weight_at, lanes, threshold, low = args
        state_pointer = _vector_pointer(context, builder, signature.args[0], state, at)
        weight_pointer = _vector_pointer(context, builder, signature.args[2], weights, weight_at)
        old = builder.load(state_pointer, align=2)
        weight = builder.sext(builder.load(weight_pointer, align=1), _V16)
        total = _saturating_add(builder, old, weight) if saturate else builder.add(old, weight)
        floor = _splat(builder, builder.trunc(low, _I16))
        total = builder.select(builder.icmp_signed("<", total, floor), floor, total)
        lane = ir.Constant(_V16, list(range(LANES)))
        inside = builder.icmp_unsigned("<", lane, _splat(builder, builder.trunc(lanes, _I16)))
        total = builder.select(inside, total, old)
        builder.store(total, state_pointer, align=2)
        level = _splat(builder, builder.trunc(threshold, _I16))
        fires = builder.and_(builder.icmp_signed(">=", total, level), inside)
        return builder.bitcast(fires, _I32)

    return codegen


def _typed(saturate: bool) -> Any:
    def typer(
        typingctx: Any,
        state: Any,
        at: Any,
        weights: Any,
        weight_at: Any,
        lanes: Any,
        threshold: Any,
        low: Any,
    ) -> Any:
        wide = types.int64
        signature = types.uint32(state, wide, weights, wide, wide, wide, wide)
        return signature, _update(saturate)

    return typer


update_saturating = intrinsic(_typed(True))
update_wrapping = intrinsic(_typed(False))


@intrinsic
def raise_peak(typingctx: Any, peak: Any, state: Any, at: Any, lanes: Any) -> Any:
    """`peak[at:at + lanes] = max(peak, state)`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        peak_array, state_array, index, count = args
        peak_pointer = _vector_pointer(context, builder, signature.args[0], peak_array, index)
        state_pointer = _vector_pointer(context, builder, signature.args[1], state_array, index)
        old = builder.load(peak_pointer, align=2)
        new = builder.load(state_pointer, align=2)
        lane = ir.Constant(_V16, list(range(LANES)))
        inside = builder.icmp_unsigned("<", lane, _splat(builder, builder.trunc(count, _I16)))
        higher = builder.and_(builder.icmp_signed(">", new, old), inside)
        builder.store(builder.select(higher, new, old), peak_pointer, align=2)
        return context.get_dummy_value()

    return types.void(peak, state, types.int64, types.int64), codegen


@intrinsic
def lowest_bit(typingctx: Any, mask: Any) -> Any:
    """Index of the lowest set bit of a non-zero uint32."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count = builder.cttz(args[0], ir.Constant(_I1, 1))
        return builder.zext(count, ir.IntType(64))

    return types.int64(types.uint32), codegen
