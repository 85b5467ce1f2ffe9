"""Any small network either deploys and agrees with itself, or is refused by a typed error."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal import AdaptSettings, adapt, deploy, simulate
from speck_adacal.ann.graph import Kind
from speck_adacal.ann.modules import Rectifier
from speck_adacal.chip.quantise import weight_error
from speck_adacal.errors import SpeckAdacalError
from speck_adacal.samples.batches import encode_for


class _Block(nn.Module):
    """`relu(shortcut(x) + bn(conv(...)))`, or the shortcut added behind the ReLU."""

    def __init__(self, ins: int, outs: int, stride: int, rectified: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(ins, outs, 3, stride, 1), nn.BatchNorm2d(outs))
        self.second = nn.Sequential(nn.Conv2d(outs, outs, 3, 1, 1), nn.BatchNorm2d(outs))
        same = ins == outs and stride == 1
        self.short = nn.Identity() if same else nn.Conv2d(ins, outs, 1, stride)
        self.rectified = rectified

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(torch.relu(self.first(x)))
        if self.rectified:
            return self.short(x) + torch.relu(y)
        return torch.relu(self.short(x) + y)


@st.composite
def _networks(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, int, int]]:
    """Convolutions, blocks, pooling of any size, padding, activations, and a head."""
    channels, size = draw(st.integers(1, 2)), draw(st.integers(8, 14))
    shape = (channels, size, size)
    parts: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(("conv", "conv", "depthwise", "block", "pool", "pad")))
        outs = draw(st.integers(1, 4))
        if kind == "conv":
            kernel = draw(st.sampled_from((1, 2, 3, 5)))
            parts += [nn.Conv2d(channels, outs, kernel, draw(st.integers(1, 2)), kernel // 2)]
            parts += [nn.BatchNorm2d(outs)] if draw(st.booleans()) else []
            parts += [draw(st.sampled_from((nn.ReLU(), nn.ReLU6(), nn.Hardtanh(0, 1))))]
            channels = outs
        elif kind == "block":
            parts.append(_Block(channels, outs, draw(st.integers(1, 2)), draw(st.booleans())))
            channels = outs
        elif kind == "depthwise":
            parts += [nn.Conv2d(channels, channels, 3, 1, "same", groups=channels), nn.ReLU6()]
            parts += [nn.Conv2d(channels, outs, 1, bias=False), nn.BatchNorm2d(outs), nn.ReLU()]
            channels = outs
        elif kind == "pad":
            parts.append(nn.ZeroPad2d(draw(st.tuples(*[st.integers(0, 1)] * 4))))
        else:
            parts.append(draw(_pools()))
    front = [_Shifted()] if draw(st.booleans()) else []
    return nn.Sequential(*front, *parts, draw(_heads())), shape


class _Shifted(nn.Module):
    """Normalisation in front, as a module of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - 0.3) / 0.5


class _Mean(nn.Module):
    """The mean over space, flattened by a view; or the map as a list of features."""

    def __init__(self, mean: bool) -> None:
        super().__init__()
        self.mean, self.fc = mean, nn.LazyLinear(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.mean((2, 3)) if self.mean else x.view(x.size(0), -1))


@st.composite
def _pools(draw: st.DrawFn) -> nn.Module:
    """Pooling of any size, stride, rounding, padding and divisor."""
    size, stride = draw(st.integers(2, 3)), draw(st.sampled_from((None, 1, 2)))
    padding, up = draw(st.integers(0, 1)), draw(st.booleans())
    if draw(st.sampled_from((True, True, False))):
        divisor = draw(st.sampled_from((None, None, 3)))
        return nn.AvgPool2d(size, stride, padding, up, draw(st.booleans()), divisor)
    return nn.MaxPool2d(size, stride, padding, ceil_mode=up)


@st.composite
def _heads(draw: st.DrawFn) -> nn.Module:
    """Pooling to one or more places, a hidden layer with batch norm, or neither."""
    if draw(st.booleans()):
        return _Mean(draw(st.booleans()))
    parts = [nn.AdaptiveAvgPool2d(draw(st.integers(1, 3)))] if draw(st.booleans()) else []
    parts += [nn.Dropout(), nn.Flatten()]
    if draw(st.booleans()):
        parts += [nn.LazyLinear(5, bias=False), nn.BatchNorm1d(5), nn.ReLU()]
    return nn.Sequential(*parts, nn.LazyLinear(3))


def _random_norms(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            nn.init.normal_(module.bias, 0, 0.2)


@given(case=_networks(), bias=st.sampled_from(("events", "initial")), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_it_deploys_or_is_refused(
    case: tuple[nn.Module, tuple[int, int, int]], bias: str, seed: int
) -> None:
    torch.manual_seed(seed)
    network, shape = case
    x = torch.rand(72, *shape)
    try:
        network.eval()(x[:1])
    except RuntimeError:
        return  # PyTorch itself has no such network: a map shrank to nothing
    _random_norms(network)
    asked = AdaptSettings(
        time_steps=2,
        bias=bias,
        chip_correction=False,
        correction="none",
        max_pooling_loss=1.0,
        hold_out=False,
    )
    try:
        adapted = adapt(network, x, input_shape=shape, settings=asked)
        deployment = deploy(adapted)
    except SpeckAdacalError:
        return
    found = simulate(deployment, x[:2])
    assert found.class_counts.shape == (2, 3)
    for layer in deployment.layers:
        weight = layer.folded.weight
        assert weight_error(weight, layer.weight, layer.threshold) < 0.25, layer.folded.name
    if any(node.kind is Kind.MAX_POOL for node in adapted.ann.nodes):
        return  # fitted, not exact
    left_out = {
        name.removeprefix("left out:"): Rectifier()
        for record in adapted.recipe.trace
        for name in record.values
        if name.startswith("left out:")
    }
    held = next(iter(encode_for(x[:4], shape, adapted.recipe).held()))
    with torch.no_grad():
        ours = adapted.reference.run(held)[adapted.reference.outputs[0]]
        theirs = adapted.ann.run(x[:4], replace=left_out)[adapted.ann.outputs[0]]
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
        if not left_out:
            torch.testing.assert_close(theirs, network(x[:4]), rtol=1e-3, atol=1e-4)
