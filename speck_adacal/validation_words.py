"""What a field allows and what was found, in words, from annotations and pydantic's findings."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
_BOUNDS = {"gt": "above", "ge": "of at least", "lt": "below", "le": "at most"}
_UNKNOWN = ("unexpected_keyword_argument", "unexpected_positional_argument", "extra_forbidden")
_LONGEST = 80  # characters of a value that a message repeats


@dataclass(frozen=True)
class Choices:
    """Accepts what equals one of `choices` and is of its type."""

    choices: tuple[object, ...]

    def __call__(self, value: Any) -> Any:
        if not any(type(value) is type(choice) and value == choice for choice in self.choices):
            raise ValueError("not among the choices")
        return value


def sentence(problem: Mapping[str, Any], where: str, hint: Any) -> str:
    """One finding of pydantic's: the field, what it must be, and what was found."""
    place = _by_name(tuple(problem["loc"]), hint)
    if problem["type"] in _UNKNOWN:
        return _unknown_field(_name(where, place[:-1]), str(place[-1]), _at(hint, place[:-1]))
    if problem["type"].startswith("missing"):
        return f"{_name(where, place[:-1])} lacks the field {place[-1]!r}"
    wanted = allowed(_at(hint, place))
    found = problem["input"]
    shown = repr(found) if len(repr(found)) <= _LONGEST else f"{repr(found)[:_LONGEST]}…"
    return f"{_name(where, place)} must be {wanted}, found {shown}{_advice(found, wanted)}"


def allowed(hint: Any) -> str:
    """What an annotation allows, in words."""
    hint, metadata = _split(hint)
    for choices in (getattr(part, "func", None) for part in metadata):
        if isinstance(choices, Choices):
            return f"one of {', '.join(map(str, choices.choices))}"
    if _is_union(hint):
        parts = [part for part in get_args(hint) if part is not type(None)]
        words = [allowed(Annotated[(part, *metadata)] if metadata else part) for part in parts]
        return ", or ".join([*words, "None"] if len(parts) < len(get_args(hint)) else words)
    bounds = _bounds(metadata)
    if get_origin(hint) is tuple:
        number = bounds.get("max_length", "one or more" if "min_length" in bounds else "any number")
        return f"a list of {number}, each {allowed(get_args(hint)[0])}"
    if hint is str and "min_length" in bounds:
        return "a text that is not empty"
    name = _NAMES.get(hint) or f"of type {getattr(hint, '__name__', str(hint))}"
    limits = [f"{word} {bounds[key]:g}" for key, word in _BOUNDS.items() if key in bounds]
    return " ".join([name, " and ".join(limits)]).rstrip()


def _split(hint: Any) -> tuple[Any, list[Any]]:
    """The type itself, and everything that `Annotated` says of it."""
    metadata: list[Any] = []
    while get_origin(hint) is Annotated:
        hint, *more = get_args(hint)
        for part in more:
            metadata += getattr(part, "metadata", [part])
    return hint, metadata


def _bounds(metadata: Sequence[Any]) -> dict[str, Any]:
    keys = (*_BOUNDS, "min_length", "max_length")
    return {key: getattr(part, key) for part in metadata for key in keys if hasattr(part, key)}


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _by_name(place: tuple[Any, ...], hint: Any) -> tuple[Any, ...]:
    """A place whose first part is a name, also where an argument was given by its position."""
    if place and isinstance(place[0], int) and is_dataclass(hint) and place[0] < len(fields(hint)):
        return (fields(hint)[place[0]].name, *place[1:])
    return place


def _at(hint: Any, place: tuple[Any, ...]) -> Any:
    """The annotation of the field at a place, as deep as it is known."""
    for part in place:
        hint, _ = _split(hint)
        if _is_union(hint):
            hint, _ = _split(next(p for p in get_args(hint) if p is not type(None)))
        if is_dataclass(hint):
            hint = get_type_hints(hint, include_extras=True).get(str(part), hint)
        elif get_origin(hint) is tuple:
            items = get_args(hint)
            hint = items[0] if items[-1] is Ellipsis or part >= len(items) else items[part]
        elif len(get_args(hint)) == 2:
            hint = get_args(hint)[1]
    return hint


def _name(where: str, place: tuple[Any, ...]) -> str:
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return where + "".join(steps)


def _unknown_field(where: str, name: str, hint: Any) -> str:
    """What to say of a field that does not exist, with the one that was probably meant."""
    known = [f.name for f in fields(hint)] if is_dataclass(hint) else []
    near = difflib.get_close_matches(name, known, 1)
    advice = f"the nearest is {near[0]!r}" if near else f"it has {', '.join(known)}"
    return f"{where} has no field {name!r}; {advice}"


def _advice(found: Any, wanted: str) -> str:
    """The next step, where the cause is plain."""
    if isinstance(found, str) and wanted.startswith("True or False"):
        return "; give True or False, without quotes"
    if isinstance(found, str) and "number" in wanted:
        return "; give a number, without quotes"
    return ""
