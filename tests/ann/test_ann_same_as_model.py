"""What a network computes beside its operations (hooks, patches, options) is kept or refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from speck_adacal.ann import Kind, trace
from speck_adacal.errors import ModelError, SpeckAdacalError

SHAPE = (1, 8, 8)


class Calls(nn.Module):
    """Two convolutions, a linear layer and whatever a test does with them."""

    def __init__(self, function) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.function = function
        self.c, self.d = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3)
        self.e, self.g, self.fc = nn.Conv2d(4, 5, 1), nn.Conv2d(144, 5, 1), nn.Linear(4, 5)
        self.register_buffer("shift", torch.rand(4, 1, 1))

    def forward(self, x):
        return self.function(self, x)


def gap(model: nn.Module, shape=SHAPE) -> float:
    torch.manual_seed(5)
    x = torch.randn(4, *shape)
    graph = trace(model, shape)
    with torch.no_grad():
        expected = model.eval()(x)
        return float((graph.run(x)[graph.outputs[0]].flatten(1) - expected.flatten(1)).abs().max())


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))


def masked(module, inputs, output):
    return output * torch.tensor([1.0, 0, 0, 1]).view(1, 4, 1, 1)


def doubled(layer):
    old = layer.forward
    layer.forward = lambda x: 2 * old(x)


def hooked(model):
    model[1].register_forward_hook(masked)


def prehooked(model):
    model[3].register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))


def patched(model):
    doubled(model[0])


@pytest.mark.parametrize(
    ("change", "words"),
    [(hooked, ["(1)", "hook"]), (prehooked, ["(3)", "hook"]), (patched, ["(0)", "replaced"])],
)
def test_hooks_and_patches_that_change_values_are_refused_by_name(change, words):
    model = net()
    change(model)
    with pytest.raises(ModelError) as caught:
        trace(model, SHAPE)
    assert all(word in str(caught.value) for word in words)


def test_a_hook_that_only_looks_is_no_reason_to_refuse():
    model = net()
    seen = []
    model[1].register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    assert gap(model) < 1e-5
    assert seen


def test_a_hook_on_the_network_itself_is_computed():
    model = net()
    model.register_forward_hook(lambda module, inputs, output: output * 3 + 1)
    assert gap(model) < 1e-4


def test_layers_that_are_no_part_of_the_network_are_refused():
    model = nn.Sequential(net(), nn.Linear(5, 2))
    doubled(model[0])  # its closure calls the layers of the original, not of the copy
    with pytest.raises(ModelError, match="none of its own modules"):
        trace(model, SHAPE)


class Failing(nn.Module):
    def forward(self, x):
        raise ZeroDivisionError("by the user's own code")


def test_an_error_of_the_users_own_forward_is_typed():
    with pytest.raises(ModelError, match="by the user's own code"):
        trace(Failing(), SHAPE)


class MixesSamples(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.calls = nn.Linear(4, 3), 0

    def forward(self, x):
        self.calls += 1
        return self.fc(x) * self.calls


def test_what_only_the_whole_network_shows_is_refused():
    with pytest.raises(ModelError, match="does not compute what the network does"):
        trace(MixesSamples(), (4,))


SAME = {
    "cat by axis": lambda s, x: torch.cat([F.relu(s.c(x)), F.relu(s.d(x))], axis=1),
    "cat by dim": lambda s, x: torch.cat(dim=1, tensors=[F.relu(s.c(x)), F.relu(s.d(x))]),
    "mean by axis": lambda s, x: s.fc(F.relu(s.c(x)).mean(axis=(2, 3))),
    "mean of torch": lambda s, x: s.fc(torch.mean(F.relu(s.c(x)), dim=(-1, -2))),
    "mean by keepdims": lambda s, x: s.e(F.relu(s.c(x)).mean(dim=(2, 3), keepdims=True)),
    "mean by position": lambda s, x: s.e(torch.mean(F.relu(s.c(x)), (2, 3), True)),
    "flatten by name": lambda s, x: torch.flatten(input=F.relu(s.c(x)), start_dim=1),
    "relu by name": lambda s, x: F.relu(input=s.c(x), inplace=True),
    "relu in place": lambda s, x: F.relu(s.c(x), True) + s.d(x),
    "clamp by names": lambda s, x: torch.clamp(s.c(x), max=0.5, min=0),
    "clip by position": lambda s, x: s.c(x).clip(0, 0.5),
    "hardtanh": lambda s, x: F.hardtanh(s.c(x), max_val=0.4, min_val=0.0),
    "add with alpha": lambda s, x: F.relu(torch.add(s.c(x), 0.1, alpha=3)),
    "add other first": lambda s, x: F.relu(torch.add(input=s.shift, other=s.c(x))),
    "constant added": lambda s, x: F.relu(torch.add(s.shift, s.c(x), alpha=2)),
    "sub with alpha": lambda s, x: F.relu(torch.sub(s.c(x), other=s.shift, alpha=3)),
    "method with alpha": lambda s, x: F.relu(s.c(x).sub(0.1, alpha=2)),
    "pool by names": lambda s, x: F.avg_pool2d(
        F.relu(s.c(x)), padding=1, kernel_size=3, stride=2, count_include_pad=False
    ),
    "pool's divisor": lambda s, x: F.avg_pool2d(F.relu(s.c(x)), 2, divisor_override=3),
    "pool up": lambda s, x: F.avg_pool2d(F.relu(s.c(x)), 4, ceil_mode=True),
    "max pool by names": lambda s, x: F.max_pool2d(input=F.relu(s.c(x)), stride=1, kernel_size=3),
    "adaptive, overlapping windows": lambda s, x: F.adaptive_avg_pool2d(F.relu(s.c(x)), (3, 5)),
    "adaptive maxima that overlap": lambda s, x: F.adaptive_max_pool2d(F.relu(s.c(x)), 3),
    "adaptive by name": lambda s, x: F.adaptive_avg_pool2d(F.relu(s.c(x)), output_size=(3, 2)),
    "conv by names": lambda s, x: F.conv2d(
        F.relu(s.c(x)), bias=s.e.bias, weight=s.e.weight, padding=1, stride=(2, 1)
    ),
    "linear by names": lambda s, x: F.linear(
        bias=s.fc.bias, input=F.relu(s.c(x)).mean((2, 3)), weight=s.fc.weight
    ),
    "pad by names": lambda s, x: F.pad(F.relu(s.c(x)), mode="constant", pad=(1, 0, 2, 1)),
    "features as a map": lambda s, x: s.g(F.relu(s.c(x)).view(x.shape[0], -1, 1, 1)),
    "features as a map, by index": lambda s, x: s.e(
        F.relu(s.c(x)).mean((2, 3))[:, :, None, None]
    ).flatten(1),
    "features as a map, unsqueezed": lambda s, x: s.e(
        F.relu(s.c(x)).mean((2, 3)).unsqueeze(-1).unsqueeze(dim=3)
    ),
    "a larger kernel on features": lambda s, x: F.conv2d(
        F.relu(s.c(x)).mean((2, 3))[..., None, None], s.c.weight.expand(4, 4, 3, 3), padding=1
    ),
}


@pytest.mark.parametrize("name", sorted(SAME))
def test_every_spelling_of_a_call_means_the_same(name):
    assert gap(Calls(SAME[name])) < 1e-5


def test_in_place_by_name_is_seen_by_later_readers():
    def function(s, x):
        y = s.c(x)
        z = F.relu(input=y, inplace=True)
        return y + F.relu(z + s.d(x))

    assert gap(Calls(function)) < 1e-5


REFUSED = {
    "floor division": (lambda s, x: F.relu(s.c(x)).div(2, rounding_mode="floor"), "rounding_mode"),
    "truncation": (lambda s, x: torch.div(F.relu(s.c(x)), 2, rounding_mode="trunc"), "rounds"),
    "two with alpha": (lambda s, x: torch.add(s.c(x), s.d(x), alpha=2), "alpha"),
    "a larger map of features": (
        lambda s, x: F.conv2d(s.c(x).mean((2, 3))[..., None, None], s.e.weight, padding=1),
        "larger map",
    ),
    "a pool of features": (
        lambda s, x: F.avg_pool2d(s.c(x).mean((2, 3))[..., None, None], 3, 1, 1), "same_as_model",
    ),
    "indices": (lambda s, x: F.max_pool2d(s.c(x), 2, return_indices=True)[0], "indices"),
    "mean of samples": (lambda s, x: s.c(x).mean(axis=(0, 2)), "batch axis"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_options_without_a_counterpart_are_refused_with_their_line(name):
    function, word = REFUSED[name]
    with pytest.raises(ModelError, match=word) as caught:
        trace(Calls(function), SHAPE)
    assert "test_ann_same_as_model.py:" in str(caught.value)


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        lambda m: torch.compile(m, backend="eager"),
        lambda m: nn.Sequential(nn.DataParallel(m), nn.ReLU()),
        lambda m: nn.Sequential(torch.compile(m, backend="eager"), nn.ReLU()),
        lambda m: torch.optim.swa_utils.AveragedModel(nn.DataParallel(m)),
    ],
)
def test_wrappers_of_training_are_taken_off(wrap):
    plain, wrapped = trace(net(), SHAPE), trace(wrap(net()), SHAPE)
    x = torch.rand(2, *SHAPE)
    found = wrapped.run(x)[wrapped.outputs[0]]
    expected = plain.run(x)[plain.outputs[0]]
    relu = len(wrapped.of_kind(Kind.ACTIVATION)) > 1
    torch.testing.assert_close(found, expected.relu() if relu else expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused_at_any_place():
    for model in (torch.jit.script(net()), nn.Sequential(torch.jit.script(net()))):
        with pytest.raises(ModelError, match="TorchScript"):
            trace(model, SHAPE)


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize(
    ("model", "word"),
    [(lambda: net().to("meta"), "meta device"), (lambda: nn.Sequential(nn.LazyLinear(3)), "lazy")],
)
def test_networks_without_values_are_refused(model, word):
    with pytest.raises(SpeckAdacalError, match=word):
        trace(model(), SHAPE)
