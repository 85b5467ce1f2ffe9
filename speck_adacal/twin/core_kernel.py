"""What one core does: an input event, a tick of the slow clock, the order of its spikes.

Compiled; all arguments are integers and addresses, see `memory`.
"""

from __future__ import annotations

from numba import njit

from speck_adacal.twin import layout as at
from speck_adacal.twin.memory import (
    LANES,
    load16,
    load64,
    lowest_bit,
    raise_peak,
    store16,
    store64,
    update_all,
    update_eight,
    update_sixteen,
    update_some,
    update_wrapping,
)

# Columns of `counters[core]`.
EVENTS, SPIKES, SYNOPS, DROPPED, DECIMATED, LOSE_NEXT, COUNTERS = range(7)
MASK16 = 0xFFFF
MASKS = 16 * (16 * 1024 // LANES + 1)  # vectors that the largest kernel reaches
_BY_FEATURE, _BACKWARDS = 1, 2


@njit
def pack(source, y, x, feature):  # type: ignore[no-untyped-def]
    """One waiting spike: source row, coordinates and feature in 16 bits each."""
    return (source << 48) | (y << 32) | (x << 16) | feature


@njit
def counter(core, name):  # type: ignore[no-untyped-def]
    """Place of a counter."""
    return core * COUNTERS + name


@njit
def _fire(state, i, threshold, to_zero, most, wrap):  # type: ignore[no-untyped-def]
    """Let neuron `i`, which reached its threshold, fire; returns its spikes."""
    potential = load16(state, i)
    spikes = 0
    while potential >= threshold and spikes < most:
        spikes += 1
        potential = 0 if to_zero else potential - threshold
        if potential > 32767:  # only below-zero thresholds lead here
            potential = potential - 65536 if wrap else 32767
    store16(state, i, potential)
    return spikes


@njit(error_model="numpy")
def _fire_lanes(mask, done, first, row, state, place, pending, count, wrap):  # type: ignore[no-untyped-def]
    """Fire the neurons of one block whose bits are set; `first` is the run's first neuron."""
    features = load64(row, at.FEATURES)
    threshold, to_zero = load64(row, at.THRESHOLD), load64(row, at.TO_ZERO)
    most = load64(row, at.SPIKES_PER_EVENT)
    while mask:
        lane = done + lowest_bit(mask)
        mask &= mask - 1
        columns = lane // features
        spike = first + (columns << 16) + lane - columns * features
        for _ in range(_fire(state, place + lane, threshold, to_zero, most, wrap)):
            store64(pending, count, spike)
            count += 1
    return count


@njit(inline="always")
def _update_tail(state_at, weight_at, left, threshold, low):  # type: ignore[no-untyped-def]
    """Fewer than `LANES` neurons, in pieces of 16 and 8 and what is left; returns the mask."""
    mask, done = 0, 0
    if left >= 16:
        mask = update_sixteen(state_at, weight_at, threshold, low)
        done = 16
    if left - done >= 8:
        mask |= update_eight(state_at + done * 2, weight_at + done, threshold, low) << done
        done += 8
    if done < left:
        lanes = left - done
        mask |= update_some(state_at + done * 2, weight_at + done, lanes, threshold, low) << done
    return mask


@njit
def _update_rest(state, place, peak, weight_at, left, threshold, low, wrap):  # type: ignore[no-untyped-def]
    """At most `LANES` neurons, with the rarer settings; returns the mask of those that fire."""
    lanes, state_at = min(LANES, left), state + place * 2
    if wrap:
        mask = update_wrapping(state_at, weight_at, lanes, threshold, low)
    else:
        mask = update_some(state_at, weight_at, lanes, threshold, low)
    if peak:
        raise_peak(peak + place * 2, state_at, lanes)
    return mask


@njit
def event_spikes(  # type: ignore[no-untyped-def]
    core, word, row, phases, weights, state, peak, masks, pending, count, counters, wrap
):
    """One input event: update all neurons in reach; append spikes to `pending`, return its end.

    The masks of those that fire are kept in `masks` until all are updated: a call within the inner
    loop would push its constants out of the vector registers.
    """
    features, kernel = load64(row, at.FEATURES), load64(row, at.KERNEL)
    width = load64(row, at.WIDTH)
    threshold, low = load64(row, at.THRESHOLD), load64(row, at.LOW)
    log2_y, log2_x = load64(row, at.STRIDE_Y_LOG2), load64(row, at.STRIDE_X_LOG2)
    # Coordinates in the padded input; the neurons in reach end at (last_y, last_x).
    y = ((word >> 32) & MASK16) + load64(row, at.PADDING_Y)
    x = ((word >> 16) & MASK16) + load64(row, at.PADDING_X)
    last_y, last_x = y >> log2_y, x >> log2_x
    phase = phases + (core * 8 + (x & ((1 << log2_x) - 1))) * 16
    phase_y = y & ((1 << log2_y) - 1)
    taps_y = (kernel - phase_y + (1 << log2_y) - 1) >> log2_y
    taps_x = load64(phase, 1)
    first_y, first_x = max(0, last_y - taps_y + 1), max(0, last_x - taps_x + 1)
    run = (min(last_x, width - 1) - first_x + 1) * features
    rows = min(last_y, load64(row, at.HEIGHT) - 1) - first_y + 1
    at_events = counter(core, EVENTS)
    store64(counters, at_events, load64(counters, at_events) + 1)
    if run <= 0 or rows <= 0:
        return count
    column = load64(phase, 0) + taps_x - 1 - last_x + first_x
    first_weight = ((word & MASK16) * kernel + y - (first_y << log2_y)) * kernel + column
    weight_at = weights + load64(row, at.WEIGHTS_AT) + first_weight * features
    weight_step = (kernel << log2_y) * features
    first_place = load64(row, at.STATE_AT) + (first_y * width + first_x) * features
    place = first_place
    plain = not (wrap or peak)
    block, fired = 0, 0
    for _ in range(rows):
        done = 0
        while plain and run - done >= LANES:
            mask = update_all(state + (place + done) * 2, weight_at + done, threshold, low)
            store64(masks, block, mask)
            fired |= mask
            block += 1
            done += LANES
        if plain and done < run:
            mask = _update_tail(
                state + (place + done) * 2, weight_at + done, run - done, threshold, low
            )
            store64(masks, block, mask)
            fired |= mask
            block += 1
            done = run
        while done < run:
            mask = _update_rest(
                state, place + done, peak, weight_at + done, run - done, threshold, low, wrap
            )
            store64(masks, block, mask)
            fired |= mask
            block += 1
            done += LANES
        weight_at -= weight_step
        place += width * features
    start = count
    if fired:
        block, place = 0, first_place
        for out_y in range(first_y, first_y + rows):
            first = pack(core, out_y, first_x, 0)
            for done in range(0, run, LANES):
                mask = load64(masks, block)
                block += 1
                if mask:
                    count = _fire_lanes(mask, done, first, row, state, place, pending, count, wrap)
            place += width * features
    at_synops, at_spikes = counter(core, SYNOPS), counter(core, SPIKES)
    store64(counters, at_synops, load64(counters, at_synops) + rows * run)
    store64(counters, at_spikes, load64(counters, at_spikes) + count - start)
    return count


@njit
def tick_spikes(  # type: ignore[no-untyped-def]
    core, row, bias, state, peak, pending, count, counters, fires, wrap
):
    """One slow clock tick: add the biases, clamp, and fire if that is assumed."""
    features, width = load64(row, at.FEATURES), load64(row, at.WIDTH)
    threshold, low = load64(row, at.THRESHOLD), load64(row, at.LOW)
    i = load64(row, at.STATE_AT)
    first_bias = load64(row, at.BIAS_AT)
    start = count
    for out_y in range(load64(row, at.HEIGHT)):
        for out_x in range(width):
            for feature in range(features):
                potential = load16(state, i) + load16(bias, first_bias + feature)
                if wrap:
                    potential = ((potential + 32768) & MASK16) - 32768
                else:
                    potential = min(max(potential, -32768), 32767)
                potential = max(potential, low)
                store16(state, i, potential)
                if peak and potential > load16(peak, i):
                    store16(peak, i, potential)
                if fires and potential >= threshold:
                    _fire(state, i, threshold, load64(row, at.TO_ZERO), 1, wrap)
                    store64(pending, count, pack(core, out_y, out_x, feature))
                    count += 1
                i += 1
    at_spikes = counter(core, SPIKES)
    store64(counters, at_spikes, load64(counters, at_spikes) + count - start)
    return count


@njit
def _by_feature(word):  # type: ignore[no-untyped-def]
    return ((word & MASK16) << 32) | ((word >> 16) & 0xFFFFFFFF)


@njit
def order_spikes(pending, start, end, order):  # type: ignore[no-untyped-def]
    """Put the spikes of one event, which come by row, column, feature, into another order."""
    if order == _BACKWARDS:
        for i in range((end - start) // 2):
            kept = load64(pending, start + i)
            store64(pending, start + i, load64(pending, end - 1 - i))
            store64(pending, end - 1 - i, kept)
    elif order == _BY_FEATURE:
        for i in range(start + 1, end):  # insertion keeps equal spikes in place
            word = load64(pending, i)
            j = i - 1
            while j >= start and _by_feature(load64(pending, j)) > _by_feature(word):
                store64(pending, j + 1, load64(pending, j))
                j -= 1
            store64(pending, j + 1, word)
