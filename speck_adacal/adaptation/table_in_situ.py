"""One batch of data through a sensitivity table's cells: what is before a layer is run once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from speck_adacal.adaptation.linear_response import linear_isolated
from speck_adacal.adaptation.measure import Evaluator, same_layer
from speck_adacal.adaptation.table_isolated import Candidates, exact_isolated
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.recipe.recipe import Recipe
from speck_adacal.snn.network import SpikingNetwork, Value, full, key, run_nodes, spiking_neuron


@dataclass(frozen=True, eq=False)
class TableWork:
    """The work on one batch of data; can be sent to another process."""

    evaluator: Evaluator
    graph: LayerGraph
    recipe: Recipe
    candidates: Candidates
    names: tuple[str, ...]
    width: int
    mode: str
    exact: bool = False

    def of_batch(self, batch: torch.Tensor, target: torch.Tensor) -> dict[str, np.ndarray]:
        """KL `[layers, candidates, batch]`, spikes and SynOps `[layers, candidates]` (sums)."""
        with torch.no_grad():
            shape = (len(self.names), self.width)
            result = {
                "kl": np.full((*shape, len(batch)), np.inf),
                "spikes": np.zeros(shape),
                "synops": np.zeros(shape),
            }
            if self.mode == "in_situ":
                self._in_situ(batch, target, result)
            else:
                fill = exact_isolated if self.exact else linear_isolated
                fill(self.evaluator, self.graph, self.candidates, batch, target, result)
            return result

    def _in_situ(
        self, batch: torch.Tensor, target: torch.Tensor, result: dict[str, np.ndarray]
    ) -> None:
        network = self.evaluator.network(self.graph, self.recipe)
        batches, steps = self.evaluator.batches, self.evaluator.settings.time_steps
        nodes, outputs = self.graph.nodes[1:], {*self.graph.outputs}
        values: dict[str, Value] = {
            self.graph.nodes[0].name: (batches.snn_input(batch), batches.is_analog)
        }
        for at, node in enumerate(nodes):
            if node.name in self.names:
                row = self.names.index(node.name)
                before = dict(network._activity)
                own = network.layer(node.name)
                for column, layer in enumerate(self.candidates[node.name]):
                    if (row, column) in self.known:
                        continue
                    network.layers[key(node.name)] = spiking_neuron(layer)
                    ahead = dict(values)
                    network.reset(nodes[at:])
                    run_nodes(network, nodes[at:], ahead, steps, outputs)
                    self._note(
                        result,
                        row,
                        column,
                        self._decided(ahead, steps),
                        target,
                        network,
                    )
                    network._activity = dict(before)
                network.layers[key(node.name)] = own
                network.reset(nodes[at:])
            run_nodes(network, (node,), values, steps, self.graph.read_after(node.name))
        last = self._decided(values, steps)
        result["reference_kl"] = self.evaluator.distance(target, last).numpy()
        spikes, synops = _totals(network)
        result["reference_spikes"], result["reference_synops"] = np.array(spikes), np.array(synops)
        for figure in ("kl", "spikes", "synops"):
            for row, column in self.known:
                result[figure][row, column] = result[f"reference_{figure}"]

    def _decided(self, values: dict[str, Value], steps: int) -> torch.Tensor:
        """Features of the outputs, the mean over the steps that count."""
        outputs = {name: full(values[name], steps) for name in self.graph.outputs}
        return self.recipe.decision_output(self.evaluator.objective.read(outputs, before=2))

    @cached_property
    def known(self) -> list[tuple[int, int]]:
        """TableWork whose candidate is what the layer is in the reference anyway."""
        return [
            (row, column)
            for row, name in enumerate(self.names)
            for column, layer in enumerate(self.candidates[name])
            if same_layer(layer, self.recipe[name])
        ]

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
