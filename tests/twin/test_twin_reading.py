"""Reading samna-like configuration objects."""

from __future__ import annotations

from types import SimpleNamespace as Object

import numpy as np
import pytest

from speck_adacal.errors import ConfigurationError
from speck_adacal.events.types import Events
from speck_adacal.twin import Assumptions, Twin, program_from_configuration


def xy(x, y):
    return Object(x=x, y=y)


def destination(enable=False, layer=0, pooling=1, feature_shift=0):
    return Object(enable=enable, layer=layer, pooling=pooling, feature_shift=feature_shift)


def shape(features, x, y):
    return Object(feature_count=features, size=xy(x, y))


def empty_core():
    return Object(
        biases=[],
        destinations=[destination(), destination()],
        dimensions=Object(
            padding=xy(0, 0),
            stride=xy(1, 1),
            kernel_size=1,
            input_shape=shape(1, 1, 1),
            output_shape=shape(1, 1, 1),
        ),
        input_congestion_balancer_enable=False,
        leak_enable=False,
        leak_internal_slow_clk_enable=False,
        monitor_enable=False,
        neurons_initial_value=[],
        output_decimator_enable=False,
        output_decimator_interval=0,
        return_to_zero=False,
        threshold_high=100,
        threshold_low=-100,
        weights=[],
    )


@pytest.fixture
def config():
    """One core, 2 features of 5 columns and 4 rows to 3 features, stride 2 in x, padding 1 in y."""
    core = empty_core()
    rng = np.random.default_rng(3)
    core.weights = rng.integers(-128, 128, (3, 2, 3, 3)).tolist()
    core.neurons_initial_value = rng.integers(-9, 9, (3, 2, 4)).astype(np.int16)
    core.dimensions.kernel_size = 3
    core.dimensions.stride = xy(2, 1)
    core.dimensions.padding = xy(0, 1)
    core.dimensions.input_shape = shape(2, 5, 4)
    core.dimensions.output_shape = shape(3, 2, 4)
    core.monitor_enable = True
    return Object(
        cnn_layers=[empty_core() for _ in range(4)] + [core] + [empty_core() for _ in range(4)],
        dvs_layer=Object(destinations=[destination(), destination()]),
        dvs_filter=Object(enable=False),
        readout=Object(enable=False),
        factory_config=Object(),
    )


def test_x_and_y_are_turned_round(config):
    program = program_from_configuration(config)
    assert list(program.cores) == [4]
    core = program.cores[4]
    weights = np.array(config.cnn_layers[4].weights)
    assert core.weights[2, 1, 0, 2] == weights[2, 1, 2, 0]
    assert core.initial[1, 3, 0] == config.cnn_layers[4].neurons_initial_value[1, 0, 3]
    assert (core.stride, core.padding) == ((1, 2), (1, 0))
    assert (core.in_shape, core.out_shape) == ((2, 4, 5), (3, 4, 2))


def test_one_event_is_torchs_convolution(config):
    functional = pytest.importorskip("torch.nn.functional")
    torch = pytest.importorskip("torch")
    config.cnn_layers[4].threshold_high = 32767
    config.cnn_layers[4].threshold_low = -32768
    twin = Twin.from_configuration(config)
    core = twin.program.cores[4]
    image = torch.zeros(1, 2, 4, 5)
    image[0, 1, 2, 3] = 1
    wanted = functional.conv2d(
        image, torch.tensor(core.weights, dtype=torch.float32), stride=(1, 2), padding=(1, 0)
    )[0].numpy()
    twin.run(Events([0], [3], [2], [1], (2, 4, 5)))
    np.testing.assert_array_equal(twin.membrane(4) - core.initial, wanted)


def setting(path, value):
    def change(config):
        *parts, last = path.split(".")
        target = config
        for part in parts:
            target = target[int(part)] if part.isdigit() else getattr(target, part)
        if last.isdigit():
            target[int(last)] = value
        else:
            setattr(target, last, value)

    return change


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("cnn_layers", [], "cnn_layers = 0 items"),
        ("cnn_layers.4.dimensions.kernel_size", 2, "weights = shape"),
        ("cnn_layers.4.dimensions.stride.x", 3, r"cnn_layers\[4\].dimensions.stride.x = 3"),
        ("cnn_layers.4.dimensions.stride", 3, "stride.y"),
        ("cnn_layers.4.dimensions.padding.y", 8, "padding.y = 8"),
        ("cnn_layers.4.dimensions.output_shape.size.x", 3, "neurons_initial_value"),
        ("cnn_layers.4.threshold_high", 40000, "threshold_high = 40000"),
        ("cnn_layers.4.threshold_low", 0.5, "threshold_low = 0.5"),
        ("cnn_layers.4.threshold_low", "low", "threshold_low"),
        ("cnn_layers.4.weights", [[[[200]]]], r"weights = 200 at \[0, 0, 0, 0\]"),
        ("cnn_layers.4.weights", [[1], [2, 3]], "different lengths"),
        ("cnn_layers.4.weights", [[[[0.5]]]], "whole numbers"),
        ("cnn_layers.4.biases", [1, 2], "biases = shape"),
        ("cnn_layers.4.monitor_enable", 3, "monitor_enable = 3"),
        ("cnn_layers.4.destinations", [destination()], "destinations = 1 items"),
        ("cnn_layers.4.destinations.0", destination(True, 7), r"cnn_layers\[7\].weights"),
        ("cnn_layers.4.destinations.0", destination(True, 10), r"destinations\[0\].layer = 10"),
        ("cnn_layers.4.destinations.0", destination(True, 12, 3), "pooling = 3"),
        ("cnn_layers.4.destinations.1", destination(True, 4), "input_shape|loop"),
        ("dvs_layer.destinations.0", destination(True, 4), r"cnn_layers\[4\].*input_shape.size.y"),
        ("dvs_layer.destinations.0", destination(True, 1), r"cnn_layers\[1\].weights"),
    ],
)
def test_the_first_bad_field_is_named(config, path, value, message):
    setting(path, value)(config)
    with pytest.raises(ConfigurationError, match=message):
        program_from_configuration(config)


def test_missing_field_is_named(config):
    del config.cnn_layers[4].threshold_high
    with pytest.raises(ConfigurationError, match=r"no field cnn_layers\[4\]\.threshold_high"):
        program_from_configuration(config)


def test_decimator_interval_and_balancer(config):
    core = config.cnn_layers[4]
    core.output_decimator_enable, core.output_decimator_interval = True, 5
    core.input_congestion_balancer_enable = True
    program = program_from_configuration(config)
    assert program.cores[4].decimation == 128
    assert "cnn_layers[4].input_congestion_balancer_enable" in program.notes[0]
    core.output_decimator_interval = 8
    with pytest.raises(ConfigurationError, match="output_decimator_interval = 8"):
        program_from_configuration(config)


def test_memory_of_the_core_is_checked(config):
    core = config.cnn_layers[4]
    core.dimensions.input_shape.feature_count = 256
    core.weights = np.ones((3, 256, 3, 3), dtype=np.int8)
    assert program_from_configuration(config).cores[4].in_shape[0] == 256
    config.cnn_layers[0], config.cnn_layers[4] = core, empty_core()
    core.dimensions.input_shape.feature_count = 512
    core.weights = np.ones((3, 512, 3, 3), dtype=np.int8)
    with pytest.raises(ConfigurationError, match=r"kernel memory\) = 32768 words"):
        program_from_configuration(config)


def test_balancer_is_noted_or_refused(config):
    config.cnn_layers[4].input_congestion_balancer_enable = True
    assert Twin.from_configuration(config).program.notes
    strict = Assumptions(congestion_balancer="refuse")
    with pytest.raises(ConfigurationError, match=r"cnn_layers\[4\]\.input_congestion_balancer"):
        Twin.from_configuration(config, assumptions=strict)


def test_weights_are_read_and_written_by_place(config):
    twin = Twin.from_configuration(config)
    weights = twin.program.cores[4].weights
    read = [twin.read_weight(4, place) for place in np.ndindex(weights.shape)]
    np.testing.assert_array_equal(np.reshape(read, weights.shape), weights)
    twin.write_weight(4, (1, 0, 2, 1), -7)
    assert twin.read_weight(4, (1, 0, 2, 1)) == -7
    with pytest.raises(ConfigurationError, match="no weight"):
        twin.read_weight(4, (99, 0, 0, 0))
    with pytest.raises(ConfigurationError, match="8 bits"):
        twin.write_weight(4, (0, 0, 0, 0), 128)
    with pytest.raises(ConfigurationError, match="no feature 99"):
        twin.read_bias(4, 99)
