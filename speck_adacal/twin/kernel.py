"""The event loop: root events in, spikes out, one compiled function without the GIL.

Every spike waiting to be delivered is one packed word (`pack`). Depth-first order keeps them on a
stack of frames, one frame for the spikes of one event in one core; breadth-first order is a queue.
Before an event is delivered the kernel makes sure that its worst case fits the buffers; if not, it
returns and continues, after the caller has grown them, where it stopped.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from speck_adacal.twin import layout as at
from speck_adacal.twin.simd import (
    LANES,
    lowest_bit,
    raise_peak,
    update_saturating,
    update_wrapping,
)

DONE, GROW_PENDING, GROW_LOG = 0, 1, 2

# Places in `control`: where the kernel stands between two calls.
ROOT, DEPTH, PENDING, LOGGED, CURRENT, HEAD, HEAD_SLOT, CONTROLS = range(8)
# Columns of `counters[core]`.
EVENTS, SPIKES, SYNOPS, DROPPED, DECIMATED, LOSE_NEXT, COUNTERS = range(7)
# Places in `options`.
WRAP, BREADTH_FIRST, SPIKE_ORDER, LEAK_FIRES, PASS_FIRST, DECIMATE_MONITOR, OPTIONS = range(7)
FRAMES = 64
MASK16 = 0xFFFF


@njit(cache=True)
def pack(source: int, y: int, x: int, feature: int) -> int:
    """One waiting spike: source row, coordinates and feature in 16 bits each."""
    return (source << 48) | (y << 32) | (x << 16) | feature


@njit(cache=True)
def _fire(state, i, threshold, to_zero, most, wrap):  # type: ignore[no-untyped-def]
    """Let neuron `i`, which reached its threshold, fire; returns its spikes."""
    potential = int(state[i])
    spikes = 0
    while potential >= threshold and spikes < most:
        spikes += 1
        potential = 0 if to_zero else potential - threshold
        if potential > 32767:  # only below-zero thresholds lead here
            potential = potential - 65536 if wrap else 32767
    state[i] = potential
    return spikes


@njit(cache=True)
def _event(core, word, table, starts, taps, weights, state, peak, pending, count, counters, wrap):  # type: ignore[no-untyped-def]
    """One input event on one core; its spikes are appended to `pending`. Returns their end."""
    row = table[core]
    features, kernel = row[at.FEATURES], row[at.KERNEL]
    height, width = row[at.HEIGHT], row[at.WIDTH]
    threshold, low = row[at.THRESHOLD], row[at.LOW]
    y = ((word >> 32) & MASK16) + row[at.PADDING_Y]
    x = ((word >> 16) & MASK16) + row[at.PADDING_X]
    last_y, last_x = y >> row[at.STRIDE_Y_LOG2], x >> row[at.STRIDE_X_LOG2]
    stride_y = 1 << row[at.STRIDE_Y_LOG2]
    phase_y, phase_x = y & (stride_y - 1), x & ((1 << row[at.STRIDE_X_LOG2]) - 1)
    taps_y = (kernel - phase_y + stride_y - 1) >> row[at.STRIDE_Y_LOG2]
    taps_x = taps[core, phase_x]
    first_y, first_x = max(0, last_y - taps_y + 1), max(0, last_x - taps_x + 1)
    run = (min(last_x, width - 1) - first_x + 1) * features
    if run <= 0:
        return count
    column = starts[core, phase_x] + taps_x - 1 - last_x + first_x
    weight_row = row[at.WEIGHTS_AT] + ((word & MASK16) * kernel * kernel + column) * features
    state_row = row[at.STATE_AT] + first_x * features
    most = row[at.SPIKES_PER_EVENT]
    rows = 0
    start = count
    for out_y in range(first_y, min(last_y, height - 1) + 1):
        rows += 1
        weight_at = weight_row + (y - out_y * stride_y) * kernel * features
        state_at = state_row + out_y * width * features
        for block in range(0, run, LANES):
            lanes = min(LANES, run - block)
            if wrap:
                mask = update_wrapping(
                    state, state_at + block, weights, weight_at + block, lanes, threshold, low
                )
            else:
                mask = update_saturating(
                    state, state_at + block, weights, weight_at + block, lanes, threshold, low
                )
            if len(peak):
                raise_peak(peak, state, state_at + block, lanes)
            while mask:
                lane = block + lowest_bit(mask)
                mask &= mask - np.uint32(1)
                spikes = _fire(state, state_at + lane, threshold, row[at.TO_ZERO], most, wrap)
                out_x = lane // features
                spike = pack(core, out_y, first_x + out_x, lane - out_x * features)
                for _ in range(spikes):
                    pending[count] = spike
                    count += 1
    counters[core, SYNOPS] += rows * run
    counters[core, SPIKES] += count - start
    return count


@njit(cache=True)
def _tick(core, table, bias, state, peak, pending, count, counters, fires, wrap):  # type: ignore[no-untyped-def]
    """One slow clock tick on one core: add its biases, clamp, and fire if that is assumed."""
    row = table[core]
    features = row[at.FEATURES]
    threshold, low = row[at.THRESHOLD], row[at.LOW]
    start = count
    for position in range(row[at.HEIGHT] * row[at.WIDTH]):
        for feature in range(features):
            i = row[at.STATE_AT] + position * features + feature
            potential = int(state[i]) + int(bias[row[at.BIAS_AT] + feature])
            if wrap:
                potential = ((potential + 32768) & MASK16) - 32768
            else:
                potential = min(max(potential, -32768), 32767)
            potential = max(potential, low)
            state[i] = potential
            if len(peak) and potential > peak[i]:
                peak[i] = potential
            if fires and potential >= threshold:
                _fire(state, i, threshold, row[at.TO_ZERO], 1, wrap)
                out_y = position // row[at.WIDTH]
                pending[count] = pack(core, out_y, position - out_y * row[at.WIDTH], feature)
                count += 1
    counters[core, SPIKES] += count - start
    return count


@njit(cache=True)
def _order(pending, start, end, order):  # type: ignore[no-untyped-def]
    """Put the spikes of one event, which come by row, column, feature, into another order."""
    if order == 1:  # by feature, row, column
        for i in range(start + 1, end):
            word = pending[i]
            key = ((word & MASK16) << 32) | ((word >> 16) & 0xFFFFFFFF)
            j = i - 1
            while j >= start:
                other = pending[j]
                if (((other & MASK16) << 32) | ((other >> 16) & 0xFFFFFFFF)) <= key:
                    break
                pending[j + 1] = other
                j -= 1
            pending[j + 1] = word
    elif order == 2:  # backwards
        for i in range((end - start) // 2):
            kept = pending[start + i]
            pending[start + i] = pending[end - 1 - i]
            pending[end - 1 - i] = kept


@njit(cache=True)
def _send(core, start, end, root, table, pending, log, log_root, logged, counters, options):  # type: ignore[no-untyped-def]
    """Order, monitor and decimate one event's spikes. Returns their new end and the log's."""
    row = table[core]
    if options[SPIKE_ORDER] and end - start > 1:
        _order(pending, start, end, options[SPIKE_ORDER])
    decimation = row[at.DECIMATION]
    monitor_first = row[at.MONITOR] and not options[DECIMATE_MONITOR]
    if monitor_first:
        for i in range(start, end):
            log[logged] = pending[i]
            log_root[logged] = root
            logged += 1
    if decimation > 1:
        kept = start
        for i in range(start, end):
            count = counters[core, DECIMATED]
            counters[core, DECIMATED] = (count + 1) % decimation
            if count == (0 if options[PASS_FIRST] else decimation - 1):
                pending[kept] = pending[i]
                kept += 1
        end = kept
    if row[at.MONITOR] and not monitor_first:
        for i in range(start, end):
            log[logged] = pending[i]
            log_root[logged] = root
            logged += 1
    return (end if row[at.DESTINATIONS] else start), logged


@njit(cache=True, nogil=True)
def run_events(  # type: ignore[no-untyped-def]
    root_source,
    root_word,
    table,
    routes,
    fan_out,
    starts,
    taps,
    tick_order,
    weights,
    bias,
    state,
    peak,
    pending,
    frames,
    log,
    log_root,
    load,
    counters,
    control,
    options,
):
    """Run the root events from where `control` stands; see the module for what it returns.

    Args:
        root_source: int8 `[n]`, source row of `routes`, or `TICK_ROW`.
        root_word: int64 `[n]`, packed event, or the mask of leaking cores.
        peak: int16 like `state` for the highest potentials, or empty.
        pending: int64, waiting spikes. `frames`: int64 `[FRAMES, 3]`.
        log, log_root: int64, monitored spikes and the index of their root event.
        load: int64 `[n, 9, 2]` for events and SynOps by root event and core, or empty.
    """
    wrap = options[WRAP] != 0
    breadth = options[BREADTH_FIRST] != 0
    fires = options[LEAK_FIRES] != 0
    while True:
        count, logged = control[PENDING], control[LOGGED]
        if control[DEPTH] == 0:  # nothing waits: take the next root event
            root = control[ROOT]
            if root == len(root_source):
                return DONE
            source = root_source[root]
            if source == at.TICK_ROW:
                worst = 0
                for core in tick_order:
                    if fires and (root_word[root] >> core) & 1:
                        worst += (
                            table[core, at.FEATURES]
                            * table[core, at.HEIGHT]
                            * table[core, at.WIDTH]
                        )
                if worst > len(pending):
                    return GROW_PENDING
                if logged + worst > len(log):
                    return GROW_LOG
                count = 0
                for core in tick_order:
                    if not (root_word[root] >> core) & 1:
                        continue
                    start = count
                    count = _tick(
                        core, table, bias, state, peak, pending, count, counters, fires, wrap
                    )
                    count, logged = _send(
                        core,
                        start,
                        count,
                        root,
                        table,
                        pending,
                        log,
                        log_root,
                        logged,
                        counters,
                        options,
                    )
                control[LOGGED] = logged
            else:
                pending[0] = (np.int64(source) << 48) | root_word[root]
                count = 1
            frames[0, 0], frames[0, 1], frames[0, 2] = 0, count, 0
            control[DEPTH] = 1
            control[PENDING] = count
            control[HEAD] = 0
            control[HEAD_SLOT] = 0
            control[CURRENT] = root
            control[ROOT] = root + 1
            continue
        depth = control[DEPTH] - 1
        if breadth:
            head, slot = control[HEAD], control[HEAD_SLOT]
            if head == count:
                control[DEPTH] = 0
                continue
        else:
            head, slot = frames[depth, 0], frames[depth, 2]
            if head == frames[depth, 1]:
                control[DEPTH] = depth
                control[PENDING] = frames[depth - 1, 1] if depth else 0
                continue
        word = pending[head]
        source = word >> 48
        route = routes[source, slot]
        target = route[at.ROUTE_LAYER]
        shift = route[at.ROUTE_SHIFT_LOG2]
        event = pack(
            target,
            ((word >> 32) & MASK16) >> shift,
            ((word >> 16) & MASK16) >> shift,
            (word & MASK16) + route[at.ROUTE_FEATURE_SHIFT],
        )
        if target == at.READOUT:
            if logged + 1 > len(log):
                return GROW_LOG
        else:
            worst = table[target, at.WORST_SPIKES]
            if count + worst > len(pending):
                return GROW_PENDING
            if logged + worst > len(log):
                return GROW_LOG
        if slot + 1 < fan_out[source]:
            next_head, next_slot = head, slot + 1
        else:
            next_head, next_slot = head + 1, 0
        if breadth:
            control[HEAD], control[HEAD_SLOT] = next_head, next_slot
        else:
            frames[depth, 0], frames[depth, 2] = next_head, next_slot
        root = control[CURRENT]
        if target == at.READOUT:
            log[logged] = event
            log_root[logged] = root
            control[LOGGED] = logged + 1
            continue
        if counters[target, LOSE_NEXT]:
            counters[target, LOSE_NEXT] = 0
            counters[target, DROPPED] += 1
            continue
        row = table[target]
        outside = (event & MASK16) >= row[at.IN_FEATURES]
        outside |= ((event >> 16) & MASK16) >= row[at.IN_WIDTH]
        outside |= ((event >> 32) & MASK16) >= row[at.IN_HEIGHT]
        if outside:
            counters[target, DROPPED] += 1
            continue
        counters[target, EVENTS] += 1
        before = counters[target, SYNOPS]
        end = _event(
            target, event, table, starts, taps, weights, state, peak, pending, count, counters, wrap
        )
        if len(load):
            load[root, target, 0] += 1
            load[root, target, 1] += counters[target, SYNOPS] - before
        if end > count:
            end, logged = _send(
                target, count, end, root, table, pending, log, log_root, logged, counters, options
            )
            control[LOGGED] = logged
        if end > count:
            control[PENDING] = end
            if not breadth:
                frames[depth + 1, 0], frames[depth + 1, 1], frames[depth + 1, 2] = count, end, 0
                control[DEPTH] = depth + 2
