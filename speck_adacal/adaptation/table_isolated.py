"""Sensitivity with only one layer spiking: those before it run once, those after it as the ANN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.ann.graph import LayerGraph, Node
from speck_adacal.recipe.recipe import LayerRecipe
from speck_adacal.snn.constant_input import mean_on_constant
from speck_adacal.snn.network import run_in_order, run_plain, spiking_neuron
from speck_adacal.snn.spike_counts import Tallies

Candidates = Mapping[str, Sequence[LayerRecipe]]


def exact_isolated(
    evaluator: Evaluator,
    graph: LayerGraph,
    candidates: Candidates,
    batch: torch.Tensor,
    target: torch.Tensor,
    result: dict[str, np.ndarray],
) -> None:
    """Fill in `TableWork.of_batch`'s result for a batch of data."""
    nodes, outputs = graph.nodes[1:], {*graph.outputs}
    sole_readers, rows = graph.sole_readers(), iter(range(len(result["kl"])))
    x, tallies = evaluator.batches.ann_input(batch), Tallies()
    values, steps = {graph.nodes[0].name: x}, evaluator.settings.time_steps

    def run(node: Node, inputs: list[torch.Tensor], spare: bool) -> torch.Tensor:
        return run_plain(node.module, inputs, spare)  # type: ignore[arg-type]

    for at, node in enumerate(nodes):
        if candidates.get(node.name):
            row, current = next(rows), values[node.inputs[0]].unsqueeze(1)
            for column, layer in enumerate(candidates[node.name]):
                tally = tallies.empty(node.name, current, 1, evaluator.fan_out[node.name])
                mean = mean_on_constant(spiking_neuron(layer), current, steps, tally)
                result["spikes"][row, column] = tally.spikes.sum()
                result["synops"][row, column] = tally.synops.sum()
                ahead = values | {node.name: mean}
                run_in_order(nodes[at + 1 :], ahead, outputs, sole_readers, run)
                found = evaluator.objective.read(ahead)
                result["kl"][row, column] = evaluator.distance(target, found).numpy()
        later = graph.read_after(node.name)
        run_in_order((node,), values, later, sole_readers, run)
    result["reference_kl"] = evaluator.distance(target, evaluator.objective.read(values)).numpy()
    result["reference_synops"] = result["reference_spikes"] = np.array(0.0)
