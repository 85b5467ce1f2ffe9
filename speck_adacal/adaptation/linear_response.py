"""Isolated sensitivities by linear response: nothing behind a layer runs again for a candidate.

A candidate of layer i moves that layer's mean output by δ, and the logits by G δ, to first order,
with G = dz/dx of the trained network. One forward pass and one backward pass per class give G of
all layers at once; a candidate costs its own neurons and a product. S_i(k) is eq. 9 of z and
z + G δ. The soft-max knows differences of logits only, so one class need not be gone back from.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.table_isolated import Variants
from speck_adacal.ann.graph import Kind, LayerGraph
from speck_adacal.snn.constant_input import held_mean
from speck_adacal.snn.network import spiking_neuron
from speck_adacal.snn.spike_counts import Tallies

MOST_CLASSES = 32  # with more, random directions stand for the classes
DIRECTIONS = 16  # the KL of a sample then has a relative standard error of sqrt(2 / 16)
_GRADIENTS = 1 << 27


def images_at_once(graph: LayerGraph, classes: int) -> int:
    """How many images' gradients of all layers are kept, at 512 MiB."""
    values = sum(int(np.prod(n.shape)) for n in graph.of_kind(Kind.ACTIVATION))
    directions = DIRECTIONS if classes > MOST_CLASSES else max(classes - 1, 1)
    return max(1, _GRADIENTS // (values * directions))


def linear_cells(
    evaluator: Evaluator,
    graph: LayerGraph,
    variants: Variants,
    piece: torch.Tensor,
    target: torch.Tensor,
    result: dict[str, np.ndarray],
) -> None:
    """Fill in `Cells.of_piece`'s result for a piece of data."""
    names = [n.name for n in graph.nodes if variants.get(n.name)]
    x = evaluator.batches.ann_input(piece)
    if x.ndim == 4:  # PyTorch's convolutions go back several times as fast so
        x = x.contiguous(memory_format=torch.channels_last)
    with torch.enable_grad():
        values = {graph.nodes[0].name: x.detach().requires_grad_(True)}
        for node in graph.nodes[1:]:
            values[node.name] = node.module(*(values[n] for n in node.inputs))  # type: ignore[misc]
        logits = values[graph.outputs[0]]
    directions = _directions(evaluator, logits.detach(), target)
    gradients = [
        torch.autograd.grad(logits, [values[n] for n in names], d, retain_graph=True)
        for d in directions
    ]
    tallies, steps = Tallies(), evaluator.settings.time_steps
    for row, name in enumerate(names):
        jacobian = torch.stack([g[row].flatten(1) for g in gradients], 1)
        current = values[graph[name].inputs[0]].detach().contiguous().unsqueeze(1)
        value, candidates = values[name].detach().flatten(1), variants[name]
        moved = torch.empty(len(piece), len(candidates), jacobian.shape[2])
        for column, layer in enumerate(candidates):
            tally = tallies.empty(name, current, 1, evaluator.fan_out[name])
            mean = held_mean(spiking_neuron(layer), current, steps, tally)
            torch.sub(mean.flatten(1), value, out=moved[:, column])
            result["spikes"][row, column] = tally.spikes.sum()
            result["synops"][row, column] = tally.synops.sum()
        shifts = moved @ jacobian.transpose(1, 2)
        found = _distances(evaluator, logits.detach(), target, shifts)
        result["kl"][row, : len(candidates)] = found.T.numpy()
    result["reference_kl"] = evaluator.distance(target, logits.detach()).numpy()
    result["reference_synops"] = result["reference_spikes"] = np.array(0.0)


def _directions(
    evaluator: Evaluator, logits: torch.Tensor, target: torch.Tensor
) -> list[torch.Tensor]:
    """What of the logits is differentiated, each `[batch, classes]`: all classes but the first,
    less the first; or, of many, random vectors L v with L Lᵀ the Fisher information."""
    batch, classes = logits.shape
    if classes <= MOST_CLASSES:
        alone = torch.eye(classes)
        return [(alone[c] - alone[0]).expand(batch, classes) for c in range(1, classes)]
    generator = torch.Generator().manual_seed(evaluator.settings.seed)
    root = (target / 2).exp()
    found = []
    for _ in range(DIRECTIONS):
        v = torch.randn(batch, classes, generator=generator)
        found.append(root * (v - root * (root * v).sum(1, keepdim=True)))
    return found


def _distances(
    evaluator: Evaluator, logits: torch.Tensor, target: torch.Tensor, shifts: torch.Tensor
) -> torch.Tensor:
    """KL `[batch, candidates]` of logits moved by `shifts` `[batch, candidates, directions]`."""
    if logits.shape[1] <= MOST_CLASSES:
        moved = logits[:, None] + F.pad(shifts, (1, 0))
        every = target[:, None].expand_as(moved)
        return evaluator.distance(every.flatten(0, 1), moved.flatten(0, 1)).view(shifts.shape[:2])
    scale = evaluator.output_scale / evaluator.temperature
    return (shifts * scale).square().mean(2) / 2
