"""Single values of a chip configuration's file, each checked against what is allowed."""

from __future__ import annotations

from typing import Any


def whole(value: Any, name: str, low: int, high: int) -> int:
    """A whole number in a range; a ValueError says what was found."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}, allowed are {low} to {high}")
    return value


def rate(value: Any) -> float | None:
    """A rate in Hz, or none; a ValueError says what was found."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 1e6:
        raise ValueError(f"slow_clock_hz is {value!r}, allowed is above 0 to 1000000")
    return float(value)


def chosen(value: Any, allowed: tuple[str, ...], name: str) -> str:
    """One of some words; a ValueError says what was found."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, allowed are {', '.join(allowed)}")
    return str(value)
