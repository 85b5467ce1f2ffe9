"""One piece of data through a sensitivity table's cells: what is before a layer is run once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from speck_adacal.adaptation.evaluate import Evaluator, same_layer
from speck_adacal.adaptation.recipe import LayerRecipe, Recipe
from speck_adacal.ann.graph import LayerGraph, Node
from speck_adacal.snn.network import (
    SpikingNetwork,
    Value,
    key,
    mean_in_time,
    run_nodes,
    spiking_neuron,
)
from speck_adacal.snn.tally import Tallies

Variants = Mapping[str, Sequence[LayerRecipe]]


@dataclass(frozen=True, eq=False)
class Cells:
    """The work on one piece of data; can be sent to another process."""

    evaluator: Evaluator
    graph: LayerGraph
    recipe: Recipe
    variants: Variants
    names: tuple[str, ...]
    width: int
    mode: str

    def of_piece(self, piece: torch.Tensor, target: torch.Tensor) -> dict[str, np.ndarray]:
        """KL `[layers, candidates, batch]`, spikes and SynOps `[layers, candidates]` (sums)."""
        with torch.no_grad():
            shape = (len(self.names), self.width)
            result = {
                "kl": np.full((*shape, len(piece)), np.inf),
                "spikes": np.zeros(shape),
                "synops": np.zeros(shape),
            }
            run = self._in_situ if self.mode == "in_situ" else self._isolated
            run(piece, target, result)
            return result

    def _in_situ(
        self, piece: torch.Tensor, target: torch.Tensor, result: dict[str, np.ndarray]
    ) -> None:
        network = SpikingNetwork(self.graph, self.recipe)
        network.fan_out = self.evaluator.fan_out
        network.channels_last = self.evaluator.channels_last
        batches, steps = self.evaluator.batches, self.evaluator.settings.time_steps
        nodes, output = self.graph.nodes[1:], self.graph.outputs[0]
        values: dict[str, Value] = {
            self.graph.nodes[0].name: (network.prepared(batches.snn_input(piece)), batches.analog)
        }
        for at, node in enumerate(nodes):
            if node.name in self.names:
                row = self.names.index(node.name)
                before = dict(network._activity)
                own = network.layer(node.name)
                for column, layer in enumerate(self.variants[node.name]):
                    if (row, column) in self.known:
                        continue
                    network.layers[key(node.name)] = spiking_neuron(layer)
                    ahead = dict(values)
                    network.reset(nodes[at:])
                    run_nodes(network, nodes[at:], ahead, steps, {output})
                    self._note(result, row, column, ahead[output][0].mean(1), target, network)
                    network._activity = dict(before)
                network.layers[key(node.name)] = own
                network.reset(nodes[at:])
            self._advance(network, node, at, values, steps)
        last = values[output][0].mean(1)
        result["reference_kl"] = self.evaluator.distance(target, last).numpy()
        spikes, synops = _totals(network)
        result["reference_spikes"], result["reference_synops"] = np.array(spikes), np.array(synops)
        for figure in ("kl", "spikes", "synops"):
            for row, column in self.known:
                result[figure][row, column] = result[f"reference_{figure}"]

    @cached_property
    def known(self) -> list[tuple[int, int]]:
        """Cells whose candidate is what the layer is in the reference anyway."""
        return [
            (row, column)
            for row, name in enumerate(self.names)
            for column, layer in enumerate(self.variants[name])
            if same_layer(layer, self.recipe[name])
        ]

    def _advance(
        self, network: SpikingNetwork, node: Node, at: int, values: dict[str, Value], steps: int
    ) -> None:
        """Run one node of the reference; forget what only it read."""
        run_nodes(network, (node,), values, steps, values.keys())
        later = {name for n in self.graph.nodes[at + 2 :] for name in n.inputs}
        for name in set(values) - later - {self.graph.outputs[0]}:
            del values[name]

    def _isolated(
        self, piece: torch.Tensor, target: torch.Tensor, result: dict[str, np.ndarray]
    ) -> None:
        batches, output = self.evaluator.batches, self.graph.outputs[0]
        nodes, tallies = self.graph.nodes[1:], Tallies()
        x = batches.ann_input(piece)
        x = _channels_last(x) if self.evaluator.channels_last else x
        values = {self.graph.nodes[0].name: x}
        for at, node in enumerate(nodes):
            if node.name in self.names:
                row, layers = self.names.index(node.name), self.variants[node.name]
                current = values[node.inputs[0]].unsqueeze(1)
                means = [
                    self._one_layer(result, row, k, x, current, tallies)
                    for k, x in enumerate(layers)
                ]
                ahead = {n: v.repeat(len(layers), *(1,) * (v.ndim - 1)) for n, v in values.items()}
                ahead[node.name] = torch.cat(means)
                found = _run_ann(nodes[at + 1 :], ahead, output)
                kl = self.evaluator.distance(target.repeat(len(layers), 1), found)
                result["kl"][row, : len(layers)] = kl.view(len(layers), -1).numpy()
            values[node.name] = node.module(*(values[n] for n in node.inputs))  # type: ignore[misc]
            later = {name for n in nodes[at + 1 :] for name in n.inputs} | {output}
            values = {name: v for name, v in values.items() if name in later}
        result["reference_kl"] = self.evaluator.distance(target, values[output]).numpy()
        result["reference_synops"] = result["reference_spikes"] = np.array(0.0)

    def _one_layer(
        self,
        result: dict[str, np.ndarray],
        row: int,
        column: int,
        layer: LayerRecipe,
        current: torch.Tensor,
        tallies: Tallies,
    ) -> torch.Tensor:
        """Mean output of one layer on a constant input; its spikes and SynOps are noted."""
        steps = self.evaluator.settings.time_steps
        tally = tallies.empty(layer.name, current, steps, self.evaluator.fan_out[layer.name])
        mean = mean_in_time(spiking_neuron(layer).run(current, steps, tally=tally))
        result["spikes"][row, column] = tally.spikes.sum()
        result["synops"][row, column] = tally.synops.sum()
        return mean

    def _note(
        self,
        result: dict[str, np.ndarray],
        row: int,
        column: int,
        mean: torch.Tensor,
        target: torch.Tensor,
        network: SpikingNetwork,
    ) -> None:
        result["kl"][row, column] = self.evaluator.distance(target, mean).numpy()
        result["spikes"][row, column], result["synops"][row, column] = _totals(network)


def _totals(network: SpikingNetwork) -> tuple[float, float]:
    """Spikes and SynOps of all layers, samples and steps."""
    layers = network.activity().values()
    return (
        sum(float(a.spikes.sum()) for a in layers),
        sum(float(a.synops.sum()) for a in layers if a.synops is not None),
    )


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _run_ann(nodes: Sequence[Node], values: dict[str, torch.Tensor], output: str) -> torch.Tensor:
    """The rest of the ANN from `values` (changed)."""
    last = {name: n.name for n in nodes for name in n.inputs}
    for node in nodes:
        values[node.name] = node.module(*(values[n] for n in node.inputs))  # type: ignore[misc]
        for name in set(node.inputs):
            if last[name] == node.name and name != output:
                values.pop(name, None)
    return values[output]
