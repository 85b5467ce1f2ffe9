"""The readout layer: windows, thresholds, output modes, the channel-mapping erratum."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal.errors import ConfigurationError
from speck_adacal.twin import Assumptions, Destination, ReadoutProgram, Twin


@pytest.fixture
def read_out(make_core, make_program, make_events):
    """16 features that each fire at every event, into the readout layer, 1 kHz slow clock."""

    def run(features, duration_us=4000, assumptions=None, **settings):
        weights = np.eye(16, dtype=np.int8)[:, :, None, None]
        core = make_core(0, weights, threshold_high=1, destinations=(Destination(12),))
        program = make_program(
            core, readout=ReadoutProgram(**{"window": 1, "layout": 3, **settings})
        )
        twin = Twin(program, slow_clock_hz=1000, assumptions=assumptions)
        rows = [(t_us, 0, 0, f) for t_us, f in features]
        return twin.run(make_events(rows, (16, 1, 1), duration_us))

    return run


CYCLES = [(100, 0), (200, 0), (300, 4), (1100, 4), (1200, 8), (1300, 8), (1400, 8), (1500, 1)]


def test_every_fourth_channel_counts_for_a_class(read_out):
    run = read_out(CYCLES)
    assert run.readout.t_us.tolist() == [1000, 2000, 3000, 4000]
    assert run.readout.average[:2, 1:4].tolist() == [[2, 1, 0], [0, 1, 3]]
    assert run.readout.winner.tolist() == [1, 3, 0, 0]
    assert run.readout.average.sum() == 7  # channel 1 counts for nothing


def test_mapping_is_an_assumption(read_out):
    quarter = read_out(CYCLES, assumptions=Assumptions(readout_mapping="quarter"))
    assert quarter.readout.average[1, 1:4].tolist() == [1, 1, 3]
    plain = read_out(CYCLES, assumptions=Assumptions(readout_mapping="plain"))
    assert plain.readout.average[1, [2, 5, 9]].tolist() == [1, 1, 3]


def test_averages_over_16_cycles_are_rounded_down(read_out):
    features = [(1000 * cycle + 10 * i, 0) for cycle in range(20) for i in range(2)]
    run = read_out(features, duration_us=20_000, window=16)
    assert run.readout.average[:, 1].tolist() == [(2 * min(n, 16)) // 16 for n in range(1, 21)]
    summed = Assumptions(readout_average="sum")
    run = read_out(features, duration_us=20_000, window=16, assumptions=summed)
    assert run.readout.average[:, 1].tolist() == [2 * min(n, 16) for n in range(1, 21)]


def test_output_modes(read_out):
    valid = 1 << 20
    assert read_out(CYCLES, mode=0).readout.value.tolist() == [0] * 4
    compare = read_out(CYCLES, mode=1, threshold=1).readout.value
    assert compare.tolist() == [valid | 1 << 16 | 1 << 1, valid | 3 << 16 | 1 << 3, valid, valid]
    selected = read_out(CYCLES, mode=2, neuron=2).readout.value
    assert selected.tolist() == [valid | 1 << 16 | 1, valid | 3 << 16 | 1, valid, valid]
    largest = read_out(CYCLES, mode=3, threshold=2).readout.value
    assert largest.tolist() == [1 << 16 | 2, valid | 3 << 16 | 3, 0, 0]


def test_interrupt_needs_more_than_the_threshold(read_out):
    assert read_out(CYCLES, threshold=2).readout.interrupt.tolist() == [False, True, False, False]
    reached = Assumptions(readout_compare=">=")
    run = read_out(CYCLES, threshold=2, assumptions=reached)
    assert run.readout.interrupt.tolist() == [True, True, False, False]


def test_other_layouts_read_neurons_by_place(make_core, make_program, make_events):
    core = make_core(
        0,
        np.eye(4, dtype=np.int8)[:, :, None, None],
        in_shape=(4, 2, 2),
        out_shape=(4, 2, 2),
        threshold_high=1,
        destinations=(Destination(12),),
    )
    program = make_program(core, readout=ReadoutProgram(window=1, layout=0))
    twin = Twin(program, slow_clock_hz=1000)
    run = twin.run(make_events([(1, 1, 0, 2), (2, 1, 1, 3)], (4, 2, 2), 1000))
    # class (y * 2 + x) * 4 + f + 1; the sixteenth neuron has none
    assert np.flatnonzero(run.readout.average[0]).tolist() == [7]


def test_monitoring_the_readout_silences_the_other_monitors(read_out):
    assert len(read_out(CYCLES).monitored) == len(CYCLES)
    silent = read_out(CYCLES, monitor=True)
    assert len(silent.monitored) == 0
    assert len(silent.spikes[0]) == len(CYCLES)


def test_no_readout_without_its_configuration(make_core, make_program, pulses):
    assert Twin(make_program(make_core())).run(pulses([0])).readout is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 8}, "window = 8"),
        ({"mode": 4}, "readout.mode = 4"),
        ({"layout": -1}, "readout.layout = -1"),
        ({"threshold": 65536}, "readout.threshold = 65536"),
        ({"neuron": 16}, "readout.neuron = 16"),
    ],
)
def test_bad_settings_are_named(make_core, make_program, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        Twin(make_program(make_core(), readout=ReadoutProgram(**settings)))


def test_the_vendors_notebook_run(make_core, make_program, make_events):
    """using_readout_layer: 15,001 events in 3 s, 20 Hz clock, 60 cycles, class 1 then class 2.

    The published run on a speck2f dev kit gave one output spike per event, 60 pin values, and the
    class of the half that the events lay in.
    """
    weights = np.zeros((5, 1, 16, 16), np.int8)
    weights[0, 0, :8], weights[4, 0, 8:] = 127, 127
    core = make_core(
        0,
        weights,
        in_shape=(1, 16, 16),
        out_shape=(5, 1, 1),
        threshold_high=127,
        destinations=(Destination(12),),
    )
    readout = ReadoutProgram(window=1, layout=3, mode=1, threshold=1, pin_monitor=True)
    twin = Twin(make_program(core, readout=readout), slow_clock_hz=20)
    rng = np.random.default_rng(0)
    t_us = 5000 + 200 * np.arange(15_001)
    y = np.where(t_us < 1_500_000, rng.integers(0, 8, len(t_us)), rng.integers(8, 16, len(t_us)))
    rows = np.stack([t_us, rng.integers(0, 16, len(t_us)), y, np.zeros(len(t_us), int)], axis=1)
    run = twin.run(make_events(rows, (1, 16, 16)))
    assert len(run.spikes[0]) == 15_001
    assert run.readout.interrupt.sum() == 60
    assert run.readout.winner.tolist() == [1] * 30 + [2] * 30
