"""Load in sliding windows, head-room, residue, remedies, power."""

from __future__ import annotations

import numpy as np
import pytest
from oracle.random_programs import random_events, random_program

from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.twin import (
    Activity,
    Destination,
    PowerModel,
    Twin,
    core_headroom,
    fit_power_model,
    try_remedies,
)
from speck_adacal.twin.load import LoadTrace


@pytest.mark.parametrize("seed", range(10))
def test_worst_window_equals_a_search_by_hand(seed):
    rng = np.random.default_rng(seed)
    t_us = np.sort(rng.integers(0, 300, 60))
    counts = np.zeros((60, 9, 2), dtype=np.int64)
    counts[:, 4] = rng.integers(0, 50, (60, 2))
    load = LoadTrace(t_us, counts)
    for window in (1, 7, 50, 1000):
        sums = [counts[(t_us >= s) & (t_us < s + window), 4, 1].sum() for s in range(300)]
        worst = load.worst(4, window)
        assert worst.count == max(sums)
        assert worst.per_s == pytest.approx(max(sums) / window * 1e6)
        inside = (t_us >= worst.start_us) & (t_us < worst.start_us + window)
        assert counts[inside, 4, 1].sum() == worst.count
    assert load.worst(4, 50, events=True).count <= counts[:, 4, 0].sum()
    assert load.worst(3, 50).headroom(1e6) == float("inf")
    starts, rates = load.profile(4, 50)
    assert (rates * 50 / 1e6).sum() == pytest.approx(counts[:, 4, 1].sum())
    assert len(starts) == len(rates)


@pytest.mark.parametrize("seed", range(20))
def test_load_adds_up_to_the_counters(seed):
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    entry = next(iter(program.cores))
    events = random_events(rng, program.cores[entry].in_shape, 10)
    run = Twin(program).run(events, entry=entry, record_load=True)
    np.testing.assert_array_equal(run.load.counts[:, :, 0].sum(axis=0), run.events_per_core)
    np.testing.assert_array_equal(run.load.counts[:, :, 1].sum(axis=0), run.synops_per_core)
    assert Twin(program).run(events, entry=entry).load is None


def test_headroom_against_the_callers_limit():
    counts = np.zeros((2, 9, 2), dtype=np.int64)
    counts[:, 0, 1] = 500
    worst = LoadTrace(np.array([0, 10]), counts).worst(0, 1000)
    assert worst.headroom(2e6) == pytest.approx(2.0)
    with pytest.raises(SettingsError, match="positive"):
        worst.headroom(0)
    with pytest.raises(SettingsError, match="window"):
        LoadTrace(np.array([0, 10]), counts).worst(0, 0)


def test_headroom_and_residue_of_a_core(make_core, make_program, pulses):
    start = np.array([32700, 0, 0], np.int16).reshape(3, 1, 1)
    core = make_core(weights=[[100], [35], [-5]], initial=start)
    twin = Twin(make_program(core), track_peaks=True)
    twin.run(pulses([0]))
    found = core_headroom(twin, 0)
    assert (found.highest, found.room, found.near) == (32767, 0, 1)
    assert found.residue == 2
    assert found.owed_spikes == 32757 // 10 + 2
    assert twin.peaks(0).ravel().tolist() == [32767, 35, 0]
    with pytest.raises(SettingsError, match="track_peaks"):
        Twin(make_program(core)).peaks(0)


@pytest.mark.parametrize("seed", range(20))
def test_peaks_are_the_highest_potentials_seen(seed):
    rng = np.random.default_rng(seed)
    program = random_program(rng, most_cores=1)
    (index,) = program.cores
    core = program.cores[index]
    twin = Twin(program, track_peaks=True)
    plain = Twin(program)
    events = random_events(rng, core.in_shape, 12)
    twin.run(events)
    plain.run(events)
    np.testing.assert_array_equal(twin.membrane(index), plain.membrane(index))
    highest = core.initial_potentials().copy()
    single = Twin(program)
    for i in range(len(events)):
        part = type(events)(
            events.t_us[i : i + 1],
            events.x[i : i + 1],
            events.y[i : i + 1],
            events.channel[i : i + 1],
            events.shape,
        )
        before = single.membrane(index).astype(int)
        run = single.feed(part)
        fired = run.spikes[index].counts()
        after = single.membrane(index).astype(int)
        reached = after + (0 if core.return_to_zero else core.threshold_high) * fired
        known = np.ones_like(fired, bool) if not core.return_to_zero else fired == 0
        highest = np.where(known & (reached != before), np.maximum(highest, reached), highest)
    assert (twin.peaks(index) >= np.minimum(highest, 32767)).all()
    if not core.return_to_zero:
        np.testing.assert_array_equal(twin.peaks(index), np.minimum(highest, 32767))


def test_remedies_show_what_decimator_and_threshold_would_do(make_core, make_program, pulses):
    first = make_core(0, [[10]], destinations=(Destination(1),))
    twin = Twin(make_program(first, make_core(1, [[1]])))
    remedies = try_remedies(twin, pulses([0] * 8), 0, window_us=100_000, decimations=(2,))
    by_name = {r.change: r for r in remedies}
    assert by_name["as configured"].worst[1].count == 8
    assert by_name["decimator 1 of 2"].worst[1].count == 4
    assert by_name["threshold 20"].worst[1].count == 4
    assert by_name["threshold 20"].synops == 12
    with pytest.raises(SettingsError, match="Core 5"):
        try_remedies(twin, pulses([0]), 5, window_us=1000)


def test_power_is_idle_until_energies_are_given(make_core, make_program, pulses):
    run = Twin(make_program(make_core())).run(pulses([0] * 10, duration_us=100_000))
    activity = Activity.of(run)
    assert activity.synop == pytest.approx(100)
    model = PowerModel.published(load_chip_description())
    idle = model.estimate(activity)
    assert idle.kind == "estimated"
    assert idle.rails_w["logic"] == pytest.approx(367e-6)
    assert all(source for source in idle.sources.values())
    busy = model.with_energy("logic", "synop", 1e-6, "made up for this test").estimate(activity)
    assert busy.total_w - idle.total_w == pytest.approx(1e-4)
    assert busy.energy_j == pytest.approx(busy.total_w * 0.1)
    assert busy.sources["logic synop"] == "made up for this test"


def test_power_constants_are_fitted_to_a_recording():
    rng = np.random.default_rng(0)
    activities = [Activity(*rng.uniform(1e5, 1e7, 3), duration_s=1.0) for _ in range(30)]
    logic = [4e-4 + 3e-12 * a.synop + 5e-11 * a.spike for a in activities]
    model = fit_power_model(
        activities, {"logic": logic}, terms=("synop", "spike"), source="board 7, this test"
    )
    assert model.idle["logic"].value == pytest.approx(4e-4, rel=1e-6)
    assert model.energies["logic"]["synop"].value == pytest.approx(3e-12, rel=1e-6)
    assert model.energies["logic"]["spike"].value == pytest.approx(5e-11, rel=1e-6)


def test_power_refusals(make_core, make_program, make_events):
    same = [Activity(1e6, 1e4, 1e3, 1.0)] * 5
    with pytest.raises(CalibrationError, match="do not determine 2 constants"):
        fit_power_model(same, {"logic": [1e-3] * 5}, source="x")
    varied = [Activity(n * 1e6, 1e4, 1e3, 1.0) for n in range(5)]
    with pytest.raises(CalibrationError, match="5 finite values"):
        fit_power_model(varied, {"logic": [1e-3, float("nan"), 0, 0, 0]}, source="x")
    with pytest.raises(SettingsError, match="'motor'"):
        PowerModel({}, {"motor": {}})
    run = Twin(make_program(make_core())).run(make_events([]))
    with pytest.raises(SettingsError, match="at least 1 µs"):
        Activity.of(run)
