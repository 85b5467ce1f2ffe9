"""Folding of per-channel scales (batch norm, input normalisation) into neighbouring weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.modules import Scale

_WEIGHTED = (Kind.CONV, Kind.LINEAR)


def fold_scales(graph: LayerGraph) -> LayerGraph:
    """Fold every scale that can be folded exactly: backwards first, then forwards.

    A scale after a layer with weights goes into it. A scale elsewhere (batch norm after ReLU)
    goes into the layers that read it, through flatten and unpadded average pools; where one of
    them pads with zeros and the scale shifts, folding would be wrong at the border and the
    scale stays. Arithmetic in float64, results in float32.
    """
    for name in [n.name for n in graph.of_kind(Kind.SCALE)]:
        graph = _fold_back(graph, name)
    for name in [n.name for n in graph.of_kind(Kind.SCALE)]:
        graph = _fold_forward(graph, name)
    nodes = tuple(_in_float32(n) if n.kind is Kind.SCALE else n for n in graph.nodes)
    return replace(graph, nodes=nodes)


def _fold_back(graph: LayerGraph, name: str) -> LayerGraph:
    scale = graph[name]
    producer = graph[scale.inputs[0]]
    alone = len(graph.consumers(producer.name)) == 1 and producer.name not in graph.outputs
    if not alone or not (producer.kind in _WEIGHTED or producer.kind is Kind.SCALE):
        return graph
    gain, shift = _values(scale)
    module: Any = copy.deepcopy(producer.module)
    if isinstance(module, Scale):
        old_gain, old_shift = _values(producer)
        module = Scale(old_gain * gain, old_shift * gain + shift)
    else:
        weight = module.weight.double() * gain.view(-1, *(1,) * (module.weight.ndim - 1))
        bias = 0.0 if module.bias is None else module.bias.double() * gain
        module = _with(module, weight, bias + shift)
    return _drop(graph, name, {producer.name: replace(producer, module=module)})


def _fold_forward(graph: LayerGraph, name: str) -> LayerGraph:
    if name in graph.outputs:
        return graph
    targets = _readers(graph, name)
    if targets is None:
        return graph
    gain, shift = _values(graph[name])
    changed: dict[str, Node] = {}
    for target in targets:
        node = graph[target]
        module = _absorb(node, gain, shift)
        if module is None:
            return graph
        changed[target] = replace(node, module=module)
    return _drop(graph, name, changed)


def _readers(graph: LayerGraph, name: str) -> list[str] | None:
    """Layers with weights that read `name` through channel-keeping nodes; None if others do."""
    found: list[str] = []
    for node in graph.consumers(name):
        if node.kind in _WEIGHTED:
            found.append(node.name)
        elif _keeps_affine(node) and node.name not in graph.outputs:
            deeper = _readers(graph, node.name)
            if deeper is None:
                return None
            found.extend(deeper)
        else:
            return None
    return found or None


def _keeps_affine(node: Node) -> bool:
    if node.kind is Kind.FLATTEN:
        return True
    if node.kind is not Kind.AVG_POOL:
        return False
    padding = getattr(node.module, "padding", 0)
    padded = any(padding) if isinstance(padding, tuple) else padding
    return not padded and getattr(node.module, "divisor_override", None) is None


def _absorb(node: Node, gain: torch.Tensor, shift: torch.Tensor) -> nn.Module | None:
    """The layer of `node` for an input that is no longer scaled; None where it cannot be."""
    module: Any = copy.deepcopy(node.module)
    weight = module.weight.double()
    bias = 0.0 if module.bias is None else module.bias.double()
    if isinstance(module, nn.Linear):
        repeat = weight.shape[1] // len(gain)
        gain, shift = gain.repeat_interleave(repeat), shift.repeat_interleave(repeat)
        return _with(module, weight * gain, bias + weight @ shift)
    if any(module.padding) and bool((shift != 0).any()):
        return None
    groups = int(module.groups)
    view = (groups, 1, -1) + (1,) * (weight.ndim - 2)
    grouped = weight.view(groups, weight.shape[0] // groups, *weight.shape[1:])
    moved = (grouped * shift.view(view)).flatten(2).sum(2).flatten()
    return _with(module, (grouped * gain.view(view)).view_as(weight), bias + moved)


def _with(module: Any, weight: torch.Tensor, bias: torch.Tensor) -> nn.Module:
    """`module` with new parameters; a layer without a bias gets none as long as it is zero."""
    module.weight = nn.Parameter(weight.float(), requires_grad=False)
    if module.bias is not None or bool((bias != 0).any()):
        module.bias = nn.Parameter(bias.float(), requires_grad=False)
    changed: nn.Module = module
    return changed


def _values(node: Node) -> tuple[torch.Tensor, torch.Tensor]:
    module: Any = node.module
    return module.weight.detach().double(), module.bias.detach().double()


def _in_float32(node: Node) -> Node:
    gain, shift = _values(node)
    return replace(node, module=Scale(gain.float(), shift.float()))


def _drop(graph: LayerGraph, name: str, changed: dict[str, Node]) -> LayerGraph:
    """Take node `name` out, its readers reading its input instead; put `changed` nodes in."""
    source = graph[name].inputs[0]
    nodes = []
    for node in graph.nodes:
        if node.name == name:
            continue
        new = changed.get(node.name, node)
        inputs = tuple(source if i == name else i for i in new.inputs)
        nodes.append(replace(new, inputs=inputs))
    outputs = tuple(source if o == name else o for o in graph.outputs)
    return LayerGraph(tuple(nodes), outputs, graph.input_shape)
