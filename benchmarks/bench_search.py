"""Sensitivity tables with cached prefixes against running the whole network for every cell.

    python benchmarks/bench_search.py [--samples 256] [--every 9]

ResNet-20, 19 layers, φ of 1..8 and ρ of 1..10 by halves, T = 8. "Straightforward" runs the whole
network through sinabs' IAF with MaxSpike for each cell; because that takes long, every n-th cell
only is run and timed (`--every 1` runs all), the mean time a cell taken for all of them. Where
cells were run in both ways, KL must agree and the best candidate of a layer be the same. That is
checked in one memory order: the table that is timed runs channels last, which adds in another
order, and a last bit decides whether a neuron fires. How far that moves KL is reported too.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from ablation_data import cifar10, resnet20
from machine import machine, save
from rich.console import Console
from sinabs import layers as sl
from sinabs.activation import MaxSpike
from torch import nn

from speck_adacal.adaptation import AdaptSettings
from speck_adacal.adaptation.engine import recipe_of
from speck_adacal.adaptation.evaluate import Evaluator
from speck_adacal.adaptation.pieces import CalibrationBatches
from speck_adacal.adaptation.recipe import LayerRecipe, Recipe
from speck_adacal.adaptation.sensitivity import sensitivity
from speck_adacal.adaptation.thresholds import observe, thresholds
from speck_adacal.adaptation.variants import phi_variants, rho_variants
from speck_adacal.ann import Kind, LayerGraph

PHIS = tuple(range(1, 9))
RHOS = tuple(np.arange(1.0, 10.01, 0.5))


@dataclass(frozen=True)
class Timing:
    """One table, both ways; seconds."""

    table: str
    mode: str
    cells: int
    cached_s: float
    straightforward_s: float
    cells_run: int
    largest_difference: float
    same_best: bool
    rounding_difference: float
    same_best_as_rounded: bool
    peak_mb: float


class SinabsNeuron(nn.Module):
    """One layer's neurons as sinabs has them, amplitudes out; started at the given potential."""

    def __init__(self, layer: LayerRecipe, steps: int) -> None:
        super().__init__()
        self.layer, self.steps = layer, steps

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        """`[batch * time, *shape]` to the same."""
        theta = torch.as_tensor(self.layer.firing_threshold).float()
        start = torch.as_tensor(self.layer.initial_potential).float()
        shaped = [v.view(-1, 1, 1) if v.ndim == 1 else v for v in (theta, start)]
        x = current.unflatten(0, (-1, self.steps))
        neuron = sl.IAF(spike_threshold=shaped[0], spike_fn=MaxSpike(self.layer.phi))
        neuron.init_state_with_shape((x.shape[0], *x.shape[2:]))
        neuron.v_mem = neuron.v_mem + shaped[1]
        return (neuron(x) * shaped[0]).flatten(0, 1)


class Mean(nn.Module):
    """A neuron whose mean output over time the next layers see ("isolated")."""

    def __init__(self, neuron: SinabsNeuron) -> None:
        super().__init__()
        self.neuron = neuron

    def forward(self, current: torch.Tensor) -> torch.Tensor:
        """`[batch, *shape]` to the same."""
        repeated = current.repeat_interleave(self.neuron.steps, 0)
        return self.neuron(repeated).unflatten(0, (-1, self.neuron.steps)).mean(1)


def straightforward(
    graph: LayerGraph, recipe: Recipe, layer: LayerRecipe, x: torch.Tensor, steps: int, mode: str
) -> float:
    """KL of one cell from the whole network, for all samples at once in pieces of 64."""
    total = 0.0
    for piece in x.split(64):
        target = torch.log_softmax(graph.run(piece)[graph.outputs[0]], 1)
        if mode == "isolated":
            replaced: dict[str, nn.Module] = {layer.name: Mean(SinabsNeuron(layer, steps))}
            output = graph.run(piece, replace=replaced)[graph.outputs[0]]
        else:
            replaced = {
                n.name: SinabsNeuron(layer if n.name == layer.name else recipe[n.name], steps)
                for n in graph.of_kind(Kind.ACTIVATION)
            }
            repeated = piece.repeat_interleave(steps, 0)
            output = graph.run(repeated, replace=replaced)[graph.outputs[0]]
            output = output.unflatten(0, (-1, steps)).mean(1)
        kl = (target.exp() * (target - torch.log_softmax(output, 1))).sum(1)
        total += float(kl.double().sum())
    return total / len(x)


@torch.no_grad()
def bench(
    name: str,
    evaluator: Evaluator,
    recipe: Recipe,
    variants: dict[str, list[LayerRecipe]],
    x: torch.Tensor,
    mode: str,
    every: int,
) -> Timing:
    """Time one table both ways."""
    started = time.perf_counter()
    table = sensitivity(evaluator, recipe, variants, mode=mode)
    cached = time.perf_counter() - started
    steps, peak = evaluator.settings.time_steps, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent, cells = 0.0, 0
    slow = np.full(table.kl.shape, np.nan)
    rows = range(0, len(table.layers), every)
    for row in rows:
        for column, layer in enumerate(variants[table.layers[row]]):
            started = time.perf_counter()
            slow[row, column] = straightforward(evaluator.graph, recipe, layer, x, steps, mode)
            spent += time.perf_counter() - started
            cells += 1
    chosen = {table.layers[r]: variants[table.layers[r]] for r in rows}
    first = sensitivity(_channels_first(evaluator, x), recipe, chosen, mode=mode)
    run, rounded = slow[list(rows)], table.kl[list(rows)]
    return Timing(
        name,
        mode,
        table.kl.size,
        cached,
        spent / cells * table.kl.size,
        cells,
        float(np.abs(run - first.kl).max()),
        bool((run.argmin(1) == first.kl.argmin(1)).all()),
        float(np.abs(rounded - first.kl).max()),
        bool((run.argmin(1) == rounded.argmin(1)).all()),
        peak / 1e3,
    )


def _channels_first(evaluator: Evaluator, x: torch.Tensor) -> Evaluator:
    settings = replace(evaluator.settings, batch_size=64)
    return Evaluator(evaluator.graph, [x], settings, channels_last=False)


def main() -> None:
    """Both tables in both modes."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parents[2] / "shared/data/cifar10_resnet20_akamaster.npz"
    parser.add_argument("--weights", type=Path, default=default)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--every", type=int, default=9, help="run every n-th layer's cells")
    arguments = parser.parse_args()
    ran_on = machine()
    train, _ = cifar10(arguments.data, arguments.samples, 1)
    graph = resnet20(arguments.weights)
    settings = AdaptSettings(time_steps=8, phi=4, per_channel=True, input_coding="analog")
    statistics = observe(graph, CalibrationBatches([train.x], graph.input_shape, settings))
    recipe = recipe_of(statistics, settings, 4)
    evaluator = Evaluator(graph, [train.x], settings)
    tables = {phi: thresholds(statistics, settings, phi) for phi in PHIS}
    jobs = {
        "phi": phi_variants(recipe, tables, PHIS),
        "rho": rho_variants(recipe, [float(r) for r in RHOS]),
    }
    warm = {n: v[:1] for n, v in list(jobs["phi"].items())[:1]}
    small = replace(settings, batch_size=8)
    found = []
    console = Console()
    for mode in ("isolated", "in_situ"):
        sensitivity(Evaluator(graph, [train.x[:8]], small), recipe, warm, mode=mode)
        for name, variants in jobs.items():
            row = bench(name, evaluator, recipe, variants, train.x, mode, arguments.every)
            console.print(row)
            console.print(
                f"{name}, {mode}: {row.straightforward_s / row.cached_s:.1f} times faster"
            )
            found.append(vars(row))
    result = {
        "command": "python benchmarks/bench_search.py",
        "samples": arguments.samples,
        "machine": ran_on,
        "rows": found,
    }
    save("bench_search", result)


if __name__ == "__main__":
    main()
