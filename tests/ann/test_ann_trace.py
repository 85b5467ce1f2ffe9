"""Tracing: the layer graph computes what the network computes, and refusals say why."""

from __future__ import annotations

import copy

import pytest
import torch
from sinabs import layers as sl
from torch import nn
from torch.nn import functional as F

from speck_adacal.ann import Kind, trace
from speck_adacal.errors import ModelError


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """Random batch-norm statistics, so that folding has something to do."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            size = module.running_mean.shape
            module.running_mean.copy_(torch.randn(size, generator=generator))
            module.running_var.copy_(torch.rand(size, generator=generator) + 0.5)
            module.weight.data.copy_(torch.rand(size, generator=generator) + 0.5)
            module.bias.data.copy_(torch.randn(size, generator=generator))
    return model.eval()


def check(model: nn.Module, shape: tuple[int, ...], atol: float = 1e-4) -> object:
    """The graph's outputs equal the model's on random inputs; returns the graph."""
    torch.manual_seed(1)
    model = lively(model)
    before = copy.deepcopy(model.state_dict())
    graph = trace(model, shape)
    x = torch.randn(3, *shape)
    with torch.no_grad():
        expected = model(x)
        found = graph.run(x, keep=graph.names)
    expected = expected if isinstance(expected, tuple | list) else [expected]
    if isinstance(expected[0], dict):
        expected = list(expected[0].values())
    for name, value in zip(graph.outputs, expected, strict=True):
        torch.testing.assert_close(found[name], value, atol=atol, rtol=1e-4)
    for node in graph.nodes:
        assert tuple(found[node.name].shape[1:]) == node.shape
    after = model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    return graph


class OptionA(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 8, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2), "constant", 0)
        return F.relu(out)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = OptionA()
        self.act = nn.ReLU()
        self.fc = nn.Linear(16, 5)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        y = self.act(self.block(x))
        z = self.act(F.avg_pool2d(y, 2) * 2.0)
        z = torch.cat([z, F.max_pool2d(y, 2)], dim=1)
        z = z.mean((2, 3))
        if z.shape[1] == 16:
            z = z.view(z.size(0), -1)
        return self.fc(self.drop(z))


class Outputs(nn.Module):
    def __init__(self, kind) -> None:
        super().__init__()
        self.a, self.b, self.kind = nn.Linear(4, 3), nn.Linear(3, 2), kind

    def forward(self, x, flag=None):
        y = torch.relu(self.a(x))
        return self.kind([y, self.b(y)])


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.5, 0.6, 0.7]).view(1, 3, 1, 1))
        self.conv = nn.Conv2d(3, 4, 3)
        self.weight = nn.Parameter(torch.randn(6, 2, 3, 3))

    def forward(self, x):
        x = (x - self.mean) / self.std
        x = F.relu6(self.conv(x))
        x = F.conv2d(x, self.weight, stride=2, groups=2)
        return torch.flatten(x.clamp(min=0, max=2.0), 1)


class PreActivation(nn.Module):
    """The in-place rectifier changes what the shortcut reads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, 1, 1), nn.Conv2d(3, 3, 1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.a(x)
        y = self.b(self.relu(x))
        y += x
        return y.relu_().flatten(1)


class Squeezed(nn.Module):
    """Squeezes axis by axis, and rectifies in place by position."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        x = self.a(x)
        y = F.relu(x, True)
        x = nn.functional.adaptive_avg_pool2d(x + y, 1)
        return self.fc(x.squeeze(3).squeeze(2))


def sequential(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers)


MODELS = {
    "squeezed": (Squeezed, (3, 6, 6)),
    "in-place": (PreActivation, (3, 6, 6)),
    "functional": (Functional, (4, 8, 8)),
    "normalised": (Normalised, (3, 9, 9)),
    "outputs-tuple": (lambda: Outputs(tuple), (4,)),
    "outputs-dict": (lambda: Outputs(lambda v: {"a": v[0], "b": v[1]}), (4,)),
    "bn-after-relu": (
        lambda: sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(36, 7), nn.ReLU(), nn.BatchNorm1d(7), nn.Linear(7, 3),
        ),
        (2, 8, 8),
    ),
    "bn-first": (
        lambda: sequential(
            nn.BatchNorm2d(2), nn.Conv2d(2, 4, 3), nn.ReLU6(), nn.BatchNorm2d(4),
            nn.Conv2d(4, 4, 3, groups=2), nn.Hardtanh(0, 3), nn.Flatten(), nn.Linear(64, 3),
        ),
        (2, 8, 8),
    ),
    "bn-before-padding": (
        lambda: sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, padding=1),
            nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        ),
        (2, 8, 8),
    ),
    "one-d": (
        lambda: sequential(
            nn.Conv1d(2, 4, 4, padding="same", dilation=1), nn.BatchNorm1d(4), nn.ReLU(),
            nn.MaxPool1d(2), nn.Conv1d(4, 6, 3, 2, 1, 2), nn.ReLU(), nn.AdaptiveMaxPool1d(1),
            nn.Flatten(), nn.Linear(6, 2),
        ),
        (2, 16),
    ),
    "sinabs": (
        lambda: sequential(
            nn.Conv2d(2, 4, 3), sl.NeuromorphicReLU(quantize=False), sl.SumPool2d(2),
            nn.Identity(), nn.Flatten(), nn.Linear(36, 2),
        ),
        (2, 8, 8),
    ),
    "leaf": (lambda: nn.Linear(4, 3), (4,)),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_graph_computes_what_the_network_computes(name):
    make, shape = MODELS[name]
    check(make(), shape)


def test_a_module_used_twice_gets_its_own_node():
    graph = check(Functional(), (4, 8, 8))
    assert [n.name for n in graph.nodes if n.name.startswith("act")] == ["act", "act#2"]
    assert len(graph.of_kind(Kind.ACTIVATION)) == 4


def test_bounds_of_clipped_rectifiers_are_kept():
    graph = check(Normalised(), (3, 9, 9))
    assert [n.module.upper for n in graph.of_kind(Kind.ACTIVATION)] == [6.0, 2.0]


def test_batch_norm_is_folded_wherever_that_is_exact():
    for name, left in {"functional": 1, "bn-after-relu": 0, "bn-first": 0}.items():
        make, shape = MODELS[name]
        graph = trace(lively(make()), shape)
        assert len(graph.of_kind(Kind.SCALE)) == left, name


def test_a_shift_before_zero_padding_is_not_folded():
    make, shape = MODELS["bn-before-padding"]
    assert len(trace(lively(make()), shape).of_kind(Kind.SCALE)) == 1


def test_the_graph_is_a_copy():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    model.train()
    graph = trace(model, (4,))
    model[0].weight.data.zero_()
    assert model.training
    assert graph["0"].module.weight.abs().sum() > 0


class Branching(nn.Module):
    def forward(self, x):
        return x.relu() if x.sum() > 0 else x


class Two(nn.Module):
    def forward(self, x, y):
        return x + y


class Late(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        y = self.fc(x)
        return torch.erf(y)


@pytest.mark.parametrize(
    ("model", "shape", "words"),
    [
        (Late(), (4,), ["erf", "test_ann_trace.py:", "supported are"]),
        (nn.Sequential(nn.Linear(4, 3), nn.CELU()), (4,), ["CELU", "(1)"]),
        (nn.Sequential(nn.Hardtanh()), (4,), ["lower bound"]),
        (nn.Sequential(nn.Linear(4, 3)), (5,), ["(5,)", "input_shape"]),
        (nn.Sequential(nn.Linear(4, 3)), (), ["input_shape"]),
        (Branching(), (4,), ["values of its data"]),
        (Two(), (4,), ["2 inputs"]),
        (nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")), (1, 5, 5),
         ["circular"]),
        (nn.Sequential(nn.AdaptiveAvgPool2d(3)), (1, 5, 5), ["evenly"]),
        (nn.Sequential(sl.IAF()), (4,), ["IAF"]),
    ],
)  # fmt: skip
def test_refusals_say_what_and_where(model, shape, words):
    with pytest.raises(ModelError) as caught:
        trace(model, shape)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_bad_weights_are_refused_with_the_layer_named(bad):
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    model[2].weight.data[1, 1] = bad
    with pytest.raises(ModelError, match=r"2\.weight"):
        trace(model, (4,))


@pytest.mark.parametrize(
    ("last", "advice"),
    [
        (nn.LogSoftmax(1), "largest logit"),
        (lambda x: torch.softmax(x, 1), "largest logit"),
        (nn.RReLU(), "ReLU in its place"),
        (nn.functional.selu, "ReLU in its place"),
    ],
)
def test_common_unsupported_operations_come_with_advice(last, advice):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 3)
            self.last = last

        def forward(self, x):
            return self.last(torch.relu(self.layer(x)))

    with pytest.raises(ModelError, match=advice):
        trace(Network(), (4,))
