"""What one core does: an input event, a tick of the slow clock.

Compiled; all arguments are integers and addresses, see `raw_memory`.
"""

from __future__ import annotations

from numba import njit

from speck_adacal.twin import layout as at
from speck_adacal.twin.raw_memory import (
    fire_eight,
    fire_full,
    fire_sixteen,
    fire_some,
    load16,
    load64,
    lowest_bit,
    raise_peak,
    setting,
    store16,
    store64,
    update_rows,
    update_some,
    update_wrapping,
)
from speck_adacal.twin.vectors import LANES

# Columns of `counters[core]`.
EVENTS, SPIKES, SYNOPS, DROPPED, DECIMATED, LOSE_NEXT, COUNTERS = range(7)
MASK16 = 0xFFFF
GROUP = 64  # neurons whose spikes are one mask
SPARE = at.SPARE_SPIKES


@njit
def pack(source, y, x, feature):  # type: ignore[no-untyped-def]
    """One waiting spike: source row, coordinates and feature in 16 bits each."""
    return (source << 48) | (y << 32) | (x << 16) | feature


@njit
def counter(core, name):  # type: ignore[no-untyped-def]
    """Place of a counter."""
    return core * COUNTERS + name


@njit
def count_up(counters, core, name, amount):  # type: ignore[no-untyped-def]
    """Add to a counter."""
    place = counter(core, name)
    store64(counters, place, load64(counters, place) + amount)


@njit
def count_events(counters, core, events, spikes, synops):  # type: ignore[no-untyped-def]
    """Add what a core's input events have done to its counters."""
    count_up(counters, core, EVENTS, events)
    count_up(counters, core, SPIKES, spikes)
    count_up(counters, core, SYNOPS, synops)


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
    features = setting(row, at.FEATURES)
    threshold, to_zero = setting(row, at.THRESHOLD), setting(row, at.TO_ZERO)
    most = setting(row, at.SPIKES_PER_EVENT)
    while mask:
        lane = done + lowest_bit(mask)
        mask &= mask - 1
        columns = lane // features
        spike = first + (columns << 16) + lane - columns * features
        for _ in range(_fire(state, place + lane, threshold, to_zero, most, wrap)):
            store64(pending, count, spike)
            count += 1
    return count


@njit
def _update_careful(  # type: ignore[no-untyped-def]
    state_at, peak_at, weight_at, rows, run, state_step, weight_step, row, masks, wrap
):
    """All rows in reach, with the rarer settings; keeps the masks of those that fire."""
    threshold, low = setting(row, at.THRESHOLD), setting(row, at.LOW)
    block, fired = 0, 0
    for _ in range(rows):
        for done in range(0, run, LANES):
            lanes = min(LANES, run - done)
            if wrap:
                mask = update_wrapping(state_at + 2 * done, weight_at + done, lanes, threshold, low)
            else:
                mask = update_some(state_at + 2 * done, weight_at + done, lanes, threshold, low)
            if peak_at:
                raise_peak(peak_at + 2 * done, state_at + 2 * done, lanes)
            store64(masks, block, mask)
            fired |= mask
            block += 1
        state_at += state_step
        weight_at += weight_step
        if peak_at:
            peak_at += state_step
    return fired


@njit
def _fire_careful(  # type: ignore[no-untyped-def]
    first, rows, run, place, row, state, masks, pending, count, wrap
):
    """Fire the neurons whose bits `_update_careful` has set."""
    block = 0
    for _ in range(rows):
        for done in range(0, run, LANES):
            mask = load64(masks, block)
            block += 1
            if mask:
                count = _fire_lanes(mask, done, first, row, state, place, pending, count, wrap)
        place += setting(row, at.WIDTH) * setting(row, at.FEATURES)
        first += 1 << 32
    return count


@njit(inline="always")
def _append_one(lane, first, row, pending, count):  # type: ignore[no-untyped-def]
    column = (lane * setting(row, at.RECIPROCAL)) >> 32
    spike = first + (column << 16) + lane - column * setting(row, at.FEATURES)
    store64(pending, count, spike)


@njit
def _fire_once(first, rows, run, state_at, state_step, row, pending, count):  # type: ignore[no-untyped-def]
    """Fire the neurons in reach that stand at their threshold, once each.

    Where few neurons are in reach, whether one of a group fires cannot be predicted: two spikes
    are then written without asking, and count only if they are there.
    """
    threshold, keep = setting(row, at.THRESHOLD), setting(row, at.TO_ZERO) - 1
    few = rows * run <= 4 * GROUP
    for _ in range(rows):
        for done in range(0, run, GROUP):
            mask = _fire_group(state_at + 2 * done, run - done, threshold, keep)
            if few:
                for _ in range(SPARE):
                    _append_one(done + lowest_bit(mask), first, row, pending, count)
                    count += mask != 0
                    mask &= mask - 1
            while mask:
                _append_one(done + lowest_bit(mask), first, row, pending, count)
                count += 1
                mask &= mask - 1
        state_at += state_step
        first += 1 << 32
    return count


@njit(inline="always")
def _fire_group(state_at, left, threshold, keep):  # type: ignore[no-untyped-def]
    """Fire up to `GROUP` neurons, in the pieces in which `update_rows` has stored them."""
    mask, done = 0, 0
    while left - done >= LANES and done < GROUP:
        mask |= fire_full(state_at + 2 * done, threshold, keep) << done
        done += LANES
    if done < GROUP:
        if left & 16:
            mask |= fire_sixteen(state_at + 2 * done, threshold, keep) << done
            done += 16
        if left & 8:
            mask |= fire_eight(state_at + 2 * done, threshold, keep) << done
            done += 8
        if left & 7:
            mask |= fire_some(state_at + 2 * done, left & 7, threshold, keep) << done
    return mask


@njit
def _careful(  # type: ignore[no-untyped-def]
    first, rows, run, place, weight_at, row, state, peak, masks, pending, count, wrap
):
    """Update and fire all neurons in reach, whatever the settings."""
    state_step, weight_step = 2 * setting(row, at.STATE_STEP), setting(row, at.WEIGHT_STEP)
    state_at, peak_at = state + 2 * place, peak + 2 * place if peak else 0
    if _update_careful(
        state_at, peak_at, weight_at, rows, run, state_step, weight_step, row, masks, wrap
    ):
        return _fire_careful(first, rows, run, place, row, state, masks, pending, count, wrap)
    return count


@njit(inline="always")
def event_spikes(  # type: ignore[no-untyped-def]
    core, word, row, reach, weights, state, peak, masks, pending, count, wrap
):
    """One input event: update all neurons in reach; append spikes to `pending`.

    Returns:
        The new end of `pending`, and the SynOps.
    """
    in_row = (setting(row, at.REACH_Y) + ((word >> 32) & MASK16)) * at.REACH_COLUMNS
    in_column = (setting(row, at.REACH_X) + ((word >> 16) & MASK16)) * at.REACH_COLUMNS
    rows, run = setting(reach, in_row + at.COUNT), setting(reach, in_column + at.COUNT)
    if rows == 0 or run == 0:
        return count, 0
    place = setting(reach, in_row + at.PLACE) + setting(reach, in_column + at.PLACE)
    weight = setting(reach, in_row + at.WEIGHT) + setting(reach, in_column + at.WEIGHT)
    weight_at = weights + weight + (word & MASK16) * setting(row, at.INPUT_WORDS)
    first = setting(reach, in_row + at.FIRST) + setting(reach, in_column + at.FIRST) + (core << 48)
    if setting(row, at.FIRES_ONCE) and not (wrap or peak):
        state_at, state_step = state + 2 * place, 2 * setting(row, at.STATE_STEP)
        if update_rows(
            state_at,
            weight_at,
            rows,
            run,
            state_step,
            setting(row, at.WEIGHT_STEP),
            setting(row, at.THRESHOLD),
            setting(row, at.LOW),
        ):
            count = _fire_once(first, rows, run, state_at, state_step, row, pending, count)
    else:
        count = _careful(
            first, rows, run, place, weight_at, row, state, peak, masks, pending, count, wrap
        )
    return count, rows * run


@njit
def tick_spikes(  # type: ignore[no-untyped-def]
    core, row, bias, state, peak, pending, count, counters, fires, wrap
):
    """One slow clock tick: add the biases, clamp, and fire if that is assumed."""
    features, width = setting(row, at.FEATURES), setting(row, at.WIDTH)
    threshold, low = setting(row, at.THRESHOLD), setting(row, at.LOW)
    i = setting(row, at.STATE_AT)
    first_bias = setting(row, at.BIAS_AT)
    start = count
    for out_y in range(setting(row, at.HEIGHT)):
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
                    _fire(state, i, threshold, setting(row, at.TO_ZERO), 1, wrap)
                    store64(pending, count, pack(core, out_y, out_x, feature))
                    count += 1
                i += 1
    count_up(counters, core, SPIKES, count - start)
    return count
