"""A network of sinabs as a layer graph with rectifiers in the places of its neurons."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from speck_adacal.ann._unwrap import private_copy, unwrapped
from speck_adacal.ann.edits import without_dead_code
from speck_adacal.ann.graph import Kind, LayerGraph
from speck_adacal.ann.rewriting import merge_linear_maps
from speck_adacal.ann.spiking.dynapcnn import as_plain_module, without_sensor
from speck_adacal.ann.spiking.identities import with_identities
from speck_adacal.ann.spiking.neurons import Neurons, is_integrator, is_spiking, neurons_of
from speck_adacal.ann.trace import trace
from speck_adacal.errors import ModelError


@dataclass(frozen=True, eq=False)
class SpikingGraph:
    """A network that is spiking already.

    Attributes:
        graph: its layers; the weights are those of the network, for spikes that are worth 1.
        neurons: by name of the activation in the graph; those of the output by the name of the
            output node, whose activation is left out. No entry there: nothing spikes at the output.
    """

    graph: LayerGraph
    neurons: Mapping[str, Neurons]


def read_spiking(network: Any, input_shape: tuple[int, ...]) -> SpikingGraph:
    """Read a network with sinabs' spiking layers.

    Args:
        network: a module with `IAF` or `IAFSqueeze`, a sinabs `Network`, or a `DynapcnnNetwork`;
            never changed.
        input_shape: `(channels, height, width)` of one time step.

    Raises:
        ModelError: it has no spiking layers, has neurons or layers that a core cannot have (named,
            with the way out), or cannot be traced.
    """
    plain = unwrapped(as_plain_module(network)) if isinstance(network, nn.Module) else network
    # Before copying, which sinabs' layers do in a way of their own.
    spiking = {
        name: module
        for name, module in (plain.named_modules() if isinstance(plain, nn.Module) else ())
        if is_spiking(module)
    }
    summing = {name for name, module in spiking.items() if is_integrator(module)}
    neurons = {
        name: neurons_of(name or type(module).__name__, module)
        for name, module in spiking.items()
        if name not in summing
    }
    copied = without_sensor(private_copy(plain), input_shape[0])
    if not neurons:
        raise ModelError(
            f"{type(network).__name__} has no spiking layers; a trained network without them is "
            "turned into a spiking one by `adapt`."
        )
    graph = trace(_with_rectifiers(copied, spiking), input_shape)
    _refuse_other_rectifiers(graph, spiking)
    graph = with_identities(graph)
    graph, output = _without_output_neurons(graph, summing)
    _refuse_integrators(graph, summing)
    graph = merge_linear_maps(graph)
    own = {n.name for n in graph.of_kind(Kind.ACTIVATION)}
    found = {name: values for name, values in neurons.items() if name in own}
    if output is not None:
        found[graph.outputs[0]] = neurons[output]
    return SpikingGraph(graph, found)


def _with_rectifiers(network: nn.Module, neurons: Collection[str]) -> nn.Module:
    """The network with a rectifier in the place of each of its spiking layers (in place)."""
    if "" in neurons:
        return nn.ReLU()
    for name in neurons:
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, nn.ReLU())
    return network


def _refuse_integrators(graph: LayerGraph, summing: Collection[str]) -> None:
    for node in graph.of_kind(Kind.ACTIVATION):
        if node.name in summing:
            raise ModelError(
                f"Layer {node.name!r} sums up its input and does not fire, so that nothing behind "
                "it would hear of it on the chip: use sinabs.layers.IAFSqueeze."
            )


def _refuse_other_rectifiers(graph: LayerGraph, neurons: Collection[str]) -> None:
    for node in graph.of_kind(Kind.ACTIVATION):
        if node.name in neurons:
            continue
        first, _, again = node.name.partition("#")
        if again and first in neurons:
            raise ModelError(
                f"The spiking layer {first!r} is used at two places, which share its membrane "
                "potentials; a core has its own: make two layers of it."
            )
        raise ModelError(
            f"{node.name!r} is a rectifier among spiking layers; put IAFSqueeze in its place, or "
            "turn the network as it was before (with rectifiers alone) into a spiking one by "
            "`adapt`."
        )


def _without_output_neurons(
    graph: LayerGraph, summing: Collection[str]
) -> tuple[LayerGraph, str | None]:
    """The graph that ends in the last layer with weights, and the name of the neurons behind it;
    integrators (`summing`) at the output do not fire."""
    if len(graph.outputs) != 1:
        raise ModelError(
            f"The network has {len(graph.outputs)} outputs ({', '.join(graph.outputs)}); one is "
            "read from the chip: wrap it in a module that returns that."
        )
    node, neurons = graph[graph.outputs[0]], None
    while node.kind in (Kind.FLATTEN, Kind.ACTIVATION) and neurons is None:
        fires = node.kind is Kind.ACTIVATION and node.name not in summing
        neurons = node.name if fires else None
        node = graph[node.inputs[0]]
    while node.kind is Kind.FLATTEN:
        node = graph[node.inputs[0]]
    if node.kind not in (Kind.CONV, Kind.LINEAR):
        raise ModelError(
            f"The network ends in {node.name!r} ({node.kind.value}); what is read from the chip "
            "are the spikes of a layer with weights: let it end in one, and pool before it."
        )
    if len(graph.consumers(node.name)) > 1:
        raise ModelError(f"The output layer {node.name!r} is read by other layers too.")
    return without_dead_code(replace(graph, outputs=(node.name,))), neurons


def spike_values(graph: LayerGraph, name: str, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What a spike in each channel of node `name` is worth, float64 `[channels]`.

    Args:
        graph: the network.
        name: a node that passes spikes on.
        values: of the activations' own spikes, `[channels]` or one, by name; the input's are 1.
    """
    node = graph[name]
    if node.kind is Kind.INPUT:
        return torch.ones(node.shape[0], dtype=torch.float64)
    if node.kind is Kind.ACTIVATION and name in values:
        return values[name].expand(node.shape[0])
    before = [spike_values(graph, source, values) for source in node.inputs]
    if node.kind is Kind.CONCAT:
        return torch.cat(before)
    if node.kind is Kind.FLATTEN:
        return before[0].repeat_interleave(node.shape[0] // len(before[0]))
    return before[0]
