"""Between two cores: a spike's order, monitor, decimator and route, and what is refused.

Compiled; all arguments are integers and addresses, see `raw_memory`.
"""

from __future__ import annotations

from numba import njit

from speck_adacal.twin import layout as at
from speck_adacal.twin.core_kernel import DECIMATED, DROPPED, LOSE_NEXT, count_up, counter, pack
from speck_adacal.twin.raw_memory import load64, setting, store64

# Bits of `options`.
WRAP, BREADTH_FIRST, LEAK_FIRES, PASS_FIRST, DECIMATE_MONITOR = 1, 2, 4, 8, 16
MASK16 = 0xFFFF
_BY_FEATURE, _BACKWARDS = 1, 2


@njit
def _log(start, end, root, pending, log, log_root, logged):  # type: ignore[no-untyped-def]
    for i in range(start, end):
        store64(log, logged, load64(pending, i))
        store64(log_root, logged, root)
        logged += 1
    return logged


@njit
def _decimated(core, start, end, row, pending, counters, options):  # type: ignore[no-untyped-def]
    """Keep one spike of every n; returns the end of those kept."""
    interval = setting(row, at.DECIMATION)
    chosen = 0 if options & PASS_FIRST else interval - 1
    kept = start
    for i in range(start, end):
        count = load64(counters, counter(core, DECIMATED))
        store64(counters, counter(core, DECIMATED), count + 1 if count + 1 < interval else 0)
        if count == chosen:
            store64(pending, kept, load64(pending, i))
            kept += 1
    return kept


@njit
def send(  # type: ignore[no-untyped-def]
    core, start, end, root, row, order, pending, log, log_root, logged, counters, options
):
    """Order, monitor and decimate one event's spikes. Returns their new end and the log's."""
    if order and end - start > 1:
        order_spikes(pending, start, end, order)
    monitored = setting(row, at.MONITOR)
    if monitored and not options & DECIMATE_MONITOR:
        logged = _log(start, end, root, pending, log, log_root, logged)
    if setting(row, at.DECIMATION) > 1:
        end = _decimated(core, start, end, row, pending, counters, options)
    if monitored and options & DECIMATE_MONITOR:
        logged = _log(start, end, root, pending, log, log_root, logged)
    return (end if setting(row, at.DESTINATIONS) else start), logged


@njit
def worst_tick(mask, table, tick_order, tick_cores):  # type: ignore[no-untyped-def]
    """Spikes that a tick can cause at most: one a neuron."""
    worst = 0
    for place in range(tick_cores):
        core = setting(tick_order, place)
        if (mask >> core) & 1:
            row = table + core * at.COLUMNS * 8
            neurons = setting(row, at.HEIGHT) * setting(row, at.WIDTH)
            worst += neurons * setting(row, at.FEATURES)
    return worst


@njit
def routed(word, route):  # type: ignore[no-untyped-def]
    """A waiting spike as the event that arrives at one of its destinations."""
    shift = setting(route, at.ROUTE_SHIFT_LOG2)
    return pack(
        setting(route, at.ROUTE_LAYER),
        ((word >> 32) & MASK16) >> shift,
        ((word >> 16) & MASK16) >> shift,
        (word & MASK16) + setting(route, at.ROUTE_FEATURE_SHIFT),
    )


@njit
def refused(core, event, row, counters):  # type: ignore[no-untyped-def]
    """Is the event lost, or outside the core's input? Counts it then."""
    if load64(counters, counter(core, LOSE_NEXT)):
        store64(counters, counter(core, LOSE_NEXT), 0)
    elif (
        (event & MASK16) < setting(row, at.IN_FEATURES)
        and ((event >> 16) & MASK16) < setting(row, at.IN_WIDTH)
        and ((event >> 32) & MASK16) < setting(row, at.IN_HEIGHT)
    ):
        return False
    count_up(counters, core, DROPPED, 1)
    return True


@njit
def _by_feature(word):  # type: ignore[no-untyped-def]
    return ((word & MASK16) << 32) | ((word >> 16) & 0xFFFFFFFF)


@njit
def record_load(load, root, core, synops):  # type: ignore[no-untyped-def]
    """Note one event and its SynOps under its root event."""
    place = (root * at.CORES + core) * 2
    store64(load, place, load64(load, place) + 1)
    store64(load, place + 1, load64(load, place + 1) + synops)


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
