"""JSON as bundles hold it: no doubled keys, no NaN, no infinity."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from speck_adacal.errors import BundleError


def dump_json(value: Any) -> bytes:
    """Indented JSON with sorted keys and a closing newline; NaN is refused."""
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def parse_json(data: bytes, path: Path, name: str) -> Any:
    """Parse JSON, refusing doubled keys and numbers that are not finite.

    Raises:
        BundleError: naming the file and the reason.
    """

    def no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise BundleError(f"{name} in {path} has the key {key!r} twice; make it again.")
            found[key] = value
        return found

    def finite(text: str) -> float:
        number = float(text)
        if not math.isfinite(number):
            raise BundleError(
                f"{name} in {path} holds {text}, which is no finite number; make it again."
            )
        return number

    try:
        return json.loads(
            data, object_pairs_hook=no_doubles, parse_constant=finite, parse_float=finite
        )
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name} in {path} is not sound JSON: {error}; make it again.") from error
