"""What sums, differences, products and quotients in a network become."""

from __future__ import annotations

import torch
from torch import fx

from speck_adacal.ann import modules as m
from speck_adacal.ann._call import Call, RefusedError, Steps
from speck_adacal.ann.graph import Kind


def add(call: Call) -> Steps:
    left, right = call.get(0, "input"), call.get(1, "other")
    if call.kwargs.get("alpha", 1) != 1:
        raise RefusedError("it has alpha other than 1")
    if _two_tensors(call):
        if left.shape != right.shape:
            raise RefusedError(f"it broadcasts {tuple(left.shape)} and {tuple(right.shape)}")
        return [(Kind.ADD, m.Add())]
    constant = right if isinstance(call.args[0], fx.Node) and _carries(call, 0) else left
    return _affine(call, torch.tensor(1.0), torch.as_tensor(constant))


def subtract(call: Call) -> Steps:
    if _two_tensors(call) or not _carries(call, 0):
        raise RefusedError("only subtracting a constant is")
    return _affine(call, torch.tensor(1.0), -torch.as_tensor(call.get(1, "other")))


def multiply(call: Call) -> Steps:
    if _two_tensors(call):
        raise RefusedError("it multiplies two activations; only constants are")
    constant = call.get(1, "other") if _carries(call, 0) else call.get(0, "input")
    return _affine(call, torch.as_tensor(constant), torch.tensor(0.0))


def divide(call: Call) -> Steps:
    if _two_tensors(call) or not _carries(call, 0):
        raise RefusedError("only dividing by a constant is")
    return _affine(call, 1.0 / torch.as_tensor(call.get(1, "other")), torch.tensor(0.0))


def _carries(call: Call, position: int) -> bool:
    """Whether an argument depends on the network's input: it has the batch axis."""
    node = call.args[position] if position < len(call.args) else None
    return isinstance(node, fx.Node) and node.op != "get_attr" and depends_on_input(node)


def depends_on_input(node: fx.Node) -> bool:
    return node.op == "placeholder" or any(depends_on_input(n) for n in node.all_input_nodes)


def _two_tensors(call: Call) -> bool:
    return _carries(call, 0) and _carries(call, 1)


def _affine(call: Call, weight: torch.Tensor, bias: torch.Tensor) -> Steps:
    x = next(v for i in (0, 1) if _carries(call, i) for v in [call.get(i, "")])
    channels = x.shape[1]
    return [
        (Kind.SCALE, m.Scale(_channelwise(weight, x, channels), _channelwise(bias, x, channels)))
    ]


def _channelwise(value: torch.Tensor, x: torch.Tensor, channels: int) -> torch.Tensor:
    value = value.detach().float()
    if value.numel() == 1:
        return value.reshape(1).expand(channels).clone()
    axis = x.ndim - value.ndim
    shape = (1,) * axis + tuple(value.shape)
    if shape != (1, channels) + (1,) * (x.ndim - 2):
        raise RefusedError(f"its constant has shape {tuple(value.shape)}; one value per channel is")
    return value.reshape(channels).clone()
