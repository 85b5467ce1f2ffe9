"""Typed access to the fields of a configuration object, by attribute name only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import ConfigurationError
from speck_adacal.twin.program import Pair


class _Nothing:
    """Stands for an optional part that the configuration object does not have."""


_NOTHING = _Nothing()


class FieldReader:
    """Typed access to the attributes of one configuration object."""

    def __init__(self, target: Any, path: str) -> None:
        self.target = target
        self.path = path

    def name(self, attribute: str) -> str:
        """The field as messages name it, from the configuration down."""
        return f"{self.path}.{attribute}" if self.path else attribute

    def raw(self, attribute: str, default: Any = None) -> Any:
        """The field as it is; a `ConfigurationError` where it is missing without a default."""
        try:
            return getattr(self.target, attribute)
        except AttributeError:
            if default is not None:
                return default
        raise ConfigurationError(
            f"The chip configuration has no field {self.name(attribute)}; "
            "pass an object with the fields of samna's SpeckConfiguration."
        )

    def child(self, attribute: str) -> FieldReader:
        """A part of the object; one that is missing has no fields."""
        return FieldReader(self.raw(attribute, _NOTHING), self.name(attribute))

    def sequence(self, attribute: str, length: int) -> list[FieldReader]:
        """A list of exactly `length` parts."""
        try:
            items = list(self.raw(attribute))
        except TypeError:
            items = []
        if len(items) != length:
            raise self.invalid(attribute, f"{len(items)} items", f"{length} items")
        return [FieldReader(item, f"{self.name(attribute)}[{i}]") for i, item in enumerate(items)]

    def integer(self, attribute: str, default: int | None = None) -> int:
        """A whole number."""
        value = self.raw(attribute, default)
        try:
            number = int(value)
            whole = bool(number == value)
        except (TypeError, ValueError, OverflowError):
            whole = False
        if not whole:
            raise self.invalid(attribute, repr(value), "a whole number")
        return number

    def flag(self, attribute: str, default: bool | None = None) -> bool:
        """True or False; 0 and 1 will do."""
        value = self.integer(attribute, default)
        if value not in (0, 1):
            raise self.invalid(attribute, repr(value), "True or False")
        return bool(value)

    def pair(self, attribute: str, default: Pair | None = None) -> Pair:
        """An x/y pair, as `(y, x)`."""
        if default is not None and not hasattr(self.target, attribute):
            return default
        child = self.child(attribute)
        return child.integer("y"), child.integer("x")

    def tensor(self, attribute: str, dtype: type[np.signedinteger]) -> npt.NDArray[Any]:
        """A nested list or array of integers that must fit `dtype`."""
        try:
            array = np.asarray(self.raw(attribute))
        except ValueError:
            raise self.invalid(attribute, "lists of different lengths", "a regular array") from None
        if array.size == 0:
            return np.zeros(array.shape, dtype=dtype)
        if array.dtype.kind not in "iufb" or not np.array_equal(array, np.trunc(array)):
            raise self.invalid(attribute, f"values of type {array.dtype}", "whole numbers")
        limits = np.iinfo(dtype)
        bad = (array < limits.min) | (array > limits.max)
        if bad.any():
            where = tuple(int(i) for i in np.argwhere(bad)[0])
            found = f"{array[where]} at {list(where)}"
            raise self.invalid(attribute, found, f"{limits.min} to {limits.max}")
        return np.ascontiguousarray(array, dtype=dtype)

    def invalid(self, attribute: str, found: str, allowed: str) -> ConfigurationError:
        """The error for a field of a wrong value."""
        return ConfigurationError(
            f"The chip configuration has {self.name(attribute)} = {found}, allowed is {allowed}; "
            "correct this field."
        )
