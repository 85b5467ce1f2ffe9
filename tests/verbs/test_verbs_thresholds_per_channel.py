"""Channels of very different ranges get a threshold each, without being asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal import AdaptSettings, adapt, deploy, simulate
from speck_adacal.snn.adapted import AdaptedNetwork

STEP = "thresholds per channel"


def _network(quietest: float) -> nn.Module:
    """Two places compared; the one with `quietest` times the activations counts as much more."""
    network = nn.Sequential(
        nn.Conv2d(2, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2, bias=False)
    )
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, quietest]]).view(2, 2, 1, 1))
        network[3].weight.zero_()
        network[3].weight[0, :16], network[3].weight[1, 16:] = 1.0, 1.0 / quietest
    return network.eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    values = torch.rand(80, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    return values.expand(80, 2, 4, 4).contiguous()


def _adapted(quietest: float, images: torch.Tensor, **changes: Any) -> AdaptedNetwork:
    settings = AdaptSettings(chip_correction=False, hold_out=False, **changes)
    return adapt(_network(quietest), images, input_shape=(2, 4, 4), settings=settings)


def _records(adapted: AdaptedNetwork) -> Iterator[dict[str, float]]:
    return (record.values for record in adapted.recipe.trace if record.step == STEP)


def test_channels_that_differ_get_a_threshold_each(images: torch.Tensor) -> None:
    adapted = _adapted(0.02, images)
    (values,) = _records(adapted)
    assert values["agreement per layer"] < 0.9 < values["agreement per channel"]
    assert adapted.recipe.settings.per_channel
    assert adapted.recipe["1"].threshold.shape == (2,)
    with torch.no_grad():
        wanted = _network(0.02)(images).argmax(1).numpy()
    assert np.mean(simulate(deploy(adapted), images).decisions == wanted) > 0.9


def test_others_keep_one_a_layer(images: torch.Tensor) -> None:
    adapted = _adapted(0.9, images)
    assert not list(_records(adapted))
    assert not adapted.recipe.settings.per_channel


def test_who_asks_for_it_gets_it_without_a_comparison(images: torch.Tensor) -> None:
    assert not list(_records(_adapted(0.02, images, per_channel=True)))
