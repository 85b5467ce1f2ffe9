"""Folding of per-channel scales (batch norm, input normalisation) into neighbouring weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.modules import Scale
from speck_adacal.ann.routing import Layout

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
    between = [producer]
    if (source := _linear_behind(graph, producer)) is not None:
        producer = source
        between.append(source)
    alone = all(len(graph.consumers(n.name)) == 1 and n.name not in graph.outputs for n in between)
    known = producer.kind in (*_WEIGHTED, Kind.SCALE, Kind.TRANSPOSED) or source is not None
    gain, shift = _values(scale)
    module: Any = copy.deepcopy(producer.module)
    if not alone or not known or (producer.kind is Kind.TRANSPOSED and module.groups > 1):
        return graph
    if isinstance(module, Scale):
        old_gain, old_shift = _values(producer)
        module = Scale(old_gain * gain, old_shift * gain + shift)
    else:
        rows = int(producer.kind is Kind.TRANSPOSED)  # the axis of the weights' outputs
        view = (1,) * rows + (-1,) + (1,) * (module.weight.ndim - 1 - rows)
        weight = module.weight.double() * gain.view(view)
        bias = 0.0 if module.bias is None else module.bias.double() * gain
        module = _with(module, weight, bias + shift)
    return _drop(graph, name, {producer.name: replace(producer, module=module)})


def _linear_behind(graph: LayerGraph, node: Node) -> Node | None:
    """The linear layer on the last axis whose channels a layout `node` brings to the front."""
    layout = node.module
    if not isinstance(layout, Layout):
        return None
    source = graph[node.inputs[0]]
    channels = source.shape[-1]
    brings = node.shape[0] == channels and layout.strides[0] == 1 and layout.offset == 0
    others = all(stride % channels == 0 for stride in layout.strides[1:])
    return source if source.kind is Kind.TOKEN_LINEAR and brings and others else None


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
