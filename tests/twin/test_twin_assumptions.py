"""Each named assumption: a case where its alternatives differ, and where they cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from oracle.random_programs import random_events, random_program

from speck_adacal.errors import SettingsError
from speck_adacal.twin import Assumptions, Destination, Twin


def potentials(program, events, **assumptions):
    twin = Twin(program, assumptions=Assumptions(**assumptions))
    run = twin.run(events, entry=next(iter(program.cores)))
    return {core: twin.membrane(core).tolist() for core in program.cores}, run


def test_overflow_matters_only_beyond_16_bits(make_core, make_program, pulses):
    top = np.full((1, 1, 1), 32700, dtype=np.int16)
    core = make_core(weights=[[100]], threshold_high=32767, initial=top, threshold_low=-32768)
    saturated, run = potentials(make_program(core), pulses([0]), overflow="saturate")
    assert (saturated[0], len(run.spikes[0])) == ([[[0]]], 1)
    wrapped, run = potentials(make_program(core), pulses([0]), overflow="wrap")
    assert (wrapped[0], len(run.spikes[0])) == ([[[32800 - 65536]]], 0)
    low = replace(core, initial=None)
    assert (
        potentials(make_program(low), pulses([0] * 9), overflow="saturate")[0]
        == (potentials(make_program(low), pulses([0] * 9), overflow="wrap")[0])
    )


def test_spikes_per_event_by_kind_of_core(make_core, make_program, pulses):
    for core, name in ((0, "parallel_spikes_per_event"), (2, "spikes_per_event")):
        program = make_program(make_core(core, [[35]]))
        assert len(potentials(program, pulses([0]))[1].spikes[core]) == 1
        assert len(potentials(program, pulses([0]), **{name: 3})[1].spikes[core]) == 3
        assert len(potentials(program, pulses([0]), **{name: 9})[1].spikes[core]) == 3
        other = {"parallel_spikes_per_event", "spikes_per_event"} - {name}
        assert len(potentials(program, pulses([0]), **{other.pop(): 3})[1].spikes[core]) == 1


def test_spike_order_reaches_the_next_core(make_core, make_program, pulses):
    """Two features fire at one event; the next neuron fires only if +10 comes before -10."""
    start = make_core(0, [[10], [10]], destinations=(Destination(1),))
    end = make_core(1, [[10, -10]], threshold_low=-10)
    program = make_program(start, end)
    assert len(potentials(program, pulses([0]))[1].spikes[1]) == 1
    assert len(potentials(program, pulses([0]), spike_order="reversed")[1].spikes[1]) == 0


def test_feature_first_order(make_core, make_program, make_events):
    weights = np.full((2, 1, 2, 2), 10, np.int8)
    wide = make_core(0, weights, in_shape=(1, 2, 2), out_shape=(2, 3, 1), padding=(1, 0))
    events = make_events([(0, 0, 0, 0)], (1, 2, 2))
    for order, expected in (
        ("row_column_feature", [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ("feature_row_column", [(0, 0), (1, 0), (0, 1), (1, 1)]),
        ("reversed", [(1, 1), (1, 0), (0, 1), (0, 0)]),
    ):
        spikes = potentials(make_program(wide), events, spike_order=order)[1].spikes[0]
        assert list(zip(spikes.y.tolist(), spikes.channel.tolist(), strict=True)) == expected


def test_arbitration_matters_only_where_branches_merge(make_core, make_program, pulses):
    start = make_core(0, [[10]], destinations=(Destination(1, slot=0), Destination(2, slot=1)))
    detour = make_core(1, [[10]], destinations=(Destination(2, feature_shift=1),))
    end = make_core(2, [[10, -10]], threshold_low=-10)
    merging = make_program(start, detour, end)
    assert len(potentials(merging, pulses([0]))[1].spikes[2]) == 0
    assert len(potentials(merging, pulses([0]), arbitration="breadth_first")[1].spikes[2]) == 1


@pytest.mark.parametrize("seed", range(40))
def test_arbitration_cannot_matter_in_trees(seed):
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    if any(
        sum(d.layer == i for c in program.cores.values() for d in c.destinations) > 1
        for i in program.cores
    ):
        return
    events = random_events(rng, next(iter(program.cores.values())).in_shape, 15)
    depth, breadth = (
        potentials(program, events, arbitration=a) for a in ("depth_first", "breadth_first")
    )
    assert depth[0] == breadth[0]
    for core, spikes in depth[1].spikes.items():
        other = breadth[1].spikes[core]
        for name in ("t_us", "x", "y", "channel", "cause"):
            np.testing.assert_array_equal(getattr(spikes, name), getattr(other, name))


@pytest.mark.parametrize("seed", range(20))
def test_order_and_arbitration_cannot_matter_in_the_first_core(seed):
    rng = np.random.default_rng(seed)
    program = random_program(rng, most_cores=1)
    (core,) = program.cores
    events = random_events(rng, program.cores[core].in_shape, 30)
    base = potentials(program, events)[1].spikes[core].counts()
    for change in ({"spike_order": "reversed"}, {"arbitration": "breadth_first"}):
        np.testing.assert_array_equal(
            base, potentials(program, events, **change)[1].spikes[core].counts()
        )


def test_decimator_phase_and_monitor_point(make_core, make_program, pulses):
    first = make_core(0, [[10]], decimation=4, destinations=(Destination(1),))
    program = make_program(first, make_core(1, [[10]]))
    last, early = (
        potentials(program, pulses([0] * 5), decimator_passes=p)[1] for p in ("last", "first")
    )
    assert last.spikes[1].cause.tolist() == [3]
    assert early.spikes[1].cause.tolist() == [0, 4]
    after = potentials(program, pulses([0] * 5), decimator_before_monitor=True)[1]
    assert (len(last.spikes[0]), len(after.spikes[0])) == (5, 1)


def test_leak_may_fire_at_the_tick_or_at_the_next_event(make_core, make_program, pulses):
    core = make_core(weights=[[0]], leak=True, bias=np.array([10], np.int16))
    for fires, causes in ((False, [0]), (True, [-1])):
        twin = Twin(
            make_program(core), assumptions=Assumptions(leak_fires=fires), slow_clock_hz=600
        )
        assert twin.run(pulses([0], start_us=2000)).spikes[0].cause.tolist() == causes


def test_tick_at_the_time_of_an_event(make_core, make_program, pulses):
    core = make_core(weights=[[0]], leak=True, bias=np.array([10], np.int16))
    for first, spikes in ((True, 1), (False, 0)):
        assume = Assumptions(tick_before_event=first)
        twin = Twin(make_program(core), assumptions=assume, slow_clock_hz=1000)
        assert len(twin.run(pulses([0])).spikes[0]) == spikes


@pytest.mark.parametrize(
    "bad",
    [
        {"overflow": "clip"},
        {"spikes_per_event": 0},
        {"spikes_per_event": True},
        {"parallel_spikes_per_event": 65},
        {"leak_fires": "yes"},
        {"readout_compare": "=="},
    ],
)
def test_unknown_alternatives_are_refused(bad):
    with pytest.raises(SettingsError, match=next(iter(bad))):
        Assumptions(**bad)


def test_every_assumption_is_documented():
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "assumptions.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in Assumptions().to_dict())
