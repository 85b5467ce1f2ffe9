"""Readouts in bundles: there and back, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from speck_adacal import load, save
from speck_adacal.bundle import read_bundle
from speck_adacal.errors import BundleError
from speck_adacal.host import (
    ArgmaxMembrane,
    ArgmaxSpikeCount,
    EarlyExit,
    FirstToThreshold,
    ThresholdThenArgmax,
)
from speck_adacal.readout.class_counts import extended_channels
from speck_adacal.readout.early_exit import ExitRule
from speck_adacal.readout.readout_files import READOUT, readout_of_bundle, readout_to_bytes

NAMES = ("rose", "lily", "fern")


@pytest.mark.parametrize(
    "readout",
    [
        ArgmaxSpikeCount(NAMES, class_of=extended_channels(3)),
        FirstToThreshold(NAMES, 4),
        ThresholdThenArgmax(NAMES, 5),
        ArgmaxMembrane(NAMES, 99),
        EarlyExit(NAMES, ExitRule((2.0, 0.75), "top", 0.5), 8000),
    ],
    ids=lambda r: r.kind,
)
def test_there_and_back(readout, deployment, tmp_path):
    path = save(deployment, tmp_path / "a.zip", extra={READOUT: readout_to_bytes(readout)})
    found = readout_of_bundle(read_bundle(path))
    assert type(found) is type(readout)
    assert found.names == NAMES
    np.testing.assert_array_equal(found.class_of, readout.class_of)
    assert vars(found).get("rule") == vars(readout).get("rule")
    assert vars(found).get("threshold") == vars(readout).get("threshold")
    assert found.window_us == readout.window_us
    assert load(path).classes == 3


def test_a_bundle_without_one_has_none(deployment, tmp_path):
    assert readout_of_bundle(read_bundle(save(deployment, tmp_path / "b"))) is None


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 9},
        {"kind": "oracle"},
        {"kind": "early_exit"},
        {"kind": "first_to_threshold", "threshold": 0},
        {"names": ["only one"]},
        {"class_of": "x"},
        {"class_of": []},
        {"class_of": [10**30]},
        {"names": 3},
    ],
)
def test_what_is_refused(change, deployment, tmp_path):
    data = {**json.loads(readout_to_bytes(ArgmaxSpikeCount(NAMES))), **change}
    extra = {READOUT: json.dumps(data).encode()}
    bundle = read_bundle(save(deployment, tmp_path / "c", extra=extra))
    with pytest.raises(BundleError, match="readout"):
        readout_of_bundle(bundle)
