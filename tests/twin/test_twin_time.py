"""Slow clocks, leak, chunks, latency."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import EventError, SettingsError
from speck_adacal.twin import Destination, DvsProgram, LatencyModel, Twin


def leaking(make_core, **changes):
    bias = np.array([-13], dtype=np.int16)
    start = np.full((1, 1, 1), 127, dtype=np.int16)
    settings = {"bias": bias, "initial": start, "leak": True, "threshold_high": 127, **changes}
    return make_core(weights=[[0]], **settings)


def test_leak_is_the_published_one(make_core, make_program):
    """sinabs docs, leak_neuron, on a real chip: -13 a tick, through zero, down to the clamp."""
    twin = Twin(make_program(leaking(make_core, threshold_low=-127)), slow_clock_hz=1)
    seen = []
    for second in range(1, 25):
        run = twin.advance(1_000_000 * second)
        assert len(run.monitored) == 0
        seen.append(twin.read_neuron(0, 0, 0, 0))
    assert seen[:12] == [127 - 13 * n for n in range(1, 13)]
    assert seen[-1] == -127


def test_without_leak_enable_or_clock_nothing_leaks(make_core, make_program):
    for core, rate in ((leaking(make_core, leak=False), 10.0), (leaking(make_core), None)):
        twin = Twin(make_program(core), slow_clock_hz=rate)
        twin.advance(5_000_000)
        assert twin.read_neuron(0, 0, 0, 0) == 127


def test_ticks_by_hand(make_core, make_program):
    twin = Twin(make_program(leaking(make_core)))
    twin.tick()
    twin.tick()
    assert twin.read_neuron(0, 0, 0, 0) == 101


def test_the_internal_clock_counts_dvs_events(make_core, make_program, make_events):
    core = leaking(make_core, leak_internal_clock=True)
    stage = DvsProgram(destinations=(Destination(0),), cut=(0, 0), merge=True)
    program = make_program(core, dvs=stage, internal_clock_divider=2)
    twin = Twin(program, slow_clock_hz=1000)
    twin.run(make_events([(t, 9, 9, 0) for t in range(11)], (2, 128, 128)))
    assert twin.read_neuron(0, 0, 0, 0) == 127 - 2 * 13
    twin.feed(make_events([(20, 9, 9, 0)], (2, 128, 128)))
    assert twin.read_neuron(0, 0, 0, 0) == 127 - 3 * 13


def test_time_goes_on_from_chunk_to_chunk(make_core, make_program, pulses):
    twin = Twin(make_program(make_core()))
    twin.run(pulses([0, 0], duration_us=5000))
    assert twin.time_us == 5000
    with pytest.raises(EventError, match=r"Event 0 is at 4999 µs.*5000 µs"):
        twin.feed(pulses([0], start_us=4999))
    twin.restart_time()
    assert twin.feed(pulses([0])).spikes[0].cause.tolist() == []
    assert twin.read_neuron(0, 0, 0, 0) == 3  # the states stayed


@pytest.mark.parametrize("rate", [0.0, -5.0, 2e6, float("nan")])
def test_impossible_clock_rates_are_refused(make_core, make_program, rate):
    with pytest.raises(SettingsError, match="slow clock"):
        Twin(make_program(make_core()), slow_clock_hz=rate)


def chain(make_core, make_program, length):
    cores = [
        make_core(i, [[10]], destinations=(Destination(i + 1),) if i + 1 < length else ())
        for i in range(length)
    ]
    return make_program(*cores)


def test_latency_follows_the_published_figures(make_core, make_program, pulses):
    program = chain(make_core, make_program, 9)
    model = LatencyModel.published(load_chip_description())
    run = Twin(program, latency=model).run(pulses([0]))
    assert run.spikes[0].t_us.tolist() == [1000 + 2]  # 1.58 µs
    assert run.spikes[8].t_us.tolist() == [1000 + 3]  # 3.36 µs
    plain = Twin(program).run(pulses([0]))
    assert {int(spikes.t_us[0]) for spikes in plain.spikes.values()} == {1000}


def test_latency_takes_the_longest_path(make_core, make_program):
    start = make_core(0, [[10]], destinations=(Destination(1, slot=0), Destination(2, slot=1)))
    program = make_program(
        start, make_core(1, [[10]], destinations=(Destination(2),)), make_core(2, [[1]])
    )
    assert LatencyModel(10, 100).core_latency_us(program) == {0: 10, 1: 110, 2: 210}
    with pytest.raises(SettingsError, match="first_core_us"):
        LatencyModel(-1, 0)
