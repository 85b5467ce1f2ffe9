"""`check` before training, and `verify` against silent change."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal import adapt, deploy, load, save
from speck_adacal.ann import trace
from speck_adacal.bundle import read_bundle
from speck_adacal.bundles.verify import verify_bundle
from speck_adacal.chip.check import check_network
from speck_adacal.cli import main


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 3, bias=False),
    )


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    deployment = deploy(adapt(network(), images, input_shape=(1, 8, 8)))
    return save(deployment, tmp_path_factory.mktemp("verify") / "bundle")


def test_shapes_are_enough():
    result = check_network(trace(network(), (1, 8, 8)))
    assert result.violations == ()
    assert [layer.shape.name for layer in result.layers] == ["0", "4"]
    assert result.layers[0].cores == tuple(range(9))


def test_a_network_beyond_the_chip_names_every_rule(capsys):
    too_large = nn.Sequential(
        nn.Conv2d(1, 300, 17, stride=3), nn.ReLU(), nn.Conv2d(300, 300, 5), nn.ReLU()
    )
    rules = {
        violation.rule for violation in check_network(trace(too_large, (1, 80, 80))).violations
    }
    assert {"kernel", "stride", "kernel-memory"} <= rules


def test_check_on_the_command_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["check", "--arch", "digits_cnn", "--input-shape", "1,28,28", "--json"])
    assert not stop.value.code
    assert json.loads(capsys.readouterr().out)["fits"]
    with pytest.raises(SystemExit) as stop:
        main(["check", "--arch", "digits_cnn", "--input-shape", "1,300,300"])
    assert stop.value.code == 1  # the linear layer does not fit this input


def test_a_bundle_verifies(bundle):
    outcome = verify_bundle(read_bundle(bundle))
    assert outcome.same
    assert outcome.events == 2000


@pytest.mark.parametrize("what", ["weight", "threshold", "initial"])
def test_a_changed_integer_is_caught_and_its_core_named(bundle, what):
    deployment = load(bundle)
    layer = deployment.layers[0]
    configuration = deployment.mapped.configuration
    core = configuration.cnn_layers[deployment.cores[0]]
    if what == "weight":
        weights = np.asarray(core.weights).copy()
        strongest = np.unravel_index(np.argmax(np.abs(weights)), weights.shape)
        weights[strongest] ^= 0x40
        core.weights = weights
    elif what == "threshold":
        core.threshold_high = layer.threshold + 3
    else:
        core.neurons_initial_value = np.zeros_like(np.asarray(core.neurons_initial_value))
    outcome = verify_bundle(read_bundle(bundle), configuration=configuration)
    assert not outcome.same
    assert f"core {deployment.cores[0]}" in outcome.difference
