"""The quantities of a chip's TOML file, each checked by its type."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from speck_adacal.chip_description.description import (
    RAILS,
    Board,
    ChipDescription,
    ChipLimits,
    CoreMemory,
    Quantity,
)
from speck_adacal.errors import ConfigurationError
from speck_adacal.validation import (
    Count,
    CountOrZero,
    OneOrMore,
    PositiveOrZero,
    Text,
    a_list_of,
    checked,
    from_data,
    one_of,
)


@checked
class _Stated:
    """A number as it stands in a file."""

    value: Any
    unit: Text
    grade: Annotated[str, one_of("H", "M", "L")]
    source: Text


class Fields:
    """What stands in one file, with errors that name file and field.

    Attributes:
        quantities: what was read so far, by `"table.key"`.
    """

    def __init__(self, path: Path, table: dict[str, Any]) -> None:
        self._path = path
        self._table = table
        self.quantities: dict[str, Quantity] = {}

    def value(self, key: str, hint: Any) -> Any:
        """The value of a quantity, of the type `hint`, as `validation` has them.

        Raises:
            ConfigurationError: it is missing, lacks unit, grade or source, or is of another type.
        """
        found = self.checked(key, _Stated)
        value = self.checked(key, hint, found.value)
        self.quantities[key] = Quantity(value, found.unit, found.grade, found.source)
        return value

    def checked(self, key: str, hint: Any, found: Any = None) -> Any:
        """What stands at a key, or the value that was found there, as `hint`."""
        data = self._at(key) if found is None else found
        where = f"The chip description {self._path}: {key}"
        return from_data(hint, data, where, ConfigurationError, "correct the field")

    def _at(self, key: str) -> Any:
        entry: Any = self._table
        for part in key.split("."):
            entry = entry.get(part) if isinstance(entry, dict) else None
        return entry


def description_of(fields: Fields) -> ChipDescription:
    """The chip that a file describes."""
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
