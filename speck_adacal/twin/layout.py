"""A `ChipProgram` as the flat arrays that the kernel reads.

States lie `[y][x][feature]`, weights `[in][ky][kx, grouped by stride phase, descending][out]`:
the neurons that one input event reaches in one row of the map are then one contiguous run, and so
are their weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.program import ChipProgram, CoreProgram, Destination
from speck_adacal.twin.vectors import LANES

# What the kernels have room for; `checks` refuses a chip that needs more.
CORES = 16
ROUTES = 2  # destinations of one source

# Sources of events and targets of routes, beside the cores 0 to `CORES - 1`.
DVS_ROW = CORES  # the DVS stage as a source of events
DIRECT_ROW = DVS_ROW + 1  # + core: events addressed to that core
SOURCES = DIRECT_ROW + CORES
READOUT = SOURCES  # the readout layer as a target, whatever number the chip gives it
TICK_ROW = 64  # root code of a slow clock tick; its word is the mask of cores that leak
SPARE_SPIKES = 2  # that the kernel may write beyond those of an event
_CACHE_LINE = 64

# Columns of `Layout.table`, one row a core.
(
    WEIGHTS_AT,
    STATE_AT,
    FEATURES,
    IN_FEATURES,
    IN_HEIGHT,
    IN_WIDTH,
    HEIGHT,
    WIDTH,
    REACH_Y,  # where the rows and columns of the input stand in `Layout.reach`
    REACH_X,
    INPUT_WORDS,  # weights of one input feature
    STATE_STEP,  # from one row of the map to the next, in neurons
    WEIGHT_STEP,  # from one row of the map to the next, in weights
    THRESHOLD,
    LOW,
    TO_ZERO,
    MONITOR,
    DESTINATIONS,
    DECIMATION,
    SPIKES_PER_EVENT,
    WORST_SPIKES,
    BIAS_AT,
    RECIPROCAL,  # lane * RECIPROCAL >> 32 is lane // FEATURES, for all lanes of a run
    FIRES_ONCE,
    COLUMNS,
) = range(25)

# Columns of `Layout.reach`, one row for each input row or column: what an event there reaches.
COUNT, PLACE, WEIGHT, FIRST, REACH_COLUMNS = range(5)

# Columns of `Layout.routes[row, slot]`.
ROUTE_LAYER, ROUTE_SHIFT_LOG2, ROUTE_FEATURE_SHIFT, ROUTE_COLUMNS = range(4)


@dataclass(frozen=True, eq=False)
class Layout:
    """Flat, read-only arrays of a program.

    Attributes:
        table: int64 `[CORES, COLUMNS]`.
        routes: int64 `[SOURCES, ROUTES, ROUTE_COLUMNS]`.
        fan_out: int64 `[SOURCES]`, number of routes of a row.
        reach: int64 `[rows and columns of all inputs, REACH_COLUMNS]`. Of an event at row y and
            column x, the entries for y and x give the map's rows and the neurons of one row in
            reach, and summed up the first of these neurons in `initial`, its weight in `weights`,
            and its coordinates as a waiting spike has them.
        weights: int8, all cores, `LANES` spare words at the end.
        initial: int16, all cores, `LANES` spare words at the end.
        bias: int16, all cores.
        core_order: int64, each core after its sources.
        tick_order: int64, cores downstream first: the order in which spikes of a tick travel.
        incoming: int64 `[CORES, 1 + ROUTE_COLUMNS]`, source row (-1 for none) and route of each
            core in a tree.
        is_tree: no core has more than one source, and none feeds the readout layer.
        most_vectors: vectors of `LANES` neurons that one event reaches at most.
    """

    table: npt.NDArray[np.int64]
    routes: npt.NDArray[np.int64]
    fan_out: npt.NDArray[np.int64]
    reach: npt.NDArray[np.int64]
    weights: npt.NDArray[np.int8]
    initial: npt.NDArray[np.int16]
    bias: npt.NDArray[np.int16]
    core_order: npt.NDArray[np.int64]
    tick_order: npt.NDArray[np.int64]
    incoming: npt.NDArray[np.int64]
    is_tree: bool
    most_vectors: int


def lay_out(program: ChipProgram, assumptions: Assumptions) -> Layout:
    """Pack a checked program."""
    table = np.zeros((CORES, COLUMNS), dtype=np.int64)
    reach: list[list[int]] = []
    weights, states, biases = _Packer(np.int8), _Packer(np.int16), _Packer(np.int16)
    for index, core in program.cores.items():
        row = table[index]
        row[WEIGHTS_AT] = weights.add(_packed_weights(core))
        row[STATE_AT] = states.add(core.initial_potentials().transpose(1, 2, 0))
        row[BIAS_AT] = biases.add(core.biases())
        _fill_row(row, core, assumptions.spikes_of_core(index, program.chip))
        row[REACH_Y], row[REACH_X] = len(reach), len(reach) + core.in_shape[1]
        reach += _reached_rows(core, row) + _reached_columns(core)
    routes, fan_out = _routes(program)
    incoming, is_tree = _incoming(routes, fan_out)
    order = np.array(program.topological_order(), dtype=np.int64)
    return Layout(
        table=table,
        routes=routes,
        fan_out=fan_out,
        reach=np.array(reach, dtype=np.int64).reshape(-1, REACH_COLUMNS),
        weights=weights.packed(),
        initial=states.packed(),
        bias=biases.packed(),
        core_order=order,
        tick_order=np.ascontiguousarray(order[::-1]),
        incoming=incoming,
        is_tree=is_tree,
        most_vectors=max(map(_vectors_in_reach, program.cores.values()), default=0),
    )


def aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy that starts on a cache line, so that vector loads do not cross two."""
    room = np.empty(array.nbytes + _CACHE_LINE, dtype=np.uint8)
    start = -room.ctypes.data % _CACHE_LINE
    copy = room[start : start + array.nbytes].view(array.dtype)
    copy[:] = array
    return copy


class _Packer:
    """Joins arrays end to end, each starting on a 64-byte boundary."""

    def __init__(self, dtype: type[np.signedinteger]) -> None:
        self.dtype = dtype
        self.parts: list[npt.NDArray[np.signedinteger]] = []
        self.length = 0

    def add(self, array: npt.NDArray[np.signedinteger]) -> int:
        at = self.length
        flat = np.ascontiguousarray(array, dtype=self.dtype).reshape(-1)
        spare = -len(flat) % 64
        self.parts += [flat, np.zeros(spare, dtype=self.dtype)]
        self.length += len(flat) + spare
        return at

    def packed(self) -> npt.NDArray[np.signedinteger]:
        return aligned(np.concatenate([*self.parts, np.zeros(LANES, dtype=self.dtype)]))


def _reached(core: CoreProgram, axis: int) -> list[tuple[int, int, int]]:
    """By input coordinate: places on the map in reach, the first of them, its kernel tap."""
    kernel, stride, padding = core.kernel_size[axis], core.stride[axis], core.padding[axis]
    found = []
    for at in range(padding, padding + core.in_shape[1 + axis]):
        last = min(at // stride, core.out_shape[1 + axis] - 1)
        first = max(0, -((kernel - 1 - at) // stride))
        found.append((max(0, last - first + 1), first, at - first * stride))
    return found


def _reached_rows(core: CoreProgram, row: npt.NDArray[np.int64]) -> list[list[int]]:
    (features, _, width), kernel = core.out_shape, core.kernel_size[1]
    place, weight = int(row[STATE_AT]), int(row[WEIGHTS_AT])
    return [
        [count, place + first * width * features, weight + tap * kernel * features, first << 32]
        for count, first, tap in _reached(core, 0)
    ]


def _reached_columns(core: CoreProgram) -> list[list[int]]:
    features, order = core.out_shape[0], _column_order(core)
    return [
        [count * features, first * features, order.index(tap) * features, first << 16]
        if count
        else [0, 0, 0, 0]
        for count, first, tap in _reached(core, 1)
    ]


def _column_order(core: CoreProgram) -> list[int]:
    """Kernel columns by stride phase, the last tap of each first."""
    kernel, stride = core.kernel_size[1], core.stride[1]
    return [k for phase in range(stride) for k in range(phase, kernel, stride)[::-1]]


def _packed_weights(core: CoreProgram) -> npt.NDArray[np.int8]:
    return core.weights[:, :, :, _column_order(core)].transpose(1, 2, 3, 0)


def weight_index(layout: Layout, core: CoreProgram, place: tuple[int, int, int, int]) -> int:
    """Index into `Layout.weights` of a core's weight `(out, in, ky, kx)`."""
    out, source, ky, kx = place
    row = (source * core.kernel_size[0] + ky) * core.kernel_size[1] + _column_order(core).index(kx)
    return int(layout.table[core.index, WEIGHTS_AT]) + row * core.out_shape[0] + out


def _fill_row(row: npt.NDArray[np.int64], core: CoreProgram, spikes_per_event: int) -> None:
    row[FEATURES], row[HEIGHT], row[WIDTH] = core.out_shape
    row[IN_FEATURES], row[IN_HEIGHT], row[IN_WIDTH] = core.in_shape
    row[RECIPROCAL] = -(-(1 << 32) // core.out_shape[0])
    row[FIRES_ONCE] = spikes_per_event == 1 and core.threshold_high > 0
    row[INPUT_WORDS] = core.kernel_size[0] * core.kernel_size[1] * core.out_shape[0]
    row[STATE_STEP] = core.out_shape[2] * core.out_shape[0]
    row[WEIGHT_STEP] = -core.stride[0] * core.kernel_size[1] * core.out_shape[0]
    row[THRESHOLD], row[LOW] = core.threshold_high, core.threshold_low
    row[TO_ZERO], row[MONITOR] = core.return_to_zero, core.monitor
    row[DESTINATIONS] = len(core.destinations)
    row[DECIMATION], row[SPIKES_PER_EVENT] = core.decimation, spikes_per_event
    rows, columns = _most_reached(core)
    most = rows * columns * core.out_shape[0] * spikes_per_event
    row[WORST_SPIKES] = most + SPARE_SPIKES


def _most_reached(core: CoreProgram) -> tuple[int, int]:
    """Rows and columns of the map that one event reaches at most."""
    rows, columns = (
        min(-(-core.kernel_size[i] // core.stride[i]), core.out_shape[1 + i]) for i in (0, 1)
    )
    return rows, columns


def _vectors_in_reach(core: CoreProgram) -> int:
    rows, columns = _most_reached(core)
    return rows * -(-columns * core.out_shape[0] // LANES)


def _routes(program: ChipProgram) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    routes = np.zeros((SOURCES, ROUTES, ROUTE_COLUMNS), dtype=np.int64)
    fan_out = np.zeros(SOURCES, dtype=np.int64)
    sources: dict[int, tuple[Destination, ...]] = {
        i: core.destinations for i, core in program.cores.items()
    }
    sources[DVS_ROW] = program.dvs.destinations
    sources |= {DIRECT_ROW + i: (Destination(i),) for i in program.cores}
    for row, destinations in sources.items():
        fan_out[row] = len(destinations)
        for place, d in enumerate(sorted(destinations, key=lambda d: d.slot)):
            target = READOUT if d.layer == program.chip.readout_layer else d.layer
            routes[row, place] = target, d.pooling.bit_length() - 1, d.feature_shift
    return routes, fan_out


def _incoming(
    routes: npt.NDArray[np.int64], fan_out: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], bool]:
    incoming = np.zeros((CORES, 1 + ROUTE_COLUMNS), dtype=np.int64)
    incoming[:, 0] = -1
    is_tree = True
    for source in range(DVS_ROW + 1):
        for route in routes[source, : fan_out[source]]:
            target = int(route[ROUTE_LAYER])
            if target == READOUT or incoming[target, 0] >= 0:
                is_tree = False
            else:
                incoming[target] = source, *route
    return incoming, is_tree
