"""The verdict names what loses accuracy: each cause in a network that has no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal import AdaptSettings, Events, adapt, deploy, load, save
from speck_adacal.inspection import judging
from speck_adacal.inspection.judging import measure_verdict
from speck_adacal.recipe.verdict import Cause, Verdict
from speck_adacal.samples.batches import encode_for
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.bases import with_layers

SHAPE = (3, 4, 4)


class _Compared(nn.Module):
    """Class 0: how much more channel 0 is than channel 1; class 1: a part of channel 0."""

    def __init__(self, unused: float = 0.0, bias: float = 0.0) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 2, 4, bias=True), nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.conv.weight[0] = torch.tensor([1.0, -1.0, 0.0]).view(3, 1, 1)
            self.conv.weight[1] = torch.tensor([0.5, 0.0, unused]).view(3, 1, 1)
            self.conv.bias.copy_(torch.tensor([0.0, bias]))
            self.fc.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.8]]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.conv(x)).flatten(1))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Channel 0 from a half to one, channel 1 any part of that, channel 2 dark."""
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(96, 1, 1, 1, generator=generator) / 2 + 0.5
    b = a * torch.rand(96, 1, 1, 1, generator=generator)
    return torch.cat((a, b, torch.zeros_like(a)), 1).expand(96, *SHAPE).contiguous()


def _recordings(images: torch.Tensor, first: int) -> list[Events]:
    """Eight events a pixel of 1; of channels 0 and 1, all of `first` come before the other's."""
    found = []
    for image in images:
        counts = (image * 8).round().int().numpy()
        channel, y, x = np.repeat(np.argwhere(counts > 0), counts[counts > 0], axis=0).T
        late = channel != first
        order = np.argsort(late, kind="stable")
        t_us = np.linspace(0, 3999, len(order)).astype(np.int64) + 4000 * late[order]
        found.append(Events(t_us, x[order], y[order], channel[order], SHAPE, 8000, 0))
    return found


def _adapted(network: nn.Module, images: Any, **changes: Any) -> AdaptedNetwork:
    asked: dict[str, Any] = {
        "bias": "initial",
        "chip_correction": False,
        "hold_out": False,
        "time_steps": 16,
    }
    settings = AdaptSettings(**{**asked, **changes})
    return adapt(network.eval(), images, input_shape=SHAPE, settings=settings)


def _verdict(adapted: AdaptedNetwork, images: Any) -> Verdict:
    return measure_verdict(adapted, encode_for(images, SHAPE, adapted.recipe), held_out=False)


def _largest(verdict: Verdict) -> Cause:
    """The cause that is named first; all together are what the chip loses, up to trifles."""
    assert verdict.lost > 0.1
    names = [cause.name for cause in verdict.causes]
    assert len(set(names)) == len(names)
    return verdict.causes[0]


def test_all_causes_together_are_the_loss(
    images: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "_SMALLEST_CAUSE", -1.0)
    verdict = _verdict(_adapted(_Compared(unused=200.0), images, time_steps=4), images)
    assert len(verdict.causes) == 5
    assert sum(cause.lost for cause in verdict.causes) == pytest.approx(verdict.lost)


def test_nothing_is_blamed_where_nothing_is_lost(images: torch.Tensor) -> None:
    verdict = _verdict(_adapted(_Compared(), images), images)
    assert verdict.lost < 0.02
    assert len([line for line in verdict.lines() if "loses" in line]) == (verdict.lost > 0.01)


def test_eight_bits(images: torch.Tensor) -> None:
    """One weight that nothing uses takes the range of all others."""
    found = _largest(_verdict(_adapted(_Compared(unused=200.0), images), images))
    assert found.name == "8 bits"
    assert "autopsy" in found.option


def test_a_bias_charged_at_the_start(images: torch.Tensor) -> None:
    """It is spent before inhibition comes, where the bias and that would always be equal."""
    network = _Compared()
    with torch.no_grad():
        network.conv.weight[0, 1], network.conv.bias[0] = -2.0, 16.0
    shifted = images.clone()
    shifted[:, 1] = images[:, 1] / 2 + 0.5
    found = _largest(_verdict(_adapted(network, shifted), shifted))
    assert found.name == "bias"
    assert "--bias events" in found.option


def test_a_lower_clip_forgets_inhibition(images: torch.Tensor) -> None:
    recordings = _recordings(images, first=1)
    adapted = _adapted(_Compared(), recordings, reset_each=True)
    clipped = with_layers(adapted, lambda layer: replace(layer, lower_clip=0.05))
    assert "clip" not in [cause.name for cause in _verdict(adapted, recordings).causes]
    verdict = _verdict(clipped, recordings)
    assert _largest(verdict).name == "clip"
    assert "`deploy --lower-clip open`" in verdict.lines()[1]


def test_the_order_of_events_within_a_step(images: torch.Tensor) -> None:
    """Excitation first: neurons have fired before inhibition comes, which a step sums up."""
    recordings = _recordings(images, first=0)
    adapted = _adapted(_Compared(), recordings, reset_each=True, time_steps=1, phi=32)
    assert _largest(_verdict(adapted, recordings)).name == "order of events"


def test_what_spiking_loses_before_the_chip(images: torch.Tensor) -> None:
    """The same over several steps: the time-stepped network has fired too early as well."""
    recordings = _recordings(images, first=0)
    adapted = _adapted(_Compared(), recordings, reset_each=True)
    found = _largest(_verdict(adapted, recordings))
    assert found.name == "time steps"
    assert "--per-channel" in found.option


def test_energy_above_the_trained_networks_own_is_called_that(
    images: torch.Tensor, tmp_path: Path
) -> None:
    verdict = _verdict(_adapted(_Compared(), images), images)
    dear = replace(verdict, chip_nj=verdict.trained_nj * 2)
    cheap = replace(verdict, chip_nj=verdict.trained_nj / 2)
    assert [line.startswith("Energy above") for line in dear.lines()][-1]
    assert not any(line.startswith("Energy above") for line in cheap.lines())
    adapted = _adapted(_Compared(), images)
    kept = replace(adapted, recipe=replace(adapted.recipe, verdict=dear))
    assert load(save(kept, tmp_path / "bundle")).recipe.verdict == dear
    assert deploy(kept).adapted.recipe.verdict == dear
