"""The event classes of `samna.speck2e.event` and `samna.speck2f.event` (samna contract, section 2).

Times are in µs of the board's stop watch, 32 bits. Attributes take numpy integers and 0-d
tensors and read back as Python ints.
"""

from __future__ import annotations

import operator
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from speck_adacal.virtual_samna.fields import (
    INT_RANGES,
    Bool,
    Evidence,
    FieldValueError,
    Int,
    Real,
    Schema,
)
from speck_adacal.virtual_samna.objects import SchemaObject, define

_M = Evidence("M")
_LAYER = Int("uint8")
_BYTE = Int("uint8")
_TIME = Int("uint32")
_ADDRESS = Int("uint32")
_PIXEL: Schema = {"y": _BYTE, "x": _BYTE}
_COUNTER: Schema = {"counter_data": Int("uint16", evidence=_M)}
_FLASH: Schema = {"address": Int("uint32", evidence=_M)}

EVENTS: dict[str, Schema] = {
    "Spike": {
        "layer": _LAYER,
        "feature": Int("uint16"),
        "y": _BYTE,
        "x": _BYTE,
        "timestamp": _TIME,
    },
    "DvsEvent": {"p": Bool(), "y": _BYTE, "x": _BYTE, "timestamp": _TIME},
    "ReadNeuronValue": {"layer": _LAYER, "address": _ADDRESS},
    "WriteNeuronValue": {"layer": _LAYER, "address": _ADDRESS, "neuron_state": Int("int16")},
    "NeuronValue": {"layer": _LAYER, "address": _ADDRESS, "neuron_state": Int("int16")},
    "ReadWeightValue": {"layer": _LAYER, "address": _ADDRESS},
    "WriteWeightValue": {"layer": _LAYER, "address": _ADDRESS, "weight": Int("int8")},
    "WeightValue": {"layer": _LAYER, "address": _ADDRESS, "weight": Int("int8")},
    "ReadBiasValue": {"layer": _LAYER, "address": _ADDRESS},
    "WriteBiasValue": {"layer": _LAYER, "address": _ADDRESS, "bias": Int("int16")},
    "BiasValue": {"layer": _LAYER, "address": _ADDRESS, "bias": Int("int16")},
    "ReadRegisterValue": {"address": Int("uint16")},
    "WriteRegisterValue": {"address": Int("uint16"), "data": _BYTE},
    "RegisterValue": {"address": Int("uint16"), "data": _BYTE},
    "ReadoutValue": {"value": Int("uint32", high=2**21 - 1)},
    "ReadoutPinValue": {"index": _BYTE, "timestamp": _TIME},
    "KillSensorPixel": dict(_PIXEL),
    "ResetSensorPixel": dict(_PIXEL),
    "InputInterfaceEvent": {"value": Int("uint16"), "msp": Bool(evidence=_M)},
    "ReadoutRequest": {},
    "AsiRequest": {},
    "OutputModeSel": {"mode_sel": Int("uint8", high=3)},
    "AverageSel": {"average_sel": Int("uint8", high=3)},
    "ReadFilterValue": dict(_PIXEL),
    "WriteFilterValue": {**_PIXEL, **_COUNTER},
    "FilterValue": {**_PIXEL, **_COUNTER},
    "FilterDvsEvent": {"p": Bool(), **_PIXEL},
    "FilterValueCurrent": dict(_COUNTER),
    "FilterValuePrevious": dict(_COUNTER),
    "SramValue": {"address": Int("uint16", evidence=_M), "data": Int("uint16", evidence=_M)},
    "IdCodeRequest": {},
    "IdCode": {"id": Int("uint32")},
    "ScanChainValue": {"value": Int("uint32", evidence=_M)},
    "FlashRead": dict(_FLASH),
    "FlashValue": {"address": Int("uint32", evidence=_M), "data": _BYTE},
    "FlashWrite": {"address": Int("uint32", evidence=_M), "data": _BYTE},
    "FlashErase": {"address": Int("uint32", evidence=_M), "type": Int("uint8", high=3)},
    "FlashSpiRaw": {"data": _BYTE},
    "FlashWriteEnable": {},
    "FlashQueryStatus": {},
    "FlashStatus": {"value": _BYTE},
}

OUTPUT_EVENTS = (
    "Spike",
    "DvsEvent",
    "InputInterfaceEvent",
    "NeuronValue",
    "BiasValue",
    "WeightValue",
    "RegisterValue",
    "ReadoutValue",
    "FilterValue",
    "SramValue",
    "FilterDvsEvent",
    "FilterValueCurrent",
    "FilterValuePrevious",
    "ScanChainValue",
    "IdCode",
    "FlashValue",
    "FlashSpiRaw",
    "FlashStatus",
    "ReadoutPinValue",
)
"""Order of the driver's output variant (public header of its event structures)."""

INPUT_EVENTS = (
    "Spike",
    "DvsEvent",
    "ReadNeuronValue",
    "WriteNeuronValue",
    "ReadWeightValue",
    "WriteWeightValue",
    "ReadBiasValue",
    "WriteBiasValue",
    "ReadRegisterValue",
    "WriteRegisterValue",
    "KillSensorPixel",
    "ResetSensorPixel",
    "ReadoutRequest",
    "AsiRequest",
    "OutputModeSel",
    "AverageSel",
    "ReadFilterValue",
    "WriteFilterValue",
    "IdCodeRequest",
    "FlashRead",
    "FlashWrite",
    "FlashErase",
    "FlashSpiRaw",
    "FlashWriteEnable",
    "FlashQueryStatus",
)

SPECKSIM: dict[str, Schema] = {
    "Spike": {"feature": _ADDRESS, "y": _ADDRESS, "x": _ADDRESS, "timestamp": _ADDRESS},
    "WeightedEvent": {
        "feature": _ADDRESS,
        "y": _ADDRESS,
        "x": _ADDRESS,
        "timestamp": _ADDRESS,
        "weight": Real(),
    },
}

MEASUREMENT: Schema = {"timestamp": _TIME, "channel": _BYTE, "value": Real()}
"""One power reading: µs, rail number (0 VDD_IO, 1 VDD_RAM, 2 VDD_LOGIC, 3 and 4 the pixels), W."""


class Event(SchemaObject):
    """Base of events: keyword or positional construction, quick writes and defaults."""

    __slots__ = ()
    FIELDS: ClassVar[tuple[str, ...]] = ()
    SETTERS: ClassVar[tuple[Callable[[Any, Any], None], ...]] = ()
    _DEFAULTS: ClassVar[tuple[tuple[Callable[[Any, Any], None], Any], ...]] = ()
    _RANGES: ClassVar[dict[str, tuple[Callable[[Any, Any], None], int, int]]] = {}

    def __init__(self, *args: Any, **values: Any) -> None:
        for write, default in self._DEFAULTS:
            write(self, default)
        if args:
            if len(args) > len(self.FIELDS):
                raise FieldValueError(
                    f"{self.QUALIFIED} takes at most {len(self.FIELDS)} values "
                    f"({', '.join(self.FIELDS)}), found {len(args)}."
                )
            for name, value in zip(self.FIELDS, args, strict=False):
                setattr(self, name, value)
        for name, value in values.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        found = self._RANGES.get(name)
        if found is not None:  # the quick way for integers in range; the rest is checked at length
            write, low, high = found
            try:
                number = operator.index(value)
            except TypeError:
                number = low - 1
            if low <= number <= high:
                write(self, number)
                return
        super().__setattr__(name, value)

    @classmethod
    def unchecked(cls, columns: Sequence[Sequence[Any]]) -> list[Any]:
        """Events from one sequence of plain values for each field, known to be in range."""
        new = object.__new__
        events = [new(cls) for _ in columns[0]] if columns else []
        for write, values in zip(cls.SETTERS, columns, strict=True):
            deque(map(write, events, values), maxlen=0)
        return events


def event_class(name: str, schema: Schema, module: str, qualified: str) -> type[Any]:
    """One event class."""
    cls = define(name, schema, module=module, qualified=qualified, family={}, base=Event)
    _prepare(cls)
    return cls


def _prepare(cls: Any) -> None:
    """Look up once what every write and every construction needs."""
    schema = cls.SCHEMA
    setters = {name: cls.__dict__[name].__set__ for name in schema}
    cls.FIELDS = tuple(sys.intern(name) for name in schema)
    cls.SETTERS = tuple(setters.values())
    cls._DEFAULTS = tuple((setters[name], kind.default) for name, kind in schema.items())
    cls._RANGES = {
        name: (setters[name], *INT_RANGES[kind.storage])
        for name, kind in schema.items()
        if isinstance(kind, Int)
    }


def event_classes(chip: str) -> dict[str, type[Any]]:
    """The event classes of `chip`, by name."""
    return {
        name: event_class(name, schema, f"samna.{chip}.event", f"{chip}::event::{name}")
        for name, schema in EVENTS.items()
    }


def specksim_events() -> dict[str, type[Any]]:
    """`Spike` and `WeightedEvent` of `samna.specksim.events`."""
    return {
        name: event_class(name, schema, "samna.specksim.events", f"specksim::events::{name}")
        for name, schema in SPECKSIM.items()
    }
