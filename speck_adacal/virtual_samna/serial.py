"""JSON of configuration objects and events.

The driver bundles the C++ library cereal, whose JSON archives have one root `value0` and the
C++ member names in camel case; that much is known of its layout (grade M). How tensors and
pairs look inside is not public: here a tensor is nested lists and a pair an object with x and y.
So files made here are for reading back here; no claim is made for the vendor's own files.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Protocol

from speck_adacal.errors import ConfigurationError
from speck_adacal.virtual_samna.fields import Array, Nested, Pair, Schema

ROOT = "value0"


class WithSchema(Protocol):
    """What can be written: an object whose fields a schema names (`objects.SchemaObject`)."""

    SCHEMA: ClassVar[Schema]
    QUALIFIED: ClassVar[str]


def camel(name: str) -> str:
    """`threshold_high` as `thresholdHigh`."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def dumps(item: WithSchema) -> str:
    """JSON text of `item` under the root key."""
    return json.dumps({ROOT: plain(item)}, indent=4)


def plain(item: Any) -> dict[str, Any]:
    """The fields of `item` as plain values with camel-case names."""
    result: dict[str, Any] = {}
    for name, kind in item.SCHEMA.items():
        value = getattr(item, name)
        if isinstance(kind, (Nested, Pair)):
            value = plain(value)
        elif isinstance(kind, Array):
            value = [plain(element) for element in value]
        result[camel(name)] = value
    return result


def loads(item: WithSchema, text: str) -> None:
    """Set every field of `item` from JSON text.

    Raises:
        ConfigurationError: the text is not JSON, or a field is missing, unknown or of a wrong kind;
            `item` is then as it was.
    """
    try:
        data = json.loads(text)
    except (TypeError, json.JSONDecodeError) as error:
        raise ConfigurationError(
            f"{item.QUALIFIED}.from_json needs JSON text made by to_json: {error}."
        ) from error
    if not isinstance(data, dict) or ROOT not in data:
        raise ConfigurationError(
            f"{item.QUALIFIED}.from_json needs an object with the key {ROOT!r}, as made by to_json."
        )
    fresh = type(item)()
    _fill(fresh, data[ROOT], item.QUALIFIED)
    for name in item.SCHEMA:
        setattr(item, name, getattr(fresh, name))


def _fill(item: Any, data: Any, where: str) -> None:
    schema: Schema = item.SCHEMA
    expected = {camel(name): name for name in schema}
    if not isinstance(data, dict) or set(data) != set(expected):
        found = sorted(data) if isinstance(data, dict) else type(data).__name__
        raise ConfigurationError(
            f"{where} in JSON needs exactly the keys {sorted(expected)}, found {found}."
        )
    for key, name in expected.items():
        kind, value = schema[name], data[key]
        if isinstance(kind, (Nested, Pair)):
            _fill(getattr(item, name), value, f"{where}.{name}")
        elif isinstance(kind, Array):
            if not isinstance(value, list) or len(value) != kind.length:
                raise ConfigurationError(f"{where}.{name} in JSON needs {kind.length} elements.")
            for i, element in enumerate(value):
                _fill(getattr(item, name)[i], element, f"{where}.{name}[{i}]")
        else:
            setattr(item, name, value)
