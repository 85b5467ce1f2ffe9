"""What a chip is: memories, limits, bit widths, latency and idle power."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RAILS = ("io", "ram", "logic", "pixel_digital", "pixel_analog")
"""The power rails of a board, in the order of its power monitor."""


@dataclass(frozen=True)
class Quantity:
    """One number of a chip description.

    Attributes:
        value: number, text, or tuple of these.
        unit: its unit, in words.
        grade: `"H"` (vendor text or recorded run), `"M"` (one indirect source) or `"L"` (guess).
        source: where the number comes from.
    """

    value: Any
    unit: str
    grade: str
    source: str


@dataclass(frozen=True)
class CoreMemory:
    """Memory of one core, in words.

    Attributes:
        kernel: weights, words of 8 bits.
        neuron: membrane potentials, words of 16 bits.
        bias: biases, words of 16 bits.
    """

    kernel: int
    neuron: int
    bias: int


@dataclass(frozen=True)
class ChipLimits:
    """What a core, the router and the event format can hold.

    Attributes:
        input_size: largest input width and height of a core, pixels.
        map_size: largest width and height of a core's neuron map.
        features: largest number of input or output features of a core.
        kernel_size: largest kernel width and height.
        strides: allowed strides.
        padding: largest padding.
        poolings: allowed sum-pooling factors of a destination.
        fan_out: destinations of a core.
        decimator_intervals: spikes of which one passes, by `output_decimator_interval`.
        sensor_size: width and height of the DVS.
        filter_size: largest width and height of the DVS noise filter's neighbourhood.
        weight_bits, potential_bits, bias_bits: signed integer widths.
        readout_counter_bits: unsigned width of the readout layer's counters and threshold.
        timestamp_bits: unsigned width of an event's time in µs.
    """

    input_size: int
    map_size: int
    features: int
    kernel_size: int
    strides: tuple[int, ...]
    padding: int
    poolings: tuple[int, ...]
    fan_out: int
    decimator_intervals: tuple[int, ...]
    sensor_size: int
    filter_size: int
    weight_bits: int
    potential_bits: int
    bias_bits: int
    readout_counter_bits: int
    timestamp_bits: int

    @property
    def weight_range(self) -> tuple[int, int]:
        """Lowest and highest weight."""
        return _signed(self.weight_bits)

    @property
    def potential_range(self) -> tuple[int, int]:
        """Lowest and highest membrane potential and threshold."""
        return _signed(self.potential_bits)

    @property
    def bias_range(self) -> tuple[int, int]:
        """Lowest and highest bias."""
        return _signed(self.bias_bits)


@dataclass(frozen=True)
class Board:
    """A board that carries the chip.

    Attributes:
        name: sinabs' name, such as `"speck2fdevkit"`.
        driver_type: the driver's type name, such as `"Speck2fDevKit"`.
        chip: name of the chip.
    """

    name: str
    driver_type: str
    chip: str


@dataclass(frozen=True)
class ChipDescription:
    """A chip of the Speck family.

    Attributes:
        name: such as `"speck2f"`; the name of its TOML file.
        cores: memories of the cores.
        limits: sizes and bit widths.
        readout_layer: destination number of the readout layer.
        dvs_layer: layer number of monitored DVS events.
        readout_windows: lengths of the readout's moving window, slow clock cycles.
        readout_classes: classes the readout layer can tell apart.
        clock_dividers: smallest and largest n of the internal slow clock, which ticks every
            `2**n` DVS events.
        parallel_cores: cores that compute in parallel.
        latency_one_core_us, latency_all_cores_us: published event latencies through one core, and
            through all in a row.
        idle_power_w: idle power by rail (`io`, `ram`, `logic`, `pixel_digital`,
            `pixel_analog`) and of the resting processor (`processor_resting`), in W.
        boards: boards that carry the chip, the usual one first.
        input_event: the driver's name of the chip's input events, in names of nodes.
        quantities: every number with unit, grade and source, by `"table.key"`.
    """

    name: str
    cores: tuple[CoreMemory, ...]
    limits: ChipLimits
    readout_layer: int
    dvs_layer: int
    readout_windows: tuple[int, ...]
    readout_classes: int
    clock_dividers: tuple[int, ...]
    parallel_cores: tuple[int, ...]
    latency_one_core_us: float
    latency_all_cores_us: float
    idle_power_w: Mapping[str, float]
    boards: tuple[Board, ...]
    input_event: str
    quantities: Mapping[str, Quantity]


def _signed(bits: int) -> tuple[int, int]:
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
