"""`speck-adacal autopsy`: the tables, the JSON, and what it says of bad input."""

from __future__ import annotations

import json

import pytest

from speck_adacal import AdaptSettings, adapt, deploy, save
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.cli import main
from speck_adacal.datasets.demo import demo_checkpoint_path, load_demo_digits
from speck_adacal.resources import resource_path

DIGITS = resource_path("datasets", "mnist_digits.npz")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    network, images = load_network(demo_checkpoint_path()), load_demo_digits().calibration_images
    settings = AdaptSettings(time_steps=4, chip_correction=False)
    adapted = adapt(network, images[:32], input_shape=(1, 28, 28), settings=settings)
    return save(deploy(adapted), tmp_path_factory.mktemp("autopsy") / "net.bundle")


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["autopsy", *map(str, arguments)])
    captured = capsys.readouterr()
    return end.value.code or 0, captured.out, captured.err


def test_values_alone(bundle, capsys):
    code, shown, _ = run(capsys, bundle, "--json")
    assert code == 0
    found = json.loads(shown)
    assert found["samples"] == 0
    assert [layer["name"] for layer in found["layers"]] == ["conv1", "conv2", "conv3", "linear"]
    for layer in found["layers"]:
        assert layer["activity"] is None
        assert layer["weight_error"] <= layer["sinabs_weight_error"] * (1 + 1e-5)
        assert layer["sinabs_limited_by"] == "lower clip"  # unset in sinabs: one scale unit left


def test_with_samples(bundle, capsys):
    code, shown, _ = run(capsys, bundle, "--samples-from", DIGITS, "--samples", "10", "--json")
    assert code == 0
    layers = json.loads(shown)["layers"]
    assert all(layer["activity"]["spikes"] > 0 for layer in layers)
    assert all(layer["activity"]["layer_error"] < 0.2 for layer in layers)
    code, shown, _ = run(capsys, bundle, "--samples-from", DIGITS, "--samples", "3")
    assert code == 0
    assert "cumulative" in shown


def test_bad_input_is_said(bundle, capsys, tmp_path):
    code, _, error = run(capsys, tmp_path / "absent.bundle")
    assert (code, "absent.bundle" in error) == (1, True)
    code, _, error = run(capsys, bundle, "--samples-from", tmp_path / "absent.npz")
    assert (code, "absent.npz" in error) == (1, True)
