"""A readout and its class names as `readout.json`, an optional member of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from speck_adacal.bundle import Bundle, dump_json
from speck_adacal.errors import BundleError, SettingsError
from speck_adacal.readout.early_exit import ExitRule
from speck_adacal.readout.readouts import (
    ArgmaxMembrane,
    ArgmaxSpikeCount,
    EarlyExit,
    FirstToThreshold,
    Readout,
    ThresholdThenArgmax,
)
from speck_adacal.validation import Count, Several, checked, from_data, one_of

READOUT = "readout.json"
_SCHEMA = 1
_WITH_THRESHOLD: Mapping[str, type[FirstToThreshold | ArgmaxMembrane]] = {
    kind.kind: kind for kind in (FirstToThreshold, ThresholdThenArgmax, ArgmaxMembrane)
}
_KINDS = (ArgmaxSpikeCount.kind, EarlyExit.kind, *_WITH_THRESHOLD)
_Class = Annotated[int, Field(ge=-1, lt=1 << 31)]


@checked
class _StoredReadout:
    """What `readout_to_bytes` writes; the kinds of readout have different fields."""

    schema: Annotated[int, one_of(_SCHEMA)]
    kind: Annotated[str, one_of(*_KINDS)]
    names: Several[str]
    class_of: Several[_Class]
    threshold: Count | None = None
    window_us: Count | None = None
    rule: ExitRule | None = None


def readout_to_bytes(readout: Readout) -> bytes:
    """The file's bytes; `save(..., readout=...)` writes them."""
    data: dict[str, Any] = {
        "schema": _SCHEMA,
        "kind": readout.kind,
        "names": list(readout.names),
        "class_of": readout.class_of.tolist(),
    }
    if isinstance(readout, EarlyExit):
        data["window_us"] = readout.window_us
        data["rule"] = {
            "bars": list(readout.rule.bars),
            "metric": readout.rule.metric,
            "temperature": readout.rule.temperature,
        }
    elif isinstance(readout, FirstToThreshold | ArgmaxMembrane):
        data["threshold"] = readout.threshold
    return dump_json(data)


def readout_of_bundle(bundle: Bundle) -> Readout | None:
    """The readout that a bundle carries; None if it has none.

    Raises:
        BundleError: the file does not describe a readout.
    """
    if READOUT not in bundle.files:
        return None
    data, where = bundle.json(READOUT), f"{READOUT} in {bundle.path}"
    stored = from_data(_StoredReadout, data, where, BundleError, "make the bundle again")
    try:
        return _readout(stored)
    except SettingsError as error:
        said = str(error).rstrip(".")
        raise BundleError(f"{where} describes no readout: {said}; make it again.") from error


def _readout(stored: _StoredReadout) -> Readout:
    class_of = np.array(stored.class_of, dtype=np.int64)
    if stored.kind == ArgmaxSpikeCount.kind:
        return ArgmaxSpikeCount(stored.names, class_of=class_of)
    if stored.kind == EarlyExit.kind:
        if stored.rule is None or stored.window_us is None:
            raise SettingsError("an early exit needs the fields 'rule' and 'window_us'")
        return EarlyExit(stored.names, stored.rule, stored.window_us, class_of=class_of)
    if stored.threshold is None:
        raise SettingsError(f"a readout {stored.kind} needs the field 'threshold'")
    kind = _WITH_THRESHOLD[stored.kind]
    return kind(stored.names, stored.threshold, class_of=class_of)
