"""Kinds of fields that configuration objects and events are made of, and their coercions.

A kind knows what a C++ field of that type accepts from Python (ints from anything with
`__index__`, bools from 0-d tensors, tensors from nested lists or arrays), and refuses the rest
with a message that names the field, the value found and the range allowed. Values outside the
*chip's* limits, but inside the storage type, are accepted here and refused by
`validate_configuration`, as a driver does that keeps plain numbers.

torch is never imported: its tensors are understood through the array protocol.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import ConfigurationError

INT_RANGES: dict[str, tuple[int, int]] = {
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint8": (0, 2**8 - 1),
    "uint16": (0, 2**16 - 1),
    "uint32": (0, 2**32 - 1),
}


class FieldValueError(ConfigurationError, TypeError):
    """A value does not fit a field: wrong type or out of range (a TypeError and a ValueError)."""


class UnknownFieldError(ConfigurationError, AttributeError, TypeError):
    """A configuration object or event has no such field (an AttributeError and a TypeError)."""


@dataclass(frozen=True)
class Evidence:
    """How sure a field's default is: grade H, M, L or ?, and a note (samna contract, section 0)."""

    grade: str = "H"
    note: str = ""


@dataclass(frozen=True)
class Bool:
    """A C++ bool; reads back as a Python bool."""

    default: bool = False
    evidence: Evidence = Evidence()

    def coerce(self, where: str, value: Any) -> bool:
        """`value` as a bool; numbers and 0-d tensors are understood, None and strings refused."""
        if value is True or value is False:
            return value
        if value is not None and hasattr(type(value), "__bool__"):
            try:
                return bool(value)
            except (RuntimeError, ValueError):  # a tensor or array of several elements
                pass
        raise FieldValueError(f"{where} takes True or False, found {_shown(value)}.")


@dataclass(frozen=True)
class Int:
    """A C++ integer of `storage` width; `low`, `high` or `choices` are the chip's own limits."""

    storage: str
    default: int = 0
    low: int | None = None
    high: int | None = None
    choices: tuple[int, ...] = ()
    evidence: Evidence = Evidence()

    def coerce(self, where: str, value: Any) -> int:
        """`value` as a Python int inside the storage type's range."""
        number = value if type(value) is int else as_int(where, value)
        low, high = INT_RANGES[self.storage]
        if not low <= number <= high:
            raise FieldValueError(
                f"{where} = {number} does not fit {self.storage}; allowed is {low} to {high}."
            )
        return number

    def limit(self) -> str | None:
        """The chip's limit in words, or None where there is none beyond the storage type."""
        if self.choices:
            return "one of " + ", ".join(str(c) for c in self.choices)
        if self.low is None and self.high is None:
            return None
        low, high = INT_RANGES[self.storage]
        return (
            f"{low if self.low is None else self.low} to {high if self.high is None else self.high}"
        )

    def within_limit(self, value: int) -> bool:
        """True if `value` is inside the chip's limit."""
        if self.choices:
            return value in self.choices
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


@dataclass(frozen=True)
class Real:
    """A C++ double."""

    default: float = 0.0
    evidence: Evidence = Evidence()

    def coerce(self, where: str, value: Any) -> float:
        """`value` as a float."""
        try:
            if not isinstance(value, (str, bytes)):
                return float(value)
        except (TypeError, ValueError):
            pass
        raise FieldValueError(f"{where} takes a number, found {_shown(value)}.")


@dataclass(frozen=True)
class Text:
    """A C++ string."""

    default: str = ""
    evidence: Evidence = Evidence()

    def coerce(self, where: str, value: Any) -> str:
        """`value` if it is a string."""
        if isinstance(value, str):
            return value
        raise FieldValueError(f"{where} takes a string, found {_shown(value)}.")


@dataclass(frozen=True)
class Free:
    """A plain Python value, kept as given: for user-interface objects only."""

    default: Any = None
    evidence: Evidence = Evidence()

    def coerce(self, where: str, value: Any) -> Any:
        """`value` unchanged."""
        return value


@dataclass(frozen=True)
class Tensor:
    """A C++ tensor of `axes` dimensions, kept as an array; reads back as nested lists."""

    axes: tuple[str, ...]
    storage: str
    evidence: Evidence = Evidence()

    @property
    def default(self) -> npt.NDArray[Any]:
        """An empty tensor."""
        return np.zeros((0,) * len(self.axes), dtype=self.storage)

    def coerce(self, where: str, value: Any) -> npt.NDArray[Any]:
        """`value` (nested lists, an array, a CPU tensor) as a fresh contiguous array."""
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise FieldValueError(
                f"{where} takes nested lists of integers with {len(self.axes)} axes "
                f"[{', '.join(self.axes)}], found something ragged or not an array ({error})."
            ) from error
        if array.size == 0:
            return self.default
        if array.ndim != len(self.axes):
            raise FieldValueError(
                f"{where} has {len(self.axes)} axes [{', '.join(self.axes)}], "
                f"found shape {array.shape}."
            )
        if array.dtype.kind not in "biu":
            raise FieldValueError(
                f"{where} takes integers, found {array.dtype} values; round first."
            )
        low, high = INT_RANGES[self.storage]
        if int(array.max()) > high or int(array.min()) < low:
            index = tuple(int(i) for i in np.argwhere((array > high) | (array < low))[0])
            raise FieldValueError(
                f"{where}{list(index)} = {int(array[index])} does not fit {self.storage}; "
                f"allowed is {low} to {high}."
            )
        return np.array(array, dtype=self.storage, order="C")


@dataclass(frozen=True)
class Nested:
    """Another configuration object of the same chip, by class name; assigned by value."""

    type_name: str
    evidence: Evidence = Evidence()


@dataclass(frozen=True)
class Array:
    """A fixed number of configuration objects of one class; elements change in place."""

    type_name: str
    length: int
    evidence: Evidence = Evidence()


@dataclass(frozen=True)
class Pair:
    """An x, y pair: `Vec2_unsigned_char` or `Vec2_bool`, by name among the chip's classes."""

    of: Int | Bool
    default: tuple[int, int]
    evidence: Evidence = Evidence()

    @property
    def type_name(self) -> str:
        """Name of the pair's class."""
        return "Vec2_bool" if isinstance(self.of, Bool) else "Vec2_unsigned_char"


Kind = Bool | Int | Real | Text | Free | Tensor | Nested | Array | Pair
Schema = Mapping[str, Kind]


def as_int(where: str, value: Any) -> int:
    """An int from anything integral: numpy and 0-d tensor scalars, numpy bools; no floats."""
    try:
        return operator.index(value)
    except TypeError:
        pass
    if not isinstance(value, (float, str, bytes)) and hasattr(type(value), "__int__"):
        try:
            number = int(value)
            if number == value:
                return number
        except (TypeError, ValueError, RuntimeError, OverflowError):
            pass
    raise FieldValueError(f"{where} takes a whole number, found {_shown(value)}.")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{type(value).__name__} {text[:50]}..."
