"""The faster loop for configurations in which no core has more than one source and none feeds the
readout layer.

There a core's input order does not depend on what the others do in between, so each core works
through many events in a row, until its buffer of outgoing spikes is full or its input used up:
the code and memory of one core stay in the nearest cache. It is always the core furthest downstream
that has something to do whose turn it is, so that the buffers stay small however many spikes there
are. Results are those of `event_kernel.run_events`, bit for bit, but for the order in which spikes
of *different* cores are logged.

Compiled; `kernel_job` says what it works on.
"""

from __future__ import annotations

from numba import njit

from speck_adacal.twin import layout as at
from speck_adacal.twin.core_kernel import count_events, event_spikes, tick_spikes
from speck_adacal.twin.delivery import LEAK_FIRES, WRAP, record_load, refused, routed, send
from speck_adacal.twin.event_kernel import DONE, GROW_LOG, GROW_PENDING, STALE
from speck_adacal.twin.kernel_sources import CHECKSUM
from speck_adacal.twin.raw_memory import load8, load64, setting, store64

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
def _furthest(job):  # type: ignore[no-untyped-def]
    """The core furthest downstream that has something to do, or -1; brings `OPEN` up to date."""
    turns, found = job.turns, -1
    for place in range(job.cores):
        core = setting(job.core_order, place)
        source = setting(_entry(job.incoming, core), 0)
        root = load64(turns, _turn(core, NEXT_ROOT))
        from_dvs = source == at.DVS_ROW
        root = _next_root(root, job.roots, job.root_source, job.root_word, core, from_dvs)
        store64(turns, _turn(core, NEXT_ROOT), root)
        first, limit = root, job.roots
        if 0 <= source < at.CORES:
            limit = load64(turns, _turn(source, OPEN))
            spike = load64(turns, _turn(core, TAKEN))
            if spike < load64(turns, _turn(source, WAITING)):
                found = core
                first = min(first, load64(job.pending_root + source * job.room * 8, spike))
        if root < job.roots and root <= limit:
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


@njit(inline="always")
def _room_for(job, logged, most):  # type: ignore[no-untyped-def]
    """What must grow before so many spikes can come about, or `DONE`."""
    if logged + most > job.log_room:
        return GROW_LOG
    return GROW_PENDING if most > job.room else DONE


@njit
def _ticked(job, core, row, own, count):  # type: ignore[no-untyped-def]
    return tick_spikes(
        core,
        row,
        job.bias,
        job.state,
        job.peak,
        own,
        count,
        job.counters,
        job.options & LEAK_FIRES,
        job.options & WRAP,
    )


@njit(inline="always")
def _run_core(job, core, logged):  # type: ignore[no-untyped-def]
    """One turn of a core: until its input is used up, its room is taken, or something must grow."""
    roots, room, turns, wrap = job.roots, job.room, job.turns, job.options & WRAP
    row, entry = job.table + core * at.COLUMNS * 8, _entry(job.incoming, core)
    source = setting(entry, 0)
    from_dvs = source == at.DVS_ROW
    spikes, limit = 0, roots
    if 0 <= source < at.CORES:
        spikes = load64(turns, _turn(source, WAITING))
        limit = load64(turns, _turn(source, OPEN))
    source_at, source_root = job.pending + source * room * 8, job.pending_root + source * room * 8
    own, own_root = job.pending + core * room * 8, job.pending_root + core * room * 8
    worst = setting(row, at.WORST_SPIKES)
    neurons = setting(row, at.HEIGHT) * setting(row, at.WIDTH) * setting(row, at.FEATURES)
    spike = load64(turns, _turn(core, TAKEN))
    root = load64(turns, _turn(core, NEXT_ROOT))
    status, count, taken, spiked, operations = DONE, 0, 0, 0, 0
    while True:
        direct = root < roots and root <= limit
        if spike < spikes:
            direct = direct and root <= load64(source_root, spike)
        elif not direct:
            break
        tick = direct and load8(job.root_source, root) == at.TICK_ROW
        cause = root if direct else load64(source_root, spike)
        # The worst case must fit before anything is changed.
        status = _room_for(job, logged, neurons if tick else worst)
        if status != DONE or count >= FULL or count + (neurons if tick else worst) > room:
            break
        if direct:
            event = (core << 48) | load64(job.root_word, root)
            if from_dvs and load8(job.root_source, root) == at.DVS_ROW:
                event = routed(load64(job.root_word, root), entry + 8)
            root = _next_root(root + 1, roots, job.root_source, job.root_word, core, from_dvs)
        else:
            event = routed(load64(source_at, spike), entry + 8)
            spike += 1
        if tick:
            end = _ticked(job, core, row, own, count)
        elif refused(core, event, row, job.counters):
            continue
        else:
            end, synops = event_spikes(
                core, event, row, job.reach, job.weights, job.state, job.peak, job.masks, own,
                count, wrap,
            )  # fmt: skip
            taken += 1
            spiked += end - count
            operations += synops
            if job.load:
                record_load(job.load, cause, core, synops)
        if end > count:
            start = count
            count, logged = send(
                core, start, end, cause, row, job.order, own, job.log, job.log_root, logged,
                job.counters, job.options,
            )  # fmt: skip
            for i in range(start, count):
                store64(own_root, i, cause)
    count_events(job.counters, core, taken, spiked, operations)
    store64(turns, _turn(core, WAITING), count)
    store64(turns, _turn(core, TAKEN), spike)
    store64(turns, _turn(core, NEXT_ROOT), root)
    return status, logged


@njit(cache=True, nogil=True)
def run_tree(checksum, job):  # type: ignore[no-untyped-def]
    """Run all root events of a `Job`; returns as `event_kernel.run_events` does.

    `control[0]` counts the spikes logged.
    """
    if checksum != CHECKSUM:
        return STALE
    logged = load64(job.control, 0)
    status = DONE
    while status == DONE:
        core = _furthest(job)
        if core < 0:
            break
        _empty(core, job.incoming, job.turns)
        status, logged = _run_core(job, core, logged)
    store64(job.control, 0, logged)
    return status
