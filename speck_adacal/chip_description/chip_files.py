"""Chip descriptions from `chip_configs/*.toml`."""

from __future__ import annotations

import sys
from pathlib import Path

from speck_adacal.chip_description.description import (
    RAILS,
    Board,
    ChipDescription,
    ChipLimits,
    CoreMemory,
)
from speck_adacal.chip_description.toml_fields import Fields
from speck_adacal.errors import ConfigurationError
from speck_adacal.resources import resource_names, resource_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = "chip_configs"
DEFAULT_CHIP = "speck2f"
"""The chip that is meant where none is named."""


def known_chips() -> tuple[str, ...]:
    """Names of the shipped chip descriptions, the default one first."""
    names = [name.removesuffix(".toml") for name in resource_names(_FOLDER, ".toml")]
    return tuple(sorted(names, key=lambda name: (name != DEFAULT_CHIP, name)))


def known_boards() -> dict[str, Board]:
    """The boards of all chips by sinabs' name; each chip's usual board comes first."""
    chips = [load_chip_description(name) for name in known_chips()]
    return {board.name: board for chip in chips for board in chip.boards}


def usual_board(chip: str) -> str:
    """sinabs' name of the board that one usually has for a chip."""
    return load_chip_description(chip).boards[0].name


def load_chip_description(name: str = DEFAULT_CHIP) -> ChipDescription:
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
    return _description(Fields(path, table))


def _description(fields: Fields) -> ChipDescription:
    chip = fields.table.get("chip")
    name = chip.get("name") if isinstance(chip, dict) else None
    if not isinstance(name, str) or not name:
        raise fields.fail("chip.name", name, "a text")
    count = fields.integer("chip.cores")
    memories = [fields.integers(f"memories.{kind}", count) for kind in ("kernel", "neuron", "bias")]
    return ChipDescription(
        name=name,
        cores=tuple(CoreMemory(*words) for words in zip(*memories, strict=True)),
        limits=_limits(fields),
        readout_layer=fields.integer("routing.readout_layer"),
        dvs_layer=fields.integer("routing.dvs_layer"),
        readout_windows=fields.integers("routing.readout_windows"),
        readout_classes=fields.integer("routing.readout_classes"),
        clock_dividers=fields.integers("routing.clock_dividers", 2),
        parallel_cores=fields.integers("routing.parallel_cores", least=0),
        latency_one_core_us=fields.number("latency.one_core_us"),
        latency_all_cores_us=fields.number("latency.all_cores_us"),
        idle_power_w={
            rail: fields.number(f"power.{rail}_w") for rail in (*RAILS, "processor_resting")
        },
        boards=_boards(fields, name),
        input_event=fields.text("boards.input_event"),
        quantities=fields.quantities,
    )


def _boards(fields: Fields, chip: str) -> tuple[Board, ...]:
    names = fields.texts("boards.names")
    types = fields.texts("boards.driver_types", len(names))
    return tuple(Board(name, kind, chip) for name, kind in zip(names, types, strict=True))


def _limits(fields: Fields) -> ChipLimits:
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
        filter_size=fields.integer("limits.filter_size"),
        weight_bits=fields.integer("bits.weight"),
        potential_bits=fields.integer("bits.potential"),
        bias_bits=fields.integer("bits.bias"),
        readout_counter_bits=fields.integer("bits.readout_counter"),
        timestamp_bits=fields.integer("bits.timestamp"),
    )
