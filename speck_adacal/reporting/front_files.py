"""A searched front as `front.json`, an optional member of a bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from speck_adacal.bundle import Bundle, dump_json
from speck_adacal.errors import BundleError
from speck_adacal.twin_search.front import Front, FrontPoint

FRONT = "front.json"
_SCHEMA = 1


@dataclass(frozen=True)
class FrontRow:
    """A point of the front, simulated on recordings that the search did not see.

    Attributes:
        synops: SynOps a recording.
        accuracy, standard_error: parts of one.
        chosen: whether the bundle holds this point.
    """

    synops: float
    accuracy: float
    standard_error: float
    chosen: bool


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
    data = bundle.json(FRONT)
    try:
        if data["schema"] != _SCHEMA:
            raise ValueError(f"schema {data['schema']!r}, this version reads {_SCHEMA}")
        return tuple(
            FrontRow(
                float(p["synops"]),
                float(p["accuracy"]),
                float(p["standard_error"]),
                p["chosen"] is True,
            )
            for p in data["points"]
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BundleError(
            f"{FRONT} in {bundle.path} describes no front ({error!r}); make the bundle again."
        ) from error
