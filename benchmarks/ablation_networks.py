"""Two networks more for the ablation, so that nothing is tuned to one network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from speck_adacal.ann import LayerGraph, trace
from speck_adacal.errors import DataError


def fashion_vgg() -> nn.Sequential:
    """VGG-like with batch norm and average pooling: `[batch, 1, 28, 28]` to `[batch, 10]`."""
    layers: list[nn.Module] = []
    channels = 1
    for width in (16, 16, 0, 32, 32, 0):
        if width == 0:
            layers.append(nn.AvgPool2d(2))
            continue
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
        layers.append(nn.ReLU())
        channels = width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 49, 10))


def digits_maxpool() -> nn.Sequential:
    """Max pooling and biases: `[batch, 1, 28, 28]` to `[batch, 10]`."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 49, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Sequential], str]] = {
    "fashion_vgg": (fashion_vgg, "fashion_mnist"),
    "digits_maxpool": (digits_maxpool, "mnist"),
}


def own_network(name: str, weights: Path) -> LayerGraph:
    """A traced network with the weights that `scripts/train_ablation_cnn.py` wrote."""
    if not weights.is_file():
        raise DataError(
            f"The weights of {name} are not at {weights}; train them with "
            f"python scripts/train_ablation_cnn.py {name} --out {weights}."
        )
    model = NETWORKS[name][0]()
    model.load_state_dict(load_file(weights))
    return trace(model.eval(), (1, 28, 28))
