"""The shipped example configurations load, are valid, run, and are what their script makes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from speck_adacal import AdaptSettings
from speck_adacal.bundles.configuration_data import SCALARS
from speck_adacal.bundles.configuration_json import read_configuration
from speck_adacal.bundles.known_answers import play_on_twin, random_events
from speck_adacal.datasets.demo import load_demo_digits
from speck_adacal.samples.batches import encode_samples
from speck_adacal.virtual_samna import ensure_samna

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "chip_configs" / "examples"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


@pytest.fixture(scope="module")
def maker():
    path = ROOT / "scripts" / "make_example_configurations.py"
    spec = importlib.util.spec_from_file_location("make_example_configurations", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_every_example_is_there_with_its_report(maker):
    assert sorted(maker.EXAMPLES) == NAMES
    for name in NAMES:
        assert (FOLDER / f"{name}.md").read_text().startswith(f"# {name}\n")
        assert (FOLDER / f"{name}.json").stat().st_size < 300_000


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_valid_and_runs_on_the_twin(name):
    ensure_samna()
    import samna

    configuration = read_configuration(FOLDER / f"{name}.json")
    valid, message = getattr(samna, configuration.chip).validate_configuration(
        configuration.to_samna()
    )
    assert valid, message
    events = random_events(configuration.input_shape, count=2000, seed=0)
    answers = play_on_twin(configuration.to_samna(), configuration, events)
    assert all(answers.spikes_per_core[core] > 0 for core in configuration.order[:-1])


def test_the_digits_configuration_reads_digits():
    """From the JSON file alone, without the network that it came from."""
    configuration = read_configuration(FOLDER / "digits_speck2f.json")
    digits = load_demo_digits()
    coded = encode_samples(digits.images[:20], (1, 28, 28), AdaptSettings()).recordings()
    decisions = [
        np.bincount(
            play_on_twin(configuration.to_samna(), configuration, events).output_channel,
            minlength=10,
        ).argmax()
        for events in coded
    ]
    assert np.mean(np.array(decisions) == digits.labels[:20]) >= 0.95


@pytest.mark.parametrize("name", NAMES)
def test_the_script_makes_the_examples(maker, name):
    """Within what another processor's float arithmetic may change."""
    made, report = maker.make(name)
    kept = read_configuration(FOLDER / f"{name}.json")
    assert (made.chip, made.order) == (kept.chip, kept.order)
    for core in kept.order:
        now, then = made.cores[str(core)], kept.cores[str(core)]
        assert now["dimensions"] == then["dimensions"]
        assert now["destinations"] == then["destinations"]
        for field in SCALARS:
            assert now[field] == pytest.approx(then[field], rel=0.02, abs=1)
        change = made.tensor(core, "weights").astype(int) - kept.tensor(core, "weights")
        assert np.abs(change).max() <= 2
        assert np.mean(change != 0) < 0.05
    lines, kept_lines = report.splitlines(), (FOLDER / f"{name}.md").read_text().splitlines()
    assert len(lines) == len(kept_lines)
    assert lines[:8] == kept_lines[:8]
