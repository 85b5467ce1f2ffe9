"""A readout and its class names as `readout.json`, an optional member of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

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

READOUT = "readout.json"
_SCHEMA = 1


def readout_to_bytes(readout: Readout) -> bytes:
    """The file's bytes; pass them to `save(..., extra={READOUT: ...})`."""
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
    data = bundle.json(READOUT)
    try:
        if data["schema"] != _SCHEMA:
            raise BundleError(
                f"{READOUT} in {bundle.path} has schema {data['schema']!r}, this version reads "
                f"{_SCHEMA}; make the bundle again."
            )
        return _MAKERS[data["kind"]](data, [str(n) for n in data["names"]], _channels(data))
    except (SettingsError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BundleError(
            f"{READOUT} in {bundle.path} describes no readout ({error!r}); make the bundle again."
        ) from error


def _channels(data: Mapping[str, Any]) -> Any:
    return np.array(data["class_of"], dtype=np.int64)


def _early_exit(data: Mapping[str, Any], names: list[str], class_of: Any) -> Readout:
    rule = data["rule"]
    bars = tuple(float(bar) for bar in rule["bars"])
    found = ExitRule(bars, str(rule["metric"]), float(rule["temperature"]))
    return EarlyExit(names, found, int(data["window_us"]), class_of=class_of)


_MAKERS: Mapping[str, Callable[[Mapping[str, Any], list[str], Any], Readout]] = {
    ArgmaxSpikeCount.kind: lambda data, names, at: ArgmaxSpikeCount(names, class_of=at),
    FirstToThreshold.kind: lambda data, names, at: FirstToThreshold(
        names, int(data["threshold"]), class_of=at
    ),
    ThresholdThenArgmax.kind: lambda data, names, at: ThresholdThenArgmax(
        names, int(data["threshold"]), class_of=at
    ),
    ArgmaxMembrane.kind: lambda data, names, at: ArgmaxMembrane(
        names, int(data["threshold"]), class_of=at
    ),
    EarlyExit.kind: _early_exit,
}
