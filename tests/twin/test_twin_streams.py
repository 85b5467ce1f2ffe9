"""Many recordings, long streams, growing buffers, both kernels."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
from oracle.random_programs import random_events, random_program

from speck_adacal.events.types import Events
from speck_adacal.kernel_cache import sources_checksum
from speck_adacal.twin import Assumptions, Destination, Twin
from speck_adacal.twin import layout as at
from speck_adacal.twin.layout import lay_out
from speck_adacal.twin.machine import Machine

FIELDS = ("t_us", "x", "y", "channel", "cause")


def assert_same(one, other):
    for core, spikes in one.spikes.items():
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(spikes, name), getattr(other.spikes[core], name))
    np.testing.assert_array_equal(one.synops_per_core, other.synops_per_core)


def random_case(seed, count):
    """A program, the core that events enter, and recordings for it."""
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    entry = next(iter(program.cores))
    shape = program.cores[entry].in_shape
    return program, entry, [random_events(rng, shape, int(n)) for n in rng.integers(0, 20, count)]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_many_recordings_equal_single_runs(threads):
    program, entry, recordings = random_case(threads, 12)
    twin = Twin(program)
    twin.run(recordings[0], entry=entry)
    before = {core: twin.membrane(core) for core in program.cores}
    runs = twin.run_many(recordings, entry=entry, threads=threads)
    for core, potentials in before.items():  # run_many leaves the twin's own states alone
        np.testing.assert_array_equal(potentials, twin.membrane(core))
    for events, run in zip(recordings, runs, strict=True):
        assert_same(run, twin.run(events, entry=entry))


@pytest.mark.parametrize("seed", range(20))
def test_a_prepared_recording_runs_as_the_recording_itself(seed):
    """Again and again, whatever ran in between, leaking on the slow clock too."""
    program, entry, recordings = random_case(seed, 4)
    twin = Twin(program, slow_clock_hz=2000.0)
    prepared = twin.prepare(recordings, entry=entry)
    for _ in range(2):
        for events, run in zip(recordings, twin.run_many(prepared), strict=True):
            whole = twin.run(events, entry=entry)
            assert_same(run, whole)
            assert run.end_us == whole.end_us
            assert run.input_events == whole.input_events


@pytest.mark.parametrize("seed", range(60))
def test_both_kernels_agree(seed):
    """The tree kernel against the general one, on whatever trees the generator makes."""
    rng = np.random.default_rng(seed)
    program = random_program(rng)
    layout = lay_out(program, Assumptions())
    if not layout.is_tree:
        return
    entry = next(iter(program.cores))
    events = random_events(rng, program.cores[entry].in_shape, 40)
    word = (events.y.astype(np.int64) << 32) | (events.x.astype(np.int64) << 16) | events.channel
    source = np.full(len(word), at.DIRECT_ROW + entry, np.int8)
    source[::7], word[::7] = at.TICK_ROW, 0b101010101
    found = []
    for monitor_order in (True, False):
        machine = Machine(layout, Assumptions(), track_peaks=False, monitor_order=monitor_order)
        trace = machine.run(source, word, record_load=True)
        order = np.argsort(trace.words >> 48, kind="stable")
        found.append((trace.words[order], trace.roots[order], trace.load, machine.state))
    for general, tree in zip(*found, strict=True):
        np.testing.assert_array_equal(general, tree)


def test_trees_and_others_are_told_apart(make_core, make_program):
    def is_tree(*cores, **changes):
        return lay_out(make_program(*cores, **changes), Assumptions()).is_tree

    fork = make_core(0, destinations=(Destination(1, slot=0), Destination(2, slot=1)))
    assert is_tree(fork, make_core(1), make_core(2))
    assert not is_tree(fork, make_core(1, destinations=(Destination(2),)), make_core(2))
    assert not is_tree(make_core(0, destinations=(Destination(12),)))


@pytest.mark.parametrize("order", [True, False])
def test_buffers_grow_without_losing_or_repeating_spikes(make_core, make_program, order):
    """Each event fires 16 features of a 15 x 15 map; each spike fires 64 features around it."""
    first = make_core(
        0,
        np.full((16, 1, 15, 15), 10, np.int8),
        in_shape=(1, 15, 15),
        out_shape=(16, 15, 15),
        padding=(7, 7),
        destinations=(Destination(1),),
    )
    second = make_core(
        1,
        np.full((64, 16, 3, 3), 10, np.int8),
        in_shape=(16, 15, 15),
        out_shape=(64, 15, 15),
        padding=(1, 1),
    )
    program = make_program(first, second)
    machine = Machine(
        lay_out(program, Assumptions()), Assumptions(), track_peaks=False, monitor_order=order
    )
    word = np.full(6, (7 << 32) | (7 << 16), np.int64)
    trace = machine.run(np.full(6, at.DIRECT_ROW, np.int8), word, record_load=False)
    layer = trace.words >> 48
    assert (layer == 0).sum() == trace.spikes[0] == 6 * 16 * 15 * 15
    assert (layer == 1).sum() == trace.spikes[1] == trace.synops[1]
    assert trace.spikes[1] == 6 * 16 * 64 * (13 * 13 * 9 + 4 * 13 * 6 + 4 * 4)


@pytest.mark.long
def test_an_hour_of_events_needs_no_more_memory_than_a_minute(make_core, make_program):
    """20,000 events a second for 3,600 simulated seconds, in chunks of one second."""
    first = make_core(
        0,
        np.full((4, 2, 3, 3), 7, np.int8),
        in_shape=(2, 32, 32),
        out_shape=(4, 32, 32),
        padding=(1, 1),
        threshold_high=500,
        destinations=(Destination(1, pooling=4),),
    )
    second = make_core(
        1,
        np.full((4, 4, 8, 8), 9, np.int8),
        in_shape=(4, 8, 8),
        out_shape=(4, 1, 1),
        threshold_high=3000,
    )
    twin = Twin(make_program(first, second), slow_clock_hz=100)
    rng = np.random.default_rng(0)
    count, sizes = 20_000, []
    for second_ in range(3600):
        t_us = np.sort(rng.integers(0, 1_000_000, count)) + 1_000_000 * second_
        channel, y, x = (rng.integers(0, n, count) for n in (2, 32, 32))
        run = twin.feed(Events(t_us, x, y, channel, (2, 32, 32), 1_000_000 * (second_ + 1)))
        assert len(run.monitored) > 0
        sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert sizes[-1] - sizes[60] < 10_000  # KiB


def test_a_kernel_from_other_sources_is_not_trusted(make_core, make_program, monkeypatch, pulses):
    """Numba's disk cache overlooks changes in neighbouring files; the checksum does not."""
    from speck_adacal.twin import kernel_sources, machine, tree_kernel

    folder = Path(kernel_sources.__file__).parent
    assert sources_checksum(folder, kernel_sources.SOURCES) == kernel_sources.CHECKSUM != 0
    asked = []

    def pretend(function):
        def run(given, *arguments):
            assert given == kernel_sources.CHECKSUM
            return function(given if asked else given + 1, *arguments)

        run.recompile = lambda: asked.append(function)
        return run

    monkeypatch.setattr(machine.tree_kernel, "run_tree", pretend(tree_kernel.run_tree))
    run = Twin(make_program(make_core())).run(pulses([0] * 10))
    assert len(asked) == 1
    assert len(run.spikes[0]) == 1
