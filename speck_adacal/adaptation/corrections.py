"""Corrections, layer by layer, each on the corrected layers before it (Li et al., ICML 2021).

*Light*: the initial membrane potential per channel, or the bias, moves by the mean residual of
the layer's output. *Advanced*: weights are solved for by ridge least squares first.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from speck_adacal.adaptation.reconstruct import reconstruct_weights
from speck_adacal.adaptation.side_by_side import SideBySide
from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe
from speck_adacal.samples.batches import Batches
from speck_adacal.snn.adafire import AdaFire
from speck_adacal.snn.network import SpikingNetwork, spiking_neuron

_ROUNDS = 4
_CHANNEL_KEEPING = (Kind.ADD, Kind.AVG_POOL, Kind.MAX_POOL)


@dataclass(frozen=True, eq=False)
class Corrected:
    """What corrections changed.

    Attributes:
        recipe: with the corrected initial potentials.
        graph: with the corrected biases and weights; the graph given is never changed.
        errors: mean squared residual of each spiking layer's mean output after correction.
    """

    recipe: Recipe
    graph: LayerGraph
    errors: dict[str, float]


@torch.no_grad()
def correct(
    graph: LayerGraph,
    recipe: Recipe,
    batches: Batches,
    settings: AdaptSettings,
    reference: LayerGraph | None = None,
) -> Corrected:
    """Correct a spiking network towards the ANN's outputs, in topological order.

    Args:
        graph: the network to correct.
        recipe: its layers' φ, ρ and thresholds; initial potentials are started from.
        batches: calibration data; the first `settings.correction_samples` are used.
        settings: which correction.
        reference: the network whose outputs are the target; `graph` itself by default.
    """
    kind = settings.correction
    graph = _private(graph) if kind in ("bias", "both", "weights") else graph
    network = SpikingNetwork(graph, recipe)
    inputs = list(batches.between(0, settings.correction_samples))
    pair = SideBySide(reference or graph_copy(graph), network, inputs, batches, settings.time_steps)
    potentials: dict[str, torch.Tensor] = {}
    errors: dict[str, float] = {}
    for node in pair:
        if node.kind is Kind.ACTIVATION:
            layer = _Layer(node, network.layer(node.name), pair, settings.time_steps)
            left = layer.shift_bias(graph) if kind in ("bias", "both", "weights") else None
            if kind in ("potential", "both", "weights") or left is None:
                left = layer.shift_potential()
            potentials[node.name] = layer.module.initial_potential.detach().clone()
            errors[node.name] = left
        elif kind == "weights" and node.kind in (Kind.CONV, Kind.LINEAR):
            reconstruct_weights(node, graph[node.name], pair, settings.ridge)
        elif kind in ("bias", "both") and node.name in graph.outputs:
            _shift_output_bias(graph[node.name], pair, network, settings.time_steps)
    layers = tuple(_with_potential(layer, potentials) for layer in recipe.layers)
    return Corrected(replace(recipe, layers=layers), graph, errors)


class _Layer:
    """One spiking layer of networks side by side, before its spiking value is computed."""

    def __init__(self, node: Node, module: nn.Module, pair: SideBySide, steps: int) -> None:
        assert isinstance(module, AdaFire)  # noqa: S101  (SpikingNetwork makes it so)
        self.node, self.module, self.pair, self.steps = node, module, pair, steps

    def owner(self, graph: LayerGraph) -> Node | None:
        """The layer whose bias alone adds to this layer's input, or None."""
        return bias_owner(graph, self.node)

    def shift_potential(self) -> float:
        """Move the initial potential per channel by the mean residual times T, while it helps.

        Returns:
            The mean squared residual that is left.
        """
        limit = self.module.theta * self.module.phi * self.steps
        error, mean = self.residual()
        best = self.module.initial_potential.detach().clone()
        for _ in range(_ROUNDS):
            start = _per_channel(self.module.initial_potential, self.node.shape[0])
            moved = start + mean.float() * self.steps
            bound = limit.expand(moved.shape) if limit.ndim < 2 else limit.amax()
            self._start_at(torch.maximum(torch.minimum(moved, bound), -bound))
            new_error, mean = self.residual()
            if new_error >= error:
                break
            error, best = new_error, self.module.initial_potential.detach().clone()
        self._start_at(best)
        return error

    def shift_bias(self, graph: LayerGraph) -> float | None:
        """Add the mean residual to the bias that feeds this layer, while it helps.

        Returns:
            The mean squared residual that is left; None where no bias feeds this layer alone.
        """
        owner = self.owner(graph)
        if owner is None:
            return None
        error, mean = self.residual()
        for _ in range(_ROUNDS):
            change = mean.float()
            self._add_to_bias(owner, change)
            new_error, mean = self.residual()
            if new_error >= error:
                self._add_to_bias(owner, -change)
                break
            error = new_error
        return error

    def residual(self) -> tuple[float, torch.Tensor]:
        """ANN minus mean output: mean square, and mean per channel, float64 `[channels]`."""
        squares, count = 0.0, 0
        sums = torch.zeros(self.node.shape[0], dtype=torch.float64)
        for ann, snn in zip(self.pair.ann, self.pair.snn, strict=True):
            self.module.reset_states()
            spikes = self.module.run(snn[self.node.inputs[0]][0], self.steps)
            wanted = ann[self.node.name]
            residual = (
                (wanted - spikes.mean(1)).flatten(2)
                if wanted.ndim > 2
                else (wanted - spikes.mean(1)).unsqueeze(2)
            )
            squares += float(residual.square().sum(dtype=torch.float64))
            sums += residual.sum((0, 2), dtype=torch.float64)
            count += residual.numel()
        return squares / count, sums * (len(sums) / count)

    def _start_at(self, potential: torch.Tensor) -> None:
        self.module.initial_potential = nn.Parameter(potential.clone(), requires_grad=False)
        self.module.reset_states()

    def _add_to_bias(self, owner: Node, change: torch.Tensor) -> None:
        add_to_bias(owner.module, change)
        shape = (1, 1, -1) + (1,) * (len(self.node.shape) - 1)
        for values in self.pair.snn:
            current, constant = values[self.node.inputs[0]]
            values[self.node.inputs[0]] = current + change.view(shape), constant


def centred_potential(node: Node, layer: LayerRecipe, pair: SideBySide, steps: int) -> LayerRecipe:
    """`layer` with its potential corrected on what reaches `node` at this point of the pass."""
    neuron = spiking_neuron(layer)
    _Layer(node, neuron, pair, steps).shift_potential()
    return _with_potential(layer, {layer.name: neuron.initial_potential.detach().clone()})


def bias_owner(graph: LayerGraph, node: Node) -> Node | None:
    """The first layer with weights that only `node` reads, through channel-keeping nodes."""
    for name in node.inputs:
        source = graph[name]
        if len(graph.consumers(name)) != 1 or name in graph.outputs:
            continue
        if source.kind in (Kind.CONV, Kind.LINEAR):
            return source
        if source.kind in _CHANNEL_KEEPING and not _padded_average(source):
            found = bias_owner(graph, source)
            if found is not None:
                return found
    return None


def _padded_average(node: Node) -> bool:
    padding = getattr(node.module, "padding", 0) if node.kind is Kind.AVG_POOL else 0
    odd = getattr(node.module, "divisor_override", None) is not None
    return odd or (any(padding) if isinstance(padding, tuple) else bool(padding))


def add_to_bias(module: Any, change: torch.Tensor) -> None:
    """`bias += change`; a layer without a bias gets one."""
    old = getattr(module, "bias", None)
    bias = change if old is None else old + change
    module.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)


def _shift_output_bias(node: Node, pair: SideBySide, network: SpikingNetwork, steps: int) -> None:
    """Bring the mean output of a non-spiking output layer to the ANN's."""
    if node.kind not in (Kind.CONV, Kind.LINEAR) or len(node.shape) != 1:
        return
    residuals = []
    for ann, snn in zip(pair.ann, pair.snn, strict=True):
        mean = snn[node.inputs[0]][0].mean(1)
        residuals.append(ann[node.name] - network.layer(node.name)(mean))
    add_to_bias(node.module, torch.cat(residuals).double().mean(0).float())


def _per_channel(value: torch.Tensor, channels: int) -> torch.Tensor:
    return value.detach().float().expand(channels).clone() if value.ndim < 2 else value.detach()


def _with_potential(layer: LayerRecipe, potentials: dict[str, torch.Tensor]) -> LayerRecipe:
    if layer.name not in potentials:
        return layer
    return replace(layer, initial_potential=potentials[layer.name].numpy().astype(np.float64))


def _private(graph: LayerGraph) -> LayerGraph:
    """A copy whose layers with weights can be changed."""
    nodes = tuple(
        replace(n, module=copy.deepcopy(n.module)) if n.kind in (Kind.CONV, Kind.LINEAR) else n
        for n in graph.nodes
    )
    return replace(graph, nodes=nodes)


def graph_copy(graph: LayerGraph) -> LayerGraph:
    """The same network with layers of its own, so that changing one leaves the other."""
    return _private(graph)
