"""What the twin runs: a chip configuration as frozen dataclasses of NumPy arrays.

Axes are those of PyTorch here, `[out, in, ky, kx]` and `[feature, y, x]`; samna's own have x
before y, and `speck_adacal.twin.from_samna` turns them round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import ChipDescription, load_chip_description

Pair = tuple[int, int]
Shape = tuple[int, int, int]


def _last_pixel() -> Pair:
    last = load_chip_description().limits.sensor_size - 1
    return last, last


@dataclass(frozen=True)
class Destination:
    """An enabled destination of a core or of the DVS stage.

    Attributes:
        layer: a core, or the number of the readout layer.
        pooling: sum pooling: coordinates are divided by it, rounding down.
        feature_shift: added to the feature.
        slot: place among the source's destinations.
    """

    layer: int
    pooling: int = 1
    feature_shift: int = 0
    slot: int = 0


@dataclass(frozen=True, eq=False)
class CoreProgram:
    """One configured core.

    Attributes:
        index: its number.
        weights: int8 `[out, in, ky, kx]`, cross-correlation as in PyTorch.
        in_shape: `(features, height, width)` of the input.
        out_shape: `(features, height, width)` of the neuron map, before pooling.
        threshold_high: a neuron fires when its membrane potential is at least this.
        threshold_low: floor of the membrane potential.
        stride: `(y, x)`.
        padding: `(y, x)`.
        initial: int16 `[features, height, width]` membrane potentials after configuration.
        bias: int16 `[features]`, added at each tick of the slow clock if `leak`.
        return_to_zero: a spike sets the potential to zero instead of subtracting the threshold.
        destinations: the enabled ones.
        monitor: spikes are reported, before pooling.
        leak: biases are added at each tick.
        leak_internal_clock: the tick comes from the clock derived from DVS events.
        decimation: one of this many spikes passes on; 1 is off.
        congestion_balancer: drops input while the core is busy; not simulated.
    """

    index: int
    weights: npt.NDArray[np.int8]
    in_shape: Shape
    out_shape: Shape
    threshold_high: int
    threshold_low: int = int(np.iinfo(np.int16).min)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    initial: npt.NDArray[np.int16] | None = None
    bias: npt.NDArray[np.int16] | None = None
    return_to_zero: bool = False
    destinations: tuple[Destination, ...] = ()
    monitor: bool = False
    leak: bool = False
    leak_internal_clock: bool = False
    decimation: int = 1
    congestion_balancer: bool = False

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return int(np.prod(self.out_shape))

    @property
    def kernel_size(self) -> Pair:
        """`(ky, kx)`."""
        return self.weights.shape[2], self.weights.shape[3]

    def initial_potentials(self) -> npt.NDArray[np.int16]:
        """int16 `[features, height, width]`, zeros unless given."""
        if self.initial is None:
            return np.zeros(self.out_shape, dtype=np.int16)
        return self.initial

    def biases(self) -> npt.NDArray[np.int16]:
        """int16 `[features]`, zeros unless given."""
        if self.bias is None:
            return np.zeros(self.out_shape[0], dtype=np.int16)
        return self.bias


@dataclass(frozen=True)
class DvsFilterProgram:
    """The DVS noise filter.

    Attributes:
        hot_pixel: suppress pixels that fire too often.
        low_pass: thin every pixel's events instead of looking for company.
        size: `(y, x)` of the neighbourhood.
        threshold: number of events compared with.
        internal_clock: its window ends with the internal slow clock.
    """

    hot_pixel: bool = False
    low_pass: bool = False
    size: Pair = (1, 1)
    threshold: int = 1
    internal_clock: bool = False


@dataclass(frozen=True)
class DvsProgram:
    """The DVS pre-processing stage. Pairs are `(y, x)`.

    Attributes:
        destinations: enabled cores.
        on_channel, off_channel: which polarities pass (1 and 0).
        merge: both polarities become feature 0.
        pooling: coordinates are divided by it.
        origin, cut: first and last pixel of the region of interest, after pooling.
        mirror: flip rows, columns.
        mirror_diagonal: swap x and y.
        monitor: events are reported, before pooling.
        raw_monitor: sensor events are reported as they come.
        pass_sensor_events: the chip's own sensor feeds the stage.
        filter: noise filter, if enabled.
    """

    destinations: tuple[Destination, ...] = ()
    on_channel: bool = True
    off_channel: bool = True
    merge: bool = False
    pooling: Pair = (1, 1)
    origin: Pair = (0, 0)
    cut: Pair = field(default_factory=_last_pixel)
    mirror: tuple[bool, bool] = (False, False)
    mirror_diagonal: bool = False
    monitor: bool = False
    raw_monitor: bool = False
    pass_sensor_events: bool = True
    filter: DvsFilterProgram | None = None

    @property
    def out_shape(self) -> Shape:
        """`(features, height, width)` of the events it sends on."""
        height, width = (self.cut[i] - self.origin[i] + 1 for i in (0, 1))
        if self.mirror_diagonal:
            height, width = width, height
        return 1 if self.merge else 2, height, width


@dataclass(frozen=True)
class ReadoutProgram:
    """The readout layer.

    Attributes:
        internal_clock: its cycles come from the internal slow clock.
        window: cycles the moving window spans.
        monitor: one value is reported per cycle, and core and DVS monitors are silent.
        pin_monitor: a class that reaches the threshold is reported.
        mode: `output_mode_sel`, 0 to 3.
        layout: `readout_configuration_sel`, 0 to 3.
        threshold: compared with a class's count in the window.
        neuron: class of the specific-class mode.
    """

    internal_clock: bool = False
    window: int = 16
    monitor: bool = False
    pin_monitor: bool = False
    mode: int = 0
    layout: int = 0
    threshold: int = 0
    neuron: int = 0


@dataclass(frozen=True)
class ChipProgram:
    """A whole chip configuration.

    Attributes:
        chip: the chip it is meant for.
        cores: configured cores by index.
        dvs: DVS pre-processing stage.
        readout: readout layer, if enabled.
        internal_clock_divider: n; the internal slow clock ticks every `2**n` DVS events.
        notes: remarks on settings that are read but not simulated.
    """

    chip: ChipDescription
    cores: Mapping[int, CoreProgram]
    dvs: DvsProgram = field(default_factory=DvsProgram)
    readout: ReadoutProgram | None = None
    internal_clock_divider: int = 14
    notes: tuple[str, ...] = ()

    def sources_of(self, layer: int) -> tuple[int, ...]:
        """Cores (and the DVS stage) with an enabled destination `layer`, in order."""
        feeding = [i for i, core in self.cores.items() if _feeds(core.destinations, layer)]
        dvs = [self.chip.dvs_layer] if _feeds(self.dvs.destinations, layer) else []
        return tuple(feeding + dvs)

    def topological_order(self) -> tuple[int, ...]:
        """Configured cores, each after all its sources; a loop's cores are left out."""
        waiting = {i: set(self.sources_of(i)) - {self.chip.dvs_layer} for i in sorted(self.cores)}
        order: list[int] = []
        while True:
            ready = [i for i, sources in waiting.items() if sources <= set(order)]
            if not ready:
                return tuple(order)
            order.append(ready[0])
            del waiting[ready[0]]


def _feeds(destinations: tuple[Destination, ...], layer: int) -> bool:
    return any(destination.layer == layer for destination in destinations)
