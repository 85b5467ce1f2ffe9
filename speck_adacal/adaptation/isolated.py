"""Sensitivity with only one layer spiking: those before it run once, those after it as the ANN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from speck_adacal.adaptation.evaluate import Evaluator
from speck_adacal.adaptation.recipe import LayerRecipe
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.snn.held import held_mean
from speck_adacal.snn.network import spiking_neuron
from speck_adacal.snn.tally import Tallies
from speck_adacal.snn.winograd import run_plain

Variants = Mapping[str, Sequence[LayerRecipe]]
Values = dict[str, torch.Tensor]


def isolated_cells(
    evaluator: Evaluator,
    graph: LayerGraph,
    variants: Variants,
    piece: torch.Tensor,
    target: torch.Tensor,
    result: dict[str, np.ndarray],
) -> None:
    """Fill in `Cells.of_piece`'s result for a piece of data."""
    output, rows = graph.outputs[0], iter(range(len(result["kl"])))
    x, rest, tallies = evaluator.batches.ann_input(piece), _Rest(evaluator, graph), Tallies()
    if evaluator.channels_last and x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    values, steps = {graph.nodes[0].name: x}, evaluator.settings.time_steps
    for at, node in enumerate(graph.nodes[1:]):
        if variants.get(node.name):
            row, current = next(rows), values[node.inputs[0]].unsqueeze(1)
            for column, layer in enumerate(variants[node.name]):
                tally = tallies.empty(node.name, current, 1, evaluator.fan_out[node.name])
                mean = held_mean(spiking_neuron(layer), current, steps, tally)
                result["spikes"][row, column] = tally.spikes.sum()
                result["synops"][row, column] = tally.synops.sum()
                found = rest.run(at + 1, values | {node.name: mean})
                result["kl"][row, column] = evaluator.distance(target, found).numpy()
        rest.step(at, values)
    result["reference_kl"] = evaluator.distance(target, values[output]).numpy()
    result["reference_synops"] = result["reference_spikes"] = np.array(0.0)


class _Rest:
    """The ANN from some node on."""

    def __init__(self, evaluator: Evaluator, graph: LayerGraph) -> None:
        self._nodes, self._output = graph.nodes[1:], graph.outputs[0]
        self._convolutions = evaluator.convolutions if evaluator.channels_last else None
        self._sole_readers = graph.sole_readers()
        self._last = {name: at for at, node in enumerate(self._nodes) for name in node.inputs}
        self._last[self._output] = len(self._nodes)

    def step(self, at: int, values: Values, *, spare: bool = False) -> None:
        """Run node `at` of those after the input; forget what no later one reads."""
        node = self._nodes[at]
        inputs = [values[n] for n in node.inputs]
        values[node.name] = run_plain(node.module, inputs, spare, self._convolutions)  # type: ignore[arg-type]
        for name in set(node.inputs):
            if self._last[name] == at:
                del values[name]

    def run(self, first: int, values: Values) -> torch.Tensor:
        """The output, from the node `first` of those after the input on; `values` are changed."""
        made: set[str] = set()
        for at, node in enumerate(self._nodes[first:], first):
            spare = node.name in self._sole_readers and node.inputs[0] in made
            made.add(node.name)
            self.step(at, values, spare=spare)
        return values[self._output]
