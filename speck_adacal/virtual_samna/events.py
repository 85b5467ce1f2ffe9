"""The event classes of `samna.speck2e.event` and `samna.speck2f.event` (samna contract, section 2).

Times are in µs of the board's stop watch, 32 bits. Attributes take numpy integers and 0-d
tensors and read back as Python ints.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

from speck_adacal.virtual_samna.fields import Bool, Evidence, FieldValueError, Int, Real, Schema
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
    """Base of events: keyword or positional construction, quick defaults."""

    __slots__ = ()
    FIELDS: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *args: Any, **values: Any) -> None:
        for name, kind in self.SCHEMA.items():
            object.__setattr__(self, name, kind.default)  # type: ignore[union-attr]
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

    @classmethod
    def unchecked(cls, values: tuple[Any, ...]) -> Any:
        """An event from plain values in field order that are known to be in range."""
        event = object.__new__(cls)
        for name, value in zip(cls.FIELDS, values, strict=True):
            object.__setattr__(event, name, value)
        return event


def event_class(name: str, schema: Schema, module: str, qualified: str) -> type[Any]:
    """One event class."""
    cls = define(name, schema, module=module, qualified=qualified, family={}, base=Event)
    cls.FIELDS = tuple(sys.intern(field) for field in schema)
    return cls


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
