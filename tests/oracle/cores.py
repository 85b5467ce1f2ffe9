"""The oracle's cores: the chip's rules once more, slow and plain.

One neuron at a time in Python integers, no packing, no vectors, no layout tricks. The kernel must
agree with it bit for bit: spikes, their order, and the states left behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.program import ChipProgram, CoreProgram, Destination

LARGEST_EVENT = 200_000  # SynOps that one root event may set off
Address = tuple[int, int, int]  # feature, row, column
Spike = tuple[int, int, int, int]  # core, feature, row, column


class EventTooLarge(Exception):
    """One root event sets off more SynOps than the oracle can do in a reasonable time."""


class ReferenceChip:
    """A program that runs one root event at a time.

    Five cores that all fire at every event can make millions of millions of spikes of one, so the
    work is bounded inside an event too. After `EventTooLarge` the states mean nothing.

    Attributes:
        state: int64 `[features, height, width]` by core.
        events, spikes, synops, dropped: counts by core.
        log: monitored spikes and readout deliveries, `(root, layer, feature, row, column)`.
    """

    def __init__(self, program: ChipProgram, assumptions: Assumptions | None = None) -> None:
        self.program = program
        self.assume = assumptions or Assumptions()
        self.state: dict[int, npt.NDArray[np.int64]] = {}
        self.passed: dict[int, int] = {}
        for index, core in program.cores.items():
            self.state[index] = core.initial_potentials().astype(np.int64)
            self.passed[index] = 0
        self.events = dict.fromkeys(program.cores, 0)
        self.spikes = dict.fromkeys(program.cores, 0)
        self.synops = dict.fromkeys(program.cores, 0)
        self.dropped = dict.fromkeys(program.cores, 0)
        self.log: list[tuple[int, int, int, int, int]] = []

    def event(self, root: int, core: int, feature: int, y: int, x: int) -> None:
        """One event addressed to `core`, and all that follows from it."""
        self._deliver_all(root, [((core, feature, y, x), (Destination(core),))])

    def dvs_event(self, root: int, feature: int, y: int, x: int) -> None:
        """One pre-processed DVS event, and all that follows from it."""
        self._deliver_all(root, [((-1, feature, y, x), self.program.dvs.destinations)])

    def tick(self, root: int, cores: Iterable[int]) -> None:
        """One tick of the slow clock on `cores`: all leak at once, then their spikes travel."""
        waiting = []
        for index in reversed(self.program.topological_order()):
            if index in set(cores):
                waiting += self._sent(root, self.program.cores[index], self._leak(index))
        self._deliver_all(root, waiting)

    def _deliver_all(self, root: int, first: list[tuple[Spike, tuple[Destination, ...]]]) -> None:
        waiting = deque(first)
        most = sum(self.synops.values()) + LARGEST_EVENT
        while waiting:
            if sum(self.synops.values()) > most:
                raise EventTooLarge(f"root event {root}, first to {first[0]}")
            spike, destinations = waiting.popleft()
            for place, destination in enumerate(destinations):
                caused = self._deliver(root, spike, destination)
                if self.assume.arbitration == "breadth_first":
                    waiting.extend(caused)
                elif caused:
                    rest = destinations[place + 1 :]
                    waiting.extendleft(reversed([*caused, (spike, rest)]))
                    break

    def _deliver(
        self, root: int, spike: Spike, destination: Destination
    ) -> list[tuple[Spike, tuple[Destination, ...]]]:
        _, feature, y, x = spike
        feature += destination.feature_shift
        y, x = y // destination.pooling, x // destination.pooling
        if destination.layer == self.program.chip.readout_layer:
            self.log.append((root, destination.layer, feature, y, x))
            return []
        core = self.program.cores[destination.layer]
        features, height, width = core.in_shape
        if feature >= features or y >= height or x >= width:
            self.dropped[core.index] += 1
            return []
        self.events[core.index] += 1
        return self._sent(root, core, self._integrate(core, feature, y, x))

    def _integrate(self, core: CoreProgram, feature: int, y: int, x: int) -> list[Address]:
        """The spikes of one core for one input event, in `spike_order`."""
        kernel_y, kernel_x = core.kernel_size
        features, height, width = core.out_shape
        fired: list[Address] = []
        for out_y in range(height):
            ky = y + core.padding[0] - out_y * core.stride[0]
            for out_x in range(width):
                kx = x + core.padding[1] - out_x * core.stride[1]
                if not (0 <= ky < kernel_y and 0 <= kx < kernel_x):
                    continue
                for out in range(features):
                    self.synops[core.index] += 1
                    weight = int(core.weights[out, feature, ky, kx])
                    most = self.assume.spikes_of_core(core.index, self.program.chip)
                    spikes = self._update(core, (out, out_y, out_x), weight, most)
                    fired += [(out, out_y, out_x)] * spikes
        return self._ordered(fired)

    def _leak(self, index: int) -> list[Address]:
        core = self.program.cores[index]
        biases = core.biases()
        features, height, width = core.out_shape
        fired: list[Address] = []
        for y in range(height):
            for x in range(width):
                for out in range(features):
                    most = 1 if self.assume.leak_fires else 0
                    spikes = self._update(core, (out, y, x), int(biases[out]), most)
                    fired += [(out, y, x)] * spikes
        return self._ordered(fired)

    def _update(self, core: CoreProgram, address: Address, amount: int, most: int) -> int:
        """Add, clamp, compare; returns the spikes."""
        potential = self._sixteen_bits(int(self.state[core.index][address]) + amount)
        potential = max(potential, core.threshold_low)
        spikes = 0
        while spikes < most and potential >= core.threshold_high:
            spikes += 1
            if core.return_to_zero:
                potential = 0
            else:
                potential = self._sixteen_bits(potential - core.threshold_high)
        self.state[core.index][address] = potential
        self.spikes[core.index] += spikes
        return spikes

    def _sixteen_bits(self, value: int) -> int:
        if self.assume.overflow == "wrap":
            return (value + 32768) % 65536 - 32768
        return min(max(value, -32768), 32767)

    def _ordered(self, fired: list[Address]) -> list[Address]:
        if self.assume.spike_order == "feature_row_column":
            return sorted(fired)
        return fired[::-1] if self.assume.spike_order == "reversed" else fired

    def _sent(
        self, root: int, core: CoreProgram, fired: list[Address]
    ) -> list[tuple[Spike, tuple[Destination, ...]]]:
        """Monitor and decimate the spikes of one event; what is left, with its destinations."""
        passing = [spike for spike in fired if self._passes_decimator(core)]
        seen = passing if self.assume.decimator_before_monitor else fired
        if core.monitor:
            self.log += [(root, core.index, f, y, x) for f, y, x in seen]
        destinations = tuple(sorted(core.destinations, key=lambda d: d.slot))
        return (
            [((core.index, f, y, x), destinations) for f, y, x in passing] if destinations else []
        )

    def _passes_decimator(self, core: CoreProgram) -> bool:
        count = self.passed[core.index]
        self.passed[core.index] = (count + 1) % core.decimation
        chosen = 0 if self.assume.decimator_passes == "first" else core.decimation - 1
        return count == chosen
