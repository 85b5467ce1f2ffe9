"""The event loop: root events in, spikes out, one compiled function without the GIL.

A spike that waits to be delivered is one packed word. Depth-first order keeps them on a stack of
frames, one frame for the spikes of one event in one core; breadth-first order is a queue. Before
an event is delivered the kernel makes sure that its worst case fits the buffers; if not, it
returns and continues, after the caller has grown them, where it stopped.

`core_kernel` has the work inside one core, `delivery` what happens between two, `kernel_job` what
all of it works on.
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
from speck_adacal.twin.kernel_sources import CHECKSUM
from speck_adacal.twin.raw_memory import load8, load64, setting, store64

GOING, DONE, GROW_PENDING, GROW_LOG, STALE = -1, 0, 1, 2, 3

# Places in `Job.control`: where the kernel stands between two calls.
ROOT, DEPTH, PENDING, LOGGED, CURRENT, HEAD, SLOT, CONTROLS = range(8)
FRAMES = at.CORES + 2  # the deepest chain passes every core once
FRAME = 3  # first waiting spike, end, slot of its next destination


@njit
def _tick(job, root, mask, logged):  # type: ignore[no-untyped-def]
    """A root event that is a tick: what stops it (or `GOING`), waiting spikes, logged spikes."""
    fires = job.options & LEAK_FIRES
    worst = worst_tick(mask, job.table, job.tick_order, job.cores) if fires else 0
    if worst > job.room:
        return GROW_PENDING, 0, logged
    if logged + worst > job.log_room:
        return GROW_LOG, 0, logged
    count = 0
    for place in range(job.cores):
        core = setting(job.tick_order, place)
        if (mask >> core) & 1:
            start, row = count, job.table + core * at.COLUMNS * 8
            end = tick_spikes(
                core,
                row,
                job.bias,
                job.state,
                job.peak,
                job.pending,
                count,
                job.counters,
                fires,
                job.options & WRAP,
            )
            count, logged = send(
                core,
                start,
                end,
                root,
                row,
                job.order,
                job.pending,
                job.log,
                job.log_root,
                logged,
                job.counters,
                job.options,
            )
    return GOING, count, logged


@njit(inline="always")
def _room_for(job, target, row, count, logged):  # type: ignore[no-untyped-def]
    """What must grow before an event may be delivered, or `GOING`."""
    if target == at.READOUT:
        return GROW_LOG if logged == job.log_room else GOING
    worst = setting(row, at.WORST_SPIKES)
    if count + worst > job.room:
        return GROW_PENDING
    return GROW_LOG if logged + worst > job.log_room else GOING


@njit(inline="always")
def _deliver(job, root, event, target, row, count, logged):  # type: ignore[no-untyped-def]
    """One event at a core: the new ends of the waiting spikes and of the log."""
    if refused(target, event, row, job.counters):
        return count, logged
    end, synops = event_spikes(
        target,
        event,
        row,
        job.reach,
        job.weights,
        job.state,
        job.peak,
        job.masks,
        job.pending,
        count,
        job.options & WRAP,
    )
    count_events(job.counters, target, 1, end - count, synops)
    if job.load:
        record_load(job.load, root, target, synops)
    if end == count:
        return count, logged
    return send(
        target,
        count,
        end,
        root,
        row,
        job.order,
        job.pending,
        job.log,
        job.log_root,
        logged,
        job.counters,
        job.options,
    )


@njit(cache=True, nogil=True)
def run_events(checksum, job):  # type: ignore[no-untyped-def]
    """Run the root events of a `Job` from where its `control` stands.

    Returns `DONE`, what must grow first, or `STALE` where it was compiled from other sources than
    those of `checksum` (see `kernel_cache`).
    """
    if checksum != CHECKSUM:
        return STALE
    breadth, control, frames = job.options & BREADTH_FIRST, job.control, job.frames
    depth, count, logged = load64(control, DEPTH), load64(control, PENDING), load64(control, LOGGED)
    head, slot, root = load64(control, HEAD), load64(control, SLOT), load64(control, CURRENT)
    next_root = load64(control, ROOT)
    status = GOING
    while status == GOING:
        if depth == 0:  # nothing waits: take the next root event
            if next_root == job.roots:
                status = DONE
                break
            source, word = load8(job.root_source, next_root), load64(job.root_word, next_root)
            if source == at.TICK_ROW:
                status, count, logged = _tick(job, next_root, word, logged)
                if status != GOING:
                    break
            else:
                store64(job.pending, 0, (source << 48) | word)
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
        word = load64(job.pending, head)
        source = word >> 48
        event = routed(word, job.routes + (source * at.ROUTES + slot) * at.ROUTE_COLUMNS * 8)
        target = event >> 48
        row = job.table + target * at.COLUMNS * 8
        status = _room_for(job, target, row, count, logged)
        if status != GOING:
            break
        slot += 1
        if slot == setting(job.fan_out, source):
            slot = 0
            head += 1
        if target == at.READOUT:
            store64(job.log, logged, event)
            store64(job.log_root, logged, root)
            logged += 1
            continue
        end, logged = _deliver(job, root, event, target, row, count, logged)
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
    _keep(control, depth, count, logged, head, slot, root, next_root)
    return status


@njit
def _keep(control, depth, count, logged, head, slot, root, next_root):  # type: ignore[no-untyped-def]
    store64(control, DEPTH, depth)
    store64(control, PENDING, count)
    store64(control, LOGGED, logged)
    store64(control, HEAD, head)
    store64(control, SLOT, slot)
    store64(control, CURRENT, root)
    store64(control, ROOT, next_root)
