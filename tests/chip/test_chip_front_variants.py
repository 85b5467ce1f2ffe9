"""The front from fewer time steps and smaller input bursts, and what a budget below it is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import speck_adacal
from speck_adacal import AdaptSettings, FrontSettings, adapt, deploy, simulate, with_front_point
from speck_adacal.ann.graph import Kind
from speck_adacal.cli.common import parse_counts
from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.twin_search.front_search import best_at_prices
from speck_adacal.verbs import fronts

FAST = {"prices": (0.05,), "rounds": 1, "channel_factor": None}


@pytest.fixture(scope="module")
def images():
    return torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def adapted(images):
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3, bias=False)
    )
    settings = AdaptSettings(bias="events", chip_correction=False)
    return adapt(network, images, input_shape=(1, 8, 8), settings=settings)


@pytest.fixture(scope="module")
def front(adapted, images):
    return speck_adacal.front(adapted, images, settings=FrontSettings(**FAST))


def test_fewer_time_steps_and_smaller_bursts_lower_the_floor(adapted, images, front):
    own = FrontSettings(**FAST, time_steps=(8,), input_bursts=(4,))
    alone = speck_adacal.front(adapted, images, settings=own)
    assert {p.recipe.settings.time_steps for p in alone.points} == {8}
    assert front.points[0].synops < alone.points[0].synops
    first = front.points[0].recipe.settings
    assert (first.time_steps, first.input_burst) != (8, 4)


def test_each_point_deploys_to_what_was_measured(adapted, images, front):
    held = list(front.held_out_indices)
    truth = adapted.ann.run(images)[adapted.ann.outputs[0]].argmax(1).numpy()[held]
    for point in front.points:
        run = simulate(deploy(with_front_point(adapted, point)), images[held])
        assert run.accuracy(truth) == point.accuracy
        assert float(run.synops.mean()) == point.held_out_synops
    stepped = speck_adacal.front_in_steps(adapted, front, images)
    assert len(stepped) == len(front.points)


def test_what_chooses_and_measures_is_no_part_of_fits(monkeypatch):
    """Other images in their place leave every point as it is, of a network that was fitted too."""
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3)
    )
    images = torch.rand(100, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    asked = AdaptSettings(bias="events", time_steps=4, correction_samples=32)
    adapted = adapt(network, images, input_shape=(1, 8, 8), settings=asked)
    monkeypatch.setattr(fronts, "was_fitted", lambda _: True)
    settings = FrontSettings(**FAST, time_steps=(4,), input_bursts=(4,))
    split = settings.split(100)
    others = images.clone()
    others[np.concatenate([split.choose, split.measure])] = 0.5
    found = [speck_adacal.front(adapted, x, settings=settings) for x in (images, others)]
    assert len(found[0].points) == len(found[1].points)
    for one, two in zip(*(front.points for front in found), strict=True):
        assert (one.loss, one.synops) == (two.loss, two.synops)
        for node, same in zip(one.network.graph.nodes, two.network.graph.nodes, strict=True):
            if node.kind is Kind.LINEAR:
                assert torch.equal(node.module.weight, same.module.weight)


def test_a_budget_below_the_floor_names_what_lowers_it(front):
    with pytest.raises(SettingsError, match="input_bursts") as refused:
        front.choose(max_synops=1.0)
    for said in ("at most 1 SynOps", "begins at", "input's events", "--time-steps"):
        assert said in str(refused.value)


def test_labels_of_another_number_are_refused(adapted, images):
    with pytest.raises(CalibrationError, match="40"):
        speck_adacal.front(adapted, images, np.zeros(4, np.int64))
    with pytest.raises(CalibrationError, match="at least 20"):
        speck_adacal.front(adapted, images[:8])


def test_starts_are_those_that_are_best_at_some_price():
    begins = [(8.0, 0.30), (4.0, 0.50), (4.0, 0.60), (2.0, 0.70), (1.0, 2.0)]
    assert best_at_prices(begins, (0.05, 0.3)) == (0, 3)
    assert best_at_prices(begins, (0.1, 0.05)) == (0,)
    many = [(2.0 ** (20 - i), float(i * i)) for i in range(9)]
    assert best_at_prices(many, tuple(range(1, 16, 2))) == (0, 1, 2)  # at most three


def test_of_many_samples_some_fit_only_and_more_choose():
    split = FrontSettings(searched=50).split(1000)
    parts = (split.measure, split.choose, split.fit)
    assert [len(x) for x in (*parts, split.search)] == [150, 750, 100, 50]
    assert sorted(np.concatenate(parts)) == list(range(1000))
    assert set(split.search) <= set(split.fit)


def test_counts_on_the_command_line():
    assert parse_counts("4, 2", "--time-steps") == (4, 2)
    assert parse_counts(None, "--time-steps") is None
    with pytest.raises(SettingsError, match="--time-steps"):
        parse_counts("4,0", "--time-steps")
