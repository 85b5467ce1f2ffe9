"""The search of the front: cached evaluation equals the whole chip; points are a front."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import speck_adacal
from speck_adacal import AdaptSettings, adapt, deploy, front_in_steps, load, save, with_front_point
from speck_adacal.chip.fold import fold
from speck_adacal.chip.simulation import run_on_twin
from speck_adacal.cli import main
from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.events import Events
from speck_adacal.inspection.core_load import core_loads
from speck_adacal.snn import AdaFire
from speck_adacal.twin_search.candidate import (
    Candidate,
    Move,
    channel_moves,
    layer_moves,
)
from speck_adacal.twin_search.candidate_runs import TwinEvaluator
from speck_adacal.twin_search.descent import Descent, Steps
from speck_adacal.twin_search.front import non_dominated, thinned
from speck_adacal.twin_search.front_search import FrontSettings, find_front
from speck_adacal.twin_search.log_loss import log_loss, one_hot

SMALL = FrontSettings(prices=(0.05, 0.3), rounds=1, points=5)


def recordings(count: int) -> list[Events]:
    """Noise, with more events in the upper or the lower half."""
    rng = np.random.default_rng(7)
    made = []
    for index in range(count):
        n = 150
        y = rng.integers(0, 10, n) // 2 + (5 if index % 2 else 0)
        columns = rng.integers(0, 10, n), y, rng.integers(0, 2, n)
        made.append(Events(np.sort(rng.integers(0, 9000, n)), *columns, (2, 10, 10)))
    return made


LABELS = np.arange(40) % 2


@pytest.fixture(scope="module")
def adapted():
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(96, 2, bias=False),
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    settings = AdaptSettings(chip_correction=False, bias="initial", reset_each=True)
    return adapt(network, recordings(20), input_shape=(2, 10, 10), settings=settings)


@pytest.fixture(scope="module")
def front(adapted):
    return find_front(adapted, recordings(40), LABELS, settings=SMALL)


def same(outcome, simulation, cores):
    np.testing.assert_array_equal(outcome.counts, simulation.class_counts)
    np.testing.assert_array_equal(outcome.synops, simulation.synops_per_core[:, list(cores)])
    np.testing.assert_array_equal(outcome.spikes, simulation.spikes_per_core[:, list(cores)])


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_a_kept_prefix_changes_nothing(adapted, depth):
    events = recordings(6)
    evaluator = TwinEvaluator(adapted, events)
    evaluator.keep(adapted.recipe, depth)
    layers = layer_moves(adapted.recipe, 1.3, 0.25, 2.0)
    channels = list(channel_moves(evaluator.channels, 1.5, 0.25))
    assert len(channels) == 2 * (4 + 6)  # the readout's are left alone
    base = Candidate.base(adapted.recipe, evaluator.channels)
    for move in [pair[0] for pair in [*layers, *channels[::3]]]:
        recipe = move(base).apply(adapted.recipe)
        deployment = deploy(replace(adapted, recipe=recipe))
        same(evaluator.run(recipe), run_on_twin(deployment, events), deployment.cores)


def test_the_points_are_a_front(front):
    synops, losses = ([getattr(p, name) for p in front.points] for name in ("synops", "loss"))
    assert 1 <= len(front.points) <= SMALL.points
    assert synops == sorted(synops)
    assert losses == sorted(losses, reverse=True)
    assert len(set(losses)) == len(losses)
    assert (front.searched, front.choosing, front.held_out) == (28, 6, 6)


def test_the_search_saves_synops(adapted, front):
    whole = TwinEvaluator(adapted, recordings(40)).run(adapted.recipe)
    assert front.points[0].synops < 0.9 * whole.mean_synops


def test_the_same_seed_gives_the_same_front(adapted, front):
    again = find_front(adapted, recordings(40), LABELS, settings=SMALL, threads=1)
    assert again.to_dict() == front.to_dict()


def test_a_chosen_point_deploys_to_what_was_measured(adapted, front):
    point = front.choose()
    order = np.random.default_rng(SMALL.seed).permutation(40)
    events = [recordings(40)[i] for i in order[:6]]
    simulation = run_on_twin(deploy(with_front_point(adapted, point)), events)
    assert simulation.synops.mean() == point.held_out_synops


def split() -> tuple[list[int], list[int], list[int]]:
    """Samples that measure, that choose, and that are searched on."""
    order = np.random.default_rng(SMALL.seed).permutation(40).tolist()
    return order[:6], order[6:12], order[12:]


def test_some_samples_are_searched_on_others_choose_and_others_measure(adapted, front):
    """What samples that measure say does not choose; none has two parts."""
    measure, choose, search = split()
    assert front.held_out_indices == tuple(measure)
    for point in (front.start, *front.points):
        deployment = deploy(with_front_point(adapted, point))
        found = [
            run_on_twin(deployment, [recordings(40)[i] for i in part])
            for part in (measure, choose, search)
        ]
        assert point.accuracy == found[0].accuracy(LABELS[measure])
        assert point.choice_accuracy == found[1].accuracy(LABELS[choose])
        losses = [
            log_loss(run.class_counts, one_hot(LABELS[part], 2))
            for run, part in zip(found[1:], (choose, search), strict=True)
        ]
        assert [point.choice_loss, point.loss] == losses
        assert point.synops == found[2].synops.mean()


def test_the_start_is_the_network_as_it_came(adapted, front):
    for one, other in zip(front.start.recipe.layers, adapted.recipe.layers, strict=True):
        np.testing.assert_array_equal(one.threshold, other.threshold)
        np.testing.assert_array_equal(one.initial_potential, other.initial_potential)
        assert one.lower_clip == other.lower_clip


def test_before_and_after_are_of_the_same_samples(adapted, front):
    chosen = front.choose(max_synops=front.points[0].synops)
    change = speck_adacal.before_and_after(adapted, front, chosen, recordings(40))
    held = [recordings(40)[i] for i in split()[0]]
    for figures, point in ((change.before, front.start), (change.after, chosen)):
        deployment = deploy(with_front_point(adapted, point))
        run = run_on_twin(deployment, held)
        assert (figures.accuracy, figures.synops) == (
            run.accuracy(LABELS[split()[0]]),
            run.synops.mean(),
        )
        worst = max(load.worst_synops_per_s for load in core_loads(deployment, held))
        assert figures.worst_core_synops_per_s == worst
    assert change.after.synops < change.before.synops
    assert "6 recordings" in str(change)


def choosable(front, *figures):
    """The front's first points with other losses and accuracies of the samples that choose."""
    points = tuple(
        replace(point, choice_loss=loss, choice_accuracy=accuracy, synops=float(10 * (i + 1)))
        for i, (point, (loss, accuracy)) in enumerate(
            zip([front.start] * len(figures), figures, strict=True)
        )
    )
    return replace(front, points=points)


def test_the_samples_that_choose_choose(front):
    """Not the samples searched on, whose loss falls from point to point, nor those that measure."""
    three = choosable(front, (0.5, 0.8), (0.2, 0.9), (0.3, 0.95))
    assert three.choose() is three.points[1]
    assert three.choose(max_synops=15.0) is three.points[0]
    assert three.choose(min_accuracy=0.93) is three.points[2]
    with pytest.raises(SettingsError, match=r"reaches 95\.0%"):
        three.choose(min_accuracy=0.96)


def test_choosing(front):
    cheapest = front.points[0]
    assert front.choose() is min(front.points, key=lambda point: point.choice_loss)
    assert front.choose(max_synops=cheapest.synops) is cheapest
    assert front.choose(min_accuracy=0.0) is cheapest
    with pytest.raises(SettingsError, match="begins at"):
        front.choose(max_synops=1.0)


def test_without_labels_the_network_is_its_own_reference(adapted):
    front = speck_adacal.front(adapted, recordings(24), settings=SMALL)
    assert front.points[-1].accuracy >= 0.5


def test_both_estimators_judge_the_same_recordings(adapted, front):
    stepped = front_in_steps(adapted, front, recordings(40), LABELS)
    held = list(front.held_out_indices)
    assert len(set(held)) == front.held_out == 6
    again = front_in_steps(
        adapted,
        replace(front, held_out_indices=tuple(range(front.held_out))),
        [recordings(40)[i] for i in held],
        LABELS[held],
    )
    assert stepped == again


def test_adapting_with_the_twin_as_estimator(adapted):
    """The recipe is the chosen point of the front that `front` finds."""
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(256, 2, bias=False)
    )
    events = recordings(40)
    plain = AdaptSettings(chip_correction=False, bias="initial", reset_each=True)
    start = adapt(network, events, input_shape=(2, 10, 10), settings=plain)
    front = speck_adacal.front(start, events, LABELS)
    wanted = front.choose(max_synops=front.points[0].synops)
    settings = replace(plain, estimator="twin", max_synops=front.points[0].synops)
    found = adapt(network, events, input_shape=(2, 10, 10), settings=settings, labels=LABELS)
    for one, other in zip(found.recipe.layers, wanted.recipe.layers, strict=True):
        np.testing.assert_array_equal(one.threshold, other.threshold)
        np.testing.assert_array_equal(one.initial_potential, other.initial_potential)
    with pytest.raises(SettingsError, match="begins at"):
        adapt(
            network,
            events,
            input_shape=(2, 10, 10),
            settings=replace(settings, max_synops=1.0),
            labels=LABELS,
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"estimator": "chip"},
        {"max_synops": 1e6},
        {"estimator": "twin", "max_synops": 0.0},
        {"estimator": "twin", "input_coding": "analog"},
    ],
)
def test_wrong_estimators_are_refused(wrong):
    with pytest.raises(SettingsError, match=r"estimator|max_synops"):
        AdaptSettings(**wrong)


def test_bad_input(adapted):
    with pytest.raises(CalibrationError, match="at least 20"):
        find_front(adapted, recordings(4), LABELS[:4])
    with pytest.raises(CalibrationError, match="give one each"):
        find_front(adapted, recordings(24), LABELS[:4])
    wrongs = ({"prices": ()}, {"held_out": 1.0}, {"rounds": 0}, {"factor": 1.0})
    for wrong in (*wrongs, {"channel_factor": 1.0}):
        with pytest.raises(SettingsError):
            FrontSettings(**wrong)


def test_a_share_leaves_the_layers_behind_alone(adapted):
    shared = Move("share", 0, 2.0)(Candidate.base(adapted.recipe, (0, 0, 0)))
    np.testing.assert_allclose(np.cumprod(shared.gains), [2.0, 1.0, 1.0])


def test_a_channel_of_twice_the_threshold_fires_half_as_often_for_twice_as_much(adapted):
    base = Candidate.base(adapted.recipe, (4, 6, 0))
    recipe = Move("share", 0, 2.0, 1)(base).apply(adapted.recipe)
    before, after = (fold(adapted.graph, r) for r in (adapted.recipe, recipe))
    factor = np.array([1.0, 0.5, 1.0, 1.0])
    np.testing.assert_allclose(after[0].weight, before[0].weight * factor[:, None, None, None])
    np.testing.assert_allclose(after[0].initial, before[0].initial)  # in thresholds
    np.testing.assert_allclose(after[1].weight, before[1].weight / factor[:, None, None])
    moved = Move("start", 0, 0.25, 1)(base).apply(adapted.recipe)
    shift = fold(adapted.graph, moved)[0].initial - before[0].initial
    np.testing.assert_allclose(shift, 0.5 * (1 - factor)[:, None, None] * np.ones_like(shift))


def test_a_descent_ends_where_it_is_told_what_it_found(adapted):
    """Less log loss and price than at the start, as the whole chip gives it on all recordings."""
    events, price = recordings(40), 0.3
    descent = Descent(
        adapted.recipe,
        TwinEvaluator(adapted, events),
        LABELS,
        Steps(rounds=1, factor=1.25, shift=0.25, clip=2.0, channel_factor=1.5),
    )
    start = descent.start()
    end = descent.descend(start, price)
    value = [descent.loss(c) + price * np.log2(descent.tried[c].mean_synops) for c in (start, end)]
    assert end != start
    assert value[1] < value[0]
    deployment = deploy(replace(adapted, recipe=end.apply(adapted.recipe)))
    same(descent.tried[end], run_on_twin(deployment, events), deployment.cores)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=40))
def test_non_dominated_and_thinned(pairs):
    costs, losses = np.array(pairs, dtype=float).T
    kept = non_dominated(costs, losses)
    for cost, loss in pairs:
        assert any(costs[i] <= cost and losses[i] <= loss for i in kept)
    few = thinned(costs[kept], 4)
    assert len(few) <= 4
    assert kept[few[0]] == kept[0]


def test_the_loss_rewards_the_right_class():
    counts = np.array([[9, 1], [2, 6]])
    right, wrong = (log_loss(counts, one_hot(np.array(labels), 2)) for labels in ([0, 1], [1, 0]))
    assert 0 < right < wrong


@pytest.mark.parametrize("part", [slice(0, 2), slice(2, None)])
def test_a_part_of_the_recordings_gives_that_part_of_the_outcome(adapted, part):
    evaluator = TwinEvaluator(adapted, recordings(6))
    whole = evaluator.run(adapted.recipe)
    same_part, found = whole.part(part), evaluator.run(adapted.recipe, part)
    for name in ("counts", "synops", "spikes"):
        np.testing.assert_array_equal(getattr(found, name), getattr(same_part, name))
    joined = whole.part(slice(0, 2)).and_then(whole.part(slice(2, None)))
    np.testing.assert_array_equal(joined.counts, whole.counts)


def test_the_command(adapted, tmp_path, capsys):
    events = recordings(40)
    columns = {
        key: np.concatenate([getattr(e, name) for e in events])
        for key, name in (("x", "x"), ("y", "y"), ("p", "channel"), ("t", "t_us"))
    }
    offsets = np.cumsum([0] + [len(e) for e in events])
    size = np.array([10, 10, 2])
    np.savez(tmp_path / "r.npz", **columns, offsets=offsets, labels=LABELS, sensor_size=size)
    save(adapted, tmp_path / "net.adapted")
    paths = {key: str(tmp_path / key) for key in ("net.adapted", "r.npz", "f.svg", "net.bundle")}
    arguments = [
        *("front", paths["net.adapted"], "--calibration", paths["r.npz"], "--points", "3"),
        *("--figure", paths["f.svg"], "--out", paths["net.bundle"], "--json"),
    ]
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    result = json.loads(capsys.readouterr().out)
    assert result["chosen"] in result["points"]
    assert result["estimator"] == "twin"
    assert len(result["time_stepped"]) == len(result["points"])
    assert [layer["name"] for layer in result["time_stepped"][0]["layers"]] == ["1", "3"]
    assert result["time_stepped"][0]["synops"] > 0
    assert "<svg" in (tmp_path / "f.svg").read_text()
    assert (tmp_path / "net.bundle" / "manifest.json").is_file()


def test_a_lower_clip_is_narrowed_from_eight_thresholds_and_opened_beyond(adapted):
    tighter, wider = Move("clip", 1, 0.5), Move("clip", 1, 2.0)
    base = Candidate.base(adapted.recipe, (0, 0, 0))
    narrowed = tighter(tighter(base))
    assert [c.clips[1] for c in (base, tighter(base), narrowed)] == [math.inf, 4.0, 2.0]
    assert wider(tighter(base)).clips == wider(base).clips == base.clips
    recipe = narrowed.apply(adapted.recipe)
    assert [layer.lower_clip for layer in recipe.layers] == [None, 2.0, None]
    assert Candidate.base(recipe, (0, 0, 0)).clips == narrowed.clips


def test_a_recipes_lower_clip_reaches_every_level(adapted, tmp_path):
    layers = tuple(
        replace(layer, lower_clip=None if layer.readout else 0.5) for layer in adapted.recipe.layers
    )
    clipped = replace(adapted, recipe=replace(adapted.recipe, layers=layers))
    deployment = deploy(clipped)
    limits = [layer.threshold_low for layer in deployment.layers]
    assert limits[:2] == [-round(0.5 * layer.scale) for layer in deployment.layers[:2]]
    assert limits[2] == -(2**15)
    counts = [
        run_on_twin(d, recordings(10)).spikes_per_core.sum() for d in (deploy(adapted), deployment)
    ]
    assert counts[1] >= counts[0]  # what is clipped need not be made up for
    again = load(save(clipped, tmp_path / "clipped.adapted"))
    assert [layer.lower_clip for layer in again.recipe.layers] == [0.5, 0.5, None]
    neurons = [m for m in clipped.network.modules() if isinstance(m, AdaFire)]
    for neuron, layer in zip(neurons, layers, strict=False):
        np.testing.assert_allclose(neuron.min_v_mem, -0.5 * layer.firing_threshold, rtol=1e-6)
