"""Early exit on a stream: against a plain reading of its definition, on the twin, and pushed."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speck_adacal import Events, exits_on_stream, save
from speck_adacal.cli import main
from speck_adacal.errors import EventError, SettingsError
from speck_adacal.events.on_end import on_end
from speck_adacal.host import Answer, Session, StreamExit, TwinBackend, windows_of
from speck_adacal.host.stream_exits import StreamExits

STEP = 1_000


def by_definition(t_us, labels, end_us, *, bar, memory_us, refractory_us, classes=3):
    """(time, class) of every decision, from all output spikes at once."""
    found, rests_until, said = [], 0, None
    for now in range(STEP, end_us + 1, STEP):
        begin = max(now - memory_us, rests_until)
        seen = [(t, k) for t, k in zip(t_us, labels, strict=True) if begin <= t < now and k >= 0]
        if now < rests_until or not seen:
            continue
        counts = [sum(k == c for _, k in seen) for c in range(classes)]
        first, second = sorted(counts, reverse=True)[:2]
        if 1 / (1 + math.exp(second - first)) < bar:
            continue
        reached = {k: i for i, (_, k) in enumerate(seen) if counts[k] == first}
        leader = min(reached, key=reached.get)
        if refractory_us is None and leader == said:
            continue
        found.append((now, leader))
        said = leader
        rests_until = 0 if refractory_us is None else now + refractory_us
    return found


rules = st.fixed_dictionaries(
    {
        "bar": st.sampled_from([0.4, 0.7, 0.9, 0.99]),
        "memory_us": st.integers(STEP, 9 * STEP),
        "refractory_us": st.none() | st.integers(0, 7 * STEP),
    }
)


@settings(max_examples=80)
@given(rules, st.lists(st.tuples(st.integers(0, 19_999), st.integers(-1, 2)), max_size=60))
def test_decisions_fall_as_defined(rule, spikes):
    spikes.sort(key=lambda spike: spike[0])
    t_us, labels = np.array(spikes, dtype=np.int64).reshape(-1, 2).T
    readout, found = StreamExit(3, step_us=STEP, **rule), []
    for begin in range(0, 20_000, STEP // 2):  # pieces shorter than a step
        part = (t_us >= begin) & (t_us < begin + STEP // 2)
        answer = Answer(t_us[part], labels[part], begin + STEP // 2, 0, None)
        if (verdict := readout.update(answer)) is not None:
            found.append((verdict.t_us, verdict.label))
    assert found == by_definition(t_us, labels, 20_000, **rule)


@settings(max_examples=8)
@given(rule=rules, seed=st.integers(0, 50), spare=st.booleans())
def test_states_go_on_and_events_are_spared(rule, seed, spare, deployment, recording):
    """The twin's whole output on the events that were fed gives the very same decisions."""
    spare = spare and rule["refractory_us"] is not None
    stream = recording(seed, count=800, duration_us=60_000)
    readout = StreamExit(deployment.classes, step_us=STEP, spare=spare, **rule)
    with Session(TwinBackend(deployment), readout) as session:
        moments = list(session.watch([stream]))
    decided = [(m.decision.t_us, m.decision.label) for m in moments if m.decision is not None]
    fed = np.ones(len(stream), dtype=bool)
    if spare:
        for fell, _ in decided:
            rest_ends = -(-(fell + rule["refractory_us"]) // STEP) * STEP
            fed[(stream.t_us >= fell) & (stream.t_us < rest_ends)] = False
    kept = (column[fed] for column in (stream.t_us, stream.x, stream.y, stream.channel))
    run = TwinBackend(deployment).feed(Events(*kept, stream.shape, 60_000))
    wanted = by_definition(run.t_us, run.output, 60_000, **rule)
    assert decided == wanted
    assert moments[-1].events == fed.sum()
    assert moments[-1].synops == run.synops


def test_pushed_pieces_give_the_same_decisions_and_count_every_event(deployment, recording):
    stream = recording(4, count=2000, duration_us=60_000)

    def made():
        return StreamExit(3, 0.7, memory_us=8000, step_us=STEP, refractory_us=9500, spare=True)

    with Session(TwinBackend(deployment), made()) as session:
        pulled = [m.decision.t_us for m in session.watch([stream]) if m.decision is not None]
    with Session(TwinBackend(deployment), made()) as session:
        for piece in windows_of(stream, 7000):
            session.send(piece)
        session.end_sample()
        session.stop()
        pushed = []
        while (batch := session.receive(timeout_s=1)) is not None:
            pushed += [] if batch.decision is None else [batch.decision.t_us]
            session.acknowledge(batch)
        counters = session.counters
    assert pushed == pulled
    assert len(pulled) > 1
    assert counters.processed + counters.spared == counters.accepted == len(stream)
    assert counters.spared > 0
    assert counters.waiting == 0


def test_latency_is_from_a_change_to_the_first_right_decision():
    found = StreamExits(
        t_us=np.array([30, 100, 250, 260, 420]),
        labels=np.array([0, 0, 0, 1, 0]),
        order=np.array([2, 0, 1, 3]),
        starts_us=np.array([0, 100, 200, 300]),
        duration_us=500,
        events=10,
        fed=5,
        synops=1000,
    )
    truth = [0, 1, 0, 2]  # the scenes are 0, 0, 1, 2
    assert found.latency_us(truth).tolist() == [30, 60, math.inf]
    assert found.right(truth) == pytest.approx(3 / 5)
    assert found.synops_per_s == pytest.approx(2e6)
    assert found.spared == 0.5


def test_exits_on_a_stream_count_what_the_stream_costs(deployment, recording):
    parts = [recording(seed) for seed in range(5)]
    readout = StreamExit(3, 0.99, memory_us=20_000, step_us=2000, refractory_us=40_000)
    found = exits_on_stream(deployment, parts, readout, gap_us=500, seed=2)
    whole = TwinBackend(deployment).feed(on_end([parts[i] for i in found.order], gap_us=500).events)
    assert found.synops == whole.synops
    assert found.fed == found.events == 3000
    readout = StreamExit(3, 0.6, memory_us=20_000, step_us=2000, refractory_us=40_000, spare=True)
    spared = exits_on_stream(deployment, parts, readout, gap_us=500, seed=2)
    assert spared.synops < found.synops
    assert spared.spared > 0.2
    for wrong in ([], np.zeros((2, *deployment.input_shape)), [recording(0), "scene"]):
        with pytest.raises(EventError, match="ecordings"):
            exits_on_stream(deployment, wrong, readout)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"bar": 0.0}, "bar"),
        ({"bar": 1.5}, "bar"),
        ({"bar": math.nan}, "bar"),
        ({"memory_us": 10}, "memory"),
        ({"step_us": 0}, "step"),
        ({"refractory_us": -1}, "refractory"),
        ({"spare": True}, "refractory"),
        ({"temperature": 0}, "temperature"),
        ({"metric": "guess"}, "metric"),
    ],
)
def test_what_cannot_be_is_refused(wrong, said):
    with pytest.raises(SettingsError, match=said):
        StreamExit(3, **{"bar": 0.9, "memory_us": 5000, "step_us": STEP, **wrong})


def test_a_readout_that_goes_on_has_no_one_decision(deployment, recording):
    readout = StreamExit(3, 0.9, memory_us=5000, step_us=STEP)
    with (
        Session(TwinBackend(deployment), readout) as session,
        pytest.raises(SettingsError, match="use watch"),
    ):
        session.decide([recording()])


def test_simulate_shows_decisions_on_the_way(deployment, recording, tmp_path, capsys):
    bundle = save(deployment, tmp_path / "net.bundle")
    parts = [recording(seed) for seed in range(4)]
    offsets = np.cumsum([0, *map(len, parts)])
    columns = {
        name: np.concatenate([getattr(p, field) for p in parts])
        for name, field in (("t", "t_us"), ("x", "x"), ("y", "y"), ("p", "channel"))
    }
    file = tmp_path / "r.npz"
    np.savez(file, **columns, offsets=offsets, labels=np.arange(4) % 3)
    call = ["simulate", str(bundle), "--samples-from", str(file), "--json"]
    chosen = ["--bar", "0.6", "--refractory-ms", "30", "--spare"]
    found = json.loads(told([*call, "--continuous", *chosen], 0, capsys).out)["exits"]
    assert found["decisions"] > 1
    assert 0 < found["events_spared"] < 1
    assert found["synops_per_s"] > 0
    table = told([*call[:-1], "--continuous", "--bar", "0.6"], 0, capsys).out
    assert "Decisions on the way" in table
    assert "--bar" in told([*call, "--continuous", "--spare"], 1, capsys).err
    assert "--continuous" in told([*call, "--bar", "0.6"], 1, capsys).err


def told(arguments, code, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert (end.value.code or 0) == code
    return capsys.readouterr()
