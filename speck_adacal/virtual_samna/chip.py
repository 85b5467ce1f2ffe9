"""Everything that belongs to one chip: its classes, its nodes, its checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import BackendError
from speck_adacal.virtual_samna import configuration_checks
from speck_adacal.virtual_samna.configuration import configuration_classes
from speck_adacal.virtual_samna.events import INPUT_EVENTS, OUTPUT_EVENTS, event_classes
from speck_adacal.virtual_samna.fields import FieldValueError
from speck_adacal.virtual_samna.graph.nodes import sink_class, source_class


@dataclass(frozen=True, eq=False)
class ChipFamily:
    """The classes of one chip.

    Attributes:
        name: such as "speck2f".
        configuration: configuration classes by name.
        events: event classes by name.
        nodes: the basic source and sink node classes by their full name.
    """

    name: str
    configuration: Mapping[str, Any]
    events: Mapping[str, Any]
    nodes: Mapping[str, Any]

    @property
    def sensor_size(self) -> int:
        """Width and height of the sensor."""
        return load_chip_description(self.name).limits.sensor_size

    @property
    def input_events(self) -> tuple[Any, ...]:
        """Classes that the chip takes."""
        return tuple(self.events[name] for name in INPUT_EVENTS)

    @property
    def public_events(self) -> dict[str, Any]:
        """Names of the `event` module: the classes and the two variants."""
        return {
            **self.events,
            "InputEvent": self.input_events,
            "OutputEvent": tuple(self.events[name] for name in OUTPUT_EVENTS),
        }

    @property
    def validate_configuration(self) -> Callable[[Any], tuple[bool, str]]:
        """`samna.<chip>.validate_configuration`."""

        def validate_configuration(config: Any) -> tuple[bool, str]:
            """Whether the chip can hold `config`, and every reason why not, one a line."""
            self.require_configuration("validate_configuration", config)
            return configuration_checks.validate(config, self.name)

        return validate_configuration

    @property
    def configuration_to_flash_binary(self) -> Callable[[Any], list[int]]:
        """`samna.<chip>.configuration_to_flash_binary`."""

        def configuration_to_flash_binary(config: Any) -> list[int]:
            """Refused: the byte layout of the flash is not public.

            Raises:
                BackendError: always, once `config` is known to be a configuration.
            """
            self.require_configuration("configuration_to_flash_binary", config)
            raise BackendError(
                "The layout of the flash binary is not public, so the virtual samna cannot make "
                "one; run this with the vendor's samna library installed."
            )

        return configuration_to_flash_binary

    def require_configuration(self, where: str, config: Any) -> None:
        """Refuse what is not a configuration of this chip."""
        expected = self.configuration["SpeckConfiguration"]
        if not isinstance(config, expected):
            found = getattr(type(config), "QUALIFIED", type(config).__name__)
            raise FieldValueError(
                f"samna.{self.name}.{where} takes a {expected.QUALIFIED}, found {found}."
            )


@cache
def family(name: str) -> ChipFamily:
    """The classes of a chip; the same objects at every call."""
    events = event_classes(name)
    taken = tuple(events[event] for event in INPUT_EVENTS)
    source = f"BasicSourceNode_{load_chip_description(name).input_event}"
    sink = f"BasicSinkNode_{name}_event_output_event"
    nodes = {source: source_class(source, taken), sink: sink_class(sink)}
    nodes[f"BasicSourceNode_{name}_event_input_event"] = nodes[source]
    return ChipFamily(name, configuration_classes(name), events, nodes)
