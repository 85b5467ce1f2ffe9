"""The twin against the plain oracle, bit for bit, on random configurations.

One case draws everything at once: branches and merges, every core setting, every assumption, leak
on both slow clocks, the DVS stage with its filter, the readout layer, events addressed to cores
and to the DVS stage, and a stream cut into chunks at random places.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.feeding import run_oracle
from oracle.random_programs import (
    random_assumptions,
    random_board_program,
    random_program,
    random_stream,
)

from speck_adacal.events.types import Events
from speck_adacal.twin import Twin

ORACLE_BUDGET = 20_000  # SynOps; the oracle does about a million a second


def part(events: Events, start: int, stop: int, end_us: int) -> Events:
    fields = (getattr(events, name)[start:stop] for name in ("t_us", "x", "y", "channel"))
    return Events(*fields, events.shape, end_us)


def run_in_chunks(rng, twin, events, layer, count, end_us):
    cuts = sorted(int(c) for c in rng.integers(0, count + 1, int(rng.integers(0, 4))))
    bounds = [0, *cuts, count]
    runs = []
    for start, stop in itertools.pairwise(bounds):
        last = stop == count and start == bounds[-2]
        end = end_us if last else int(events.t_us[stop - 1]) if stop > start else twin.time_us
        chunk = part(events, start, stop, end)
        runs.append(twin.feed(chunk, entry=layer[start:stop]))
    return runs


def compare(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program = random_board_program(rng) if rng.integers(3) else random_program(rng)
    assumptions = random_assumptions(rng)
    clock_hz = None if rng.integers(3) == 0 else float(rng.choice([150.0, 777.7, 3000.0]))
    events, layer = random_stream(rng, program, int(rng.integers(0, 40)))
    oracle, count, end_us = run_oracle(
        program, assumptions, clock_hz, events, layer, budget=ORACLE_BUDGET, end_us=10_000
    )
    twin = Twin(program, assumptions=assumptions, slow_clock_hz=clock_hz)
    runs = run_in_chunks(rng, twin, events, layer, count, end_us)
    check_spikes(runs, oracle, program)
    check_readout(runs, oracle, program)
    for core in program.cores:
        np.testing.assert_array_equal(twin.membrane(core), oracle.chip.state[core])
        for name in ("events", "spikes", "synops", "dropped"):
            found = sum(int(getattr(run, f"{name}_per_core")[core]) for run in runs)
            assert found == getattr(oracle.chip, name)[core], (name, core)


def check_spikes(runs, oracle, program) -> None:
    names = ("t_us", "layer", "channel", "y", "x")
    found = [
        np.concatenate([getattr(run.monitored, name).astype(int) for run in runs]) for name in names
    ]
    silent = program.readout is not None and program.readout.monitor
    expected = np.array([] if silent else oracle.monitored, dtype=int).reshape(-1, 5).T
    np.testing.assert_array_equal(found, expected)


def check_readout(runs, oracle, program) -> None:
    if program.readout is None:
        assert all(run.readout is None for run in runs)
        return
    names = ("t_us", "value", "interrupt")
    found = [np.concatenate([getattr(run.readout, n).astype(int) for run in runs]) for n in names]
    expected = np.array(oracle.readout, dtype=int).reshape(-1, 3).T
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_twin_equals_oracle(seed):
    compare(seed)


def test_an_event_that_never_ends_is_left_out():
    """Seed 77000659: cores that fire at every event make ever more spikes of one."""
    compare(77_000_659)


@pytest.mark.long
@pytest.mark.parametrize("start", range(0, 10_000, 1000))
def test_twin_equals_oracle_in_ten_thousand_cases(start):
    for seed in range(start, start + 1000):
        compare(seed)


def test_random_programs_cover_what_they_claim():
    rng = np.random.default_rng(0)
    programs = [random_board_program(rng) for _ in range(200)]
    cores = [core for program in programs for core in program.cores.values()]
    assert any(len(p.sources_of(core)) > 1 for p in programs for core in p.cores)
    assert any(len(core.destinations) == 2 for core in cores)
    assert any({d.layer for d in c.destinations} == {12} for c in cores)
    twice = [[d.layer for d in core.destinations] for core in cores]
    assert any(len(layers) > len(set(layers)) for layers in twice)
    assert {core.decimation for core in cores} == {1, 2, 4, 8}
    assert any(core.leak and core.leak_internal_clock for core in cores)
    assert any(p.dvs.filter and p.dvs.filter.low_pass for p in programs)
