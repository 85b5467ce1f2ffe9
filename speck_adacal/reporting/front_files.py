"""A searched front as `front.json`, an optional member of a bundle."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from speck_adacal.bundle import Bundle, dump_json
from speck_adacal.errors import BundleError
from speck_adacal.twin_search.front import Front, FrontPoint
from speck_adacal.validation import PositiveOrZero, Share, checked, from_data, one_of

FRONT = "front.json"
_SCHEMA = 1


@checked
class FrontRow:
    """A point of the front, simulated on recordings that the search did not see.

    Attributes:
        synops: SynOps a recording.
        accuracy, standard_error: parts of one.
        chosen: whether the bundle holds this point.
    """

    synops: PositiveOrZero
    accuracy: Share
    standard_error: PositiveOrZero
    chosen: bool


@checked
class _StoredFront:
    """What `front_to_bytes` writes."""

    schema: Annotated[int, one_of(_SCHEMA)]
    points: tuple[FrontRow, ...]


def front_to_bytes(front: Front, chosen: FrontPoint) -> bytes:
    """The file's bytes; pass them to `save(..., extra={FRONT: ...})`."""
    rows = [
        FrontRow(p.held_out_synops, p.accuracy, p.standard_error, p is chosen) for p in front.points
    ]
    return dump_json({"schema": _SCHEMA, "points": [asdict(row) for row in rows]})


def front_of_bundle(bundle: Bundle) -> tuple[FrontRow, ...]:
    """The front that a bundle carries; empty if it has none.

    Raises:
        BundleError: the file does not describe a front.
    """
    if FRONT not in bundle.files:
        return ()
    where = f"{FRONT} in {bundle.path}"
    stored = from_data(
        _StoredFront, bundle.json(FRONT), where, BundleError, "make the bundle again"
    )
    return stored.points
