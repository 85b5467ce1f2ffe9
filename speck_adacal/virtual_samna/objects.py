"""Objects with a frozen schema: the base of configuration classes and events.

Fields are slots (reads cost nothing), writes go through the field's coercion, and a name that
is not in the schema is an error. Objects have value semantics: assigning one copies it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from speck_adacal.virtual_samna import serial
from speck_adacal.virtual_samna.fields import (
    Array,
    FieldValueError,
    Kind,
    Nested,
    Pair,
    Schema,
    Tensor,
    UnknownFieldError,
)


class SchemaObject:
    """An object whose fields are given by `SCHEMA`; see the module."""

    __slots__ = ()
    SCHEMA: ClassVar[Schema] = {}
    FAMILY: ClassVar[Mapping[str, type[Any]]] = {}
    QUALIFIED: ClassVar[str] = ""

    def __init__(self, **values: Any) -> None:
        for name, kind in self.SCHEMA.items():
            object.__setattr__(self, _slot(name, kind), self._default(kind))
        for name, value in values.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        kind = self.SCHEMA.get(name)
        if kind is None:
            raise UnknownFieldError(
                f"{self.QUALIFIED} has no field {name!r}; it has {', '.join(self.SCHEMA)}."
            )
        object.__setattr__(self, _slot(name, kind), self._coerce(name, kind, value))

    def __getattr__(self, name: str) -> Any:  # reached only when a name is not there
        raise AttributeError(
            f"{type(self).QUALIFIED} has no field {name!r}; it has {', '.join(type(self).SCHEMA)}."
        )

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_equal(getattr(self, n), getattr(other, n)) for n in self._slots())

    __hash__ = None  # type: ignore[assignment]  # mutable values

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={_short(getattr(self, name))}" for name in self.SCHEMA)
        return f"{self.QUALIFIED}({inner})"

    def __copy__(self) -> SchemaObject:
        copied: SchemaObject = self._clone()
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> SchemaObject:
        copied: SchemaObject = self._clone()
        return copied

    def __reduce__(self) -> Any:
        return (_rebuild, (type(self).__module__, type(self).__qualname__, self.to_json()))

    def to_json(self) -> str:
        """This object as JSON; the layout follows what is known of the driver's (see docs)."""
        return serial.dumps(self)

    def from_json(self, text: str) -> None:
        """Replace every field by what `text`, made by `to_json`, says."""
        serial.loads(self, text)

    @classmethod
    def _slots(cls) -> Iterator[str]:
        return (_slot(name, kind) for name, kind in cls.SCHEMA.items())

    def _default(self, kind: Kind) -> Any:
        if isinstance(kind, Nested):
            return self.FAMILY[kind.type_name]()
        if isinstance(kind, Array):
            return FixedArray(self.FAMILY[kind.type_name], kind.length)
        if isinstance(kind, Pair):
            return self.FAMILY[kind.type_name](*kind.default)
        return kind.default

    def _coerce(self, name: str, kind: Kind, value: Any) -> Any:
        where = f"{self.QUALIFIED}.{name}"
        if isinstance(kind, Nested):
            return build(self.FAMILY[kind.type_name], where, value)
        if isinstance(kind, Array):
            return FixedArray(self.FAMILY[kind.type_name], kind.length, where, value)
        if isinstance(kind, Pair):
            return as_pair(self.FAMILY[kind.type_name], where, value)
        return kind.coerce(where, value)

    def _clone(self) -> Any:
        twin = object.__new__(type(self))
        for slot in self._slots():
            value = getattr(self, slot)
            if isinstance(value, (SchemaObject, FixedArray)):
                value = value._clone()
            elif isinstance(value, list):
                value = list(value)
            object.__setattr__(twin, slot, value)  # arrays are never changed in place
        return twin


class FixedArray(Sequence[Any]):
    """A fixed number of objects of one class, like a C++ `std::array` of them."""

    __slots__ = ("_items", "_type")

    def __init__(
        self, item_type: type[SchemaObject], length: int, where: str = "", values: Any = None
    ) -> None:
        self._type = item_type
        if values is None:
            self._items = [item_type() for _ in range(length)]
            return
        if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
            raise FieldValueError(f"{where} takes a sequence of {length} objects.")
        items = list(values)
        if len(items) != length:
            raise FieldValueError(f"{where} takes exactly {length} objects, found {len(items)}.")
        self._items = [build(item_type, f"{where}[{i}]", item) for i, item in enumerate(items)]

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __setitem__(self, index: int, value: Any) -> None:
        self._items[index] = build(self._type, f"{self._type.QUALIFIED}[{index}]", value)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (FixedArray, list, tuple)):
            return list(self._items) == list(other)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._items)

    def _clone(self) -> FixedArray:
        return FixedArray(self._type, len(self), values=self._items)


def define(
    name: str,
    schema: Schema,
    *,
    module: str,
    qualified: str,
    family: Mapping[str, type[SchemaObject]],
    base: type[SchemaObject] = SchemaObject,
    doc: str = "",
) -> type[Any]:
    """A class `name` with the given schema; `family` resolves the names of nested classes."""
    body: dict[str, Any] = {
        "__slots__": tuple(_slot(n, kind) for n, kind in schema.items()),
        "__module__": module,
        "__doc__": doc or f"{qualified}: {', '.join(schema)}.",
        "SCHEMA": dict(schema),
        "FAMILY": family,
        "QUALIFIED": qualified,
    }
    for field, kind in schema.items():
        if isinstance(kind, Tensor):
            body[field] = property(_tensor_reader(f"_{field}"), doc=f"Axes {list(kind.axes)}.")
    return type(name, (base,), body)


def build(cls: type[Any], where: str, value: Any) -> Any:
    """An object of `cls` from another one (copied) or from a nested mapping."""
    if isinstance(value, cls):
        return value._clone()
    if isinstance(value, Mapping):
        fresh = cls()
        for key, item in value.items():
            if key not in cls.SCHEMA:
                raise UnknownFieldError(
                    f"{where} has no field {key!r}; it has {', '.join(cls.SCHEMA)}."
                )
            setattr(fresh, key, item)
        return fresh
    raise FieldValueError(
        f"{where} takes a {cls.QUALIFIED} or a dict of its fields, found {type(value).__name__}."
    )


def as_pair(cls: type[Any], where: str, value: Any) -> Any:
    """An x, y pair from a pair object, a mapping with x and y, or a sequence of two."""
    if isinstance(value, cls):
        return value._clone()
    if isinstance(value, Mapping):
        return build(cls, where, value)
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return cls(*value)
    if hasattr(type(value), "x") and hasattr(type(value), "y"):
        return cls(value.x, value.y)
    raise FieldValueError(f"{where} takes a pair {{'x': .., 'y': ..}}, found {value!r}.")


def tensor_of(item: SchemaObject, name: str) -> np.ndarray[Any, Any]:
    """The array behind a tensor field, without the copy into lists; do not change it."""
    array: np.ndarray[Any, Any] = getattr(item, f"_{name}")
    return array


def _slot(name: str, kind: Kind) -> str:
    return f"_{name}" if isinstance(kind, Tensor) else name


def _tensor_reader(slot: str) -> Callable[[SchemaObject], Any]:
    def read(self: SchemaObject) -> Any:
        array = getattr(self, slot)
        return array.tolist() if array.size else []

    return read


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return bool(np.array_equal(a, b))
    return bool(a == b)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _rebuild(module: str, name: str, text: str) -> Any:
    import importlib

    fresh = getattr(importlib.import_module(module), name)()
    fresh.from_json(text)
    return fresh
