"""What sums, differences, products and quotients in a network become."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from speck_adacal.ann import modules as m
from speck_adacal.ann._call import Call, RefusedError, Steps
from speck_adacal.ann.graph import Kind


def add(call: Call) -> Steps:
    left, right = call.get("input"), call.get("other")
    if _two_tensors(call):
        if call.get("alpha", 1) != 1:
            raise RefusedError("it has alpha other than 1")
        if left.shape != right.shape:
            raise RefusedError(f"it broadcasts {tuple(left.shape)} and {tuple(right.shape)}")
        return [(Kind.ADD, m.Add())]
    if not _carries(call, "input"):
        return _affine(call, torch.as_tensor(call.get("alpha", 1)), torch.as_tensor(left))
    return _affine(call, torch.tensor(1.0), _times_alpha(call, right))


def subtract(call: Call) -> Steps:
    if _two_tensors(call) or not _carries(call, "input"):
        raise RefusedError("only subtracting a constant is")
    return _affine(call, torch.tensor(1.0), -_times_alpha(call, call.get("other")))


def multiply(call: Call) -> Steps:
    if _two_tensors(call):
        raise RefusedError("it multiplies two activations; only constants are")
    constant = call.get("other") if _carries(call, "input") else call.get("input")
    return _affine(call, torch.as_tensor(constant), torch.tensor(0.0))


def divide(call: Call) -> Steps:
    if call.get("rounding_mode") is not None:
        raise RefusedError(f"it rounds (rounding_mode={call.get('rounding_mode')!r})")
    if _two_tensors(call) or not _carries(call, "input"):
        raise RefusedError("only dividing by a constant is")
    return _affine(call, 1.0 / torch.as_tensor(call.get("other")), torch.tensor(0.0))


def _times_alpha(call: Call, constant: Any) -> torch.Tensor:
    scaled: torch.Tensor = torch.as_tensor(constant) * call.get("alpha", 1)
    return scaled


def _carries(call: Call, name: str) -> bool:
    """Whether an argument depends on the network's input: it has the batch axis."""
    node = call.arguments.get(name)
    return isinstance(node, fx.Node) and node.op != "get_attr" and depends_on_input(node)


def depends_on_input(node: fx.Node) -> bool:
    return node.op == "placeholder" or any(depends_on_input(n) for n in node.all_input_nodes)


def _two_tensors(call: Call) -> bool:
    return _carries(call, "input") and _carries(call, "other")


def _affine(call: Call, weight: torch.Tensor, bias: torch.Tensor) -> Steps:
    x = call.get("input" if _carries(call, "input") else "other")
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
