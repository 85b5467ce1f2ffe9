"""`validate_configuration`: what is accepted, and that every fault is named with its range."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal.chip_description import load_chip_description
from speck_adacal.virtual_samna.chip import family
from speck_adacal.virtual_samna.configuration import schemas
from speck_adacal.virtual_samna.configuration_checks import used_cores
from speck_adacal.virtual_samna.fields import Int, Pair


@pytest.fixture(params=["speck2e", "speck2f"])
def chip(request):
    return family(request.param)


@pytest.fixture
def config(chip):
    """Sensor (pooled to 64) to core 2, core 2 (pooled) to core 4, core 4 to the readout layer."""
    config = chip.configuration["SpeckConfiguration"]()
    config.dvs_layer.pooling = {"x": 2, "y": 2}
    config.dvs_layer.cut = {"x": 63, "y": 63}
    config.dvs_layer.destinations[0].enable = True
    config.dvs_layer.destinations[0].layer = 2
    first, last = config.cnn_layers[2], config.cnn_layers[4]
    first.dimensions = shapes(2, 64, 16, 32, kernel_size=3, padding=1, stride=2)
    first.weights = np.ones((16, 2, 3, 3), int)
    first.destinations[0].enable = True
    first.destinations[0].layer, first.destinations[0].pooling = 4, 2
    last.dimensions = shapes(16, 16, 15, 1, kernel_size=16)
    last.weights = np.ones((15, 16, 16, 16), int)
    last.destinations[0].enable = True
    last.destinations[0].layer = 12
    return config


def shapes(in_features, in_size, out_features, out_size, *, kernel_size, padding=0, stride=1):
    def shape(features, size):
        return {"size": {"x": size, "y": size}, "feature_count": features}

    return {
        "input_shape": shape(in_features, in_size),
        "output_shape": shape(out_features, out_size),
        "kernel_size": kernel_size,
        "padding": {"x": padding, "y": padding},
        "stride": {"x": stride, "y": stride},
    }


def test_default_is_valid(chip):
    assert chip.validate_configuration(chip.configuration["SpeckConfiguration"]()) == (True, "")


def test_sensor_to_a_default_core_is_not(chip):
    config = chip.configuration["SpeckConfiguration"]()
    config.dvs_layer.destinations[0].enable = True
    valid, message = chip.validate_configuration(config)
    assert valid is False
    assert "x:128, y:128" in message
    assert "x:1, y:1" in message


def test_used_cores(config):
    assert used_cores(config) == [2, 4]


def test_the_whole_chain_needs_a_larger_kernel_memory(config, chip):
    valid, message = chip.validate_configuration(config)
    assert message == ("cnn_layers[4] needs 65536 words of kernel memory, core 4 has 32768.")
    config.cnn_layers[2].destinations[0].layer = 5
    config.cnn_layers[5] = config.cnn_layers[4]
    config.cnn_layers[4] = chip.configuration["CnnLayerConfig"]()
    assert chip.validate_configuration(config) == (True, "")
    assert valid is False


CASES = {
    "cnn_layers[2].dimensions.stride.y is 3, allowed is one of 1, 2, 4, 8": (
        lambda c: setattr(c.cnn_layers[2].dimensions.stride, "y", 3)
    ),
    "cnn_layers[2].dimensions.padding.x is 8, allowed is 0 to 7": (
        lambda c: setattr(c.cnn_layers[2].dimensions.padding, "x", 8)
    ),
    "cnn_layers[2].dimensions.kernel_size is 17, allowed is 1 to 16": (
        lambda c: setattr(c.cnn_layers[2].dimensions, "kernel_size", 17)
    ),
    "output_shape.size.x is 31, but input 64, kernel 3, padding 1 and stride 2 give 32": (
        lambda c: setattr(c.cnn_layers[2].dimensions.output_shape.size, "x", 31)
    ),
    "cnn_layers[2].destinations[0].pooling is 3, allowed is one of 1, 2, 4": (
        lambda c: setattr(c.cnn_layers[2].destinations[0], "pooling", 3)
    ),
    "cnn_layers[2].destinations[0] sends a map of x:32, y:32 to core 4": (
        lambda c: setattr(c.cnn_layers[2].destinations[0], "pooling", 1)
    ),
    "cnn_layers[4].destinations[0].layer is 9, allowed is one of 0, 1": (
        lambda c: setattr(c.cnn_layers[4].destinations[0], "layer", 9)
    ),
    "cnn_layers[2].destinations[0] sends features up to 19 to core 4": (
        lambda c: setattr(c.cnn_layers[2].destinations[0], "feature_shift", 4)
    ),
    "dvs_layer.destinations[0].layer is 12, allowed is one of 0, 1": (
        lambda c: setattr(c.dvs_layer.destinations[0], "layer", 12)
    ),
    "dvs_layer.origin.x is 64, allowed is 0 to cut.x = 63": (
        lambda c: setattr(c.dvs_layer.origin, "x", 64)
    ),
    "dvs_layer.pooling.y is 8, allowed is one of 1, 2, 4": (
        lambda c: setattr(c.dvs_layer.pooling, "y", 8)
    ),
    "cnn_layers[2].weights has shape (16, 1, 3, 3), its dimensions give": (
        lambda c: setattr(c.cnn_layers[2], "weights", np.ones((16, 1, 3, 3), int))
    ),
    "cnn_layers[2].biases has shape (3,), its dimensions give [feature] = (16,)": (
        lambda c: setattr(c.cnn_layers[2], "biases", [1, 2, 3])
    ),
    "cnn_layers[2].output_decimator_interval is 8, allowed is 0 to 7": (
        lambda c: setattr(c.cnn_layers[2], "output_decimator_interval", 8)
    ),
    "readout.output_mode_sel is 4, allowed is 0 to 3": (
        lambda c: setattr(c.readout, "output_mode_sel", 4)
    ),
    "factory_config.internal_slow_clk_divider is 13, allowed is 14 to 17": (
        lambda c: setattr(c.factory_config, "internal_slow_clk_divider", 13)
    ),
}


@pytest.mark.parametrize("message", CASES)
def test_every_fault_is_named_with_its_range(config, chip, message):
    CASES[message](config)
    valid, found = chip.validate_configuration(config)
    assert valid is False
    assert message in found


def test_all_faults_are_reported_at_once(config, chip):
    for change in CASES.values():
        change(config)
    _, found = chip.validate_configuration(config)
    assert len(found.splitlines()) >= 12


@pytest.mark.parametrize("features", [1, 3])
def test_features_of_the_sensor_stage(config, chip, features):
    config.cnn_layers[2].dimensions.input_shape.feature_count = features
    config.cnn_layers[2].weights = np.ones((16, features, 3, 3), int)
    assert "sends 2 feature(s) to core 2" in chip.validate_configuration(config)[1]
    config.dvs_layer.merge = True
    assert ("feature(s)" in chip.validate_configuration(config)[1]) is (features == 3)


def test_field_limits_are_those_of_the_chip_description(chip):
    limits = load_chip_description(chip.name).limits
    fields = schemas(load_chip_description("speck2f"))
    dims, core = fields["CnnLayerDimensions"], fields["CnnLayerConfig"]
    destination = fields["CnnLayerDestination"]
    assert isinstance(dims["padding"], Pair)
    assert dims["padding"].of.high == limits.padding
    assert dims["stride"].of.choices == limits.strides
    assert isinstance(dims["kernel_size"], Int)
    assert dims["kernel_size"].high == limits.kernel_size
    assert destination["pooling"].choices == limits.poolings
    assert fields["DvsLayerConfig"]["pooling"].of.choices == limits.poolings
    assert fields["CnnLayerSize"]["feature_count"].high == limits.features
    assert core["output_decimator_interval"].high == len(limits.decimator_intervals) - 1
    assert core["weights"].storage == f"int{limits.weight_bits}"
    assert core["neurons_initial_value"].storage == f"int{limits.potential_bits}"
    assert core["destinations"].length == limits.fan_out


@pytest.mark.parametrize("value", [None, 3, "config", {}])
def test_what_is_no_configuration_is_refused(chip, value):
    with pytest.raises(TypeError, match=r"takes a .*SpeckConfiguration"):
        chip.validate_configuration(value)
