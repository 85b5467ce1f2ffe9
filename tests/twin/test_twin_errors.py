"""Bad input: a typed error that names the first offending event or field, never a crash."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from speck_adacal.errors import ConfigurationError, EventError, SettingsError
from speck_adacal.events.types import Events
from speck_adacal.twin import Destination, DvsProgram, Twin


@pytest.fixture
def twin(make_core, make_program):
    return Twin(make_program(make_core(2, [[1, 2]])))


def test_unsorted_and_negative_times(make_events):
    with pytest.raises(EventError, match="Event 2 is at 4 µs, earlier than event 1"):
        make_events([(0, 0, 0, 0), (5, 0, 0, 0), (4, 0, 0, 0)])
    with pytest.raises(EventError, match="negative time"):
        make_events([(-1, 0, 0, 0)])


def test_coordinates_and_polarity_outside_the_entry(twin, make_events):
    good = (0, 0, 0, 1)
    for bad, where in (((1, 3, 0, 0), "x=3"), ((1, 0, 4, 0), "y=4"), ((1, 0, 0, 2), "channel=2")):
        with pytest.raises(EventError, match=rf"Event 1 .*{where}.*core 2.*2 channels"):
            twin.run(make_events([good, bad]))


def test_dropping_outside_events_is_counted(twin, make_events):
    rows = [(0, 0, 0, 1), (1, 3, 0, 0), (2, 0, 0, 0), (3, 0, 0, 2)]
    run = twin.run(make_events(rows), outside="drop")
    assert (run.dropped_input, run.input_events) == (2, 4)
    assert run.events_per_core[2] == 2
    with pytest.raises(SettingsError, match="'ignore'"):
        twin.run(make_events(rows), outside="ignore")


def test_cause_counts_dropped_events_too(twin, make_events):
    rows = [(0, 9 - 2, 0, 0), *[(i + 1, 0, 0, 1) for i in range(5)]]
    assert twin.run(make_events(rows), outside="drop").output.cause.tolist() == [5]


def test_events_for_a_core_that_is_not_configured(twin, make_events):
    with pytest.raises(EventError, match=r"layer 4.*configured are \[2\]"):
        twin.run(make_events([(0, 0, 0, 0)]), entry=4)
    with pytest.raises(EventError, match="Event 1 is addressed to layer 12"):
        twin.run(make_events([(0, 0, 0, 0), (1, 0, 0, 0)]), entry=[2, 12])


def test_entry_of_another_length(twin, make_events):
    with pytest.raises(SettingsError, match="entry has shape"):
        twin.run(make_events([(0, 0, 0, 0)]), entry=[2, 2])


def test_times_beyond_the_chips_clock(twin, make_events):
    fine, late = 2**32 - 1, 2**32
    twin.run(make_events([(fine, 0, 0, 0)]))
    with pytest.raises(EventError, match=f"Event 1 is at {late} µs.*32 bits"):
        twin.run(make_events([(fine, 0, 0, 0), (late, 0, 0, 0)]))


def test_a_clock_cannot_run_for_ever(make_core, make_program, make_events):
    twin = Twin(make_program(make_core()), slow_clock_hz=1e6)
    with pytest.raises(EventError, match="duration_us"):
        twin.run(make_events([(0, 0, 0, 0)], duration_us=2**40))
    with pytest.raises(SettingsError, match="ticks of the slow clock"):
        twin.advance(2**32 - 1)


def test_sensor_events_outside_the_sensor(make_core, make_program):
    stage = DvsProgram(destinations=(Destination(0),), cut=(0, 0), merge=True)
    twin = Twin(make_program(make_core(), dvs=stage))
    with pytest.raises(EventError, match=r"Event 0 .*x=128.*the DVS stage"):
        twin.run(Events([0], [128], [0], [0], (2, 200, 200)))


def test_no_unique_entry(make_core, make_program, make_events):
    twin = Twin(make_program(make_core(0), make_core(1)))
    with pytest.raises(ConfigurationError, match=r"2 cores .*\[0, 1\].*entry="):
        twin.run(make_events([(0, 0, 0, 0)]))
    empty = Twin(make_program())
    with pytest.raises(ConfigurationError, match="0 cores"):
        empty.run(make_events([]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stride": (3, 1)}, r"cnn_layers\[0\].dimensions.stride.y = 3"),
        ({"padding": (0, 8)}, "padding.x = 8"),
        ({"threshold_high": 32768}, "threshold_high = 32768"),
        ({"threshold_low": -32769}, "threshold_low = -32769"),
        ({"decimation": 3}, "output_decimator_interval = 3"),
        ({"weights": np.zeros((1, 1, 1, 1), np.int16)}, "weights = int16"),
        ({"weights": np.zeros((1, 1, 17, 17), np.int8)}, "kernel_size = 17"),
        ({"initial": np.zeros((1, 2, 1), np.int16)}, "neurons_initial_value = int16"),
        ({"bias": np.zeros(2, np.int16)}, "biases = int16"),
        ({"out_shape": (1, 2, 1)}, "output_shape.size.y = 2"),
        ({"out_shape": (1, 65, 1)}, "output_shape.size.y = 65"),
        ({"in_shape": (1, 1, 129)}, "input_shape.size.x = 129"),
        ({"in_shape": (1025, 1, 1)}, "input_shape.feature_count = 1025"),
        ({"index": 5}, r"cnn_layers\[0\] = 5"),
        ({"destinations": (Destination(4),)}, r"destinations\[0\].layer = 4"),
        ({"destinations": (Destination(0),)}, r"loop through the cores \[0\]"),
        ({"destinations": (Destination(12, pooling=3),)}, "pooling = 3"),
        ({"destinations": (Destination(12, slot=2),)}, "slots 0 to 1"),
        ({"destinations": (Destination(12), Destination(12))}, "one entry a slot"),
        ({"destinations": (Destination(12, feature_shift=-1),)}, "feature_shift = -1"),
    ],
)
def test_bad_programs_are_refused_by_field(make_core, make_program, change, message):
    program = make_program(make_core())
    broken = replace(program, cores={0: replace(program.cores[0], **change)})
    with pytest.raises(ConfigurationError, match=message):
        Twin(broken)


def test_a_long_loop_is_named(make_core, make_program):
    cores = [make_core(i, destinations=(Destination((i + 1) % 3),)) for i in range(3)]
    with pytest.raises(ConfigurationError, match=r"loop through the cores \[0, 1, 2\]"):
        Twin(make_program(*cores))


def test_memory_that_does_not_fit(make_core, make_program):
    wide = make_core(7, np.zeros((5, 1, 1, 1)), in_shape=(1, 64, 64), out_shape=(5, 64, 64))
    with pytest.raises(
        ConfigurationError, match=r"cnn_layers\[7\] \(neuron memory\) = 20480 words"
    ):
        Twin(make_program(wide))
    Twin(make_program(replace(wide, index=3)))


def test_features_and_sizes_must_fit_the_next_core(make_core, make_program):
    first = make_core(0, [[1]], destinations=(Destination(1, feature_shift=2),))
    with pytest.raises(ConfigurationError, match=r"cnn_layers\[1\].*feature_count = 1.*at least 3"):
        Twin(make_program(first, make_core(1)))
    wide = make_core(
        0, [[1]], in_shape=(1, 4, 4), out_shape=(1, 4, 4), destinations=(Destination(1),)
    )
    with pytest.raises(ConfigurationError, match=r"cnn_layers\[1\].*size.y = 1.*4"):
        Twin(make_program(wide, make_core(1)))


def test_neurons_and_cores_that_do_not_exist(twin):
    for x, y, feature in ((1, 0, 0), (0, -1, 0), (0, 0, 1)):
        with pytest.raises(EventError, match="has no neuron"):
            twin.read_neuron(2, x, y, feature)
    with pytest.raises(ConfigurationError, match="Core 3 is not configured"):
        twin.membrane(3)
    with pytest.raises(ConfigurationError, match="does not fit 16 bits"):
        twin.write_neuron(2, 0, 0, 0, 32768)
    with pytest.raises(SettingsError, match=r"observe names the cores \[8\]"):
        Twin(twin.program, observe=[8])
    with pytest.raises(SettingsError, match="threads"):
        twin.run_many([], threads=0)


def test_an_entry_that_is_no_number_and_input_that_is_no_events(twin, make_events):
    for entry in ("a", 1.5):
        with pytest.raises(SettingsError, match="whole numbers"):
            twin.run(make_events([(0, 0, 0, 0)]), entry=entry)
    with pytest.raises(EventError, match="takes Events, found list"):
        twin.run([1, 2], entry=2)


def test_time_does_not_go_back(twin):
    twin.advance(50)
    with pytest.raises(EventError, match=r"advance\(\) to 49 µs.* up to 50 µs"):
        twin.advance(49)


@pytest.mark.parametrize(("field", "value"), [("t_us", np.nan), ("t_us", 1.5), ("x", 0.5)])
def test_what_is_not_a_whole_number_is_not_cut(field, value):
    columns = {"t_us": [0.0, 2.0], "x": [0.0, 1.0], "y": [0, 0], "channel": [0, 0]}
    assert Events(**columns, shape=(1, 2, 2)).t_us.dtype == np.int64
    columns[field][1] = value
    with pytest.raises(EventError, match=f"Event 1 has {field} = {value}"):
        Events(**columns, shape=(1, 2, 2))
