"""Corrections, layer by layer, each on the corrected layers before it (Li et al., ICML 2021).

*Light*: the initial membrane potential per channel, or the bias, moves by the mean residual of
the layer's output. *Advanced*: weights are solved for by ridge least squares first. *Temporal*:
the bias, then one for each time step.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from speck_adacal.adaptation.bias_owners import add_to_bias, bias_owner
from speck_adacal.adaptation.both_networks import SideBySide
from speck_adacal.adaptation.reconstruct import reconstruct_weights
from speck_adacal.adaptation.temporal import channel_means, fit_output_biases, fit_step_biases
from speck_adacal.ann.graph import SPIKING, WEIGHTED, Kind, LayerGraph, Node
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe
from speck_adacal.samples.batches import Batches
from speck_adacal.snn._values import by_channel, on_axis
from speck_adacal.snn.adafire import AdaFire
from speck_adacal.snn.network import SpikingNetwork, full, key, spiking_neuron
from speck_adacal.snn.step_bias import StepBiasedOutput

_ROUNDS = 4
TEMPORAL = frozenset({"temporal", "temporal_weights"})
"""Corrections with a bias for each time step."""
_CHANGE_WEIGHTS = ("weights", "temporal_weights")
_CHANGE_BIASES = ("bias", "both", "weights", *TEMPORAL)


@dataclass(frozen=True, eq=False)
class Corrected:
    """What corrections changed.

    Attributes:
        recipe: with the corrected initial potentials.
        graph: with the corrected biases and weights; the graph given is never changed.
        errors: mean squared residual of each spiking layer's mean output after correction.
        fewest: samples that the first layers were corrected on; later ones see all.
    """

    recipe: Recipe
    graph: LayerGraph
    errors: dict[str, float]
    fewest: int


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
        recipe: its layers' φ, ρ and thresholds; initial potentials are started from, biases of
            steps are not.
        batches: calibration data; the first `settings.correction_samples` are used.
        settings: which correction; not "auto" (see `correction_choice`).
        reference: the network whose outputs are the target; `graph` itself by default.
    """
    kind = settings.correction
    recipe = replace(
        recipe, layers=tuple(replace(layer, step_bias=None) for layer in recipe.layers)
    )
    graph = _private(graph) if kind in _CHANGE_BIASES else graph
    network = SpikingNetwork(graph, recipe)
    inputs = list(batches.between(0, settings.correction_samples))
    pair = SideBySide(reference or graph_copy(graph), network, inputs, batches, settings.time_steps)
    potentials: dict[str, torch.Tensor] = {}
    step_biases: dict[str, torch.Tensor] = {}
    errors: dict[str, float] = {}
    for node in pair:
        if node.kind in SPIKING:
            layer = _Layer(node, network.layer(node.name), pair, settings.time_steps)
            left = layer.shift_bias(graph) if kind in _CHANGE_BIASES else None
            if kind in TEMPORAL:  # what a shift of the potential gives, the first step's has too
                step_biases[node.name], left = layer.fit_steps()
            elif kind != "bias" or left is None:
                left = layer.shift_potential()
            potentials[node.name] = layer.module.initial_potential.detach().clone()
            errors[node.name] = left
        elif kind in _CHANGE_WEIGHTS and node.kind in (Kind.CONV, Kind.LINEAR, Kind.TOKEN_LINEAR):
            reconstruct_weights(node, graph[node.name], pair, settings.ridge)
        if node.name not in graph.outputs or node.kind in SPIKING:
            continue
        if kind in TEMPORAL and node.kind not in (Kind.FUNCTION, Kind.MAX_POOL):
            step_biases[node.name] = _bias_output_steps(node, pair, network, settings.time_steps)
        elif kind in ("bias", "both"):
            _shift_output_bias(graph, graph[node.name], pair, network, settings.time_steps)
    layers = tuple(_with_found(layer, potentials, step_biases) for layer in recipe.layers)
    return Corrected(replace(recipe, layers=layers), graph, errors, pair.fewest)


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
            start = _per_channel(self.module.initial_potential, self.node)
            at = self.node.channel_axis if start.ndim > 1 else 0
            moved = start + _beside(mean.float(), start.ndim, at) * self.steps
            same = limit if limit.ndim == start.ndim else limit.amax()
            bound = _beside(limit, start.ndim, at) if limit.ndim == 1 else same
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

    def fit_steps(self) -> tuple[torch.Tensor, float]:
        """Give every step a bias; the table, and the mean squared residual that is left."""
        source, module = self.node.inputs[0], self.module
        currents = [values[source][0] for values in self.pair.snn]
        axis = self.node.channel_axis
        wanted = channel_means([values[self.node.name] for values in self.pair.ann], axis)
        table = fit_step_biases(module, currents, wanted, self.steps, axis)
        table = on_axis(table, len(self.node.shape), axis)
        module.step_bias = nn.Parameter(table, requires_grad=False)
        return table, self.residual()[0]

    def residual(self) -> tuple[float, torch.Tensor]:
        """ANN minus mean output: mean square, and mean per channel, float64 `[channels]`."""
        squares, count = 0.0, 0
        sums = torch.zeros(self.node.channels, dtype=torch.float64)
        for ann, snn in zip(self.pair.ann, self.pair.snn, strict=True):
            self.module.reset_states()
            spikes = self.module.run(snn[self.node.inputs[0]][0], self.steps)
            error = ann[self.node.name] - spikes.mean(1)
            residual = by_channel(error, self.node.channel_axis)
            squares += float(residual.square().sum(dtype=torch.float64))
            sums += residual.sum((0, 2), dtype=torch.float64)
            count += residual.numel()
        return squares / count, sums * (len(sums) / count)

    def _start_at(self, potential: torch.Tensor) -> None:
        self.module.initial_potential = nn.Parameter(potential.clone(), requires_grad=False)
        self.module.reset_states()

    def _add_to_bias(self, owner: Node, change: torch.Tensor) -> None:
        add_to_bias(owner.module, change)
        change = _beside(change, len(self.node.shape), self.node.channel_axis)
        for values in self.pair.snn:
            current, constant = values[self.node.inputs[0]]
            values[self.node.inputs[0]] = current + change, constant


def corrected_in_place(
    node: Node, layer: LayerRecipe, pair: SideBySide, steps: int, *, temporal: bool
) -> LayerRecipe:
    """`layer` corrected on what reaches `node` at this point of the pass: its potential, and its
    steps' biases where the network has such."""
    neuron = spiking_neuron(layer)
    here = _Layer(node, neuron, pair, steps)
    tables = {}
    if temporal:
        tables[layer.name] = here.fit_steps()[0]
    else:
        here.shift_potential()
    return _with_found(layer, {layer.name: neuron.initial_potential.detach().clone()}, tables)


def _bias_output_steps(
    node: Node, pair: SideBySide, network: SpikingNetwork, steps: int
) -> torch.Tensor:
    """Give each step of an output a bias; the table."""
    module, wanted, outputs = network.layer(node.name), [], []
    for ann, snn in zip(pair.ann, pair.snn, strict=True):
        values = [full(snn[name], steps).flatten(0, 1) for name in node.inputs]
        outputs.append(module(*values).unflatten(0, (-1, steps)))
        wanted.append(ann[node.name])
    table = fit_output_biases(outputs, wanted, steps, node.channel_axis)
    network.layers[key(node.name)] = StepBiasedOutput(module, table)
    return table


def _shift_output_bias(
    graph: LayerGraph, node: Node, pair: SideBySide, network: SpikingNetwork, steps: int
) -> None:
    """Bring the mean of each channel of an output that does not spike to the ANN's."""
    owner = node if node.kind in WEIGHTED else bias_owner(graph, node)
    if owner is None or node.kind in (Kind.FUNCTION, Kind.MAX_POOL):
        return
    sums, places = torch.zeros(node.channels, dtype=torch.float64), 0
    for ann, snn in zip(pair.ann, pair.snn, strict=True):
        means = [full(snn[name], steps).mean(1) for name in node.inputs]
        residual = by_channel(ann[node.name] - network.layer(node.name)(*means), node.channel_axis)
        sums, places = sums + residual.double().sum((0, 2)), places + residual[:, 0].numel()
    add_to_bias(owner.module, (sums / places).float())


def _per_channel(value: torch.Tensor, node: Node) -> torch.Tensor:
    if value.ndim > 1:
        return value.detach()
    every = value.detach().float().expand(node.channels).clone()
    return on_axis(every, len(node.shape), node.channel_axis)


def _beside(values: torch.Tensor, axes: int, axis: int) -> torch.Tensor:
    """`[channels]` beside a value of so many axes, channels being axis `axis` of them."""
    return values.view(*(1,) * axis, -1, *(1,) * (axes - 1 - axis))


def _with_found(
    layer: LayerRecipe, potentials: dict[str, torch.Tensor], step_biases: dict[str, torch.Tensor]
) -> LayerRecipe:
    table = step_biases.get(layer.name)
    biases = None if table is None else table.double().numpy()
    return replace(_with_potential(layer, potentials), step_bias=biases)


def _with_potential(layer: LayerRecipe, potentials: dict[str, torch.Tensor]) -> LayerRecipe:
    if layer.name not in potentials:
        return layer
    return replace(layer, initial_potential=potentials[layer.name].numpy().astype(np.float64))


def _private(graph: LayerGraph) -> LayerGraph:
    """A copy whose layers with weights can be changed."""
    nodes = tuple(
        replace(n, module=copy.deepcopy(n.module)) if n.kind in WEIGHTED else n for n in graph.nodes
    )
    return replace(graph, nodes=nodes)


def graph_copy(graph: LayerGraph) -> LayerGraph:
    """The same network with layers of its own, so that changing one leaves the other."""
    return _private(graph)
