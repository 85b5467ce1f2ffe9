"""Functions of spike trains on running totals: their mean is the function of the mean, exactly."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal.adaptation.energy import count_macs, macs_of_step
from speck_adacal.ann import functions as f
from speck_adacal.ann import trace
from speck_adacal.ann.graph import SPIKING, Kind
from speck_adacal.errors import ModelError
from speck_adacal.recipe.recipe import LayerRecipe
from speck_adacal.snn import AdaFire, RunningTotals, SpikingNetwork
from speck_adacal.snn.network import key


def lively(module):
    generator = torch.Generator().manual_seed(1)
    for value in module.parameters():
        value.data = torch.rand(value.shape, generator=generator) + 0.5
    return module


SMOOTH = ("gelu", "gelu_tanh", "silu", "mish", "sigmoid", "tanh", "softplus", "elu", "leaky_relu")
FUNCTIONS = {
    **{name: (f.Smooth(name, 0.2), [(5, 6)]) for name in (*SMOOTH, "hardsigmoid", "hardswish")},
    "power": (f.Smooth("power", 2.0), [(5, 6)]),
    "product": (f.Product(), [(5, 6), (5, 1)]),
    "quotient": (f.Quotient(), [(5, 6), (5, 6)]),
    "matrix product": (f.MatrixProduct(), [(2, 5, 6), (2, 6, 3)]),
    "attention": (f.Attention(), [(2, 5, 6), (2, 4, 6), (2, 4, 3)]),
    "soft-max": (f.Softmax(1), [(5, 6)]),
    "layer norm": (lively(f.LayerNorm((6,))), [(5, 6)]),
    "group norm": (lively(f.GroupNorm(2, 4)), [(4, 6)]),
    "larger": (f.Largest(), [(5, 6), (5, 6)]),
    "maximum": (nn.MaxPool1d(3), [(5, 6)]),
}


def trains(shapes, steps, seed=0):
    """Spike trains of both signs, three samples each."""
    generator = torch.Generator().manual_seed(seed)
    return [
        0.75 * torch.randint(-4, 9, (3, steps, *shape), generator=generator).float()
        for shape in shapes
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_mean_is_the_function_of_the_mean_at_every_step(name):
    function, shapes = FUNCTIONS[name]
    inputs, layer = trains(shapes, 7), RunningTotals(function)
    found = layer(*inputs)
    exact = copy.deepcopy(function).double()
    for steps in range(1, 8):
        wanted = exact(*(x[:, :steps].double().mean(1) for x in inputs))
        torch.testing.assert_close(found[:, :steps].double().mean(1), wanted, rtol=1e-5, atol=1e-5)
    per_step = function(*(x.flatten(0, 1) for x in inputs)).unflatten(0, (3, 7)).mean(1)
    assert not torch.allclose(per_step, wanted.float(), atol=1e-2)  # why it must be so


@pytest.mark.parametrize("name", FUNCTIONS)
def test_steps_given_in_parts_go_on_and_a_reset_forgets(name):
    function, shapes = FUNCTIONS[name]
    inputs, layer = trains(shapes, 6), RunningTotals(function)
    whole = layer(*inputs)
    layer.reset_states()
    first = layer(*(x[:, :2] for x in inputs))
    going_on = copy.deepcopy(layer)
    parts = torch.cat((first, layer(*(x[:, 2:] for x in inputs))), 1)
    torch.testing.assert_close(parts, whole)
    assert torch.equal(going_on(*(x[:, 2:] for x in inputs)), parts[:, 2:])


def test_inputs_of_unlike_length_are_refused():
    with pytest.raises(ModelError, match="as many samples and steps"):
        RunningTotals(f.Product())(torch.zeros(1, 3, 4), torch.zeros(1, 2, 4))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), phi=st.integers(1, 40), held=st.booleans())
def test_neurons_with_a_sign_say_their_mean_to_within_a_level(seed, phi, held):
    """Where nothing is cut off, and by the kernel as by the plain form."""
    generator = torch.Generator().manual_seed(seed)
    theta, steps = 0.3, 5
    layer = AdaFire(theta, phi, signed=True)
    x = (2 * torch.rand((2, 1 if held else steps, 7), generator=generator) - 1) * theta * phi
    slow = copy.deepcopy(layer).run(x.clone().requires_grad_(), steps).detach()
    found = layer.run(x, steps)
    assert torch.equal(found, slow)
    counts = (found / theta).round()
    assert int(counts.abs().max()) <= phi
    if held:
        gap = (found.mean(1) - x.mean(1)).abs().max()
        assert float(gap) <= theta / 2 / steps + 1e-5


class Block(nn.Module):
    """A block of ordinary attention with random weights, as a transformer has it."""

    def __init__(self, width=16, heads=2):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.attention.in_proj_weight.data *= 3
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attention(y, y, y)[0]
        return x + self.narrow(nn.functional.gelu(self.wide(self.norm2(x))))


@pytest.fixture(scope="module")
def block():
    torch.manual_seed(0)
    return trace(Block().eval(), (6, 16)), torch.randn(8, 6, 16)


def spiking(graph, x, phi, kind):
    """Each layer's threshold is what its largest value needs."""
    with torch.no_grad():
        values = graph.run(x, keep=graph.names)
    layers = {}
    for node in graph.of_kind(*SPIKING):
        top = np.asarray(float(values[node.name].abs().max()) / phi)
        layers[node.name] = LayerRecipe(node.name, phi, 1.0, top, top / 2, signed=True)
    network = SpikingNetwork(graph, layers)
    if kind == "each step by itself":
        for node in graph.of_kind(Kind.FUNCTION):
            network.layers[key(node.name)] = node.module
    return network


def errors(block, kind):
    graph, x = block
    found = []
    with torch.no_grad():
        wanted = graph.run(x)[graph.outputs[0]]
        for steps in (8, 16, 32, 64):
            network = spiking(graph, x, 8, kind)
            coded = (x.unsqueeze(1) * 8).expand(-1, steps, -1, -1).cumsum(1).round()
            coded = coded.diff(dim=1, prepend=torch.zeros_like(coded[:, :1])) / 8  # spikes
            mean = network.run(coded)[graph.outputs[0]].mean(1)
            found.append(float((mean - wanted).norm() / wanted.norm()))
    return found


def test_the_error_of_an_attention_block_falls_like_one_over_the_steps(block):
    found = errors(block, "running totals")
    assert all(after < 0.65 * before for before, after in pairwise(found))
    assert found[-1] < found[0] / 5
    assert found[-1] < 0.02


def test_functions_of_each_step_by_itself_do_not_converge(block):
    found = errors(block, "each step by itself")
    assert found[-1] > 0.8 * found[0]
    assert found[-1] > 10 * errors(block, "running totals")[-1]


def test_multiplications_are_booked_at_every_step(block):
    """By hand: norms, attention of two heads over 6 × 6 scores, GELU, and what totals add."""
    graph = block[0]
    functions = {n.name: n for n in graph.of_kind(Kind.FUNCTION)}
    attention = next(n for n in functions.values() if isinstance(n.module, f.Attention))
    macs, values = count_macs(graph), 6 * 16
    assert macs[attention.name] == 2 * 6 * 6 * (8 + 8 + 6)
    assert macs["norm1"] == 3 * values
    own = sum(macs[name] for name in functions)
    around = 2 * 2 * values + 4 * values + 2 * 2 * values  # norms, attention's q, k, v and y, GELU
    assert macs_of_step(graph, analog_input=False) == own + around
    assert not {n.name for n in graph.of_kind(Kind.TOKEN_LINEAR)} & set(functions)


def test_a_linear_layer_that_reads_no_spikes_multiplies_at_every_step():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Conv2d(2, 3, 1))
    graph = trace(model, (1, 5, 5))
    assert macs_of_step(graph, analog_input=False) == 25 * 2 * 3
    assert macs_of_step(graph, analog_input=True) == 25 * (4 + 2 * 3)


@pytest.mark.parametrize("norm_first", [True, False])
def test_pytorchs_own_encoder_is_traced(norm_first):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(
        16, 4, 32, activation="gelu", batch_first=True, norm_first=norm_first
    )
    model = nn.Sequential(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)).eval()
    graph, x = trace(model, (6, 16)), torch.randn(3, 6, 16)
    with torch.no_grad():
        torch.testing.assert_close(graph.run(x)[graph.outputs[0]], model(x), rtol=1e-4, atol=1e-4)


def test_attention_with_settings_that_are_not_known_is_refused():
    with pytest.raises(ModelError, match="batch_first"):
        trace(nn.Sequential(nn.TransformerEncoderLayer(16, 4, 32)), (6, 16))
