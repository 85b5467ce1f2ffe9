"""The faster loop for configurations in which no core has more than one source and none feeds the
readout layer.

There a core's input order does not depend on what the others do in between, so each core works
through many events in a row, until its buffer of outgoing spikes is full or its input used up:
the code and memory of one core stay in the nearest cache. It is always the core furthest downstream
that has something to do whose turn it is, so that the buffers stay small however many spikes there
are. Results are those of `kernel.run_events`, bit for bit, but for the order in which spikes of
*different* cores are logged.

Compiled; all arguments are integers and addresses, see `memory`.
"""

from __future__ import annotations

from numba import njit

from speck_adacal.twin import layout as at
from speck_adacal.twin.core_kernel import count_events, event_spikes, tick_spikes
from speck_adacal.twin.delivery import LEAK_FIRES, WRAP, record_load, refused, routed, send
from speck_adacal.twin.event_kernel import DONE, GROW_LOG, GROW_PENDING, STALE
from speck_adacal.twin.raw_memory import load8, load64, setting, store64
from speck_adacal.twin.source_stamp import STAMP

FULL = 2048  # waiting spikes at which the cores downstream get their turn

# Columns of `turns[core]`: spikes waiting behind the core, spikes it has taken from its source,
# next root event that concerns it, first root event whose spikes may still come from it.
WAITING, TAKEN, NEXT_ROOT, OPEN, TURNS = range(5)


@njit
def _turn(core, name):  # type: ignore[no-untyped-def]
    return core * TURNS + name


@njit
def _entry(incoming, core):  # type: ignore[no-untyped-def]
    return incoming + core * (1 + at.ROUTE_COLUMNS) * 8


@njit
def _next_root(root, roots, root_source, root_word, core, from_dvs):  # type: ignore[no-untyped-def]
    """The first root event from `root` on that concerns the core directly."""
    while root < roots:
        source = load8(root_source, root)
        if source == at.DIRECT_ROW + core or (from_dvs and source == at.DVS_ROW):
            break
        if source == at.TICK_ROW and (load64(root_word, root) >> core) & 1:
            break
        root += 1
    return root


@njit
def _furthest(  # type: ignore[no-untyped-def]
    root_source, root_word, roots, incoming, core_order, cores, waiting_root, room, turns
):
    """The core furthest downstream that has something to do, or -1; brings `OPEN` up to date."""
    found = -1
    for place in range(cores):
        core = setting(core_order, place)
        source = setting(_entry(incoming, core), 0)
        root = load64(turns, _turn(core, NEXT_ROOT))
        root = _next_root(root, roots, root_source, root_word, core, source == at.DVS_ROW)
        store64(turns, _turn(core, NEXT_ROOT), root)
        first, limit = root, roots
        if 0 <= source < at.CORES:
            limit = load64(turns, _turn(source, OPEN))
            spike = load64(turns, _turn(core, TAKEN))
            if spike < load64(turns, _turn(source, WAITING)):
                found = core
                first = min(first, load64(waiting_root + source * room * 8, spike))
        if root < roots and root <= limit:
            found = core
        store64(turns, _turn(core, OPEN), min(first, limit))
    return found


@njit
def _empty(core, incoming, turns):  # type: ignore[no-untyped-def]
    """Forget the core's outgoing spikes, which all its targets have taken."""
    store64(turns, _turn(core, WAITING), 0)
    for target in range(at.CORES):
        if setting(_entry(incoming, target), 0) == core:
            store64(turns, _turn(target, TAKEN), 0)


@njit(cache=True, nogil=True)
def run_tree(  # type: ignore[no-untyped-def]
    stamp,
    root_source,
    root_word,
    roots,
    table,
    incoming,
    reach,
    core_order,
    cores,
    weights,
    bias,
    state,
    peak,
    masks,
    waiting,
    waiting_root,
    room,
    turns,
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
        incoming: int64 `[CORES, 1 + ROUTE_COLUMNS]`, each core's source row (-1: none) and route.
        core_order: int64 `[cores]`, each core after its source.
        waiting, waiting_root: int64 `[CORES, room]`, spikes behind each core and their root events.
        turns: int64 `[CORES, TURNS]`, zeros at first: where each core stands.
        control: int64 `[1]`, spikes logged.
    """
    if stamp != STAMP:
        return STALE
    wrap = options & WRAP
    fires = options & LEAK_FIRES
    logged = load64(control, 0)
    status = DONE
    while status == DONE:
        core = _furthest(
            root_source, root_word, roots, incoming, core_order, cores, waiting_root, room, turns
        )
        if core < 0:
            break
        _empty(core, incoming, turns)
        row = table + core * at.COLUMNS * 8
        entry = _entry(incoming, core)
        source = setting(entry, 0)
        from_dvs = source == at.DVS_ROW
        spikes, limit = 0, roots
        if 0 <= source < at.CORES:
            spikes = load64(turns, _turn(source, WAITING))
            limit = load64(turns, _turn(source, OPEN))
        source_at, source_root = waiting + source * room * 8, waiting_root + source * room * 8
        own, own_root = waiting + core * room * 8, waiting_root + core * room * 8
        worst = setting(row, at.WORST_SPIKES)
        neurons = setting(row, at.HEIGHT) * setting(row, at.WIDTH) * setting(row, at.FEATURES)
        spike = load64(turns, _turn(core, TAKEN))
        root = load64(turns, _turn(core, NEXT_ROOT))
        count, taken, spiked, operations = 0, 0, 0, 0
        while True:
            direct = root < roots and root <= limit
            if spike < spikes:
                direct = direct and root <= load64(source_root, spike)
            elif not direct:
                break
            tick = direct and load8(root_source, root) == at.TICK_ROW
            most = neurons if tick else worst
            cause = root if direct else load64(source_root, spike)
            # The worst case must fit before anything is changed.
            if logged + most > log_room:
                status = GROW_LOG
            elif most > room:
                status = GROW_PENDING
            if status != DONE or count >= FULL or count + most > room:
                break
            if direct:
                event = (core << 48) | load64(root_word, root)
                if from_dvs and load8(root_source, root) == at.DVS_ROW:
                    event = routed(load64(root_word, root), entry + 8)
                root = _next_root(root + 1, roots, root_source, root_word, core, from_dvs)
            else:
                event = routed(load64(source_at, spike), entry + 8)
                spike += 1
            if tick:
                end = tick_spikes(core, row, bias, state, peak, own, count, counters, fires, wrap)
            elif refused(core, event, row, counters):
                continue
            else:
                end, synops = event_spikes(
                    core, event, row, reach, weights, state, peak, masks, own, count, wrap
                )
                taken += 1
                spiked += end - count
                operations += synops
                if load:
                    record_load(load, cause, core, synops)
            if end == count:
                continue
            start = count
            count, logged = send(
                core, start, end, cause, row, order, own, log, log_root, logged, counters, options
            )
            for i in range(start, count):
                store64(own_root, i, cause)
        count_events(counters, core, taken, spiked, operations)
        store64(turns, _turn(core, WAITING), count)
        store64(turns, _turn(core, TAKEN), spike)
        store64(turns, _turn(core, NEXT_ROOT), root)
    store64(control, 0, logged)
    return status
