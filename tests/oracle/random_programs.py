"""Random small programs and inputs, for property tests, golden vectors and self checks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import load_chip_description
from speck_adacal.events.types import Events
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.program import (
    ChipProgram,
    CoreProgram,
    Destination,
    DvsFilterProgram,
    DvsProgram,
    ReadoutProgram,
    Shape,
)

_OVERFLOWING = 32767


def random_program(rng: np.random.Generator, *, most_cores: int = 5) -> ChipProgram:
    """A feed-forward configuration with branches, merges and every core setting.

    The first core of `cores` is the entry.
    """
    count = int(rng.integers(1, most_cores + 1))
    indices = [int(i) for i in rng.permutation(9)[:count]]
    shape = (int(rng.integers(1, 4)), int(rng.integers(2, 8)), int(rng.integers(2, 8)))
    cores = {indices[0]: _random_core(rng, indices[0], shape)}
    for index in indices[1:]:
        _attach(rng, cores, index)
    for index, core in cores.items():
        if not core.destinations:
            cores[index] = replace(core, monitor=True)
    return ChipProgram(load_chip_description(), cores)


def random_board_program(rng: np.random.Generator, *, most_cores: int = 5) -> ChipProgram:
    """A random program fed by the DVS stage, with clocks, and perhaps filter and readout layer."""
    program = random_program(rng, most_cores=most_cores)
    cores = dict(program.cores)
    entry = next(iter(cores))
    for index, core in cores.items():
        cores[index] = replace(core, leak_internal_clock=bool(rng.integers(2)))
        if not core.destinations and rng.integers(2):
            readout = Destination(program.chip.readout_layer, 1, int(rng.integers(0, 3)))
            cores[index] = replace(cores[index], destinations=(readout,))
    return replace(
        program,
        cores=cores,
        dvs=_random_dvs(rng, entry, cores[entry].in_shape),
        readout=_random_readout(rng),
        internal_clock_divider=int(rng.integers(1, 5)),
    )


def _random_dvs(rng: np.random.Generator, entry: int, shape: Shape) -> DvsProgram:
    def flag() -> bool:
        return bool(rng.integers(2))

    diagonal = flag()
    height, width = (shape[2], shape[1]) if diagonal else (shape[1], shape[2])
    origin = (int(rng.integers(0, 4)), int(rng.integers(0, 4)))
    return DvsProgram(
        destinations=(Destination(entry, slot=int(rng.integers(2))),),
        on_channel=flag() or flag(),
        off_channel=flag() or flag(),
        merge=shape[0] == 1 or flag(),
        pooling=(int(rng.choice([1, 2, 4])), int(rng.choice([1, 2, 4]))),
        origin=origin,
        cut=(origin[0] + height - 1, origin[1] + width - 1),
        mirror=(flag(), flag()),
        mirror_diagonal=diagonal,
        monitor=flag(),
        filter=_random_filter(rng) if flag() else None,
    )


def _random_filter(rng: np.random.Generator) -> DvsFilterProgram:
    return DvsFilterProgram(
        hot_pixel=bool(rng.integers(2)),
        low_pass=bool(rng.integers(3) == 0),
        size=(int(rng.integers(1, 6)), int(rng.integers(1, 6))),
        threshold=int(rng.integers(0, 5)),
        internal_clock=bool(rng.integers(2)),
    )


def _random_readout(rng: np.random.Generator) -> ReadoutProgram:
    return ReadoutProgram(
        internal_clock=bool(rng.integers(2)),
        window=int(rng.choice([1, 16, 32])),
        monitor=bool(rng.integers(5) == 0),
        pin_monitor=True,
        mode=int(rng.integers(4)),
        layout=int(rng.integers(4)),
        threshold=int(rng.integers(0, 4)),
        neuron=int(rng.integers(0, 16)),
    )


def random_assumptions(rng: np.random.Generator) -> Assumptions:
    """Any combination of what the kernel and the oracle both know."""

    def flag() -> bool:
        return bool(rng.integers(2))

    return Assumptions(
        overflow=str(rng.choice(["saturate", "wrap"])),
        spikes_per_event=int(rng.integers(1, 4)),
        parallel_spikes_per_event=int(rng.integers(1, 3)),
        spike_order=str(rng.choice(["row_column_feature", "feature_row_column", "reversed"])),
        arbitration=str(rng.choice(["depth_first", "breadth_first"])),
        decimator_passes=str(rng.choice(["last", "first"])),
        decimator_before_monitor=flag(),
        leak_fires=flag(),
        tick_before_event=flag(),
        readout_mapping=str(rng.choice(["every_fourth", "quarter", "plain"])),
        readout_average=str(rng.choice(["mean", "sum"])),
        readout_compare=str(rng.choice([">", ">="])),
        hot_pixel_filter=str(rng.choice(["ignore_own_history", "block_fast_pixels"])),
        dvs_monitor=str(rng.choice(["region", "sensor"])),
    )


def random_events(rng: np.random.Generator, shape: Shape, count: int) -> Events:
    """`count` events anywhere on `shape` within 10 ms; several may share a time."""
    t_us = np.sort(rng.integers(0, 10_000, count))
    if count and rng.integers(2):
        t_us = t_us // 100 * 100
    channel, y, x = (rng.integers(0, n, count).astype(np.int16) for n in shape)
    return Events(t_us, x, y, channel, shape, duration_us=10_000)


def random_stream(
    rng: np.random.Generator, program: ChipProgram, count: int
) -> tuple[Events, npt.NDArray[np.int64]]:
    """`count` events with a stage each: mostly the DVS stage if it leads on, else the first core.

    Returns:
        The events, and int64 `[count]` stages for `Twin.run(..., entry=)`.
    """
    if not program.dvs.destinations:
        entry = next(iter(program.cores))
        return random_events(rng, program.cores[entry].in_shape, count), np.full(count, entry)
    dvs = program.chip.dvs_layer
    layer = rng.choice([dvs, dvs, dvs, *program.cores], count)
    wide = random_events(rng, (2, 20, 20), count)
    channel, y, x = wide.channel.copy(), wide.y.copy(), wide.x.copy()
    for i in np.flatnonzero(layer != dvs):
        features, height, width = program.cores[int(layer[i])].in_shape
        channel[i], y[i], x[i] = channel[i] % features, y[i] % height, x[i] % width
    return Events(wide.t_us, x, y, channel, wide.shape, wide.duration_us), layer


def _random_core(rng: np.random.Generator, index: int, in_shape: Shape) -> CoreProgram:
    kernel = int(rng.integers(1, 6))
    stride = tuple(int(rng.choice([1, 1, 2, 4])) for _ in "yx")
    smallest = [max(0, -(-(kernel - in_shape[1 + i]) // 2)) for i in (0, 1)]
    padding = tuple(int(rng.integers(low, max(low, kernel) + 1)) for low in smallest)
    height, width = ((in_shape[1 + i] + 2 * padding[i] - kernel) // stride[i] + 1 for i in (0, 1))
    if in_shape[0] > 8:
        kernel, padding = 1, (0, 0)  # stays within the smallest kernel memory
        height, width = ((n - 1) // s + 1 for n, s in zip(in_shape[1:], stride, strict=True))
    features = int(rng.choice([1, 2, 3, 5, 7, 33], p=[0.2, 0.2, 0.2, 0.2, 0.17, 0.03]))
    threshold = int(rng.integers(20, 400))
    if rng.integers(6) == 0:
        threshold = int(rng.choice([_OVERFLOWING, -3, 0]))
    return CoreProgram(
        index=index,
        weights=_random_weights(rng, (features, in_shape[0], kernel, kernel)),
        in_shape=in_shape,
        out_shape=(features, height, width),
        threshold_high=threshold,
        threshold_low=int(rng.choice([-32768, -threshold, -1, 0, 5])),
        stride=(stride[0], stride[1]),
        padding=(padding[0], padding[1]),
        initial=_random_initial(rng, (features, height, width)),
        bias=rng.integers(-50, 80, features).astype(np.int16),
        return_to_zero=bool(rng.integers(3) == 0),
        monitor=bool(rng.integers(2)),
        leak=bool(rng.integers(2)),
        decimation=int(rng.choice([1, 1, 1, 2, 4, 8])),
    )


def _random_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    low = int(rng.choice([-128, -40, 0]))
    return rng.integers(low, 128, shape).astype(np.int8)


def _random_initial(rng: np.random.Generator, shape: Shape) -> npt.NDArray[np.int16] | None:
    kind = rng.integers(4)
    if kind == 0:
        return None
    top = 32768 if kind == 1 else 100
    return rng.integers(-top, top, shape).astype(np.int16)


def _attach(rng: np.random.Generator, cores: dict[int, CoreProgram], index: int) -> None:
    """Add core `index` behind one or two of `cores` that have a destination to spare."""
    free = [c for c in cores.values() if len(c.destinations) < 2]
    if not free:
        return
    order = [free[int(i)] for i in rng.permutation(len(free))]
    first = order[0]
    pooling = _random_pooling(rng, first)
    height, width = (n // pooling for n in first.out_shape[1:])
    sources = [(first, pooling)]
    candidates = [*order[1:], *([first] if not first.destinations else [])]
    for other in candidates:
        fits = [
            p for p in (1, 2, 4) if tuple(n // p for n in other.out_shape[1:]) == (height, width)
        ]
        if fits and rng.integers(3):
            sources.append((other, fits[0]))
            break
    features = 1
    for source, pool in sources:
        shift = int(rng.integers(0, 3))
        features = max(features, source.out_shape[0] + shift)
        current = cores[source.index]
        used = {d.slot for d in current.destinations}
        slot = int(rng.choice(sorted({0, 1} - used)))
        added = Destination(index, pool, shift, slot)
        destinations = (*current.destinations, added)
        cores[source.index] = replace(current, destinations=destinations)
    cores[index] = _random_core(rng, index, (features, height, width))


def _random_pooling(rng: np.random.Generator, core: CoreProgram) -> int:
    allowed = [p for p in (1, 2, 4) if min(core.out_shape[1:]) >= p]
    return int(rng.choice(allowed))
