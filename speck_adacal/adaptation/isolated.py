"""Sensitivity with only one layer spiking: those before it run once, those after it as the ANN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from speck_adacal.adaptation.evaluate import Evaluator
from speck_adacal.adaptation.recipe import LayerRecipe
from speck_adacal.ann.graph import LayerGraph, Node
from speck_adacal.ann.modules import Add, Rectifier
from speck_adacal.snn.held import held_mean
from speck_adacal.snn.network import spiking_neuron
from speck_adacal.snn.tally import Tallies

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
        self._quick, self._convolutions = evaluator.channels_last, evaluator.convolutions
        self._sole_readers = graph.sole_readers()

    def step(self, at: int, values: Values) -> None:
        """Run node `at` of those after the input; forget what only it read."""
        node = self._nodes[at]
        values[node.name] = self._run_node(node, [values[n] for n in node.inputs], spare=False)
        for name in values.keys() - self._read_from(at + 1):
            del values[name]

    def run(self, first: int, values: Values) -> torch.Tensor:
        """The output, from the node `first` of those after the input on; `values` are changed."""
        made: set[str] = set()
        for at, node in enumerate(self._nodes[first:], first):
            spare = node.name in self._sole_readers and node.inputs[0] in made
            made.add(node.name)
            values[node.name] = self._run_node(node, [values[n] for n in node.inputs], spare)
            for done in values.keys() - self._read_from(at + 1):
                del values[done]
        return values[self._output]

    def _read_from(self, first: int) -> set[str]:
        """What the nodes from the first on read, and the output."""
        return {n for node in self._nodes[first:] for n in node.inputs} | {self._output}

    def _run_node(self, node: Node, inputs: Sequence[torch.Tensor], spare: bool) -> torch.Tensor:
        """Run one node; `spare` says that its first input may be overwritten."""
        module = node.module
        if spare and isinstance(module, Rectifier):
            return module.into_first(inputs)
        if spare and isinstance(module, Add) and module.fits_into_first(inputs):
            return module.into_first(inputs)
        if self._quick:
            return self._convolutions.run(module, inputs)  # type: ignore[arg-type]
        return module(*inputs)  # type: ignore[misc]
