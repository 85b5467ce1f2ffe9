"""Layouts, joins, resampling and functions: the graph computes what the network computes, goes
through files, and its spiking form comes to the same means."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from speck_adacal.ann import Kind, trace
from speck_adacal.ann.functions import Function
from speck_adacal.ann.graph import SPIKING, WEIGHTED
from speck_adacal.ann.graph_files import graph_from_data, graph_to_data
from speck_adacal.ann.trace import trace_whole
from speck_adacal.chip.check import check_network
from speck_adacal.errors import ModelError
from speck_adacal.recipe.recipe import LayerRecipe
from speck_adacal.snn import SpikingNetwork
from speck_adacal.snn.synops import fan_out

SHAPE = (4, 6, 8)


class Calls(nn.Module):
    """Two convolutions, and whatever a test does with their maps."""

    def __init__(self, function, channels=4):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(4, channels, 3, padding=1)
        self.second = nn.Conv2d(4, channels, 3, padding=1)
        self.tokens = nn.Linear(channels, 5)
        self.rows = nn.Linear(8, 3)
        self.cls = nn.Parameter(torch.randn(1, 1, channels))
        self.place = nn.Parameter(torch.randn(1, 49, channels))
        self.norm, self.batch_norm = nn.LayerNorm(channels), nn.BatchNorm1d(5)
        self.batch_norm.running_mean += torch.arange(5.0)
        self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
        self.turned = nn.ConvTranspose2d(channels, 3, 3, 2, 1, output_padding=1)
        self.grouped = nn.ConvTranspose2d(channels, 4, 2, 2, groups=2, bias=False)
        self.bn = nn.BatchNorm2d(3)
        self.bn.running_var += torch.arange(3.0)
        self.function = function

    def forward(self, x):
        a, b = torch.relu(self.first(x)), torch.relu(self.second(x))
        return self.function(self, a, b)


def shuffle_of_shufflenet(x):
    """As ShuffleNetV2's authors wrote it: the batch axis goes through the middle."""
    batch, channels, height, width = x.data.size()
    x = x.reshape(batch * channels // 2, 2, height * width).permute(1, 0, 2)
    x = x.reshape(2, -1, channels // 2, height, width)
    return x[0], x[1]


def heads_of_timm(net, x):
    """q, k and v from one tensor, the batch axis behind the three."""
    tokens = x.flatten(2).transpose(1, 2)
    batch, count, width = tokens.shape
    parts = tokens.reshape(batch, count, 1, 2, width // 2).expand(-1, -1, 3, -1, -1)
    q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
    return (
        F.scaled_dot_product_attention(q, k * 0.5, v).transpose(1, 2).reshape(batch, count, width)
    )


def tokens(x):
    return x.flatten(2).transpose(1, 2)


OPERATIONS = {
    "permute": lambda s, a, b: a.permute(0, 2, 3, 1),
    "transpose": lambda s, a, b: a.transpose(1, 3),
    "reshape": lambda s, a, b: a.reshape(a.shape[0], 8, 3, 8),
    "view and back": lambda s, a, b: tokens(a).transpose(1, 2).reshape(a.shape),
    "expand": lambda s, a, b: a.mean((2, 3), keepdim=True).expand(-1, -1, 3, 2),
    "repeat": lambda s, a, b: a.repeat(1, 2, 1, 1),
    "chunk": lambda s, a, b: a.chunk(2, 1)[1] + b.chunk(2, dim=1)[0],
    "split": lambda s, a, b: torch.split(a, [1, 3], 1)[1],
    "joined again": lambda s, a, b: torch.cat(a.chunk(2, 1)[::-1] + b.chunk(2, 1), 1),
    "chunks stacked": lambda s, a, b: torch.stack(a.chunk(2, 1), 1),
    "unpacked": lambda s, a, b: [p + 1 for p in a.split(2, 1)],
    "unbind": lambda s, a, b: a.unbind(2)[3] + b.select(2, 0),
    "index": lambda s, a, b: a[:, 1] + b[..., 2, :, None].squeeze(-1)[:, :1],
    "flip": lambda s, a, b: a.flip(-1),
    "roll": lambda s, a, b: torch.roll(a, 1, 2),
    "stack": lambda s, a, b: torch.stack((a, b), 2),
    "stack and shuffle": lambda s, a, b: torch.stack((a, b), 2).flatten(1, 2),
    "channel shuffle": lambda s, a, b: F.channel_shuffle(a, 2),
    "shuffle over the batch": lambda s, a, b: torch.cat(shuffle_of_shufflenet(a), 1),
    "pixel shuffle": lambda s, a, b: F.pixel_shuffle(a, 2),
    "pixel unshuffle": lambda s, a, b: F.pixel_unshuffle(a, 2),
    "replicated edge": lambda s, a, b: F.pad(a, (1, 2, 0, 1), mode="replicate"),
    "concatenation of rows": lambda s, a, b: torch.cat((a, b), 2),
    "concatenation at the end": lambda s, a, b: torch.cat((a, b), -1),
    "broadcast sum": lambda s, a, b: a + b.mean((2, 3), keepdim=True),
    "difference": lambda s, a, b: a - b.amax((2, 3), keepdim=True),
    "from a constant": lambda s, a, b: 1 - a,
    "nearest": lambda s, a, b: F.interpolate(a, scale_factor=2),
    "nearest to a size": lambda s, a, b: F.interpolate(a, (9, 5)),
    "bilinear": lambda s, a, b: s.up(a),
    "bilinear at corners": lambda s, a, b: F.interpolate(
        a, (7, 11), mode="bilinear", align_corners=True
    ),
    "bilinear by odd factors": lambda s, a, b: F.interpolate(
        a, scale_factor=(1.7, 0.6), mode="bilinear"
    ),
    "transposed": lambda s, a, b: s.bn(s.turned(a)),
    "transposed in groups": lambda s, a, b: s.grouped(a),
    "linear on the last axis": lambda s, a, b: torch.relu(s.rows(a)),
    "tokens": lambda s, a, b: torch.relu(s.tokens(tokens(a))),
    "batch norm of tokens": lambda s, a, b: s.batch_norm(s.tokens(tokens(a)).transpose(1, 2)),
    "class token": lambda s, a, b: (
        torch.cat((s.cls.expand(a.shape[0], -1, -1), tokens(a)), 1) + s.place
    )[:, 0],
    "all tokens": lambda s, a, b: (
        torch.cat((s.cls.expand(a.shape[0], -1, -1), tokens(a)), 1) + s.place
    ),
    "mean of tokens": lambda s, a, b: tokens(a).mean(1),
    "sum of rows": lambda s, a, b: a.sum(2),
    "largest of points": lambda s, a, b: torch.max(a.flatten(2), 2, keepdim=True)[0],
    "largest, not named": lambda s, a, b: torch.max(a.flatten(2), 2)[0] + b.max(3)[0].max(-1)[0],
    "largest, by name": lambda s, a, b: a.flatten(2).max(dim=2).values,
    "largest of two": lambda s, a, b: torch.maximum(a, b),
    "gate": lambda s, a, b: a * torch.sigmoid(b),
    "squeeze and excite": lambda s, a, b: a * torch.sigmoid(b.mean((2, 3), keepdim=True)),
    "gelu": lambda s, a, b: s.second(F.gelu(a - 0.3)),
    "soft-max in the middle": lambda s, a, b: torch.softmax(a.flatten(2), 2) @ tokens(b),
    "layer norm": lambda s, a, b: s.tokens(s.norm(tokens(a))),
    "matrix product": lambda s, a, b: tokens(a) @ b.flatten(2),
    "attention": lambda s, a, b: F.scaled_dot_product_attention(tokens(a), tokens(b), tokens(a)),
    "attention in heads": lambda s, a, b: heads_of_timm(s, a + b),
}  # fmt: skip


def traced(name):
    model = Calls(OPERATIONS[name]).eval()
    return model, trace(model, SHAPE)


def outputs_of(value):
    return list(value) if isinstance(value, list | tuple) else [value]


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_graph_computes_what_the_network_computes(name):
    model, graph = traced(name)
    x = torch.randn(5, *SHAPE)
    read = graph_from_data(*graph_to_data(graph))
    with torch.no_grad():
        wanted, found, again = outputs_of(model(x)), graph.run(x), read.run(x)
    for output, value in zip(graph.outputs, wanted, strict=True):
        torch.testing.assert_close(found[output], value, atol=1e-4, rtol=1e-4)
        assert torch.equal(found[output], again[output])
    with torch.no_grad():
        values = graph.run(x, keep=graph.names)
    assert all(tuple(values[node.name].shape[1:]) == node.shape for node in graph.nodes)
    assert [n.channel_axis for n in read.nodes] == [n.channel_axis for n in graph.nodes]


def recipe_for(graph, x, phi, per_channel):
    """Thresholds of what the network's activations reach, potentials at half."""
    layers = {}
    with torch.no_grad():
        values = graph.run(x, keep=graph.names)
    for node in graph.of_kind(*SPIKING):
        top = np.asarray(float(values[node.name].abs().max()) / phi or 1.0)
        if per_channel:
            shape = [1] * len(node.shape)
            shape[node.channel_axis] = node.channels
            top = np.full(shape if node.channel_axis else node.channels, top)
        layers[node.name] = LayerRecipe(
            node.name, phi, 1.0, top, top / 2, signed=node.kind is Kind.SIGNED
        )
    return layers


def error(graph, x, steps, phi=8, per_channel=False):
    network = SpikingNetwork(graph, recipe_for(graph, x, phi, per_channel))
    with torch.no_grad():
        found, wanted = network.run(x.unsqueeze(1), time_steps=steps), graph.run(x)
    pairs = [(found[name].mean(1), wanted[name]) for name in graph.outputs]
    gap = sum(float((a - b).square().sum()) for a, b in pairs)
    return (gap / sum(float(b.square().sum()) for _, b in pairs)) ** 0.5


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_spiking_mean_comes_to_the_value(name):
    _, graph = traced(name)
    x = torch.rand(3, *SHAPE)
    few, many = error(graph, x, 8), error(graph, x, 128)
    assert many < 0.02
    assert many < max(few / 4, 1e-6)
    assert error(graph, x, 128, per_channel=True) == pytest.approx(many, rel=1e-3)


@pytest.mark.parametrize("name", sorted({*OPERATIONS} - {"view and back"}))  # that is nothing
def test_no_core_does_it_and_check_says_so(name):
    result = check_network(trace_whole(Calls(OPERATIONS[name]).eval(), SHAPE)[0])
    assert result.errors
    assert all(violation.fix and violation.found for violation in result.errors)
    assert not any("stand" in violation.found for violation in result.errors)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda s, a, b: a.permute(1, 0, 2, 3), "batch axis"),
        (lambda s, a, b: a.flip(0), "batch axis"),
        (lambda s, a, b: a.max(1)[1].float(), "places of a maximum"),
        (lambda s, a, b: torch.cat((a, b), 0)[:2], "batch axis"),
        (lambda s, a, b: torch.stack((a, b)), "batch axis"),
        (lambda s, a, b: F.interpolate(a, scale_factor=2, mode="bicubic"), "bicubic"),
        (lambda s, a, b: a / a.sum(), "name the axes"),
        (lambda s, a, b: a.chunk(2, 0)[0], "batch axis"),
        (lambda s, a, b: F.scaled_dot_product_attention(a, a, a, is_causal=True), "is_causal"),
        (lambda s, a, b: torch.softmax(a.flatten(1), 1), "largest logit"),
    ],
)
def test_what_mixes_samples_or_is_not_known_is_refused_with_its_line(function, words):
    with pytest.raises(ModelError, match=words) as refused:
        trace(Calls(function).eval(), SHAPE)
    assert "test_ann_layouts.py" in str(refused.value)


STEPS = {
    "reshape": lambda x: x.reshape(x.shape[0], x.shape[2], x.shape[1], *x.shape[3:]),
    "transpose": lambda x: x.transpose(1, 2),
    "halves": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1) if x.shape[1] > 1 else x,
    "every second": lambda x: x[:, ::2],
    "shift": lambda x: x - x.mean(1, keepdim=True),
    "stack": lambda x: torch.stack((x, x * 0.5), 2).flatten(1, 2),
    "rectify": torch.relu,
    "gelu": F.gelu,
    "gate": lambda x: x * torch.sigmoid(x.amax(2, keepdim=True)),
    "flip": lambda x: x.flip(1),
}


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=6),
    seed=st.integers(0, 1000),
)
def test_random_networks_of_these_operations(steps, seed):
    """Traced graph equals the model; the spiking mean comes to its value."""

    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(seed)
            self.first, self.last = nn.Conv1d(4, 6, 1), nn.LazyLinear(3)

        def forward(self, x):
            x = torch.relu(self.first(x))
            for step in steps:
                x = STEPS[step](x)
            return self.last(torch.relu(x).flatten(1))

    model = Chain().eval()
    x = torch.rand(3, 4, 6)
    model(x)
    graph = trace(model, (4, 6))
    with torch.no_grad():
        wanted = model(x)
        torch.testing.assert_close(graph.run(x)[graph.outputs[0]], wanted, atol=1e-4, rtol=1e-4)
    assert error(graph, x, 256) < max(0.03, error(graph, x, 8))


def test_spikes_cause_a_synop_for_each_use_of_a_weight():
    """Counted one by one: a spike at one neuron, and which products of weights it takes part in."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(1, 2, 1)
            self.turned = nn.ConvTranspose2d(2, 3, 3, 2, 1)
            self.tokens = nn.Linear(2, 5)
            self.near = nn.Conv2d(2, 1, 1)

        def forward(self, x):
            a = torch.relu(self.first(x))
            up = self.near(F.interpolate(a, scale_factor=2, mode="bilinear"))
            return self.turned(a), self.tokens(a.flatten(2).transpose(1, 2)), up

    graph = trace(Net().eval(), (1, 3, 3))
    fans = fan_out(graph)["relu"]
    values = torch.zeros(1, 2, 3, 3)
    values[0, 1, 1, 1] = 1
    turned = copy.deepcopy(graph["turned"].module)
    turned.weight.data.fill_(1.0)
    turned.bias.data.zero_()
    reached = F.interpolate(values, scale_factor=2, mode="bilinear") != 0
    wanted = float(turned(values).sum()) + 5 + float(reached.sum())
    assert float(fans[1, 1, 1]) == wanted


def test_weights_stay_countable():
    for name in ("transposed", "tokens", "gate", "attention"):
        graph = traced(name)[1]
        assert graph.of_kind(*WEIGHTED)
        for node in graph.of_kind(Kind.FUNCTION):
            assert isinstance(node.module, Function)
            assert (
                node.module.multiplications([graph[n].shape for n in node.inputs], node.shape) > 0
            )
