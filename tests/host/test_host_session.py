"""Sessions: pulling, pushing, queues, overruns, restarts, counters."""

from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speck_adacal import simulate
from speck_adacal.errors import DeviceError, EventError, OverrunError, SessionError, SettingsError
from speck_adacal.host import (
    Answer,
    ArgmaxMembrane,
    ArgmaxSpikeCount,
    BoardBackend,
    EarlyExit,
    FirstToThreshold,
    Session,
    SessionLimits,
    TwinBackend,
    split_at_windows,
    windows_of,
)
from speck_adacal.readout.early_exit import ExitRule


class Echo:
    """A backend that answers every event with a spike, when it is let."""

    name, grade, shape, outputs, threshold = "an echo", "simulated", (1, 1, 4), 4, 1

    def __init__(self, *, hold=False, fail_after=None):
        self.go, self.entered = threading.Event(), threading.Event()
        self.fail_after = fail_after
        self.fed = self.resets = self.closed = 0
        if not hold:
            self.go.set()

    def reset(self):
        self.resets += 1

    def feed(self, events):
        self.entered.set()
        assert self.go.wait(20)
        self.fed += 1
        if self.fail_after is not None and self.fed > self.fail_after:
            raise DeviceError("the echo fell silent.")
        return Answer(
            events.t_us, events.x.astype(np.int64), events.duration_us, len(events), 2 * len(events)
        )

    def charge(self):
        return np.zeros(4, np.int64)

    def close(self):
        self.closed += 1


def piece(recording, start_us, count=10, lasts_us=1000, seed=0):
    made = recording(seed, count, lasts_us - 1, (1, 1, 4))
    return type(made)(
        made.t_us + start_us, made.x, made.y, made.channel, made.shape, start_us + lasts_us
    )


def drained(session):
    batches = []
    while (batch := session.receive(timeout_s=10)) is not None:
        batches.append(batch)
        session.acknowledge(batch)
    return batches


def test_a_session_decides_as_the_twin_in_one_run(backend, deployment, recording):
    recordings = [recording(seed) for seed in range(4)]
    whole = simulate(deployment, recordings)
    with Session(backend, ArgmaxSpikeCount(3)) as session:
        decisions = [session.decide(windows_of(r, 7000)) for r in recordings]
    assert [d.label for d in decisions] == whole.decisions.tolist()
    assert [d.counts.tolist() for d in decisions] == whole.class_counts.tolist()
    assert [d.events for d in decisions] == [600] * 4
    assert not any(d.early for d in decisions)
    if backend.grade == "simulated" and isinstance(backend, TwinBackend):
        assert [d.synops for d in decisions] == whole.synops.tolist()
    assert session.latency.count == 4 * 12


def test_the_membrane_readout_is_the_same_on_twin_and_board(deployment, recording, virtual_board):
    recordings = [recording(seed, count=100) for seed in range(4)]
    readout = ArgmaxMembrane(3, deployment.layers[-1].threshold)
    with Session(TwinBackend(deployment), readout) as session:
        expected = [session.decide([r]).label for r in recordings]
        charge = session.backend.charge()
    for how in ("configure", "write"):
        board = BoardBackend(deployment, virtual_board(), reset=how)
        with Session(board, readout) as session:
            assert [session.decide([r]).label for r in recordings] == expected
            np.testing.assert_array_equal(session.backend.charge(), charge)


def test_pushing_gives_the_spikes_of_one_run(backend, deployment, recording):
    recordings = [recording(seed) for seed in range(3)]
    whole = simulate(deployment, recordings)
    with Session(backend, ArgmaxSpikeCount(3)) as session:
        for r in recordings:
            for part in windows_of(r, 9000):
                session.send(part)
            session.end_sample()
        session.stop()
        batches = drained(session)
    ends = [b for b in batches if b.answer is None]
    assert [b.decision.label for b in ends] == whole.decisions.tolist()
    for i, output in enumerate(whole.output):
        mine = [b.answer.output for b in batches if b.sample == i and b.answer is not None]
        np.testing.assert_array_equal(np.concatenate(mine), output.channel)
    counters = session.counters
    assert counters.add_up
    assert counters.processed == 1800
    assert counters.samples == 3
    assert counters.spikes == counters.acknowledged == whole.class_counts.sum()


def test_after_the_decision_the_source_is_not_read(deployment, recording):
    def source():
        yield from list(windows_of(recording(), 5000))[:3]
        raise AssertionError("read after the decision")

    readout = EarlyExit(3, ExitRule((2.0, 2.0, -1.0, 2.0)), 5000)
    with Session(TwinBackend(deployment), readout) as session:
        decision = session.decide(source())
    assert decision.early
    assert decision.t_us == 15_000
    assert decision.events == np.searchsorted(recording().t_us, 15_000)


def test_no_window_is_run_after_the_decision_even_inside_one_chunk(recording):
    echo = Echo()
    with Session(echo, EarlyExit(4, ExitRule((2.0, -1.0, 2.0)), 1000)) as session:
        decision = session.decide([piece(recording, 0, count=90, lasts_us=9000)])
    assert echo.fed == 2
    assert decision.t_us == 2000
    assert echo.closed == 1


def test_what_follows_a_decision_in_a_pushed_sample_is_spared(recording):
    echo = Echo()
    with Session(echo, FirstToThreshold(4, 1)) as session:
        for k in range(5):
            session.send(piece(recording, 1000 * k))
        session.end_sample()
        session.send(piece(recording, 0))
        session.stop()
        batches = drained(session)
        counters = session.counters
    assert counters.spared == 40
    assert counters.processed == 20
    assert counters.add_up
    assert [b.decision is not None for b in batches] == [True, True, True]
    assert echo.resets == 2


def test_a_slow_consumer_loses_nothing(recording):
    limits = SessionLimits(input_events=40, output_spikes=30)
    with Session(Echo(), limits=limits) as session:

        def produce():
            for k in range(60):
                session.send(piece(recording, 1000 * k, seed=k))
            session.stop()

        producer = threading.Thread(target=produce)
        producer.start()
        numbers, spikes = [], 0
        while (batch := session.receive(timeout_s=10)) is not None:
            time.sleep(0.002)
            assert session.counters.unacknowledged <= 40
            assert session.counters.waiting <= 60
            numbers.append(batch.number)
            spikes += len(batch.answer)
            session.acknowledge(batch)
        producer.join(10)
    assert numbers == list(range(60))
    assert spikes == session.counters.spikes == 600
    assert session.counters.add_up


def test_an_overrun_is_an_error_or_a_counted_drop(recording):
    for rule in ("error", "drop"):
        echo = Echo(hold=True)
        with Session(echo, limits=SessionLimits(input_events=20, overrun=rule)) as session:
            taken = refused = 0
            for k in range(6):
                try:
                    taken += session.send(piece(recording, 1000 * k))
                except OverrunError:
                    refused += 1
            assert session.counters.dropped == 60 - taken > 0
            assert (refused > 0) == (rule == "error")
            echo.go.set()
            session.stop()
            drained(session)
            assert session.counters.processed == taken
            assert session.counters.add_up


def test_waiting_for_room_can_be_limited(recording):
    echo = Echo(hold=True)
    with Session(echo, limits=SessionLimits(input_events=5)) as session:
        session.send(piece(recording, 0))
        session.send(piece(recording, 1000), timeout_s=10)  # room once the chip has the first
        with pytest.raises(OverrunError, match="overrun='wait' or 'drop'"):
            session.send(piece(recording, 2000), timeout_s=0.01)
        assert session.counters.dropped == 10
        echo.go.set()


def test_a_restarted_consumer_gets_what_was_not_acknowledged(recording):
    with Session(Echo()) as session:
        for k in range(6):
            session.send(piece(recording, 1000 * k, seed=k))
        session.stop()
        first = [session.receive() for _ in range(4)]
        session.acknowledge(first[1])
        session.restart_consumer()
        assert [b.number for b in drained(session)] == [2, 3, 4, 5]
        assert session.counters.add_up


def test_a_failing_chip_ends_the_session_and_says_so(recording):
    echo = Echo(fail_after=2)
    session = Session(echo)
    for k in range(2):
        session.send(piece(recording, 1000 * k))
    first = [session.receive(timeout_s=10), session.receive(timeout_s=10)]
    assert [b.number for b in first] == [0, 1]
    session.send(piece(recording, 2000))
    with pytest.raises(SessionError, match="fell silent"):
        session.receive(timeout_s=10)
    with pytest.raises(SessionError, match="fell silent"):
        session.send(piece(recording, 3000))
    assert session.counters.discarded == 10
    assert session.counters.add_up
    session.close()
    session.close()
    assert echo.closed == 1


def test_bad_pieces_are_refused_and_nothing_of_them_is_taken(recording):
    with Session(Echo()) as session:
        with pytest.raises(EventError, match="takes"):
            session.send(recording())
        session.send(piece(recording, 5000))
        with pytest.raises(EventError, match="sent up to 6000"):
            session.send(piece(recording, 0))
        assert session.counters.offered == 10
    with pytest.raises(SessionError, match="stopped"):
        session.send(piece(recording, 6000))
    with pytest.raises(SessionError, match="closed"):
        next(session.watch([]))
    with pytest.raises(SettingsError, match="overrun"):
        SessionLimits(overrun="ignore")
    with pytest.raises(SettingsError, match="input_events"):
        SessionLimits(input_events=0)


def test_pulled_and_pushed_use_do_not_mix(recording):
    with Session(Echo()) as session:
        with pytest.raises(SettingsError, match="no readout"):
            session.decide([])
        session.send(piece(recording, 0))
        with pytest.raises(SettingsError, match="streaming"):
            next(session.watch([piece(recording, 0)]))


def test_stopping_without_draining_counts_what_is_thrown_away(recording):
    echo = Echo(hold=True)
    session = Session(echo, limits=SessionLimits(stop_s=0.05))
    for k in range(4):
        session.send(piece(recording, 1000 * k))
    assert echo.entered.wait(10)
    with pytest.raises(SessionError, match="left to itself"):
        session.stop(drain=False)
    echo.go.set()
    session.close()
    counters = session.counters
    assert counters.discarded == 30
    assert counters.processed == 10
    assert counters.add_up


@settings(max_examples=60, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 20_000), max_size=8),
    window_us=st.integers(500, 30_000),
    seed=st.integers(0, 5),
)
def test_cutting_loses_nothing_and_keeps_to_the_windows(recording, cuts, window_us, seed):
    whole = recording(seed, 80, 20_000)
    edges = sorted({0, *cuts, 20_000})
    chunks = []
    for a, b in pairwise(edges):
        lo, hi = np.searchsorted(whole.t_us, [a, b])
        take = slice(lo, hi)
        chunks.append(
            type(whole)(
                whole.t_us[take], whole.x[take], whole.y[take], whole.channel[take], whole.shape, b
            )
        )
    pieces = list(split_at_windows(chunks, window_us))
    np.testing.assert_array_equal(np.concatenate([p.t_us for p in pieces]), whole.t_us)
    start = 0
    for p in pieces:
        assert start // window_us == (p.duration_us - 1) // window_us
        assert not len(p) or (p.t_us[0] >= start and p.t_us[-1] < p.duration_us)
        start = p.duration_us
    assert start == 20_000


def test_memory_stays_flat(deployment, recording):
    """A short version of `test_host_hour`."""
    with Session(TwinBackend(deployment)) as session:
        chunk = recording(0, 2000, 19_999)

        def run(first, count):
            for k in range(first, first + count):
                shifted = type(chunk)(
                    chunk.t_us + 20_000 * k,
                    chunk.x,
                    chunk.y,
                    chunk.channel,
                    chunk.shape,
                    20_000 * (k + 1),
                )
                session.send(shifted)
                session.acknowledge(session.receive(timeout_s=20))
            gc.collect()

        run(0, 20)
        tracemalloc.start()
        run(20, 20)
        before = tracemalloc.get_traced_memory()[0]
        run(40, 100)
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        counters = session.counters
    assert grown < 50_000
    assert counters.add_up
    assert counters.processed == counters.offered == 280_000
    assert counters.spikes == counters.acknowledged > 0
