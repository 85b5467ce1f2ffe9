"""Bundles of older schemas load; newer ones are refused with the next step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from speck_adacal import load, save, simulate
from speck_adacal.bundle import dump_json, read_bundle, write_bundle
from speck_adacal.bundle.migrate import SCHEMA, migrate
from speck_adacal.bundles.bundle_files import stored_configuration
from speck_adacal.bundles.known_answers import random_events, read_known_answers
from speck_adacal.bundles.verify import verify_bundle
from speck_adacal.errors import BundleError

OLD = Path(__file__).with_name("fixtures") / "schema1.zip"


def test_the_fixture_is_of_schema_1():
    assert read_bundle(OLD).manifest.schema == 1
    assert SCHEMA > 1


def test_a_bundle_of_schema_1_loads_and_verifies():
    bundle = read_bundle(OLD)
    assert verify_bundle(bundle).same
    _, answers = read_known_answers(bundle, stored_configuration(bundle))
    assert answers.states is None  # was not recorded then, and is not made up


def test_saved_again_it_is_of_this_schema_and_runs_the_same(tmp_path):
    old = load(OLD)
    path = save(old, tmp_path / "new")
    assert read_bundle(path).manifest.schema == SCHEMA
    events = random_events((1, 8, 8), count=500, seed=3)
    before, after = simulate(old, [events]), simulate(load(path), [events])
    np.testing.assert_array_equal(before.synops_per_core, after.synops_per_core)
    assert after.synops.sum() > 0
    outcome = verify_bundle(read_bundle(path))
    assert outcome.same
    assert "final membrane potentials" in outcome.compared


@pytest.mark.parametrize("found", [SCHEMA + 1, 99])
def test_a_newer_schema_is_refused(tmp_path, found):
    path = write_bundle(tmp_path / "b", {"a": b"1"}, kind="adapted", seed=0, command="")
    manifest = json.loads((path / "manifest.json").read_bytes())
    (path / "manifest.json").write_bytes(dump_json({**manifest, "schema": found}))
    with pytest.raises(BundleError, match=rf"schema {found}.*reads 1 to {SCHEMA}; install"):
        read_bundle(path)


@pytest.mark.parametrize("found", [0, -1, True, "1", None, 1.0])
def test_what_is_no_schema_is_refused(tmp_path, found):
    with pytest.raises(BundleError, match="allowed are 1 to"):
        migrate({}, found, tmp_path)


@pytest.mark.parametrize("chip", [b"[]", b"{}", b'{"layers": 3}', b'{"layers": [3]}'])
def test_an_old_configuration_that_cannot_be_migrated_is_named(tmp_path, chip):
    with pytest.raises(BundleError, match=r"chip\.json .* malformed"):
        migrate({"chip.json": chip}, 1, tmp_path)
