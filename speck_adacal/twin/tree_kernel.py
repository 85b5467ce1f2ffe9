"""The faster loop for configurations in which no core has more than one source
and none feeds the readout layer.

There a core's input order does not depend on what the others do in between, so that a batch of
root events can go through one core after the other: the code and memory of one core stay in the
nearest cache. Results are those of `kernel.run_events`, bit for bit, but for the order in which
spikes of *different* cores are logged.

Compiled; all arguments are integers and addresses, see `memory`.
"""

from __future__ import annotations

from numba import njit

from speck_adacal.twin import layout as at
from speck_adacal.twin.core_kernel import SYNOPS, counter, event_spikes, tick_spikes
from speck_adacal.twin.kernel import (
    DONE,
    GROW_LOG,
    GROW_PENDING,
    LEAK_FIRES,
    WRAP,
    refused,
    routed,
    send,
)
from speck_adacal.twin.memory import load8, load64, store64

BATCH = 256  # root events that go through one core before the next core's turn

# Places in `control`: where the kernel stands between two calls.
FIRST, PLACE, NEXT_ROOT, NEXT_SPIKE, LOGGED, CONTROLS = range(6)


@njit(cache=True)
def _is_for(source, word, core, from_dvs):  # type: ignore[no-untyped-def]
    """Does this root event concern the core directly?"""
    if source == at.TICK_ROW:
        return (word >> core) & 1 != 0
    return source == at.DIRECT_ROW + core or (from_dvs and source == at.DVS_ROW)


@njit(cache=True, nogil=True)
def run_tree(  # type: ignore[no-untyped-def]
    root_source,
    root_word,
    roots,
    direct,
    table,
    incoming,
    phases,
    core_order,
    cores,
    weights,
    bias,
    state,
    peak,
    waiting,
    waiting_root,
    counts,
    room,
    log,
    log_root,
    log_room,
    load,
    counters,
    control,
    order,
    options,
):
    """Run all root events; like `kernel.run_events` but for these arguments.

    Args:
        direct: mask of the cores that root events concern directly (addressed, DVS or tick).
        incoming: int64 `[9, 1 + ROUTE_COLUMNS]`, each core's source row and route; -1: none.
        core_order: int64 `[cores]`, each core after its source.
        waiting, waiting_root: int64 `[9, room]`, spikes of each core and their root events.
        counts: int64 `[9]`, how many of them there are.
    """
    wrap = options & WRAP
    fires = options & LEAK_FIRES
    first, place, logged = load64(control, FIRST), load64(control, PLACE), load64(control, LOGGED)
    root, spike = load64(control, NEXT_ROOT), load64(control, NEXT_SPIKE)
    status = DONE
    while first < roots and status == DONE:
        last = min(first + BATCH, roots)
        while place < cores:
            core = load64(core_order, place)
            row = table + core * at.COLUMNS * 8
            entry = incoming + core * (1 + at.ROUTE_COLUMNS) * 8
            source = load64(entry, 0)
            from_dvs = source == at.DVS_ROW
            spikes = load64(counts, source) if 0 <= source < at.CORES else 0
            source_at = waiting + source * room * 8
            source_root = waiting_root + source * room * 8
            own, own_root = waiting + core * room * 8, waiting_root + core * room * 8
            count = load64(counts, core)
            if not (direct >> core) & 1:
                root = last
            while True:
                while root < last and not _is_for(
                    load8(root_source, root), load64(root_word, root), core, from_dvs
                ):
                    root += 1
                if root == last and spike == spikes:
                    break
                # The worst case must fit before anything is changed.
                worst = load64(row, at.WORST_SPIKES)
                tick = root < last and load8(root_source, root) == at.TICK_ROW
                if tick:
                    neurons = load64(row, at.HEIGHT) * load64(row, at.WIDTH)
                    worst = max(worst, neurons * load64(row, at.FEATURES))
                if count + worst > room:
                    status = GROW_PENDING
                    break
                if logged + worst > log_room:
                    status = GROW_LOG
                    break
                cause = root
                start = count
                if root < last and (spike == spikes or root <= load64(source_root, spike)):
                    word = load64(root_word, root)
                    event = (core << 48) | word
                    if from_dvs and load8(root_source, root) == at.DVS_ROW:
                        event = routed(word, entry + 8)
                    root += 1
                else:
                    tick = False
                    cause = load64(source_root, spike)
                    event = routed(load64(source_at, spike), entry + 8)
                    spike += 1
                if tick:
                    end = tick_spikes(
                        core, row, bias, state, peak, own, count, counters, fires, wrap
                    )
                elif refused(core, event, row, counters):
                    continue
                else:
                    before = load64(counters, counter(core, SYNOPS))
                    end = event_spikes(
                        core, event, row, phases, weights, state, peak, own, count, counters, wrap
                    )
                    if load:
                        at_load = (cause * at.CORES + core) * 2
                        done = load64(counters, counter(core, SYNOPS)) - before
                        store64(load, at_load, load64(load, at_load) + 1)
                        store64(load, at_load + 1, load64(load, at_load + 1) + done)
                if end == start:
                    continue
                count, logged = send(
                    core,
                    start,
                    end,
                    cause,
                    row,
                    order,
                    own,
                    log,
                    log_root,
                    logged,
                    counters,
                    options,
                )
                for i in range(start, count):
                    store64(own_root, i, cause)
            store64(counts, core, count)
            if status != DONE:
                break
            place += 1
            root, spike = first, 0
        if status == DONE:
            for core in range(at.CORES):
                store64(counts, core, 0)
            first, place, root, spike = last, 0, last, 0
    store64(control, FIRST, first)
    store64(control, PLACE, place)
    store64(control, NEXT_ROOT, root)
    store64(control, NEXT_SPIKE, spike)
    store64(control, LOGGED, logged)
    return status
