"""A pass over both networks: samples that follow have the values that all at once would have."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal.adaptation import AdaptSettings
from speck_adacal.adaptation.both_networks import SideBySide
from speck_adacal.adaptation.corrections import correct
from speck_adacal.adaptation.engine import recipe_of
from speck_adacal.adaptation.thresholds import observe
from speck_adacal.ann import trace
from speck_adacal.samples.encoded import encoded_batches
from speck_adacal.snn import SpikingNetwork

_STEPS = 3
_SAMPLES = 10
_FIRST_LAYERS = (1 + _STEPS) * 3 * 6 * 8 * 8  # values a sample: two large layers and what is added


class _Narrowing(nn.Module):
    """A shortcut and a maximum, then layers that are ever smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU())
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.rest = nn.Sequential(
            nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 3),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.rest(x + self.second(x))


def _made(seed: int, coding: str):
    torch.manual_seed(seed)
    graph = trace(_Narrowing().eval(), (1, 8, 8))
    chosen = AdaptSettings(time_steps=_STEPS, input_coding=coding, batch_size=2, hold_out=False)
    shape = (_SAMPLES, 1, 8, 8) if coding == "analog" else (_SAMPLES, _STEPS, 1, 8, 8)
    data = encoded_batches([torch.rand(shape).round(decimals=2)], graph.input_shape, chosen)
    return graph, data, chosen


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    coding=st.sampled_from(("analog", "events")),
    room=st.floats(0.1, 12.0),
)
def test_samples_that_follow_have_the_values_of_all_at_once(seed, coding, room):
    graph, data, chosen = _made(seed, coding)
    recipe, inputs = recipe_of(observe(graph, data), chosen, 2), list(data)

    def passing(largest: int) -> SideBySide:
        return SideBySide(graph, SpikingNetwork(graph, recipe), inputs, data, _STEPS, largest)

    whole, parted = passing(1 << 40), passing(int(room * _FIRST_LAYERS))
    came = []
    for node, _ in zip(whole, parted, strict=True):
        came.append(parted.samples)
        for all_at_once, later in zip(whole.ann, parted.ann, strict=False):
            assert torch.equal(all_at_once[node.name], later[node.name])
            assert all_at_once.keys() == later.keys()
        for all_at_once, later in zip(whole.snn, parted.snn, strict=False):
            assert all_at_once.keys() == later.keys()
            for name, (value, constant) in all_at_once.items():
                assert torch.equal(value, later[name][0])
                assert constant == later[name][1]
    assert whole.fewest == whole.samples == _SAMPLES
    assert parted.fewest == max(2, min(_SAMPLES, int(room) // 2 * 2))
    assert came == sorted(came)
    assert came[-1] == _SAMPLES or room < 1


@pytest.mark.parametrize("kind", ["both", "weights", "temporal", "temporal_weights"])
def test_corrections_with_little_room_say_how_many_samples_they_saw(kind, monkeypatch):
    graph, data, chosen = _made(3, "analog")
    recipe = recipe_of(observe(graph, data), chosen, 2)
    chosen = AdaptSettings(**{**vars(chosen), "correction": kind})
    whole = correct(graph, recipe, data, chosen)
    monkeypatch.setattr(SideBySide.__init__, "__defaults__", (_FIRST_LAYERS * 4,))
    parted = correct(graph, recipe, data, chosen)
    assert (whole.fewest, parted.fewest) == (_SAMPLES, 4)
    assert parted.errors.keys() == whole.errors.keys()


def test_batches_are_smaller_where_layers_are_large():
    _, data, _ = _made(0, "analog")
    assert len(data.fitting(6 * 8 * 8)) == _SAMPLES // 2
    assert len(data.fitting(1 << 26)) == _SAMPLES
