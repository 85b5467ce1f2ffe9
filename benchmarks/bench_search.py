"""Sensitivity tables: by linear response and cached prefixes, against running everything each time.

    python benchmarks/bench_search.py [--samples 256] [--every 9]

ResNet-20, 19 layers, φ of 1..8 and ρ of 1..10 by halves, T = 8. "Straightforward" runs the whole
network through sinabs' IAF with MaxSpike for each cell, all samples in one batch; because that
takes long, every n-th layer's cells only are run and timed (`--every 1` runs all), the mean time a
cell taken for all of them. One cell of each such layer is also run in batches of 64 samples, which
suit the caches better. Where cells were run in both ways, KL must agree and the best candidate of a
layer be the same, with all samples in one batch, so that sums are rounded alike: a last bit decides
whether a neuron fires.

Isolated tables are by linear response; beside each is the exact one, its time, and the rank
correlation of all cells. Seconds are of the processor, on one thread: what else runs on the machine
does not count.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from ablation_data import cifar10, resnet20
from machine import machine, save
from rich.console import Console
from scipy.stats import spearmanr
from sinabs import layers as sl
from sinabs.activation import MaxSpike
from torch import nn

from speck_adacal.adaptation import AdaptSettings
from speck_adacal.adaptation.candidates import phi_candidates, rho_candidates
from speck_adacal.adaptation.engine import recipe_of
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.sensitivity import MODES, sensitivity
from speck_adacal.adaptation.thresholds import observe, thresholds
from speck_adacal.ann import Kind, LayerGraph
from speck_adacal.recipe.recipe import LayerRecipe, Recipe
from speck_adacal.samples.encoded import encoded_batches

V = TypeVar("V")
PHIS = tuple(range(1, 9))
RHOS = tuple(np.arange(1.0, 10.01, 0.5))


@dataclass(frozen=True)
class Timing:
    """One table, both ways; seconds."""

    table: str
    mode: str
    cells: int
    table_s: float
    exact_s: float
    straightforward_s: float
    in_batches_s: float
    cells_run: int
    largest_difference: float
    same_best: bool
    rank_correlation: float
    median_ratio: float
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
    graph: LayerGraph,
    recipe: Recipe,
    layer: LayerRecipe,
    x: torch.Tensor,
    steps: int,
    mode: str,
    at_once: int,
) -> float:
    """KL of one cell from the whole network, `at_once` samples at a time."""
    total = 0.0
    for piece in x.split(at_once):
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
    candidates: dict[str, list[LayerRecipe]],
    x: torch.Tensor,
    mode: str,
    every: int,
    peak_mb: float,
) -> Timing:
    """Time one table both ways; `peak_mb` was measured before."""
    table, table_s = timed(lambda: sensitivity(evaluator, recipe, candidates, mode=mode))
    exact, exact_s = table, table_s
    if mode == "isolated":
        exact, exact_s = timed(
            lambda: sensitivity(evaluator, recipe, candidates, mode=mode, exact=True)
        )
    steps = evaluator.settings.time_steps
    spent, in_batches = [], []
    slow = np.full(table.kl.shape, np.nan)
    rows = list(range(0, len(table.layers), every))
    for row in rows:
        for column, layer in enumerate(candidates[table.layers[row]]):
            cell = (evaluator.graph, recipe, layer, x, steps, mode)
            slow[row, column], seconds = timed(lambda c=cell: straightforward(*c, len(x)))
            spent.append(seconds)
            if column == 0:
                in_batches.append(timed(lambda c=cell: straightforward(*c, 64))[1])
    chosen = {table.layers[r]: candidates[table.layers[r]] for r in rows}
    once = Evaluator(evaluator.graph, [x], replace(evaluator.settings, batch_size=64))
    alike = sensitivity(once, recipe, chosen, mode=mode, exact=mode == "isolated")
    run = slow[rows]
    return Timing(
        name,
        mode,
        table.kl.size,
        table_s,
        exact_s,
        float(np.mean(spent)) * table.kl.size,
        float(np.mean(in_batches)) * table.kl.size,
        len(spent),
        float(np.abs(run - alike.kl).max()),
        bool((run.argmin(1) == alike.kl.argmin(1)).all()),
        float(spearmanr(table.kl.ravel(), exact.kl.ravel()).statistic),
        float(np.median(table.kl / exact.kl)),
        peak_mb,
    )


def timed(work: Callable[[], V]) -> tuple[V, float]:
    """A result, and the processor's seconds behind it."""
    started = time.process_time()
    return work(), time.process_time() - started


def peak_memory(
    evaluator: Evaluator, recipe: Recipe, candidates: dict[str, list[LayerRecipe]], mode: str
) -> float:
    """Megabytes of this process with a table of a few batches; a table's run one after another."""
    first = evaluator.inputs[: evaluator.settings.time_steps]
    piece = Evaluator(evaluator.graph, first, evaluator.settings)
    sensitivity(piece, recipe, candidates, mode=mode)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Both tables in both modes."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parents[2] / "shared/data/cifar10_resnet20_akamaster.npz"
    parser.add_argument("--weights", type=Path, default=default)
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--every", type=int, default=9, help="run every n-th layer's cells")
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    ran_on = machine()
    train, _ = cifar10(arguments.data, arguments.samples, 1)
    graph = resnet20(arguments.weights)
    settings = AdaptSettings(time_steps=8, phi=4, per_channel=True, input_coding="analog")
    statistics = observe(graph, encoded_batches([train.x], graph.input_shape, settings))
    recipe = recipe_of(statistics, settings, 4)
    evaluator = Evaluator(graph, [train.x], settings)
    tables = {phi: thresholds(statistics, settings, phi) for phi in PHIS}
    jobs = {
        "phi": phi_candidates(recipe, tables, PHIS),
        "rho": rho_candidates(recipe, [float(r) for r in RHOS]),
    }
    cases = [(name, mode) for mode in arguments.modes for name in jobs]
    # Before anything else has run, and to compile what there is to compile.
    peaks = [peak_memory(evaluator, recipe, jobs[name], mode) for name, mode in cases]
    found = []
    console = Console()
    for (name, mode), peak in zip(cases, peaks, strict=True):
        case = (name, evaluator, recipe, jobs[name], train.x, mode, arguments.every, peak)
        row = bench(*case)
        console.print(row)
        console.print(f"{name}, {mode}: {row.straightforward_s / row.table_s:.1f} times faster")
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
