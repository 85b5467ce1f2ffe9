"""Attention of spike trains: functions of each step by themselves, and on running totals.

    python benchmarks/attention_blocks.py --blocks 16 --phi 8

Transformer blocks (norm, attention of two heads, norm, two layers with GELU) with random weights,
on random tokens that are shown as spikes. The error is that of the mean output over the steps, as
a part of the output's size. Writes `benchmarks/results/attention_blocks.json`. Simulated.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from machine import machine, save
from torch import nn
from torch.nn import functional as F

from speck_adacal import LayerRecipe
from speck_adacal.ann import Kind, LayerGraph, trace
from speck_adacal.ann.graph import SPIKING
from speck_adacal.snn import SpikingNetwork
from speck_adacal.snn.network import key

TOKENS, WIDTH, STEPS = 16, 32, (4, 8, 16, 32, 64)


class Block(nn.Module):
    """Attention, and two layers with GELU between, each beside a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)
        self.attention.in_proj_weight.data *= 3
        self.wide, self.narrow = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y)[0]
        return x + self.narrow(F.gelu(self.wide(self.norm2(x))))


@torch.no_grad()
def error(graph: LayerGraph, x: torch.Tensor, steps: int, phi: int, totals: bool) -> float:
    """Of the mean output; thresholds are what the largest values need."""
    values = graph.run(x, keep=graph.names)
    layers = {}
    for node in graph.of_kind(*SPIKING):
        top = np.asarray(float(values[node.name].abs().max()) / phi)
        layers[node.name] = LayerRecipe(node.name, phi, 1.0, top, top / 2, signed=True)
    network = SpikingNetwork(graph, layers)
    if not totals:
        for node in graph.of_kind(Kind.FUNCTION):
            network.layers[key(node.name)] = node.module
    size = float(x.abs().max()) / phi
    whole = (x.unsqueeze(1) / size).expand(-1, steps, -1, -1).cumsum(1).round()
    spikes = whole.diff(dim=1, prepend=torch.zeros_like(whole[:, :1])) * size
    wanted = values[graph.outputs[0]]
    found = network.run(spikes)[graph.outputs[0]].mean(1)
    return float((found - wanted).norm() / wanted.norm())


def main() -> None:
    """The table, a mean over blocks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=16)
    parser.add_argument("--phi", type=int, default=8)
    arguments = parser.parse_args()
    errors: dict[str, list[float]] = {"each step by itself": [], "running totals": []}
    blocks = []
    for seed in range(arguments.blocks):
        torch.manual_seed(seed)
        blocks.append((trace(Block().eval(), (TOKENS, WIDTH)), torch.randn(4, TOKENS, WIDTH)))
    for steps in STEPS:
        for name, row in errors.items():
            totals = name == "running totals"
            every = [error(g, x, steps, arguments.phi, totals) for g, x in blocks]
            row.append(float(np.mean(every)))
    for name, row in errors.items():
        print(f"{name:20}", " ".join(f"{value:8.2%}" for value in row))
    rows = {"steps": list(STEPS), **errors}
    label = "simulated in time steps, random weights"
    save(
        "attention_blocks",
        {"machine": machine(), "rows": rows, "label": label, "phi": arguments.phi},
    )


if __name__ == "__main__":
    main()
