"""The kernel against the plain NumPy oracle, bit for bit, on random configurations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speck_adacal.events.types import Events
from speck_adacal.twin import Twin
from speck_adacal.twin.fuzz import random_assumptions, random_events, random_program
from speck_adacal.twin.reference import ReferenceChip

ORACLE_BUDGET = 20_000  # SynOps; the oracle does about a million a second


def first_events(events: Events, count: int) -> Events:
    fields = (getattr(events, name)[:count] for name in ("t_us", "x", "y", "channel"))
    return Events(*fields, events.shape, events.duration_us)


def compare(seed: int) -> None:
    rng = np.random.default_rng(seed)
    program, assumptions = random_program(rng), random_assumptions(rng)
    entry = next(iter(program.cores))
    events = random_events(rng, program.cores[entry].in_shape, int(rng.integers(0, 25)))
    oracle = ReferenceChip(program, assumptions)
    done = 0
    while done < len(events) and sum(oracle.synops.values()) < ORACLE_BUDGET:
        c, y, x = (int(v[done]) for v in (events.channel, events.y, events.x))
        oracle.event(done, entry, c, y, x)
        done += 1
    events = first_events(events, done)
    twin = Twin(program, assumptions=assumptions)
    run = twin.run(events, entry=entry)
    found = np.stack([run.monitored.layer, run.monitored.channel, run.monitored.y, run.monitored.x])
    expected = np.array([entry[1:] for entry in oracle.log], dtype=int).reshape(-1, 4).T
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(run.monitored.t_us, events.t_us[[e[0] for e in oracle.log]])
    for core in program.cores:
        np.testing.assert_array_equal(twin.membrane(core), oracle.state[core])
        assert run.events_per_core[core] == oracle.events[core]
        assert run.spikes_per_core[core] == oracle.spikes[core]
        assert run.synops_per_core[core] == oracle.synops[core]
        assert run.dropped_per_core[core] == oracle.dropped[core]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_kernel_equals_oracle(seed):
    compare(seed)


@pytest.mark.long
def test_kernel_equals_oracle_in_ten_thousand_cases():
    for seed in range(10_000):
        compare(seed)


def test_random_programs_branch_and_merge():
    rng = np.random.default_rng(0)
    programs = [random_program(rng) for _ in range(100)]
    assert any(len(p.sources_of(core)) > 1 for p in programs for core in p.cores)
    assert any(len(c.destinations) > 1 for p in programs for c in p.cores.values())
    assert any(replace(c).decimation > 1 for p in programs for c in p.cores.values())
