"""Never reset: recordings on end, states carried over, and what that costs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal import AdaptSettings, Events, Twin, adapt, deploy, front, load, save, simulate
from speck_adacal.cli import main
from speck_adacal.errors import CalibrationError, EventError
from speck_adacal.events.on_end import on_end
from speck_adacal.inspection import continuous
from speck_adacal.inspection.continuous import run_on_end
from speck_adacal.inspection.levels import NEVER_RESET, measure_levels
from speck_adacal.recipe.verdict import fall_never_reset
from speck_adacal.twin_search.candidate_runs import TwinEvaluator

SHAPE = (2, 10, 10)


def recordings(count, seed=0):
    """Class k: events in the k-th of three bands of rows."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        n = int(rng.integers(80, 120))
        y = rng.integers(0, 3, n) + 3 * (index % 3)
        t = np.sort(rng.integers(0, 20_000, n))
        channel = rng.integers(0, 2, n)
        found.append(Events(t, rng.integers(0, 10, n), y, channel, SHAPE, 20_000))
    return found


LABELS = np.arange(60) % 3


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(384, 3, bias=False)
    )
    frames = torch.from_numpy(np.stack([r.to_frames(8).mean(0) for r in recordings(60)]))
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(frames) * 20, torch.from_numpy(LABELS))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


@pytest.fixture(scope="module")
def stream_network(network):
    return adapt(network, recordings(60), input_shape=SHAPE, labels=LABELS)


def test_recordings_of_events_are_adapted_for_a_stream(stream_network):
    recipe = stream_network.recipe
    assert recipe.settings.never_reset
    assert all(layer.lower_clip is not None for layer in recipe.layers)
    assert recipe.trace[-1].step == "fit to a stream"
    deployment = deploy(stream_network)
    found = simulate(deployment, recordings(60, seed=5), continuous=True, seed=3)
    assert found.accuracy(LABELS) >= 0.95


def test_single_samples_are_adapted_as_before(network):
    images = torch.rand(8, *SHAPE)
    assert adapt(network, images, input_shape=SHAPE).recipe.settings.reset_each is True
    chosen = AdaptSettings(reset_each=True)
    adapted = adapt(network, recordings(8), input_shape=SHAPE, settings=chosen)
    assert not adapted.recipe.settings.never_reset
    assert all(layer.lower_clip is None for layer in adapted.recipe.layers)
    with pytest.raises(CalibrationError, match="recordings of events"):
        adapt(network, images, input_shape=SHAPE, settings=AdaptSettings(reset_each=False))


@settings(max_examples=10)
@given(gap_us=st.integers(0, 5000), seed=st.integers(0, 99))
def test_a_continuous_run_is_one_run_of_the_whole_stream(gap_us, seed, stream_network):
    deployment, parts = deploy(stream_network), recordings(12, seed)
    found = run_on_end(deployment, parts, gap_us=gap_us, seed=seed)
    stream = on_end([parts[i] for i in found.order], gap_us=gap_us)
    whole = Twin.from_configuration(
        deployment.mapped.configuration, observe=(deployment.readout_core,)
    ).run(stream.events)
    assert whole.synops == found.synops.sum()
    spikes = whole.spikes[deployment.readout_core]
    mine = np.concatenate([found.output[i].t_us + found.starts_us[i] for i in found.order])
    np.testing.assert_array_equal(mine, spikes.t_us)
    np.testing.assert_array_equal(np.sort(found.starts_us), stream.starts_us)
    for k, index in enumerate(found.order):
        own = spikes.channel[stream.recording_at(spikes.t_us) == k]
        np.testing.assert_array_equal(np.bincount(own, minlength=3), found.class_counts[index])


def test_time_may_start_again_on_a_long_stream(stream_network, monkeypatch):
    deployment, parts = deploy(stream_network), recordings(20)
    wanted = run_on_end(deployment, parts)
    monkeypatch.setattr(continuous, "_LATEST_US", 50_000)
    found = run_on_end(deployment, parts)
    np.testing.assert_array_equal(found.class_counts, wanted.class_counts)
    np.testing.assert_array_equal(found.sliding, wanted.sliding)


def test_sliding_windows_hold_the_spikes_of_their_time(stream_network):
    found = run_on_end(deploy(stream_network), recordings(9), window_us=10_000)
    t = np.concatenate([found.output[i].t_us + found.starts_us[i] for i in found.order])
    labels = np.concatenate([found.output_class[i] for i in found.order])
    for moment, decided in list(zip(found.moments_us, found.sliding, strict=True))[::7]:
        inside = labels[(t > moment - 10_000) & (t <= moment)]
        counts = np.bincount(inside, minlength=3)
        assert counts.max() == (counts[decided] if decided >= 0 else 0)
    reaction = found.reaction_us(LABELS[:9])
    assert len(reaction) == np.count_nonzero(np.diff(LABELS[:9][found.order]))
    assert (reaction > 0).all()
    drift, error = found.drift(LABELS[:9])
    assert abs(drift) <= 1
    assert error >= 0


def test_a_search_for_a_stream_judges_as_the_stream_runs(stream_network):
    events = recordings(60, seed=2)
    runner = TwinEvaluator(stream_network, events, on_end=20)
    found = runner.run(stream_network.recipe)
    runner.keep(stream_network.recipe)
    kept = runner.run(stream_network.recipe, slice(20, 60))
    np.testing.assert_array_equal(kept.counts, found.counts[20:])
    deployment = deploy(stream_network)
    twin = Twin.from_configuration(deployment.mapped.configuration)
    total = sum(twin.run(on_end(events[k : k + 20]).events).synops for k in (0, 20, 40))
    assert found.synops.sum() == pytest.approx(total)
    searched = front(stream_network, events, LABELS)
    for point in searched.points:
        for layer, before in zip(point.recipe.layers, stream_network.recipe.layers, strict=True):
            share = layer.initial_potential / layer.firing_threshold
            np.testing.assert_allclose(share, before.initial_potential / before.firing_threshold)


def test_a_network_that_needs_its_resets_says_so(network, tmp_path):
    """An open lower clip remembers inhibition for ever."""
    chosen = AdaptSettings(reset_each=True)
    adapted = adapt(network, recordings(60), input_shape=SHAPE, settings=chosen, labels=LABELS)
    deployment = deploy(adapted)
    levels, simulation = measure_levels(deployment, recordings(60, seed=5), LABELS)
    by_name = {level.level: level.accuracy for level in levels}
    assert by_name["event"] == simulation.accuracy(LABELS)
    said = fall_never_reset(by_name["event"], by_name[NEVER_RESET])
    assert (said is None) == (by_name["event"] - by_name[NEVER_RESET] <= 0.02)
    assert "--lower-clip 0.5" in str(fall_never_reset(0.9, 0.5))
    assert fall_never_reset(0.9, 0.89) is None
    again = load(save(deployment, tmp_path / "net"))
    assert again.adapted.recipe.settings.reset_each is True


def written(parts, labels, path):
    offsets = np.cumsum([0, *map(len, parts)])
    columns = {
        name: np.concatenate([getattr(part, field) for part in parts])
        for name, field in (("t", "t_us"), ("x", "x"), ("y", "y"), ("p", "channel"))
    }
    np.savez(path, **columns, offsets=offsets, labels=labels, sensor_size=np.array([10, 10, 2]))
    return path


def ended(command, words):
    try:
        command(words)
    except SystemExit as stop:
        assert not stop.code  # noqa: PT017


def test_the_command_shows_a_network_never_reset(stream_network, tmp_path, capsys):
    bundle = save(deploy(stream_network), tmp_path / "net")
    events = written(recordings(30, seed=7), LABELS[:30], tmp_path / "events.npz")
    words = ["simulate", str(bundle), "--events", str(events), "--continuous", "--gap-ms", "5"]
    ended(main, [*words, "--json"])
    found = json.loads(capsys.readouterr().out)["continuous"]
    assert found["recordings"] == 30
    assert found["accuracy"] == pytest.approx(found["accuracy_reset_each"], abs=0.1)
    assert found["reaction_us_median"] > 0
    assert found["warning"] is None or found["accuracy_reset_each"] > found["accuracy"] + 0.02
    ended(main, words)
    assert "never reset" in capsys.readouterr().out.lower()


def test_bad_streams_are_refused(stream_network):
    deployment, one = deploy(stream_network), recordings(1)
    for wrong in ({"gap_us": -1}, {"window_us": 1}):
        with pytest.raises(EventError, match="at least"):
            run_on_end(deployment, one, **wrong)
    with pytest.raises(EventError, match="at least one recording"):
        run_on_end(deployment, [])
    with pytest.raises(EventError, match="gap"):
        on_end(one, gap_us=-1)
    with pytest.raises(EventError, match="one shape"):
        on_end([])
