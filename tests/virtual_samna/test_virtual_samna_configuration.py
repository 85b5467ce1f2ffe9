"""Configuration objects: names, coercions, ranges, value semantics, JSON."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import ConfigurationError
from speck_adacal.virtual_samna.chip import family
from speck_adacal.virtual_samna.configuration import schemas, unverified
from speck_adacal.virtual_samna.objects import tensor_of


@pytest.fixture(params=["speck2e", "speck2f"])
def chip(request):
    return family(request.param)


@pytest.fixture
def config(chip):
    return chip.configuration["SpeckConfiguration"]()


CNN_FIELDS = {
    "biases",
    "destinations",
    "dimensions",
    "input_congestion_balancer_enable",
    "leak_enable",
    "leak_internal_slow_clk_enable",
    "monitor_enable",
    "neurons_initial_value",
    "output_decimator_enable",
    "output_decimator_interval",
    "return_to_zero",
    "threshold_high",
    "threshold_low",
    "weights",
}


def test_field_names_of_a_core_are_the_contracts(config):
    assert set(type(config.cnn_layers[0]).SCHEMA) == CNN_FIELDS
    assert len(config.cnn_layers) == 9
    assert len(config.cnn_layers[8].destinations) == 2


def test_defaults(config):
    layer, dvs = config.cnn_layers[3], config.dvs_layer
    assert (layer.dimensions.input_shape.size.x, layer.dimensions.input_shape.size.y) == (1, 1)
    assert [d.enable for d in layer.destinations] == [False, False]
    assert [d.pooling for d in layer.destinations] == [1, 1]
    assert layer.threshold_low < layer.threshold_high
    assert (dvs.cut.x, dvs.cut.y, dvs.origin.x, dvs.pooling.y) == (127, 127, 0, 1)
    assert dvs.on_channel is True
    assert dvs.off_channel is True
    assert layer.weights == layer.biases == layer.neurons_initial_value == []
    assert config.readout.enable is False
    assert repr(dvs.cut) == "(127,127)"


def test_nested_dict_reads_back_as_objects(config):
    layer = config.cnn_layers[0]
    layer.dimensions = {
        "input_shape": {"size": {"x": 34, "y": 33}, "feature_count": 2},
        "output_shape": {"size": {"x": 16, "y": 15}, "feature_count": 16},
        "padding": {"x": 1, "y": 0},
        "stride": {"x": 2, "y": 1},
        "kernel_size": 5,
    }
    assert (layer.dimensions.input_shape.size.x, layer.dimensions.stride.x) == (34, 2)
    layer.dimensions.output_shape.size.y = np.int64(7)
    assert layer.dimensions.output_shape.size.y == 7
    config.dvs_layer.mirror = {"x": True, "y": 0}
    assert config.dvs_layer.mirror.x is True
    assert config.dvs_layer.mirror.y is False


@pytest.mark.parametrize(
    "value", [torch.tensor(True), torch.ones(3).bool().any(), 1, np.bool_(True), True]
)
def test_bools_are_coerced_and_read_back_as_bools(config, value):
    config.cnn_layers[0].leak_enable = value
    assert config.cnn_layers[0].leak_enable is True


@pytest.mark.parametrize("value", [None, "yes", [True], torch.ones(2).bool()])
def test_what_is_no_bool_is_refused(config, value):
    with pytest.raises(TypeError, match="leak_enable takes True or False"):
        config.cnn_layers[0].leak_enable = value


@pytest.mark.parametrize("value", [7, np.uint16(7), torch.tensor(7), torch.tensor(7.0)])
def test_ints_are_coerced(config, value):
    config.cnn_layers[0].threshold_high = value
    assert type(config.cnn_layers[0].threshold_high) is int
    assert config.cnn_layers[0].threshold_high == 7


@pytest.mark.parametrize("value", [7.0, 7.5, "7", None, torch.tensor(7.5), [7], float("nan")])
def test_what_is_no_int_is_refused(config, value):
    with pytest.raises(TypeError, match="threshold_high takes a whole number"):
        config.cnn_layers[0].threshold_high = value


def test_out_of_range_is_named_with_the_range(config):
    with pytest.raises(TypeError, match=r"threshold_high = 40000 .* -32768 to 32767"):
        config.cnn_layers[0].threshold_high = 40000
    with pytest.raises(ValueError, match=r"weights\[0, 1, 0, 0\] = 128 .* -128 to 127"):
        config.cnn_layers[0].weights = [[[[1]], [[128]]]]
    with pytest.raises(TypeError, match=r"Vec2_unsigned_char.x = -1 .* 0 to 255"):
        config.dvs_layer.cut = {"x": -1, "y": 0}


def test_unknown_fields_are_attribute_and_type_errors(config):
    for error in (AttributeError, TypeError, ConfigurationError):
        with pytest.raises(error, match="no field 'treshold_high'; it has"):
            config.cnn_layers[0].treshold_high = 5
    with pytest.raises(AttributeError, match="no field 'treshold_high'"):
        _ = config.cnn_layers[0].treshold_high
    with pytest.raises(TypeError, match="no field 'kernel'"):
        config.cnn_layers[0].dimensions = {"kernel": 3}
    assert not hasattr(config, "DVSLayerConfig")


@pytest.mark.parametrize(
    "value",
    [
        [[[[1, -2], [3, 4]]]],
        np.array([[[[1, -2], [3, 4]]]], np.int8),
        torch.tensor([[[[1, -2], [3, 4]]]]),
    ],
)
def test_tensors_from_lists_arrays_and_torch(config, value):
    layer = config.cnn_layers[0]
    layer.weights = value
    assert layer.weights == [[[[1, -2], [3, 4]]]]
    assert torch.tensor(layer.weights).shape == (1, 1, 2, 2)
    assert tensor_of(layer, "weights").dtype == np.int8


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[1, 2], [3]], "ragged"),
        ([[1, 2], [3, 4]], r"4 axes .* found shape \(2, 2\)"),
        (np.ones((1, 1, 1, 1)), "takes integers, found float64"),
        ([[[["a"]]]], "takes integers"),
        (5, "found shape"),
    ],
)
def test_wrong_tensors_are_refused(config, value, message):
    with pytest.raises(TypeError, match=message):
        config.cnn_layers[0].weights = value


def test_assignment_copies(chip, config):
    other = chip.configuration["CnnLayerConfig"]()
    config.cnn_layers[0] = other
    other.threshold_high = 9
    assert config.cnn_layers[0].threshold_high != 9
    config.cnn_layers = [other] * 9
    config.cnn_layers[1].threshold_high = 11
    assert [layer.threshold_high for layer in config.cnn_layers][:3] == [9, 11, 9]
    with pytest.raises(TypeError, match="exactly 9"):
        config.cnn_layers = [other] * 8


def test_reading_a_tensor_gives_a_copy(config):
    config.cnn_layers[0].biases = [1, 2]
    config.cnn_layers[0].biases[0] = 5
    assert config.cnn_layers[0].biases == [1, 2]


def test_json_round_trip_and_value_root(chip, config):
    config.cnn_layers[2].weights = np.arange(-8, 8).reshape(2, 2, 2, 2)
    config.cnn_layers[2].destinations[1].feature_shift = 8
    config.dvs_layer.mirror_diagonal = True
    text = config.to_json()
    assert text.startswith('{\n    "value0"')
    assert '"thresholdHigh"' in text
    fresh = chip.configuration["SpeckConfiguration"]()
    fresh.from_json(text)
    assert fresh == config
    assert copy.deepcopy(config) == config
    assert config != chip.configuration["SpeckConfiguration"]()


@pytest.mark.parametrize("text", ["", "{}", '{"value0": 3}', '{"value0": {"cnnLayers": []}}', "["])
def test_damaged_json_is_refused_and_changes_nothing(config, text):
    config.readout.enable = True
    with pytest.raises(ConfigurationError):
        config.from_json(text)
    assert config.readout.enable is True


def test_chips_do_not_mix():
    one, other = family("speck2e"), family("speck2f")
    with pytest.raises(TypeError, match="speck2f"):
        other.validate_configuration(one.configuration["SpeckConfiguration"]())
    assert one.events["Spike"]() != other.events["Spike"]()


@settings(max_examples=50, deadline=None)
@given(st.integers(-(2**40), 2**40))
def test_every_int_is_kept_or_refused(value):
    layer = family("speck2f").configuration["CnnLayerConfig"]()
    if -(2**15) <= value < 2**15:
        layer.threshold_low = value
        assert layer.threshold_low == value
    else:
        with pytest.raises(TypeError):
            layer.threshold_low = value


def test_unverified_fields_name_real_fields():
    for name, grade, _ in unverified():
        owner, field = name.split(".")
        assert field in schemas(load_chip_description())[owner]
        assert grade in {"M", "L", "?"}


def test_objects_survive_pickling(samna):
    config = samna.speck2f.configuration.SpeckConfiguration()
    config.cnn_layers[4].biases = [3, -3]
    assert pickle.loads(pickle.dumps(config)) == config
