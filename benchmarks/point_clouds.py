"""Point clouds in time steps: PointNet on MNIST digits as point sets, with and without transform.

    python benchmarks/point_clouds.py
    python benchmarks/point_clouds.py --train 6000 --epochs 6 --steps 16 --phi 4 --test 2000

A digit is 128 of its lit pixels, drawn with their grey value as probability: x and y in -1 … 1, and
the grey value. The networks (Qi et al., 2017, narrower) are trained here, calibrated without labels
on training digits and measured on test digits. The transform is a product of two spike trains.
Writes `benchmarks/results/point_clouds.json`. Simulated in time steps.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine, save
from torch import nn
from torch.nn import functional as F

from speck_adacal import AdaptSettings, adapt
from speck_adacal.datasets.catalogue import fetch, load_images

POINTS, CLASSES = 128, 10


def block(*widths: int) -> nn.Sequential:
    """The same layers for every point."""
    made: list[nn.Module] = []
    for before, after in pairwise(widths):
        made += [nn.Conv1d(before, after, 1, bias=False), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*made)


class Transform(nn.Module):
    """A matrix for all points of a cloud, the identity before training."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.points = block(size, 32, 64, 128)
        self.whole = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, size * size))
        self.whole[-1].weight.data.zero_()
        self.whole[-1].bias.data.zero_()
        self.register_buffer("identity", torch.eye(size).reshape(1, -1))
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        largest = torch.max(self.points(x), 2)[0]
        matrix = (self.whole(largest) + self.identity).view(-1, self.size, self.size)
        return (x.transpose(2, 1) @ matrix).transpose(2, 1)


class PointNet(nn.Module):
    """Layers for each point, the maximum over points, layers for the cloud."""

    def __init__(self, transform: bool) -> None:
        super().__init__()
        self.transform = Transform(3) if transform else nn.Identity()
        self.points = block(3, 32, 64, 256)
        self.whole = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.whole(torch.max(self.points(self.transform(x)), 2)[0])


def clouds(images: np.ndarray, seed: int) -> torch.Tensor:
    """Clouds `[n, 3, points]` of images `[n, 1, 28, 28]` of 0 to 1."""
    rng = np.random.default_rng(seed)
    found = np.zeros((len(images), 3, POINTS), np.float32)
    for cloud, image in zip(found, images[:, 0], strict=True):
        grey = image.flatten().astype(np.float64)
        chosen = rng.choice(len(grey), POINTS, p=grey / grey.sum())
        y, x = np.divmod(chosen, image.shape[1])
        cloud[:] = np.stack((x / 13.5 - 1, 1 - y / 13.5, grey[chosen]))
    return torch.from_numpy(found)


def train(network: nn.Module, x: torch.Tensor, y: torch.Tensor, epochs: int) -> nn.Module:
    """Cross-entropy by Adam."""
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (len(x) // 64))
    network.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(x))[: len(x) // 64 * 64].split(64):
            optimizer.zero_grad()
            F.cross_entropy(network(x[chosen]), y[chosen]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def measured(
    network: nn.Module, known: torch.Tensor, x: torch.Tensor, y: torch.Tensor, steps: int, phi: int
) -> dict[str, Any]:
    """Accuracy of the trained and of the spiking network."""
    settings = AdaptSettings(time_steps=steps, phi=phi, input_coding="analog")
    started = time.perf_counter()
    adapted = adapt(network, known, input_shape=(3, POINTS), settings=settings)
    seconds = time.perf_counter() - started
    wanted = torch.cat([network(part) for part in x.split(128)]).argmax(1)
    output, runs = adapted.graph.outputs[0], []
    for part in x.split(64):
        values = adapted.network.run(part.unsqueeze(1), time_steps=steps)[output]
        runs.append(adapted.recipe.decision_output(values))
    found = torch.cat(runs).argmax(1)
    return {
        "trained": float((wanted == y).float().mean()),
        "spiking": float((found == y).float().mean()),
        "agreement": float((found == wanted).float().mean()),
        "correction": adapted.recipe.trace[-1].step,
        "calibration_seconds": round(seconds, 1),
    }


def main() -> None:
    """Train, calibrate and measure both networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=6000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--phi", type=int, default=4)
    parser.add_argument("--calibration", type=int, default=256)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--data", type=Path, default=None)
    arguments = parser.parse_args()
    fetch("mnist", arguments.data)
    sets = []
    for part, count in (("train", arguments.train), ("test", arguments.test)):
        images = load_images("mnist", part, arguments.data)
        labels = torch.from_numpy(np.asarray(images.labels[:count])).long()
        sets.append((clouds(images.intensities()[:count], seed=len(part)), labels))
    (x, y), (unseen, truth) = sets
    rows = {}
    for name in ("without transform", "with transform"):
        torch.manual_seed(0)
        network = train(PointNet(name.startswith("with ")), x, y, arguments.epochs)
        known = x[: arguments.calibration]
        rows[name] = measured(network, known, unseen, truth, arguments.steps, arguments.phi)
        print(name, json.dumps(rows[name]), flush=True)
    setting = {k: v for k, v in vars(arguments).items() if k != "data"}
    label = "simulated in time steps"
    save("point_clouds", {"machine": machine(), "setting": setting, "rows": rows, "label": label})


if __name__ == "__main__":
    main()
