"""The event loop: root events in, spikes out, one compiled function without the GIL.

A spike that waits to be delivered is one packed word. Depth-first order keeps them on a stack of
frames, one frame for the spikes of one event in one core; breadth-first order is a queue. Before
an event is delivered the kernel makes sure that its worst case fits the buffers; if not, it
returns and continues, after the caller has grown them, where it stopped.

All arguments are integers: addresses (see `memory`), lengths and options. `core_kernel` has the
work inside one core, `delivery` what happens between two.
"""

from __future__ import annotations

from numba import njit

from speck_adacal.twin import layout as at
from speck_adacal.twin.core_kernel import count_events, event_spikes, tick_spikes
from speck_adacal.twin.delivery import (
    BREADTH_FIRST,
    LEAK_FIRES,
    WRAP,
    record_load,
    refused,
    routed,
    send,
    worst_tick,
)
from speck_adacal.twin.raw_memory import load8, load64, setting, store64
from speck_adacal.twin.source_stamp import STAMP

DONE, GROW_PENDING, GROW_LOG, STALE = 0, 1, 2, 3

# Places in `control`: where the kernel stands between two calls.
ROOT, DEPTH, PENDING, LOGGED, CURRENT, HEAD, SLOT, CONTROLS = range(8)
FRAMES = at.CORES + 2  # the deepest chain passes every core once
FRAME = 3  # first waiting spike, end, slot of its next destination


@njit(cache=True, nogil=True)
def run_events(  # type: ignore[no-untyped-def]
    stamp,
    root_source,
    root_word,
    roots,
    table,
    routes,
    fan_out,
    reach,
    tick_order,
    tick_cores,
    weights,
    bias,
    state,
    peak,
    masks,
    pending,
    pending_room,
    frames,
    log,
    log_root,
    log_room,
    load,
    counters,
    control,
    order,
    options,
):
    """Run the root events from where `control` stands; see the module for what it returns.

    Args:
        stamp: `stamp.STAMP`; a kernel compiled from other sources returns `STALE`.
        root_source: int8 `[roots]`, source row of `routes`, or `TICK_ROW`.
        root_word: int64 `[roots]`, packed event, or the mask of leaking cores.
        table, routes, fan_out, reach, tick_order, weights, bias: the arrays of `Layout`.
        state: int16. `peak`: int16 like it for the highest potentials, or 0.
        masks: int64, room for one event's vectors.
        pending: int64 `[pending_room]`, waiting spikes. `frames`: int64 `[FRAMES, 3]`.
        log, log_root: int64 `[log_room]`, monitored spikes and the index of their root event.
        load: int64 `[roots, CORES, 2]` for events and SynOps by root event and core, or 0.
        counters: int64 `[CORES, COUNTERS]`. `control`: int64 `[CONTROLS]`.
        order: number of the spike order. `options`: bits.
    """
    if stamp != STAMP:
        return STALE
    wrap = options & WRAP
    breadth = options & BREADTH_FIRST
    fires = options & LEAK_FIRES
    depth, count, logged = load64(control, DEPTH), load64(control, PENDING), load64(control, LOGGED)
    head, slot, root = load64(control, HEAD), load64(control, SLOT), load64(control, CURRENT)
    next_root = load64(control, ROOT)
    status = -1
    while status < 0:
        if depth == 0:  # nothing waits: take the next root event
            if next_root == roots:
                status = DONE
                break
            source = load8(root_source, next_root)
            word = load64(root_word, next_root)
            if source == at.TICK_ROW:
                worst = worst_tick(word, table, tick_order, tick_cores) if fires else 0
                if worst > pending_room:
                    status = GROW_PENDING
                    break
                if logged + worst > log_room:
                    status = GROW_LOG
                    break
                count = 0
                for place in range(tick_cores):
                    core = setting(tick_order, place)
                    if (word >> core) & 1:
                        start = count
                        row = table + core * at.COLUMNS * 8
                        count = tick_spikes(
                            core, row, bias, state, peak, pending, count, counters, fires, wrap
                        )
                        count, logged = send(
                            core,
                            start,
                            count,
                            next_root,
                            row,
                            order,
                            pending,
                            log,
                            log_root,
                            logged,
                            counters,
                            options,
                        )
            else:
                store64(pending, 0, (source << 48) | word)
                count = 1
            root = next_root
            next_root += 1
            head, slot, depth = 0, 0, 1
            store64(frames, 1, count)
        end = count if breadth else load64(frames, (depth - 1) * FRAME + 1)
        if head == end:
            depth -= 1
            if breadth:
                depth = 0
            elif depth:
                frame = (depth - 1) * FRAME
                head, slot = load64(frames, frame), load64(frames, frame + 2)
                count = load64(frames, frame + 1)
            continue
        word = load64(pending, head)
        source = word >> 48
        event = routed(word, routes + (source * at.ROUTES + slot) * at.ROUTE_COLUMNS * 8)
        target = event >> 48
        row = table + target * at.COLUMNS * 8
        if target == at.READOUT:
            if logged == log_room:
                status = GROW_LOG
                break
        else:
            worst = setting(row, at.WORST_SPIKES)
            if count + worst > pending_room:
                status = GROW_PENDING
                break
            if logged + worst > log_room:
                status = GROW_LOG
                break
        slot += 1
        if slot == setting(fan_out, source):
            slot = 0
            head += 1
        if target == at.READOUT:
            store64(log, logged, event)
            store64(log_root, logged, root)
            logged += 1
            continue
        if refused(target, event, row, counters):
            continue
        end, synops = event_spikes(
            target, event, row, reach, weights, state, peak, masks, pending, count, wrap
        )
        count_events(counters, target, 1, end - count, synops)
        if load:
            record_load(load, root, target, synops)
        if end == count:
            continue
        end, logged = send(
            target,
            count,
            end,
            root,
            row,
            order,
            pending,
            log,
            log_root,
            logged,
            counters,
            options,
        )
        if end == count:
            continue
        if breadth:
            count = end
            continue
        frame = (depth - 1) * FRAME
        store64(frames, frame, head)
        store64(frames, frame + 2, slot)
        store64(frames, frame + FRAME + 1, end)
        head, slot, count = count, 0, end
        depth += 1
    store64(control, DEPTH, depth)
    store64(control, PENDING, count)
    store64(control, LOGGED, logged)
    store64(control, HEAD, head)
    store64(control, SLOT, slot)
    store64(control, CURRENT, root)
    store64(control, ROOT, next_root)
    return status
