"""What one core does: an input event, a tick of the slow clock.

Compiled; all arguments are integers and addresses, see `memory`.
"""

from __future__ import annotations

from collections import namedtuple

from numba import njit

from speck_adacal.twin import layout as at
from speck_adacal.twin.memory import (
    LANES,
    fire_eight,
    fire_full,
    fire_sixteen,
    fire_some,
    load16,
    load64,
    lowest_bit,
    raise_peak,
    store16,
    store64,
    update_rows,
    update_some,
    update_wrapping,
)

# Columns of `counters[core]`.
EVENTS, SPIKES, SYNOPS, DROPPED, DECIMATED, LOSE_NEXT, COUNTERS = range(7)
MASK16 = 0xFFFF
MASKS = 16 * (16 * 1024 // LANES + 1)  # vectors that the largest kernel reaches
GROUP = 64  # neurons whose spikes are one mask
SPARE = at.SPARE_SPIKES

# What an event asks of its core's row of `Layout.table`: read once for many events, since the
# compiler would read it again after every store. Steps are in bytes, `reach_*` are addresses.
CoreRow = namedtuple(
    "CoreRow",
    "in_height in_width in_features reach_y reach_x input_words state_step weight_step threshold "
    "low keep features reciprocal fires_once",
)


@njit
def core_row(row, reach):  # type: ignore[no-untyped-def]
    """The core's settings as values."""
    entry = at.REACH_COLUMNS * 8
    return CoreRow(
        load64(row, at.IN_HEIGHT),
        load64(row, at.IN_WIDTH),
        load64(row, at.IN_FEATURES),
        reach + load64(row, at.REACH_Y) * entry,
        reach + load64(row, at.REACH_X) * entry,
        load64(row, at.INPUT_WORDS),
        2 * load64(row, at.STATE_STEP),
        load64(row, at.WEIGHT_STEP),
        load64(row, at.THRESHOLD),
        load64(row, at.LOW),
        load64(row, at.TO_ZERO) - 1,
        load64(row, at.FEATURES),
        load64(row, at.RECIPROCAL),
        load64(row, at.FIRES_ONCE),
    )


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


@njit
def _update_careful(  # type: ignore[no-untyped-def]
    state_at, peak_at, weight_at, rows, run, state_step, weight_step, row, masks, wrap
):
    """All rows in reach, with the rarer settings; keeps the masks of those that fire."""
    threshold, low = load64(row, at.THRESHOLD), load64(row, at.LOW)
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
        place += load64(row, at.WIDTH) * load64(row, at.FEATURES)
        first += 1 << 32
    return count


@njit(inline="always")
def _append_one(lane, first, core, pending, count):  # type: ignore[no-untyped-def]
    column = (lane * core.reciprocal) >> 32
    store64(pending, count, first + (column << 16) + lane - column * core.features)


@njit
def _fire_once(first, rows, run, state_at, core, pending, count):  # type: ignore[no-untyped-def]
    """Fire the neurons in reach that stand at their threshold, once each.

    Where few neurons are in reach, whether one of a group fires cannot be predicted: two spikes
    are then written without asking, and count only if they are there.
    """
    few = rows * run <= 4 * GROUP
    for _ in range(rows):
        for done in range(0, run, GROUP):
            mask = _fire_group(state_at + 2 * done, run - done, core.threshold, core.keep)
            if few:
                for _ in range(SPARE):
                    _append_one(done + lowest_bit(mask), first, core, pending, count)
                    count += mask != 0
                    mask &= mask - 1
            while mask:
                _append_one(done + lowest_bit(mask), first, core, pending, count)
                count += 1
                mask &= mask - 1
        state_at += core.state_step
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
    state_step, weight_step = 2 * load64(row, at.STATE_STEP), load64(row, at.WEIGHT_STEP)
    state_at, peak_at = state + 2 * place, peak + 2 * place if peak else 0
    if _update_careful(
        state_at, peak_at, weight_at, rows, run, state_step, weight_step, row, masks, wrap
    ):
        return _fire_careful(first, rows, run, place, row, state, masks, pending, count, wrap)
    return count


@njit(inline="always")
def event_spikes(  # type: ignore[no-untyped-def]
    index, word, core, row, weights, state, peak, masks, pending, count, wrap
):
    """One input event: update all neurons in reach; append spikes to `pending`.

    Args:
        index: which core. `core`, `row`: its settings as values and as their address.

    Returns:
        The new end of `pending`, and the SynOps.
    """
    entry = at.REACH_COLUMNS * 8
    in_row = core.reach_y + ((word >> 32) & MASK16) * entry
    in_column = core.reach_x + ((word >> 16) & MASK16) * entry
    rows, run = load64(in_row, at.COUNT), load64(in_column, at.COUNT)
    synops = rows * run
    if synops:
        place = load64(in_row, at.PLACE) + load64(in_column, at.PLACE)
        weight = load64(in_row, at.WEIGHT) + load64(in_column, at.WEIGHT)
        weight_at = weights + weight + (word & MASK16) * core.input_words
        first = load64(in_row, at.FIRST) + load64(in_column, at.FIRST) + (index << 48)
        if core.fires_once and not (wrap or peak):
            state_at = state + 2 * place
            if update_rows(
                state_at,
                weight_at,
                rows,
                run,
                core.state_step,
                core.weight_step,
                core.threshold,
                core.low,
            ):
                count = _fire_once(first, rows, run, state_at, core, pending, count)
        else:
            count = _careful(
                first, rows, run, place, weight_at, row, state, peak, masks, pending, count, wrap
            )
    return count, synops


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
    count_up(counters, core, SPIKES, count - start)
    return count
