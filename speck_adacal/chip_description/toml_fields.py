"""The quantities of a chip's TOML file, each checked by its type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from speck_adacal.chip_description.description import Quantity
from speck_adacal.errors import ConfigurationError
from speck_adacal.validation import from_data


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
        found = self.checked(key, Quantity)
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
