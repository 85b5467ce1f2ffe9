"""Small reference networks for Speck, by name.

All are plain `nn.Module`s without custom forward tricks, so that they trace; those for the chip
have no biases (a bias is leak on the chip's slow clock) and use average or sum pooling.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import sinabs.layers as sl
import torch
from torch import nn
from torch.nn import functional

from speck_adacal.errors import CheckpointError


@dataclass(frozen=True)
class Architecture:
    """A network that can be built by name.

    Attributes:
        name: what `--arch` takes.
        build: makes the network with fresh weights.
        input_shape: shape of one input without the batch axis.
        summary: one line for listings.
    """

    name: str
    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    summary: str


def digits_cnn() -> nn.Sequential:
    """The demo's network for 28 × 28 grey images: 14,924 weights, no biases.

    Maps `[batch, 1, 28, 28]` (0 to 1) to `[batch, 10]` logits. On Speck it takes four cores.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 12, 5, stride=2, padding=2, bias=False),  # 12 × 14 × 14
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(12, 24, 3, padding=1, bias=False),  # 24 × 14 × 14
            relu2=nn.ReLU(),
            pool2=nn.AvgPool2d(2),  # 24 × 7 × 7
            conv3=nn.Conv2d(24, 32, 3, stride=2, padding=1, bias=False),  # 32 × 4 × 4
            relu3=nn.ReLU(),
            flatten=nn.Flatten(),
            linear=nn.Linear(512, 10, bias=False),
        )
    )


def mnist_cnn_sinabs() -> nn.Sequential:
    """The network of sinabs' MNIST example: `[batch, 1, 28, 28]` to `[batch, 10]`, no biases."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(20, 32, 5, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(32, 128, 3, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 500, bias=False),
        nn.ReLU(),
        nn.Linear(500, 10, bias=False),
    )


def nmnist_cnn_nir_paper() -> nn.Sequential:
    """The N-MNIST network of the NIR paper (Pedersen et al. 2024), which ran on a real Speck.

    Maps event counts `[batch, 2, 34, 34]` to `[batch, 10]`; no biases, sum pooling.
    """
    return nn.Sequential(
        nn.Conv2d(2, 16, 5, stride=2, padding=1, bias=False),  # 16 × 16 × 16
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, bias=False),
        nn.ReLU(),
        sl.SumPool2d(2),
        nn.Conv2d(16, 8, 3, padding=1, bias=False),
        nn.ReLU(),
        sl.SumPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 256, bias=False),
        nn.ReLU(),
        nn.Linear(256, 10, bias=False),
    )


def nmnist_cnn() -> nn.Sequential:
    """A network for N-MNIST: 15,224 weights, no biases, four cores on Speck.

    Maps event counts `[batch, 2, 34, 34]` to `[batch, 10]` logits. Without biases its outputs
    are proportional to its input, so it does not matter how long the counts were taken.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(2, 12, 5, stride=2, padding=1, bias=False),  # 12 × 16 × 16
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(12, 24, 3, padding=1, bias=False),  # 24 × 16 × 16
            relu2=nn.ReLU(),
            pool2=nn.AvgPool2d(2),  # 24 × 8 × 8
            conv3=nn.Conv2d(24, 32, 3, stride=2, padding=1, bias=False),  # 32 × 4 × 4
            relu3=nn.ReLU(),
            flatten=nn.Flatten(),
            linear=nn.Linear(512, 10, bias=False),
        )
    )


def cifar10_cnn() -> nn.Sequential:
    """A network for CIFAR-10 that fits Speck: 66,400 weights, no biases, four cores.

    Maps images `[batch, 3, 32, 32]` (0 to 1, not normalised, as an event input has no negative
    values) to `[batch, 10]` logits.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 32, 3, padding=1, bias=False),  # 32 × 32 × 32
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 64, 3, stride=2, padding=1, bias=False),  # 64 × 16 × 16
            relu2=nn.ReLU(),
            conv3=nn.Conv2d(64, 64, 3, stride=2, padding=1, bias=False),  # 64 × 8 × 8
            relu3=nn.ReLU(),
            pool3=nn.AvgPool2d(2),  # 64 × 4 × 4
            flatten=nn.Flatten(),
            linear=nn.Linear(1024, 10, bias=False),
        )
    )


class _OptionAShortcut(nn.Module):
    """Shortcut without weights (He et al. 2016, option A): every second pixel, zero channels."""

    def __init__(self, extra_channels: int) -> None:
        super().__init__()
        self.extra_channels = extra_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = self.extra_channels // 2
        after = self.extra_channels - before
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, after))


class _BasicBlock(nn.Module):
    """Two 3 × 3 convolutions with batch norm and a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = _OptionAShortcut(channels - in_channels)
        self.relu2 = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out)) + self.shortcut(x)
        rectified: torch.Tensor = self.relu2(out)
        return rectified


class _ResNet(nn.Module):
    """ResNet for 32 × 32 images: three stages of `blocks` blocks with 16, 32, 64 channels."""

    def __init__(self, blocks: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        self.layer1 = _stage(16, 16, blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks, stride=2)
        self.pool = nn.AvgPool2d(8)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        logits: torch.Tensor = self.linear(self.flatten(self.pool(out)))
        return logits


def _stage(in_channels: int, channels: int, blocks: int, stride: int) -> nn.Sequential:
    first = _BasicBlock(in_channels, channels, stride)
    return nn.Sequential(first, *(_BasicBlock(channels, channels, 1) for _ in range(blocks - 1)))


def cifar10_resnet20() -> nn.Module:
    """ResNet-20 for CIFAR-10 (He et al. 2016) with option-A shortcuts and batch norm.

    Maps images `[batch, 3, 32, 32]`, normalised by the mean and deviation that it was trained
    with, to `[batch, 10]`. Too large for Speck; a reference for the adaptation.
    """
    return _ResNet(blocks=3, classes=10)


ARCHITECTURES: dict[str, Architecture] = {
    a.name: a
    for a in (
        Architecture(
            "digits_cnn", digits_cnn, (1, 28, 28), "the demo's digits network, four cores"
        ),
        Architecture(
            "mnist_cnn_sinabs", mnist_cnn_sinabs, (1, 28, 28), "sinabs' MNIST example network"
        ),
        Architecture(
            "nmnist_cnn_nir_paper",
            nmnist_cnn_nir_paper,
            (2, 34, 34),
            "the NIR paper's N-MNIST network, run on a real Speck",
        ),
        Architecture("nmnist_cnn", nmnist_cnn, (2, 34, 34), "for N-MNIST, four cores"),
        Architecture("cifar10_cnn", cifar10_cnn, (3, 32, 32), "for CIFAR-10, four cores"),
        Architecture(
            "cifar10_resnet20",
            cifar10_resnet20,
            (3, 32, 32),
            "ResNet-20 with option-A shortcuts; a reference, too large for Speck",
        ),
    )
}


def architecture(name: str) -> Architecture:
    """Look up a reference architecture.

    Raises:
        CheckpointError: there is none of that name; the message lists those there are.
    """
    if name not in ARCHITECTURES:
        raise CheckpointError(
            f"There is no architecture {name!r}; choose one of {', '.join(ARCHITECTURES)}, or "
            "give your own as module:callable."
        )
    return ARCHITECTURES[name]
