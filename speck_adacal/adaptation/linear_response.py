"""Isolated sensitivities by linear response: nothing behind a layer runs again for a candidate.

A candidate of layer i moves that layer's mean output by δ, and the logits by G δ, to first order,
with G = dz/dx of the trained network. One forward pass and a few backward passes give G of all
layers at once; a candidate costs its own neurons and a product. S_i(k) is eq. 9 of z and z + G δ.

The soft-max knows differences of logits only. The four most probable classes beside the first are
gone back from one by one, the others together, weighted by their probabilities. Of more than 32
classes, of maps, boxes and several outputs, random projections of the Fisher information are gone
back from, and the distance is that to second order.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.table_isolated import Candidates
from speck_adacal.ann.graph import SPIKING, LayerGraph
from speck_adacal.snn.constant_input import mean_on_constant
from speck_adacal.snn.network import spiking_neuron
from speck_adacal.snn.spike_counts import Tallies

RIVALS = 4  # most probable classes after the first that are gone back from one by one
MOST_CLASSES = 32  # with more, random directions stand for the classes
DIRECTIONS = 16  # the KL of a sample then has a relative standard error of sqrt(2 / 16)
_GRADIENTS = 1 << 27


def images_at_once(graph: LayerGraph, classes: int) -> int:
    """How many images' gradients of all layers are kept, at 512 MiB."""
    values = sum(int(np.prod(n.shape)) for n in graph.of_kind(*SPIKING))
    directions = DIRECTIONS if classes > MOST_CLASSES else min(max(classes - 1, 1), 1 + RIVALS)
    return max(1, _GRADIENTS // (values * directions))


def linear_isolated(
    evaluator: Evaluator,
    graph: LayerGraph,
    candidates: Candidates,
    batch: torch.Tensor,
    target: torch.Tensor,
    result: dict[str, np.ndarray],
) -> None:
    """Fill in `TableWork.of_batch`'s result for a batch of data."""
    names = [n.name for n in graph.nodes if candidates.get(n.name)]
    x = evaluator.batches.ann_input(batch)
    if x.ndim == 4:  # PyTorch's convolutions go back several times as fast so
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.enable_grad():
        values = {graph.nodes[0].name: x.detach().requires_grad_(True)}
        for node in graph.nodes[1:]:
            values[node.name] = node.module(*(values[n] for n in node.inputs))  # type: ignore[misc]
        logits = evaluator.objective.read(values)
    directions = _directions(evaluator, logits.detach(), target)
    gradients = [
        torch.autograd.grad(logits, [values[n] for n in names], d, retain_graph=True)
        for d in directions
    ]
    tallies, steps = Tallies(), evaluator.settings.time_steps
    for row, name in enumerate(names):
        jacobian = torch.stack([g[row].flatten(1) for g in gradients], 1)
        current = values[graph[name].inputs[0]].detach().contiguous().unsqueeze(1)
        value, options = values[name].detach().flatten(1), candidates[name]
        moved = torch.empty(len(batch), len(options), jacobian.shape[2])
        for column, layer in enumerate(options):
            tally = tallies.empty(name, current, 1, evaluator.fan_out[name])
            mean = mean_on_constant(spiking_neuron(layer), current, steps, tally)
            torch.sub(mean.flatten(1), value, out=moved[:, column])
            result["spikes"][row, column] = tally.spikes.sum()
            result["synops"][row, column] = tally.synops.sum()
        shifts = moved @ jacobian.transpose(1, 2)
        found = _distances(evaluator, logits.detach(), target, shifts)
        result["kl"][row, : len(options)] = found.T.numpy()
    result["reference_kl"] = evaluator.distance(target, logits.detach()).numpy()
    result["reference_synops"] = result["reference_spikes"] = np.array(0.0)


def _directions(
    evaluator: Evaluator, logits: torch.Tensor, target: torch.Tensor
) -> list[torch.Tensor]:
    """What of the logits is differentiated, each `[batch, classes]`."""
    classes = logits.shape[1]
    if _is_projected(evaluator, classes):
        temperature = evaluator.temperature / evaluator.output_scale
        seed = evaluator.settings.seed
        return evaluator.objective.projections(target, temperature, DIRECTIONS, seed)
    order = logits.argsort(1, descending=True)
    one_hot = F.one_hot(order, classes).to(logits)
    first, rest = one_hot[:, 0], order[:, 1 + RIVALS :]
    rivals = [one_hot[:, j] - first for j in range(1, min(classes, 1 + RIVALS))]
    if rest.shape[1] == 0:
        return rivals
    weights = torch.zeros_like(logits).scatter(1, rest, target.gather(1, rest).softmax(1))
    return [*rivals, weights - first]


def _is_projected(evaluator: Evaluator, classes: int) -> bool:
    """Whether random projections stand for the classes, or for what else the outputs are."""
    return classes > MOST_CLASSES or evaluator.objective.of_one_class is None


def _distances(
    evaluator: Evaluator, logits: torch.Tensor, target: torch.Tensor, shifts: torch.Tensor
) -> torch.Tensor:
    """KL `[batch, candidates]` of logits moved by `shifts` `[batch, candidates, directions]`."""
    if _is_projected(evaluator, logits.shape[1]):
        return shifts.square().mean(2) / 2
    ranked, order = logits.sort(1, descending=True)
    behind = max(logits.shape[1] - 1 - shifts.shape[2], 0)  # classes that the last one stands for
    every = torch.cat((shifts, shifts[:, :, -1:].expand(-1, -1, behind)), 2)
    moved = ranked[:, None] + F.pad(every, (1, 0))
    wanted = target.gather(1, order)[:, None].expand_as(moved)
    return evaluator.distance(wanted.flatten(0, 1), moved.flatten(0, 1)).view(shifts.shape[:2])
