"""Networks of unusual build, through the whole of `adapt`: T = 8 stays close to the network."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import speck_adacal as sa
from speck_adacal.adaptation import AdaptSettings
from speck_adacal.snn import SpikingNetwork, repeat_in_time


class Dense(nn.Module):
    """DenseNet-like: every layer reads all before it, joined along channels."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(11, 8, 3, padding=1)
        self.head = nn.Linear(19, 5)

    def forward(self, x):
        a = torch.cat((x, F.relu(self.first(x))), 1)
        b = torch.cat([a, F.relu(self.second(a))], dim=1)
        return self.head(b.mean((2, 3)))


class Block(nn.Module):
    """A residual block with the strided, zero-padded shortcut ("option A")."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.stem_norm, self.norm = nn.BatchNorm2d(8), nn.BatchNorm2d(16)
        self.conv = nn.Conv2d(8, 16, 3, 2, 1, bias=False)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = F.relu(self.stem_norm(self.stem(x)))
        short = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4), "constant", 0)
        x = torch.relu(self.norm(self.conv(x)) + short)
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class TwoHeads(nn.Module):
    """Several outputs."""

    def __init__(self):
        super().__init__()
        self.body, self.a, self.b = nn.Conv2d(3, 8, 3), nn.Linear(8, 5), nn.Linear(8, 2)

    def forward(self, x):
        x = self.body(x).relu().mean(dim=[2, 3])
        return self.a(x), self.b(x)


class Projection(nn.Module):
    """A shortcut with weights, written with `+=`."""

    def __init__(self):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 12, 3, 2, 1)
        self.short, self.head = nn.Conv2d(8, 12, 1, 2), nn.Linear(12, 5)

    def forward(self, x):
        x = F.relu(self.stem(x))
        y = self.conv(x)
        y += self.short(x)
        y = F.relu(y, inplace=False)
        return self.head(F.avg_pool2d(y, y.shape[-1]).view(y.shape[0], -1))


def mobile():
    """MobileNet-like: depth-wise groups, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True),
        nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16), nn.Hardtanh(0.0, 6.0),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 5),
    )  # fmt: skip


def vgg():
    """VGG-like with maxima, and a batch norm after the rectifier."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(8), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU(True), nn.MaxPool2d(3, 2, 1),
        nn.Flatten(), nn.Linear(12 * 4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Identity(),
        nn.Linear(16, 5),
    )  # fmt: skip


def dilated():
    """Dilation, unequal strides and paddings."""
    return nn.Sequential(
        nn.Conv2d(3, 8, (3, 5), (1, 2), (2, 2), dilation=(2, 1)), nn.ReLU(),
        nn.AvgPool2d(2, 2, ceil_mode=False), nn.Conv2d(8, 8, 3, groups=2, dilation=2, padding=2),
        nn.ReLU(), nn.Flatten(1), nn.LazyLinear(5),
    )  # fmt: skip


def one_dimensional():
    """Convolutions along one axis."""
    return nn.Sequential(
        nn.Conv1d(3, 8, 5, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.AvgPool1d(2),
        nn.Conv1d(8, 12, 3, dilation=2, groups=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
        nn.Flatten(), nn.Linear(12, 5),
    )  # fmt: skip


NETWORKS = {
    "dense": Dense,
    "option A": Block,
    "two heads": TwoHeads,
    "projection": Projection,
    "mobile": mobile,
    "vgg": vgg,
    "dilated": dilated,
    "one dimension": one_dimensional,
}


def trained(name, shape):
    """A network whose weights and batch norms are no longer those of its start."""
    torch.manual_seed(3)
    network, x = NETWORKS[name](), torch.rand(256, *shape)
    wanted = x.flatten(2).mean(2) @ torch.randn(shape[0], 5) * 20 + torch.randn(5)
    network(x)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(25):
        output = network(x)
        first = output[0] if isinstance(output, tuple) else output
        loss = F.mse_loss(first, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval(), x


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_adapted_output_stays_close(name):
    shape = (3, 32) if name == "one dimension" else (3, 12, 12)
    with torch.enable_grad():
        network, x = trained(name, shape)
    settings = AdaptSettings(
        time_steps=8, phi=4, per_channel=True, correction="both", input_coding="analog"
    )
    adapted = sa.adapt(network, x[:128], input_shape=shape, settings=settings)
    held_out = x[128:]
    spiking = SpikingNetwork(adapted.graph, adapted.recipe)(repeat_in_time(held_out, 8))
    wanted, found = network(held_out), spiking
    if not isinstance(wanted, tuple):
        wanted, found = (wanted,), (found,)
    assert len(wanted) == len(found)
    for ann, snn in zip(wanted, found, strict=True):
        error = (snn.mean(1) - ann).pow(2).mean() / (ann - ann.mean(0)).pow(2).mean()
        assert error < 0.05, float(error)
