"""Networks that came spiking, as adapted networks: nothing is fitted, everything is kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.spiking import Neurons, SpikingGraph, read_spiking
from speck_adacal.ann.spiking.network_reader import spike_values
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe, StepRecord
from speck_adacal.snn.adapted import AdaptedNetwork

CAME = "came spiking"  # steps of the trace
ASSUMED = "threshold of an output that does not spike"
UNBOUNDED = "lower bound left open, for which sinabs' own discretisation takes -32768"
# What sinabs gives an output that does not spike when it is asked for spikes.
_SINABS_DEFAULT = Neurons(np.array(1.0), 1.0, 1, np.array(0.0))


def from_sinabs(
    network: Any,
    input_shape: Sequence[int],
    *,
    time_steps: int = 8,
    reset_each: bool = True,
    mend_scale: bool = False,
    seed: int = 0,
) -> AdaptedNetwork:
    """Take a spiking network of sinabs as it is: weights, thresholds, lower clips.

    Args:
        network: a module with sinabs' `IAF` or `IAFSqueeze` layers, a sinabs `Network`, or a
            `DynapcnnNetwork`; never changed.
        input_shape: `(channels, height, width)` of the input at one time step.
        time_steps: T, into which samples are cut where time steps matter: images as events, the
            time-stepped level, biases of a window.
        reset_each: whether states are reset before each sample, or never, as at a camera: `front`
            then judges on recordings on end, and `flash` takes the network.
        mend_scale: layers whose weights sinabs' joint scale loses (`deploy` warns of them) get a
            scale of their own.
        seed: of everything random later on.

    Returns:
        What `adapt` gives for a trained network, ready for `deploy`, which gives the integers of
        sinabs' own discretisation. A layer that does not spike at the output gets the neurons that
        sinabs would add there (threshold 1, lower clip -1); the recipe's trace says so.

    Raises:
        ModelError: it has no spiking layers, or something that a core cannot have (named).
        SettingsError: `time_steps` or `seed` is out of range.
    """
    settings = AdaptSettings(
        time_steps=time_steps,
        input_burst=1,
        correction="none",
        chip_correction=False,
        bias="initial",
        reset_each=reset_each,
        seed=seed,
    )
    found = read_spiking(network, tuple(int(n) for n in input_shape))
    adapted = _as_adapted(found, settings)
    layers = tuple(replace(layer, mended=mend_scale) for layer in adapted.recipe.layers)
    return replace(adapted, recipe=replace(adapted.recipe, layers=layers))


def _as_adapted(found: SpikingGraph, settings: AdaptSettings) -> AdaptedNetwork:
    """A spiking network as an adapted one.

    Here a spike is worth its neurons' threshold, as in converted networks, so the weights behind
    are divided by it. Thresholds of spikes that meet at an addition become one.
    """
    graph, neurons = found.graph, dict(found.neurons)
    output = graph.outputs[0]
    unbounded = {name: 1.0 for name, layer in neurons.items() if layer.lower_clip is None}
    trace = [StepRecord(CAME, 0.0, {n: float(np.mean(v.threshold)) for n, v in neurons.items()})]
    if unbounded:
        trace.append(StepRecord(UNBOUNDED, 0.0, unbounded))
    if output not in neurons:
        neurons[output] = _SINABS_DEFAULT
        trace.append(StepRecord(ASSUMED, 0.0, {output: 1.0}))
    values = _spike_values(graph, neurons)
    nodes = tuple(_rescaled(graph, node, neurons, values) for node in graph.nodes)
    layers = tuple(
        _recipe(node.name, neurons[node.name], values, output)
        for node in nodes
        if node.name in neurons
    )
    scaled = replace(graph, nodes=nodes)
    recipe = Recipe(settings, layers, tuple(trace))
    return AdaptedNetwork(ann=scaled, graph=scaled, recipe=recipe)


def _spike_values(graph: LayerGraph, neurons: Mapping[str, Neurons]) -> dict[str, torch.Tensor]:
    """What a spike of each activation is worth: its threshold, or one value where several meet."""
    values = {name: torch.from_numpy(np.atleast_1d(n.threshold)) for name, n in neurons.items()}
    for node in graph.of_kind(Kind.ADD):
        meeting = _activations(graph, node)
        common = torch.stack(torch.broadcast_tensors(*(values[name] for name in meeting)))
        for name in meeting:
            values[name] = common.amin(0)
    return values


def _activations(graph: LayerGraph, node: Node) -> list[str]:
    if node.kind is Kind.ACTIVATION:
        return [node.name]
    if node.kind in (Kind.CONV, Kind.LINEAR, Kind.INPUT):
        return []
    return [name for source in node.inputs for name in _activations(graph, graph[source])]


def _rescaled(
    graph: LayerGraph,
    node: Node,
    neurons: Mapping[str, Neurons],
    values: Mapping[str, torch.Tensor],
) -> Node:
    """A layer with weights for spikes that are worth their thresholds."""
    if node.kind not in (Kind.CONV, Kind.LINEAR):
        return node
    module: Any = copy.deepcopy(node.module)
    after = graph.consumers(node.name)
    own = node.name if not after else after[0].name
    gain = values[own] / torch.from_numpy(np.atleast_1d(neurons[own].threshold))
    incoming = spike_values(graph, node.inputs[0], values)
    weight = module.weight.double()
    outer, inner = (-1, *(1,) * (weight.ndim - 1)), (1, -1, *(1,) * (weight.ndim - 2))
    if isinstance(module, nn.Conv2d) and module.groups > 1:
        per_group = incoming.view(module.groups, -1).repeat_interleave(
            module.out_channels // module.groups, 0
        )
        weight = weight / per_group[..., None, None]
    else:
        weight = weight / incoming.view(inner)
    module.weight = nn.Parameter((weight * gain.view(outer)).float(), requires_grad=False)
    if module.bias is not None:
        module.bias = nn.Parameter((module.bias.double() * gain).float(), requires_grad=False)
    return replace(node, module=module)


def _recipe(
    name: str, neurons: Neurons, values: Mapping[str, torch.Tensor], output: str
) -> LayerRecipe:
    value = values[name].numpy()
    gain = (value / neurons.threshold).reshape(-1, *(1,) * max(0, neurons.initial.ndim - 1))
    return LayerRecipe(
        name=name,
        phi=neurons.most_spikes,
        rho=1.0,
        threshold=np.asarray(value[0] if len(value) == 1 else value),
        initial_potential=np.squeeze(neurons.initial * gain)
        if not neurons.initial.ndim
        else neurons.initial * gain,
        readout=name == output,
        # No bound above -1 integer is possible on the chip; 0 itself is broken there.
        lower_clip=None if neurons.lower_clip is None else max(neurons.lower_clip, 1e-9),
        as_is=True,
    )
