"""What the event loops are given: one structure, with what must be true of each part of it.

Compiled numba code counts references whenever an array is handed on, which costs more than a whole
input event (see `raw_memory`). The parts are therefore the addresses of arrays, 0 where there is
none. `Machine` makes the structure anew for each call, of arrays that it holds meanwhile: all are
C-contiguous, none moves or is shared with another running chip, and those of the layout are never
written by a kernel.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Job(NamedTuple):
    """One call of an event loop: root events, the program, states, and room to work in.

    Root events, in the order in which they happen:

    Attributes:
        root_source: int8 `[roots]`, a source row of `routes`, or `TICK_ROW`; a configured core
            where it is `DIRECT_ROW + core`.
        root_word: int64 `[roots]`, a packed event, or for a tick the mask of cores that leak.
        roots: how many there are.

        table, routes, fan_out, incoming, reach, core_order, tick_order, weights, bias: the arrays
            of `Layout`, whose invariants stand there. `weights` has `LANES` spare words behind
            the last kernel, so a vector load may pass its end.
        cores: length of `core_order` and of `tick_order`.

        state: int16 like `Layout.initial`, with as many spare words; each potential lies between
            the core's `LOW` and 32767 at any time but during an update.
        peak: int16 like `state`, never below it, or 0 where peaks are not kept.

        masks: int64 `[Layout.most_vectors]`, room for one event's vectors.
        pending: int64 `[room]` waiting spikes of the general loop, `[CORES, room]` of the loop
            for trees. A word holds source, row, column and feature in 16 bits each.
        pending_root: int64 like `pending`, the root event of each, for trees; else 0.
        room: spikes that fit into (a row of) `pending`. A kernel makes sure before it changes
            anything that an event's worst case fits, and asks for more room otherwise.
        frames: int64 `[FRAMES, FRAME]`, the general loop's stack; a chain without loops is never
            deeper.
        turns: int64 `[CORES, TURNS]`, where each core of a tree stands; zeros at first.

        log, log_root: int64 `[log_room]`, monitored spikes and the index of their root event.
        log_room: spikes that fit; the same rule as for `room`.
        load: int64 `[roots, CORES, 2]` for events and SynOps by root event and core, or 0.
        counters: int64 `[CORES, COUNTERS]`; they only grow, but for the decimator's place.
        control: int64 `[CONTROLS]`, where the loop stands; zeros at first, and left alone between
            two calls of one run.

        order: number of the spike order in one event (0: by row, column, feature).
        options: bits, see `delivery`.
    """

    root_source: int
    root_word: int
    roots: int
    table: int
    routes: int
    fan_out: int
    incoming: int
    reach: int
    core_order: int
    tick_order: int
    cores: int
    weights: int
    bias: int
    state: int
    peak: int
    masks: int
    pending: int
    pending_root: int
    room: int
    frames: int
    turns: int
    log: int
    log_root: int
    log_room: int
    load: int
    counters: int
    control: int
    order: int
    options: int


def address(array: npt.NDArray[np.generic] | None) -> int:
    """Address of a contiguous array's data, 0 for none or an empty one."""
    return int(array.ctypes.data) if array is not None and array.size else 0


def job_of(arrays: dict[str, npt.NDArray[Any]], **numbers: int) -> Job:
    """The structure of these arrays and numbers; what is not named is 0."""
    given = {name: address(array) for name, array in arrays.items()}
    return Job(**{**dict.fromkeys(Job._fields, 0), **given, **numbers})
