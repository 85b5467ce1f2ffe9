"""Spiking networks: mean outputs tend to the ANN's, constant inputs run once, max pools exact."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal.ann import Kind, trace
from speck_adacal.errors import CalibrationError
from speck_adacal.recipe.recipe import LayerRecipe
from speck_adacal.snn import AdaFire, RunningTotals, SpikingNetwork, repeat_in_time
from speck_adacal.snn.constant_input import mean_on_constant
from speck_adacal.snn.spike_counts import Tallies


def make(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


def recipe_for(graph, threshold: float, phi: int):
    value = torch.tensor(threshold).double().numpy()
    return {
        n.name: LayerRecipe(n.name, phi, 1.0, value, value / 2)
        for n in graph.of_kind(Kind.ACTIVATION)
    }


def test_the_mean_output_tends_to_the_anns():
    graph = trace(make(), (2, 8, 8))
    x = torch.rand(4, 2, 8, 8)
    with torch.no_grad():
        target = graph.run(x)[graph.outputs[0]]
        network = SpikingNetwork(graph, recipe_for(graph, 0.05, 1000))
        gaps = [
            (network(repeat_in_time(x, steps)).mean(1) - target).abs().max() for steps in (4, 64)
        ]
    assert gaps[1] < 0.01
    assert gaps[1] < gaps[0]


def test_constant_input_run_once_is_the_same_as_repeated():
    graph = trace(make(), (2, 8, 8))
    network = SpikingNetwork(graph, recipe_for(graph, 0.2, 3))
    x = torch.rand(2, 2, 8, 8)
    with torch.no_grad():
        once = network(repeat_in_time(x, 5))
        counts = network.spike_counts()
        again = network(repeat_in_time(x, 5))
    torch.testing.assert_close(once, again)
    assert counts.keys() == {"1", "4"}
    assert all(torch.equal(counts[k], v) for k, v in network.spike_counts().items())


def test_steps_may_be_shown_one_by_one():
    graph = trace(make(), (2, 8, 8))
    network = SpikingNetwork(graph, recipe_for(graph, 0.2, 3))
    x = torch.rand(2, 6, 2, 8, 8)
    with torch.no_grad():
        whole = network(x)
        network.reset()
        parts = [network(x[:, t : t + 1], reset=False) for t in range(6)]
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_spike_counts_hold_multiplicity():
    graph = trace(nn.Sequential(nn.Linear(1, 2), nn.ReLU()), (1,))
    graph["0"].module.weight.data.copy_(torch.tensor([[1.0], [2.0]]))
    graph["0"].module.bias.data.zero_()
    network = SpikingNetwork(graph, recipe_for(graph, 0.25, 8))
    with torch.no_grad():
        network(torch.tensor([[[1.0], [0.0]]]))
    assert network.spike_counts()["1"].tolist() == [12.0]


def test_spiking_max_adds_up_to_the_maximum_of_the_totals():
    pool = RunningTotals(nn.MaxPool2d(2), homogeneous=True)
    x = torch.randint(0, 4, (2, 7, 3, 4, 4)).float()
    assert torch.equal(pool(x).sum(1), nn.MaxPool2d(2)(x.sum(1)))
    pool.reset_states()
    parts = torch.cat((pool(x[:, :3]), pool(x[:, 3:])), 1)
    assert torch.equal(parts.cumsum(1)[:, -1], nn.MaxPool2d(2)(x.sum(1)))
    assert bool((parts >= 0).all())


def test_wrong_shapes_are_refused():
    graph = trace(make(), (2, 8, 8))
    network = SpikingNetwork(graph, recipe_for(graph, 0.2, 3))
    with pytest.raises(CalibrationError, match="batch, time"):
        network(torch.zeros(1, 2, 8, 8))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    phi=st.integers(1, 300),
    threshold=st.sampled_from(["one", "channels", "neurons"]),
    with_fans=st.booleans(),
    emit_counts=st.booleans(),
    way=st.sampled_from(["new", "in place", "held"]),
)
def test_the_kernel_counts_what_it_fires(seed, phi, threshold, with_fans, emit_counts, way):
    """Beside the plain neuron, whose spikes are counted one by one."""
    generator = torch.Generator().manual_seed(seed)
    shape = {"one": (), "channels": (4,), "neurons": (4, 5, 6)}[threshold]
    layer = AdaFire(torch.rand(shape, generator=generator) + 0.01, phi, emit_counts=emit_counts)
    x = 40 * torch.rand((2, 1 if way == "held" else 3, 4, 5, 6), generator=generator) - 5
    fans = torch.randint(0, 5000, (4, 5, 6), generator=generator).float() if with_fans else None
    found, slow = (Tallies().empty("layer", x, 3, fans) for _ in range(2))
    plain = copy.deepcopy(layer).run(x.clone().requires_grad_(), 3, tally=slow).detach()
    spikes = layer.run(x, 3, out=x if way == "in place" else None, tally=found)
    assert torch.equal(spikes, plain)
    theta = layer.theta.view(4, 1, 1) if threshold == "channels" else layer.theta
    counts = spikes if emit_counts else (spikes / theta).round()
    assert np.array_equal(found.spikes, counts.flatten(2).double().sum(2))
    assert np.array_equal(found.spikes, slow.spikes)
    caused = 0 * counts if fans is None else counts.double() * fans
    assert np.array_equal(found.synops, caused.flatten(2).double().sum(2))
    assert np.array_equal(found.synops, slow.synops)


def test_sums_overwrite_only_what_nobody_else_reads():
    """A sum takes the place of its first input where that is fresh; values stay as they were."""

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = (nn.Conv2d(2, 2, 3, padding=1) for _ in range(2))

        def forward(self, x):
            y = torch.relu(self.a(x))
            z = self.b(y)
            both = z + y
            return torch.relu(both), z + x, both + both

    torch.manual_seed(0)
    model = Residual()
    graph = trace(model, (2, 6, 6))
    layers = {
        n.name: LayerRecipe(n.name, 3, 1.0, np.array(0.2), np.array(0.1))
        for n in graph.of_kind(Kind.ACTIVATION)
    }
    x = torch.rand(2, 4, 2, 6, 6)
    before = x.clone()
    with torch.no_grad():
        quick = SpikingNetwork(graph, layers)(x)
    slow = SpikingNetwork(graph, layers)(x)  # with gradients nothing is overwritten
    assert torch.equal(x, before)
    for a, b in zip(quick, slow, strict=True):
        assert torch.equal(a, b.detach())


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    phi=st.integers(1, 300),
    threshold=st.sampled_from(["one", "channels", "neurons"]),
    clip=st.sampled_from(["none", "one", "channels"]),
    emit_counts=st.booleans(),
)
def test_the_mean_on_a_held_input_is_that_of_all_steps(seed, phi, threshold, clip, emit_counts):
    """Beside the kernel that keeps every step."""
    generator = torch.Generator().manual_seed(seed)
    shape = {"one": (), "channels": (4,), "neurons": (4, 5, 6)}[threshold]
    low = {"none": None, "one": -0.5, "channels": -torch.rand(4, generator=generator)}[clip]
    values = torch.rand(shape, generator=generator) + 0.01
    layer = AdaFire(values, phi, min_v_mem=low, emit_counts=emit_counts)
    x = 4 * torch.rand((3, 1, 4, 5, 6), generator=generator) - 1
    before, fans = x.clone(), torch.randint(0, 5000, (4, 5, 6), generator=generator).float()
    found, each = (Tallies().empty("layer", x, steps, fans) for steps in (1, 7))
    expected = copy.deepcopy(layer).run(x, 7, tally=each).mean(1)
    mean = mean_on_constant(layer, x, 7, found)
    torch.testing.assert_close(mean, expected, rtol=1e-6, atol=0)
    assert torch.equal(x, before)
    assert np.array_equal(found.spikes[:, 0], each.spikes.sum(1))
    assert np.array_equal(found.synops[:, 0], each.synops.sum(1))
