"""Typed access to the quantities of a chip's TOML file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from speck_adacal.chip_description.description import Quantity
from speck_adacal.errors import ConfigurationError


class Fields:
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

    def integers(self, key: str, length: int | None = None, *, least: int = 1) -> tuple[int, ...]:
        kind = "positive whole numbers" if least else "whole numbers that are not negative"
        return self._several(key, length, lambda v: _is_count(v, least), kind)

    def texts(self, key: str, length: int | None = None) -> tuple[str, ...]:
        return self._several(key, length, lambda v: isinstance(v, str) and bool(v), "texts")

    def text(self, key: str) -> str:
        value = self.quantity(key).value
        if not isinstance(value, str) or not value:
            raise self.fail(key, value, "a text")
        return value

    def _several(
        self, key: str, length: int | None, fits: Callable[[Any], bool], kind: str
    ) -> tuple[Any, ...]:
        value = self.quantity(key).value
        good = isinstance(value, tuple) and len(value) > 0 and all(fits(v) for v in value)
        if not good or (length is not None and len(value) != length):
            count = "" if length is None else f" of {length}"
            raise self.fail(key, value, f"a list{count} of {kind}")
        return tuple(value)

    def number(self, key: str) -> float:
        value = self.quantity(key).value
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self.fail(key, value, "a number that is not negative")
        return float(value)


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
