"""Settings that check themselves: frozen dataclasses whose fields hold what their types say.

Pydantic does the checking, strictly: `"5"` is no number, 1.5 is no whole number, `True` is neither,
and NaN is nothing. Little is made of a found value: NumPy's scalars become Python's, and a list
becomes the tuple that is asked for. A class says what it allows in its annotations:

    @checked
    class Example:
        steps: Count = 8
        ratio: Annotated[float, Field(gt=0, le=1)] = 0.5
        mode: Annotated[str, one_of("fast", "exact")] = "exact"
        sizes: Several[Count] = (1, 2)

Conditions that join several fields stand in `__post_init__`, which runs after these checks.
"""

from __future__ import annotations

import json
import sys
from dataclasses import field, is_dataclass
from functools import wraps
from typing import Annotated, Any, TypeVar, cast

import numpy as np
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass as pydantic_dataclass

from speck_adacal.errors import SettingsError, SpeckAdacalError
from speck_adacal.validation_words import Choices, sentence

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:
    from typing_extensions import dataclass_transform

T = TypeVar("T")


def _plain(value: Any) -> Any:
    """Python's own number for a scalar of NumPy's."""
    return value.item() if isinstance(value, np.generic) else value


def _tuple(value: Any) -> Any:
    """A tuple for a list or an array, which are as clear."""
    listed = isinstance(value, list | tuple | np.ndarray)
    return tuple(_plain(item) for item in value) if listed else value


Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
PositiveOrZero = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Several = Annotated[tuple[T, ...], BeforeValidator(_tuple)]
OneOrMore = Annotated[tuple[T, ...], Field(min_length=1), BeforeValidator(_tuple)]

_STRICT = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid", arbitrary_types_allowed=True)


def a_list_of(item: Any, length: int) -> Any:
    """The annotation of a tuple of `length` values, each as `item` says."""
    sizes = Field(min_length=length, max_length=length)
    return Annotated[tuple[item, ...], sizes, BeforeValidator(_tuple)]


def one_of(*choices: object) -> AfterValidator:
    """The annotation of a field that must equal one of `choices`."""
    return AfterValidator(Choices(choices))


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def checked(cls: type[T]) -> type[T]:
    """Make a frozen dataclass whose fields are checked when it is made.

    It raises `SettingsError`, which names each field that is wrong, the value found and what is
    allowed; never a `TypeError`, also for a field that is unknown or missing.
    """
    made: Any = pydantic_dataclass(frozen=True, config=_STRICT)(cls)
    plain_init = made.__init__

    @wraps(plain_init)
    def checked_init(self: Any, /, *args: Any, **kwargs: Any) -> None:
        try:
            plain_init(self, *map(_plain, args), **{k: _plain(v) for k, v in kwargs.items()})
        except ValidationError as error:
            raise _explained(error, cls.__name__, cls, SettingsError) from None

    made.__init__ = checked_init
    return cast(type[T], made)


def check_value(hint: Any, value: Any, name: str) -> Any:
    """The value of an argument, if its type allows it.

    Raises:
        SettingsError: naming the argument, the value found and what is allowed.
    """
    try:
        return _adapter(hint).validate_python(_plain(value))
    except ValidationError as error:
        raise _explained(error, name, hint, SettingsError) from None


def from_data(
    kind: type[T], data: Any, where: str, error: type[SpeckAdacalError], next_step: str
) -> T:
    """Make a checked class from the plain data of a JSON or TOML file.

    Args:
        kind: a class made by `checked`, whose fields may be such classes again.
        data: what the file's reader gave.
        where: the file, in words, for the message.
        error: what is raised, for a file that is not as it should be.
        next_step: what the reader of the message should do.
    """
    try:
        # Files know lists and tables, not tuples and classes: they are checked by JSON's rules.
        made = _adapter(kind).validate_json(json.dumps(data, default=str))
        return cast(T, made)
    except ValidationError as found:
        raise _explained(found, where, kind, error, next_step) from None


def _adapter(hint: Any) -> TypeAdapter[Any]:
    """What checks a type; a checked class brings its strictness with it."""
    return TypeAdapter(hint) if is_dataclass(hint) else TypeAdapter(hint, config=_STRICT)


def _explained(
    found: ValidationError, where: str, hint: Any, kind: type[SpeckAdacalError], next_step: str = ""
) -> SpeckAdacalError:
    """The error to raise: our own if a class raised it, else one that says what is wrong."""
    problems = found.errors(include_url=False)
    for problem in problems:
        raised = problem.get("ctx", {}).get("error")
        if isinstance(raised, SpeckAdacalError):
            return (
                raised if kind is SettingsError else kind(_joined(f"{where}: {raised}", next_step))
            )
    return kind(_joined("; ".join(sentence(p, where, hint) for p in problems), next_step))


def _joined(text: str, next_step: str) -> str:
    return f"{text.rstrip('.')}; {next_step}." if next_step else f"{text.rstrip('.')}."
