"""What a chip is: memories, limits, bit widths, latency and idle power, from `chip_configs/*.toml`.

Each number stands once, in the TOML file of its chip, with unit, source and grade.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speck_adacal.errors import ConfigurationError
from speck_adacal.resources import resource_names, resource_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = "chip_configs"


@dataclass(frozen=True)
class Quantity:
    """One number of a chip description.

    Attributes:
        value: number, or tuple of numbers.
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
        weight_bits, potential_bits, bias_bits: signed integer widths.
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
    weight_bits: int
    potential_bits: int
    bias_bits: int
    timestamp_bits: int


@dataclass(frozen=True)
class ChipDescription:
    """A chip of the Speck family.

    Attributes:
        name: `"speck2e"` or `"speck2f"`.
        cores: memories of the nine cores.
        limits: sizes and bit widths.
        readout_layer: destination number of the readout layer.
        dvs_layer: layer number of monitored DVS events.
        readout_windows: lengths of the readout's moving window, slow clock cycles.
        readout_classes: classes the readout layer can tell apart.
        clock_dividers: smallest and largest n of the internal slow clock, which ticks every
            `2**n` DVS events.
        latency_one_core_us, latency_nine_cores_us: published event latencies.
        idle_power_w: idle power by rail (`io`, `ram`, `logic`, `pixel_digital`,
            `pixel_analog`) and of the resting processor (`processor_resting`), in W.
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
    latency_one_core_us: float
    latency_nine_cores_us: float
    idle_power_w: Mapping[str, float]
    quantities: Mapping[str, Quantity]


def known_chips() -> tuple[str, ...]:
    """Names of the shipped chip descriptions."""
    return tuple(name.removesuffix(".toml") for name in resource_names(_FOLDER, ".toml"))


def load_chip_description(name: str = "speck2f") -> ChipDescription:
    """The description of a shipped chip.

    Raises:
        ConfigurationError: the chip is not known, or its file is damaged.
    """
    if name not in known_chips():
        raise ConfigurationError(
            f"The chip {name!r} is not known; choose one of {', '.join(known_chips())}."
        )
    return read_chip_description(resource_path(_FOLDER, f"{name}.toml"))


def read_chip_description(path: Path) -> ChipDescription:
    """Read a chip description from a TOML file laid out like those in `chip_configs/`.

    Raises:
        ConfigurationError: the file is no TOML, or a field is missing or of the wrong type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"The chip description {path} cannot be read ({error}); restore the shipped file."
        ) from error
    return _description(_Fields(path, table))


class _Fields:
    """Typed access to the quantities of one file, with errors that name file and field."""

    def __init__(self, path: Path, table: dict[str, Any]) -> None:
        self.path = path
        self.table = table
        self.quantities: dict[str, Quantity] = {}

    def fail(self, key: str, found: object, wanted: str) -> ConfigurationError:
        return ConfigurationError(
            f"The chip description {self.path} has {key} = {found!r}, but needs {wanted}; "
            "correct the field."
        )

    def quantity(self, key: str) -> Quantity:
        entry: Any = self.table
        for part in key.split("."):
            entry = entry.get(part) if isinstance(entry, dict) else None
        names = ("value", "unit", "grade", "source")
        if not isinstance(entry, dict) or set(entry) != set(names):
            raise self.fail(key, entry, "a table with value, unit, grade and source")
        for name in names[1:]:
            if not isinstance(entry[name], str) or not entry[name]:
                raise self.fail(f"{key}.{name}", entry[name], "a text")
        if entry["grade"] not in ("H", "M", "L"):
            raise self.fail(f"{key}.grade", entry["grade"], "H, M or L")
        value = tuple(entry["value"]) if isinstance(entry["value"], list) else entry["value"]
        self.quantities[key] = Quantity(value, entry["unit"], entry["grade"], entry["source"])
        return self.quantities[key]

    def integer(self, key: str) -> int:
        value = self.quantity(key).value
        if not _is_count(value):
            raise self.fail(key, value, "a positive whole number")
        return int(value)

    def integers(self, key: str, length: int | None = None) -> tuple[int, ...]:
        value = self.quantity(key).value
        good = isinstance(value, tuple) and len(value) > 0 and all(_is_count(v) for v in value)
        if not good or (length is not None and len(value) != length):
            count = "" if length is None else f" of {length}"
            raise self.fail(key, value, f"a list{count} of positive whole numbers")
        return tuple(int(v) for v in value)

    def number(self, key: str) -> float:
        value = self.quantity(key).value
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self.fail(key, value, "a number that is not negative")
        return float(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _description(fields: _Fields) -> ChipDescription:
    chip = fields.table.get("chip")
    name = chip.get("name") if isinstance(chip, dict) else None
    if not isinstance(name, str) or not name:
        raise fields.fail("chip.name", name, "a text")
    count = fields.integer("chip.cores")
    memories = [fields.integers(f"memories.{kind}", count) for kind in ("kernel", "neuron", "bias")]
    rails = ("io", "ram", "logic", "pixel_digital", "pixel_analog", "processor_resting")
    return ChipDescription(
        name=name,
        cores=tuple(CoreMemory(*words) for words in zip(*memories, strict=True)),
        limits=_limits(fields),
        readout_layer=fields.integer("routing.readout_layer"),
        dvs_layer=fields.integer("routing.dvs_layer"),
        readout_windows=fields.integers("routing.readout_windows"),
        readout_classes=fields.integer("routing.readout_classes"),
        clock_dividers=fields.integers("routing.clock_dividers", 2),
        latency_one_core_us=fields.number("latency.one_core_us"),
        latency_nine_cores_us=fields.number("latency.nine_cores_us"),
        idle_power_w={rail: fields.number(f"power.{rail}_w") for rail in rails},
        quantities=fields.quantities,
    )


def _limits(fields: _Fields) -> ChipLimits:
    return ChipLimits(
        input_size=fields.integer("limits.input_size"),
        map_size=fields.integer("limits.map_size"),
        features=fields.integer("limits.features"),
        kernel_size=fields.integer("limits.kernel_size"),
        strides=fields.integers("limits.strides"),
        padding=fields.integer("limits.padding"),
        poolings=fields.integers("limits.poolings"),
        fan_out=fields.integer("limits.fan_out"),
        decimator_intervals=fields.integers("limits.decimator_intervals", 8),
        sensor_size=fields.integer("limits.sensor_size"),
        weight_bits=fields.integer("bits.weight"),
        potential_bits=fields.integer("bits.potential"),
        bias_bits=fields.integer("bits.bias"),
        timestamp_bits=fields.integer("bits.timestamp"),
    )


def kernel_memory_words(in_features: int, out_features: int, kernel_size: tuple[int, int]) -> int:
    """Kernel memory a core needs, in words of 8 bits.

    `c * 2**(ceil(log2(ky * kx)) + ceil(log2(f)))` (sinabs docs, speck/overview; the same as
    sinabs' `DynapcnnLayer.memory_summary`).

    Args:
        in_features: input features, c.
        out_features: output features, f.
        kernel_size: `(ky, kx)`.
    """
    taps = _log2_ceil("kernel_size", kernel_size[0] * kernel_size[1])
    outputs = _log2_ceil("out_features", out_features)
    return _positive("in_features", in_features) * 2 ** (taps + outputs)


def neuron_memory_words(features: int, height: int, width: int) -> int:
    """Neuron memory a core needs, in words of 16 bits.

    `f * 2**(ceil(log2(height)) + ceil(log2(width)))` (sinabs docs, speck/overview).

    Args:
        features: output features, f.
        height: rows of the neuron map, before pooling.
        width: columns of the neuron map, before pooling.
    """
    rows, columns = _log2_ceil("height", height), _log2_ceil("width", width)
    return _positive("features", features) * 2 ** (rows + columns)


def core_memory_use(
    in_features: int,
    out_shape: tuple[int, int, int],
    kernel_size: tuple[int, int],
    *,
    has_bias: bool = False,
) -> CoreMemory:
    """Memory that a convolution with its neurons needs on a core.

    Args:
        in_features: input features.
        out_shape: `(features, height, width)` of the neuron map, before pooling.
        kernel_size: `(ky, kx)`.
        has_bias: whether biases (leak) are stored, one word a feature.

    Raises:
        ConfigurationError: a size is below 1.
    """
    features, height, width = out_shape
    return CoreMemory(
        kernel=kernel_memory_words(in_features, features, kernel_size),
        neuron=neuron_memory_words(features, height, width),
        bias=features if has_bias else 0,
    )


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise ConfigurationError(
            f"A core's {name} is {value}, but must be at least 1; give the layer's true size."
        )
    return value


def _log2_ceil(name: str, value: int) -> int:
    return (_positive(name, value) - 1).bit_length()
