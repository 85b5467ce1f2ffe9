"""How many synaptic operations one spike of each neuron causes: padding and stride exact."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from speck_adacal.ann.graph import SPIKING, WEIGHTED, Kind, LayerGraph, Node
from speck_adacal.ann.routing import Difference, MaxOver, MeanOver, Resample

_POOLS = (Kind.AVG_POOL, Kind.SUM_POOL, Kind.MAX_POOL)


def fan_out(graph: LayerGraph) -> dict[str, torch.Tensor]:
    """SynOps per spike of the input and of every activation.

    A spike is routed through pools, sums and layouts without cost (as on the chip), and each use
    of a weight by the next layers is one SynOp; a function takes it for its MACs. A spike in
    an overlapping pool's several windows travels on once per window.

    Returns:
        float32 `[*shape]` by node name.
    """
    sources = (graph.nodes[0], *graph.of_kind(*SPIKING))
    with torch.enable_grad():
        return {node.name: _fan_out_of(graph, node) for node in sources}


def _fan_out_of(graph: LayerGraph, source: Node) -> torch.Tensor:
    spikes = torch.zeros((1, *source.shape), requires_grad=True)
    values = {source.name: spikes}
    total = spikes.sum() * 0
    for node in graph.nodes:
        if node.name == source.name or not any(name in values for name in node.inputs):
            continue
        if node.kind in WEIGHTED:
            total = total + _uses_of_weights(node.module, values[node.inputs[0]])
        elif node.kind not in (*SPIKING, Kind.FUNCTION):
            shapes = {n.name: n.shape for n in graph.nodes}
            inputs = [values.get(n, torch.zeros((1, *shapes[n]))) for n in node.inputs]
            values[node.name] = _route(node, inputs)
    (gradient,) = torch.autograd.grad(total, spikes)
    return gradient[0]


def _uses_of_weights(module: Any, x: torch.Tensor) -> torch.Tensor:
    ones = torch.ones_like(module.weight)
    if isinstance(module, nn.Linear):
        return F.linear(x, ones).sum()
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d):
        turned: Any = F.conv_transpose1d if x.ndim == 3 else F.conv_transpose2d
        settings = (module.stride, module.padding, module.output_padding, module.groups)
        found: torch.Tensor = turned(x, ones, None, *settings, module.dilation)
        return found.sum()
    convolve = F.conv1d if isinstance(module, nn.Conv1d) else F.conv2d
    return convolve(
        x,
        ones,
        None,
        module.stride,
        module.padding,
        module.dilation,
        module.groups,
    ).sum()


def _route(node: Node, inputs: list[torch.Tensor]) -> torch.Tensor:
    module: Any = node.module
    if node.kind in (Kind.SCALE, Kind.AFFINE):
        return inputs[0]
    if isinstance(module, Resample):
        return module.reach(inputs[0])
    if isinstance(module, Difference):
        return inputs[0] + inputs[1]
    if isinstance(module, MeanOver | MaxOver):
        return inputs[0].sum(module.dims, module.keep)
    if node.kind not in _POOLS:
        output: torch.Tensor = module(*inputs)
        return output
    stride = module.stride if module.stride is not None else module.kernel_size
    padding = getattr(module, "padding", 0)
    ceil = bool(module.ceil_mode)
    if inputs[0].ndim == 3:
        size = module.kernel_size
        window = size[0] if isinstance(size, tuple) else size
        summed: torch.Tensor = F.avg_pool1d(inputs[0], size, stride, padding, ceil) * window
        return summed
    return F.avg_pool2d(
        inputs[0],
        module.kernel_size,
        stride,
        padding,
        ceil,
        divisor_override=1,
    )
