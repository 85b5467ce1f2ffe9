"""A `ChipProgram` as the flat arrays that the kernel reads.

States lie `[y][x][feature]`, weights `[in][ky][kx, grouped by stride phase, descending][out]`:
the neurons that one input event reaches in one row of the map are then one contiguous run, and so
are their weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.program import ChipProgram, CoreProgram, Destination
from speck_adacal.twin.simd import LANES

CORES = 9
DVS_ROW = 9  # the DVS stage as a source of events
DIRECT_ROW = 10  # + core: events addressed to that core
TICK_ROW = 32  # root code of a slow clock tick; its word is the mask of cores that leak
READOUT = 12

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
    KERNEL,
    STRIDE_Y_LOG2,
    STRIDE_X_LOG2,
    PADDING_Y,
    PADDING_X,
    THRESHOLD,
    LOW,
    TO_ZERO,
    MONITOR,
    DESTINATIONS,
    DECIMATION,
    SPIKES_PER_EVENT,
    WORST_SPIKES,
    BIAS_AT,
    COLUMNS,
) = range(23)

# Columns of `Layout.routes[row, slot]`.
ROUTE_LAYER, ROUTE_SHIFT_LOG2, ROUTE_FEATURE_SHIFT = range(3)


@dataclass(frozen=True, eq=False)
class Layout:
    """Flat, read-only arrays of a program.

    Attributes:
        table: int64 `[9, COLUMNS]`.
        routes: int64 `[19, 2, 3]`; row 9 is the DVS stage, rows 10 to 18 lead to one core each.
        fan_out: int64 `[19]`, number of routes of a row.
        phase_start, phase_taps: int64 `[9, 8]`, per stride phase of x.
        weights: int8, all cores, `LANES` spare words at the end.
        initial: int16, all cores, `LANES` spare words at the end.
        bias: int16, all cores.
        tick_order: int64, cores downstream first: the order in which spikes of a tick travel.
    """

    table: npt.NDArray[np.int64]
    routes: npt.NDArray[np.int64]
    fan_out: npt.NDArray[np.int64]
    phase_start: npt.NDArray[np.int64]
    phase_taps: npt.NDArray[np.int64]
    weights: npt.NDArray[np.int8]
    initial: npt.NDArray[np.int16]
    bias: npt.NDArray[np.int16]
    tick_order: npt.NDArray[np.int64]


def lay_out(program: ChipProgram, assumptions: Assumptions) -> Layout:
    """Pack a checked program."""
    table = np.zeros((CORES, COLUMNS), dtype=np.int64)
    starts = np.zeros((CORES, 8), dtype=np.int64)
    taps = np.zeros((CORES, 8), dtype=np.int64)
    weights, states, biases = _Packer(np.int8), _Packer(np.int16), _Packer(np.int16)
    for index, core in program.cores.items():
        row = table[index]
        row[WEIGHTS_AT] = weights.add(_packed_weights(core))
        row[STATE_AT] = states.add(core.initial_potentials().transpose(1, 2, 0))
        row[BIAS_AT] = biases.add(core.biases())
        _fill_row(row, core, assumptions.spikes_of_core(index))
        starts[index], taps[index] = _phases(core.kernel_size[1], core.stride[1])
    routes, fan_out = _routes(program)
    return Layout(
        table=table,
        routes=routes,
        fan_out=fan_out,
        phase_start=starts,
        phase_taps=taps,
        weights=weights.packed(),
        initial=states.packed(),
        bias=biases.packed(),
        tick_order=np.array(program.topological_order()[::-1], dtype=np.int64),
    )


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
        return np.concatenate([*self.parts, np.zeros(LANES, dtype=self.dtype)])


def _phases(kernel: int, stride: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where each stride phase's taps start in a packed kernel row, and how many there are."""
    taps = np.zeros(8, dtype=np.int64)
    for phase in range(stride):
        taps[phase] = len(range(phase, kernel, stride))
    return np.concatenate([[0], np.cumsum(taps)[:-1]]), taps


def _packed_weights(core: CoreProgram) -> npt.NDArray[np.int8]:
    kernel, stride = core.kernel_size[1], core.stride[1]
    order = [k for phase in range(stride) for k in range(phase, kernel, stride)[::-1]]
    return core.weights[:, :, :, order].transpose(1, 2, 3, 0)


def _fill_row(row: npt.NDArray[np.int64], core: CoreProgram, spikes_per_event: int) -> None:
    row[FEATURES], row[HEIGHT], row[WIDTH] = core.out_shape
    row[IN_FEATURES], row[IN_HEIGHT], row[IN_WIDTH] = core.in_shape
    row[KERNEL] = core.kernel_size[1]
    row[STRIDE_Y_LOG2], row[STRIDE_X_LOG2] = (s.bit_length() - 1 for s in core.stride)
    row[PADDING_Y], row[PADDING_X] = core.padding
    row[THRESHOLD], row[LOW] = core.threshold_high, core.threshold_low
    row[TO_ZERO], row[MONITOR] = core.return_to_zero, core.monitor
    row[DESTINATIONS] = len(core.destinations)
    row[DECIMATION], row[SPIKES_PER_EVENT] = core.decimation, spikes_per_event
    reach = [min(-(-core.kernel_size[i] // core.stride[i]), core.out_shape[1 + i]) for i in (0, 1)]
    row[WORST_SPIKES] = reach[0] * reach[1] * core.out_shape[0] * spikes_per_event


def _routes(program: ChipProgram) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    routes = np.zeros((DIRECT_ROW + CORES, 2, 3), dtype=np.int64)
    fan_out = np.zeros(DIRECT_ROW + CORES, dtype=np.int64)
    sources: dict[int, tuple[Destination, ...]] = {
        i: core.destinations for i, core in program.cores.items()
    }
    sources[DVS_ROW] = program.dvs.destinations
    sources |= {DIRECT_ROW + i: (Destination(i),) for i in range(CORES)}
    for row, destinations in sources.items():
        fan_out[row] = len(destinations)
        for place, d in enumerate(sorted(destinations, key=lambda d: d.slot)):
            routes[row, place] = d.layer, d.pooling.bit_length() - 1, d.feature_shift
    return routes, fan_out
