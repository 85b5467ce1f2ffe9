"""Chip descriptions from `chip_configs/*.toml`."""

from __future__ import annotations

import sys
from functools import lru_cache
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
from speck_adacal.validation import (
    Count,
    CountOrZero,
    OneOrMore,
    PositiveOrZero,
    Text,
    a_list_of,
)

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
    path = resource_path(_FOLDER, f"{name}.toml")
    return _read_once(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read_once(path: Path, changed_ns: int) -> ChipDescription:
    return read_chip_description(path)


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
    name = fields.checked("chip.name", Text)
    each_core = a_list_of(Count, fields.value("chip.cores", Count))
    memories = [fields.value(f"memories.{kind}", each_core) for kind in CoreMemory.__annotations__]
    return ChipDescription(
        name=name,
        cores=tuple(CoreMemory(*words) for words in zip(*memories, strict=True)),
        limits=_limits(fields),
        readout_layer=fields.value("routing.readout_layer", Count),
        dvs_layer=fields.value("routing.dvs_layer", Count),
        readout_windows=fields.value("routing.readout_windows", OneOrMore[Count]),
        readout_classes=fields.value("routing.readout_classes", Count),
        clock_dividers=fields.value("routing.clock_dividers", a_list_of(Count, 2)),
        parallel_cores=fields.value("routing.parallel_cores", OneOrMore[CountOrZero]),
        latency_one_core_us=fields.value("latency.one_core_us", PositiveOrZero),
        latency_all_cores_us=fields.value("latency.all_cores_us", PositiveOrZero),
        idle_power_w={
            rail: fields.value(f"power.{rail}_w", PositiveOrZero)
            for rail in (*RAILS, "processor_resting")
        },
        boards=_boards(fields, name),
        input_event=fields.value("boards.input_event", Text),
        quantities=fields.quantities,
    )


def _boards(fields: Fields, chip: str) -> tuple[Board, ...]:
    names = fields.value("boards.names", OneOrMore[Text])
    types = fields.value("boards.driver_types", a_list_of(Text, len(names)))
    return tuple(Board(name, kind, chip) for name, kind in zip(names, types, strict=True))


def _limits(fields: Fields) -> ChipLimits:
    whole = ("input_size", "map_size", "features", "kernel_size", "padding", "fan_out")
    bits = ("weight", "potential", "bias", "readout_counter", "timestamp")
    return ChipLimits(
        strides=fields.value("limits.strides", OneOrMore[Count]),
        poolings=fields.value("limits.poolings", OneOrMore[Count]),
        decimator_intervals=fields.value("limits.decimator_intervals", a_list_of(Count, 8)),
        **{
            name: fields.value(f"limits.{name}", Count)
            for name in (*whole, "sensor_size", "filter_size")
        },
        **{f"{name}_bits": fields.value(f"bits.{name}", Count) for name in bits},
    )
