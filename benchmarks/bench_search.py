"""Sensitivity tables with cached prefixes against running the whole network for every cell.

    python benchmarks/bench_search.py [--samples 256] [--every 9]

ResNet-20, 19 layers, φ of 1..8 and ρ of 1..10 by halves, T = 8. "Straightforward" runs the whole
network through sinabs' IAF with MaxSpike for each cell, all samples in one batch; because that
takes long, every n-th layer's cells only are run and timed (`--every 1` runs all), the mean time a
cell taken for all of them. One cell of each such layer is also run in pieces of 64 samples, which
suit the caches better. Where cells were run in both ways, KL must agree and the best candidate of a
layer be the same. That is checked in one memory order: the table that is timed runs channels last,
which adds in another order, and a last bit decides whether a neuron fires. How far that moves KL is
reported too.

What limits the cached table are the convolutions behind a layer, which must run for each of its
candidates: reported is what multiply-adds a table reaches, beside those of the network's
convolutions alone, as tables run them (3 × 3 by Winograd's method, counted as what the direct way
would take) and as PyTorch does. A candidate in situ that is the reference itself is not run again.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
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
from speck_adacal.adaptation.candidates import phi_variants, rho_variants
from speck_adacal.adaptation.energy import count_macs
from speck_adacal.adaptation.engine import recipe_of
from speck_adacal.adaptation.measure import Evaluator, same_layer
from speck_adacal.adaptation.sensitivity import sensitivity
from speck_adacal.adaptation.thresholds import observe, thresholds
from speck_adacal.ann import Kind, LayerGraph
from speck_adacal.recipe.recipe import LayerRecipe, Recipe
from speck_adacal.samples.pieces import CalibrationBatches

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
    in_pieces_s: float
    cells_run: int
    largest_difference: float
    same_best: bool
    rounding_difference: float
    same_best_as_rounded: bool
    peak_mb: float
    cached_gflops: float


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
    variants: dict[str, list[LayerRecipe]],
    x: torch.Tensor,
    mode: str,
    every: int,
    peak_mb: float,
) -> Timing:
    """Time one table both ways; `peak_mb` was measured before."""
    started = time.perf_counter()
    table = sensitivity(evaluator, recipe, variants, mode=mode)
    cached = time.perf_counter() - started
    steps = evaluator.settings.time_steps
    spent, in_pieces = [], []
    slow = np.full(table.kl.shape, np.nan)
    rows = range(0, len(table.layers), every)
    for row in rows:
        for column, layer in enumerate(variants[table.layers[row]]):
            cell = (evaluator.graph, recipe, layer, x, steps, mode)
            started = time.perf_counter()
            slow[row, column] = straightforward(*cell, len(x))
            spent.append(time.perf_counter() - started)
            if column == 0:
                started = time.perf_counter()
                straightforward(*cell, 64)
                in_pieces.append(time.perf_counter() - started)
    chosen = {table.layers[r]: variants[table.layers[r]] for r in rows}
    first = sensitivity(_channels_first(evaluator, x), recipe, chosen, mode=mode)
    run, rounded = slow[list(rows)], table.kl[list(rows)]
    return Timing(
        name,
        mode,
        table.kl.size,
        cached,
        float(np.mean(spent)) * table.kl.size,
        float(np.mean(in_pieces)) * table.kl.size,
        len(spent),
        float(np.abs(run - first.kl).max()),
        bool((run.argmin(1) == first.kl.argmin(1)).all()),
        float(np.abs(rounded - first.kl).max()),
        bool((run.argmin(1) == rounded.argmin(1)).all()),
        peak_mb,
        2 * work(evaluator, recipe, variants, mode) / cached / 1e9,
    )


def peak_memory(
    evaluator: Evaluator, recipe: Recipe, variants: dict[str, list[LayerRecipe]], mode: str
) -> float:
    """Megabytes of this process with a table of one piece; a table's pieces run one by one.

    Isolated, T of the evaluator's pieces are one.
    """
    first = evaluator.pieces[: evaluator.settings.time_steps]
    piece = Evaluator(evaluator.graph, first, evaluator.settings)
    sensitivity(piece, recipe, variants, mode=mode)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def work(
    evaluator: Evaluator, recipe: Recipe, variants: dict[str, list[LayerRecipe]], mode: str
) -> float:
    """Multiply-adds of a table: once through the network, and from each layer on per candidate."""
    macs, names = count_macs(evaluator.graph), list(evaluator.graph.names)
    times = evaluator.samples * (1 if mode == "isolated" else evaluator.settings.time_steps)
    total = float(sum(macs.values()))
    for layer, candidates in variants.items():
        behind = names[names.index(layer) :]
        run = [c for c in candidates if mode == "isolated" or not same_layer(c, recipe[layer])]
        total += len(run) * sum(macs.get(n, 0) for n in behind)
    return total * times


Convolve = Callable[[nn.Module, Sequence[torch.Tensor]], torch.Tensor]


@torch.no_grad()
def convolution_gflops(evaluator: Evaluator, convolve: Convolve) -> float:
    """What the network's convolutions reach, one by one, on a table's pieces; best of nine each."""
    graph, seconds = evaluator.graph, 0.0
    frames = len(evaluator.pieces[0]) * evaluator.settings.time_steps
    for node in graph.of_kind(Kind.CONV):
        x = torch.rand(frames, *graph[node.inputs[0]].shape)
        x = x.contiguous(memory_format=torch.channels_last)
        taken = []
        for _ in range(9):
            started = time.perf_counter()
            convolve(node.module, [x])  # type: ignore[arg-type]
            taken.append(time.perf_counter() - started)
        seconds += min(taken)
    macs = count_macs(graph)
    done = sum(macs[n.name] for n in graph.of_kind(Kind.CONV))
    return 2 * done * frames / seconds / 1e9


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
    cases = [(name, mode) for mode in ("isolated", "in_situ") for name in jobs]
    # Before anything else has run, and to compile what there is to compile.
    peaks = [peak_memory(evaluator, recipe, jobs[name], mode) for name, mode in cases]
    found = []
    console = Console()
    for (name, mode), peak in zip(cases, peaks, strict=True):
        case = (name, evaluator, recipe, jobs[name], train.x, mode, arguments.every, peak)
        row = bench(*case)
        console.print(row)
        console.print(f"{name}, {mode}: {row.straightforward_s / row.cached_s:.1f} times faster")
        found.append(vars(row))
    result = {
        "command": "python benchmarks/bench_search.py",
        "samples": arguments.samples,
        "machine": ran_on,
        "convolution_gflops": convolution_gflops(evaluator, evaluator.convolutions.run),
        "direct_gflops": convolution_gflops(evaluator, lambda module, xs: module(*xs)),
        "rows": found,
    }
    save("bench_search", result)


if __name__ == "__main__":
    main()
