"""The front from fewer time steps and smaller input bursts, and what a budget below it is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import speck_adacal
from speck_adacal import AdaptSettings, FrontSettings, adapt, deploy, simulate, with_front_point
from speck_adacal.cli.common import parse_counts
from speck_adacal.errors import CalibrationError, SettingsError

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


def test_counts_on_the_command_line():
    assert parse_counts("4, 2", "--time-steps") == (4, 2)
    assert parse_counts(None, "--time-steps") is None
    with pytest.raises(SettingsError, match="--time-steps"):
        parse_counts("4,0", "--time-steps")
