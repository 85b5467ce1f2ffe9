"""Bundles of older schemas, brought up to this one step by step when they are read.

Every step turns the members of one schema into those of the next. What an older bundle never
recorded stays absent: it is not made up.

| schema | since | what changed |
|---|---|---|
| 1 | first release | |
| 2 | 0.1.0 | `chip.json` names its format; a core's lower bound stands only with its core; known \
answers keep each core's input events, final states and configuration digest |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from speck_adacal.bundle.plain_json import dump_json, parse_json
from speck_adacal.errors import BundleError

SCHEMA = 2
CHIP, CHIP_FORMAT = "chip.json", "speck-adacal chip configuration"

Members = dict[str, bytes]


def migrate(members: Mapping[str, bytes], schema: int, path: Path) -> Members:
    """Members of an older schema as members of this one.

    Args:
        members: checked bytes by name, without the manifest.
        schema: what the manifest says.
        path: of the bundle, for messages.

    Raises:
        BundleError: the schema is newer than this version, or no schema at all.
    """
    check_schema(schema, path)
    result = dict(members)
    for step in range(schema, SCHEMA):
        result = _STEPS[step](result, path)
    return result


def check_schema(schema: Any, path: Path) -> None:
    """Refuse schemas that this version cannot read.

    Raises:
        BundleError: naming what was found and what is read.
    """
    if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
        raise BundleError(
            f"The bundle {path} has schema {schema!r}, allowed are 1 to {SCHEMA}; make it again."
        )
    if schema > SCHEMA:
        raise BundleError(
            f"The bundle {path} has schema {schema}, this version reads 1 to {SCHEMA}; install "
            "the newer speck-adacal that made it."
        )


def _one_to_two(members: Members, path: Path) -> Members:
    if CHIP not in members:
        return members
    data = parse_json(members[CHIP], path, CHIP)
    try:
        layers = [
            {key: value for key, value in layer.items() if key != "threshold_low"}
            for layer in data["layers"]
        ]
        data = {**data, "format": CHIP_FORMAT, "layers": layers}
    except (TypeError, KeyError, AttributeError) as error:
        raise BundleError(
            f"{CHIP} in {path} is malformed ({error!r}) and cannot be brought from schema 1 to "
            "2; make it again."
        ) from error
    return {**members, CHIP: dump_json(data)}


_STEPS: dict[int, Callable[[Members, Path], Members]] = {1: _one_to_two}
