"""The chip's rules one by one, on neurons small enough to follow by hand."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal.twin import Assumptions, Destination, Twin


def fired(run, core=0):
    """Index of the causing event of every spike."""
    return run.spikes[core].cause.tolist()


def test_a_neuron_fires_when_it_equals_its_threshold(make_core, make_program, pulses):
    twin = Twin(make_program(make_core(weights=[[127]], threshold_high=127)))
    assert fired(twin.run(pulses([0]))) == [0]
    assert twin.read_neuron(0, 0, 0, 0) == 0


def test_one_spike_per_event_and_the_residue_waits(make_core, make_program, pulses):
    twin = Twin(make_program(make_core(weights=[[35, 0, -1]])))
    assert fired(twin.run(pulses([0]))) == [0]
    assert twin.read_neuron(0, 0, 0, 0) == 25
    assert twin.residue(0).tolist() == [[[25]]]
    # events of weight 0 or below let it fire on, one spike each
    assert fired(twin.run(pulses([0, 1, 2, 1]))) == [0, 1, 2]
    assert twin.read_neuron(0, 0, 0, 0) == 4
    assert twin.residue(0).tolist() == [[[0]]]


def test_return_to_zero_drops_the_residue(make_core, make_program, pulses):
    twin = Twin(make_program(make_core(weights=[[35, 0]], return_to_zero=True)))
    assert fired(twin.run(pulses([0, 1]))) == [0]
    assert twin.read_neuron(0, 0, 0, 0) == 0


def test_the_lower_threshold_clamps(make_core, make_program, pulses):
    twin = Twin(make_program(make_core(weights=[[-50, 9]], threshold_low=-20)))
    twin.run(pulses([0]))
    assert twin.read_neuron(0, 0, 0, 0) == -20
    assert fired(twin.feed(pulses([1, 1, 1, 1], start_us=2000))) == [3]


def test_an_initial_potential_at_the_threshold_needs_an_event(make_core, make_program, pulses):
    core = make_core(weights=[[0]], initial=np.full((1, 1, 1), 10, dtype=np.int16))
    twin = Twin(make_program(core))
    assert fired(twin.advance(1_000_000)) == []
    assert fired(twin.run(pulses([0]))) == [0]


def test_convolution_reach_stride_padding_and_synops(make_core, make_program, make_events):
    weights = np.arange(9, dtype=np.int8).reshape(1, 1, 3, 3)
    core = make_core(
        weights=weights,
        in_shape=(1, 5, 5),
        out_shape=(1, 3, 3),
        stride=(2, 2),
        padding=(1, 1),
        threshold_high=32767,
    )
    twin = Twin(make_program(core))
    run = twin.run(make_events([(0, 1, 2, 0)], (1, 5, 5)))
    # y=2 reaches row 1 with tap 1; x=1 reaches columns 0 (tap 2) and 1 (tap 0)
    assert twin.membrane(0)[0].tolist() == [[0, 0, 0], [5, 3, 0], [0, 0, 0]]
    assert run.synops_per_core[0] == 2


def test_pooling_divides_coordinates_and_drops_the_rest(make_core, make_program, make_events):
    first = make_core(
        weights=[[10]],
        in_shape=(1, 5, 5),
        out_shape=(1, 5, 5),
        destinations=(Destination(3, pooling=2),),
    )
    second = make_core(3, [[1]], in_shape=(1, 2, 2), out_shape=(1, 2, 2))
    twin = Twin(make_program(first, second))
    run = twin.run(make_events([(0, 3, 2, 0), (1, 4, 0, 0)], (1, 5, 5)))
    assert twin.membrane(3)[0].tolist() == [[0, 0], [0, 1]]
    assert run.dropped_per_core[3] == 1
    assert run.spikes[0].x.tolist() == [3, 4]  # monitored before pooling


def test_feature_shift_concatenates_two_cores(make_core, make_program, pulses):
    one = make_core(0, [[10]], destinations=(Destination(2),))
    two = make_core(1, [[10]], destinations=(Destination(2, feature_shift=1),))
    both = make_core(2, [[1, 3]])
    twin = Twin(make_program(one, two, both))
    twin.run(pulses([0, 0]), entry=[0, 1])
    assert twin.membrane(2).tolist() == [[[4]]]


def test_both_destinations_may_be_the_same_core(make_core, make_program, pulses):
    twice = (Destination(2, slot=0), Destination(2, feature_shift=1, slot=1))
    twin = Twin(make_program(make_core(0, [[10]], destinations=twice), make_core(2, [[1, 3]])))
    run = twin.run(pulses([0]))
    assert twin.membrane(2).tolist() == [[[4]]]
    assert run.events_per_core[2] == 2


def test_the_decimator_lets_the_last_of_n_pass(make_core, make_program, pulses):
    first = make_core(0, [[10]], decimation=4, destinations=(Destination(1),))
    twin = Twin(make_program(first, make_core(1, [[1]])))
    run = twin.run(pulses([0] * 7))
    assert run.spikes_per_core[0] == 7
    assert len(run.spikes[0]) == 7
    assert run.events_per_core[1] == 1
    # the count goes on in the next chunk
    assert twin.feed(pulses([0], start_us=9000)).events_per_core[1] == 1


def test_merging_inputs_interleave_by_their_cause(make_core, make_program, pulses):
    """Core 0 feeds core 2 directly and through core 1: the direct spike comes last (slot 1)."""
    start = make_core(0, [[10]], destinations=(Destination(1, slot=0), Destination(2, slot=1)))
    detour = make_core(1, [[10]], destinations=(Destination(2, feature_shift=1),))
    end = make_core(2, [[6, -9]], threshold_low=-9, threshold_high=1)
    run = Twin(make_program(start, detour, end)).run(pulses([0, 0, 0]))
    # each time -9 (clamped at -9), then +6: always below the threshold
    assert fired(run, 2) == []
    swapped = (Destination(1, slot=1), Destination(2, slot=0))
    start = make_core(0, [[10]], destinations=swapped)
    run = Twin(make_program(start, detour, end)).run(pulses([0, 0, 0]))
    # +6 fires, 5 left; -9; +6 fires, 1 left; -9; +6 ends at -2
    assert fired(run, 2) == [0, 1]


def test_output_and_its_refusals(make_core, make_program, pulses):
    program = make_program(make_core(4, [[10]]))
    assert len(Twin(program).run(pulses([0, 0])).output) == 2
    silent = make_program(make_core(4, [[10]], monitor=False))
    with pytest.raises(ValueError, match="monitor_enable"):
        _ = Twin(silent).run(pulses([0])).output
    observed = Twin(silent, observe=[4]).run(pulses([0]))
    assert len(observed.output) == 1
    assert len(observed.monitored) == 0  # not on the chip's own monitor bus


def test_neurons_can_be_read_and_written_while_running(make_core, make_program, pulses):
    twin = Twin(make_program(make_core(0, [[4]])))
    twin.run(pulses([0]))
    assert twin.read_neuron(0, x=0, y=0, feature=0) == 4
    twin.write_neuron(0, x=0, y=0, feature=0, value=6)
    run = twin.feed(pulses([0]))
    assert fired(run) == [0]


def test_lost_event_after_a_write_is_an_assumption(make_core, make_program, pulses):
    losing = Assumptions(lose_event_after_write=True)
    twin = Twin(make_program(make_core(0, [[4]])), assumptions=losing)
    twin.write_neuron(0, 0, 0, 0, 9)
    run = twin.run(pulses([0, 0]), reset=False)
    assert fired(run) == [1]
    assert run.dropped_per_core[0] == 1
