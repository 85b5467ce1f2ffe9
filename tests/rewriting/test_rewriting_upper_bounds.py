"""Upper bounds of activations: second neurons are exact, and are made where they are worth it."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal import (
    AdaptedNetwork,
    AdaptSettings,
    Deployment,
    adapt,
    check,
    deploy,
    load,
    save,
    simulate,
)
from speck_adacal.ann import trace
from speck_adacal.ann.graph import Kind, LayerGraph
from speck_adacal.chip.fitting import fits
from speck_adacal.rewriting.rewrite import BOUNDS
from speck_adacal.rewriting.upper_bounds import honour_bounds, with_second_neurons

QUICK = AdaptSettings(time_steps=16, chip_correction=False, bias="events", hold_out=False)


class _SideBySide(nn.Module):
    """What is cut off is read twice: by a convolution, and beside what that gives."""

    def __init__(self, groups: int, upper: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1, groups=groups)
        self.cut, self.last = nn.Hardtanh(0, upper), nn.Conv2d(8, 3, 2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.cut(self.first(x))
        return self.last(torch.cat((self.cut(self.second(x)), x), 1))


def _chain(groups: int, upper: float) -> nn.Module:
    cut = nn.Hardtanh(0, upper)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), cut, nn.AvgPool2d(2), nn.Conv2d(4, 4, 2, groups=groups), cut,
        nn.Flatten(), nn.Linear(16, 5), cut, nn.Linear(5, 3),
    )  # fmt: skip


def _loud(network: nn.Module) -> nn.Module:
    """Weights so large that activations exceed a bound of some tenths."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data.mul_(3)
    return network.eval()


def _everywhere(graph: LayerGraph) -> LayerGraph:
    """Second neurons for every channel of every bound."""
    for bound in graph.clipped_activations():
        found = with_second_neurons(graph, bound.node, np.arange(graph[bound.node].shape[0]))
        assert found is not None
        graph = found
    return graph


@given(
    st.sampled_from((_chain, _SideBySide)),
    st.sampled_from((1, 4)),
    st.floats(0.05, 1.0),
    st.integers(0, 99),
)
@settings(max_examples=20, deadline=None)
@torch.no_grad()
def test_second_neurons_change_nothing(kind: type[nn.Module], groups: int, upper: float, seed: int):
    torch.manual_seed(seed)
    network, x = _loud(kind(groups, upper)), torch.rand(4, 1, 8, 8)
    graph = trace(network, (1, 8, 8))
    doubled = _everywhere(graph)
    assert not doubled.clipped_activations()
    values = doubled.run(x)[doubled.outputs[0]]
    torch.testing.assert_close(values, network(x), rtol=1e-4, atol=1e-4)


def test_what_no_weights_read_has_no_second_neurons():
    added = trace(_Added().eval(), (1, 6, 6))
    pooled = trace(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU6(), nn.MaxPool2d(2), nn.Flatten()), (1, 6, 6)
    )
    for graph in (added, pooled):
        for bound in graph.clipped_activations():
            assert with_second_neurons(graph, bound.node, np.arange(2)) is None


class _Added(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.relu6(self.a(x)) + nn.functional.relu6(self.b(x))
        return self.c(y).flatten(1)


def _cut_hard(hidden: int = 2) -> tuple[nn.Module, torch.Tensor]:
    """The first class wins only for what its bound leaves of it: without it, it always wins."""
    network = nn.Sequential(
        nn.Conv2d(1, hidden, 1, bias=False), nn.Hardtanh(0, 1), nn.Flatten(),
        nn.Linear(hidden * 16, 2, bias=False),
    )  # fmt: skip
    with torch.no_grad():
        network[0].weight.fill_(0.01)
        network[0].weight[:2] = torch.tensor([3.0, 0.9]).view(2, 1, 1, 1)
        network[3].weight.zero_()
        network[3].weight[0, :16], network[3].weight[1, 16:32] = 1.0, 1.5
    return network.eval(), torch.linspace(0.3, 1, 64).view(-1, 1, 1, 1).expand(64, 1, 4, 4)


def test_a_bound_that_decides_is_honoured_on_the_chip():
    network, x = _cut_hard()
    adapted, deployment = _rewritten()
    (record,) = [record for record in adapted.recipe.trace if record.step == BOUNDS]
    assert record.values["a second neuron:1"] == 1.0
    assert record.values["decisions:1"] > 0.2
    assert not [v for v in deployment.violations if v.rule == "bound"]
    with torch.no_grad():
        wanted = network(x).argmax(1).numpy()
    assert np.mean(simulate(deployment, x).decisions == wanted) > 0.9


@pytest.mark.parametrize("chip", [0.5, 0.85, 0.95])
def test_a_bound_that_was_rewritten_is_named_where_decisions_are_lost(chip):
    """A verdict of less than nine tenths comes with the bound, its share and the loss."""
    adapted, deployment = _rewritten()
    verdict = replace(adapted.recipe.verdict, chip=chip)
    lossy = deploy(replace(adapted, recipe=replace(adapted.recipe, verdict=verdict)))
    warnings = [v for v in lossy.violations if v.rule == "bound"]
    assert not [v for v in deployment.violations if v.rule == "bound"]
    assert len(warnings) == (chip < 0.9)
    for warning in warnings:
        assert warning.severity == "warning"
        for said in ("cuts off", "second neuron", f"loses {100 * (1 - chip):.1f} points"):
            assert said in warning.fix
        assert "cut off at 1" in warning.found


@functools.cache
def _rewritten() -> tuple[AdaptedNetwork, Deployment]:
    network, x = _cut_hard()
    adapted = adapt(network, x, input_shape=(1, 4, 4), settings=QUICK)
    return adapted, deploy(adapted)


def test_a_bound_that_nothing_reaches_is_left_out():
    network, x = _cut_hard()
    network[1] = nn.ReLU6()
    adapted = adapt(network, x, input_shape=(1, 4, 4), settings=QUICK)
    (record,) = [record for record in adapted.recipe.trace if record.step == BOUNDS]
    assert record.values == {
        "cut off:1": 0.0,
        "decisions:1": 0.0,
        "left out:1": 1.0,
        "bound:1": 6.0,
    }
    assert not adapted.graph.clipped_activations()
    assert adapted.graph[adapted.graph.of_kind(Kind.CONV)[0].name].shape == (2, 4, 4)


def test_a_bound_without_room_is_warned_of_with_what_it_costs(tmp_path):
    network, x = _cut_hard()
    graph = trace(network, (1, 4, 4))
    found, (bound,) = honour_bounds(graph, [x], lambda changed: changed is graph)
    assert found is graph
    assert bound.becomes == "kept"
    hidden = 1024  # as many channels as a core has
    network, x = _cut_hard(hidden)
    assert fits(trace(network, (1, 4, 4)))
    adapted = adapt(network, x, input_shape=(1, 4, 4), settings=QUICK)
    save(deploy(adapted), tmp_path / "bundle")
    for deployment in (deploy(adapted), load(tmp_path / "bundle")):
        (warning,) = [v for v in deployment.violations if v.rule == "bound"]
        assert "cuts off" in warning.fix
        assert "% of the decisions" in warning.fix


def test_check_says_that_adapt_measures_bounds():
    (warning,) = check(_cut_hard()[0], input_shape=(1, 4, 4)).violations
    assert warning.severity == "warning"
    assert "second neuron" in warning.fix


def test_a_single_output_that_a_bound_moves_keeps_it():
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.Hardtanh(0, 0.1), nn.Conv2d(4, 4, 3), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(64, 1)),
    )
    graph = trace(network, (1, 8, 8))
    _, (bound,) = honour_bounds(graph, [torch.rand(40, 1, 8, 8)], fits)
    assert bound.changed > 0.01
    assert bound.becomes == "a second neuron"
