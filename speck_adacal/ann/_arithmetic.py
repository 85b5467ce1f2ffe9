"""What sums, differences, products and quotients in a network become."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from speck_adacal.ann import modules as m
from speck_adacal.ann._call import Call, RefusedError, Steps
from speck_adacal.ann.functions import Product, Quotient
from speck_adacal.ann.graph import Kind
from speck_adacal.ann.routing import BroadcastSum, Difference


def add(call: Call) -> Steps:
    left, right = call.get("input"), call.get("other")
    if _two_tensors(call):
        if call.get("alpha", 1) != 1:
            raise RefusedError("it has alpha other than 1")
        same = left.shape == right.shape
        return [(Kind.ADD, m.Add()) if same else (Kind.ROUTE, BroadcastSum())]
    if not carries(call, "input"):
        return _affine(call, torch.as_tensor(call.get("alpha", 1)), torch.as_tensor(left))
    return _affine(call, torch.tensor(1.0), _times_alpha(call, right))


def subtract(call: Call) -> Steps:
    if _two_tensors(call):
        if call.get("alpha", 1) != 1:
            raise RefusedError("it has alpha other than 1")
        return [(Kind.ROUTE, Difference())]
    if not carries(call, "input"):
        minuend = torch.as_tensor(call.get("input"))
        return _affine(call, -torch.as_tensor(call.get("alpha", 1.0)), minuend)
    return _affine(call, torch.tensor(1.0), -_times_alpha(call, call.get("other")))


def multiply(call: Call) -> Steps:
    if _two_tensors(call):
        return [(Kind.FUNCTION, Product())]
    constant = call.get("other") if carries(call, "input") else call.get("input")
    return _affine(call, torch.as_tensor(constant), torch.tensor(0.0))


def divide(call: Call) -> Steps:
    if call.get("rounding_mode") is not None:
        raise RefusedError(f"it rounds (rounding_mode={call.get('rounding_mode')!r})")
    if _two_tensors(call):
        return [(Kind.FUNCTION, Quotient())]
    if not carries(call, "input"):
        raise RefusedError("a constant divided by a value is not; only by a constant or a value")
    return _affine(call, 1.0 / torch.as_tensor(call.get("other")), torch.tensor(0.0))


def _times_alpha(call: Call, constant: Any) -> torch.Tensor:
    scaled: torch.Tensor = torch.as_tensor(constant) * call.get("alpha", 1)
    return scaled


def carries(call: Call, name: str) -> bool:
    """Whether an argument depends on the network's input: it has the batch axis."""
    node = call.arguments.get(name)
    return isinstance(node, fx.Node) and node.op != "get_attr" and depends_on_input(node)


def depends_on_input(node: fx.Node) -> bool:
    return node.op == "placeholder" or any(depends_on_input(n) for n in node.all_input_nodes)


def _two_tensors(call: Call) -> bool:
    return carries(call, "input") and carries(call, "other")


def _affine(call: Call, weight: torch.Tensor, bias: torch.Tensor) -> Steps:
    x = call.get("input" if carries(call, "input") else "other")
    if _is_channelwise(weight, x) and _is_channelwise(bias, x):
        channels = x.shape[1]
        scale = m.Scale(_channelwise(weight, channels), _channelwise(bias, channels))
        return [(Kind.SCALE, scale)]
    return [(Kind.AFFINE, m.Affine(_of_sample(weight, x), _of_sample(bias, x)))]


def _is_channelwise(value: torch.Tensor, x: torch.Tensor) -> bool:
    """Whether a constant is one number, or one for each channel (axis 1)."""
    shape = (1,) * (x.ndim - value.ndim) + tuple(value.shape)
    return value.numel() == 1 or shape == (1, x.shape[1]) + (1,) * (x.ndim - 2)


def _channelwise(value: torch.Tensor, channels: int) -> torch.Tensor:
    return value.detach().float().reshape(-1).expand(channels).clone()


def _of_sample(value: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """A constant without the batch axis, with as many axes as a sample."""
    value = value.detach().float()
    value = value.reshape((1,) * (x.ndim - value.ndim) + tuple(value.shape))
    fits = all(n in (1, size) for n, size in zip(value.shape[1:], x.shape[1:], strict=True))
    if value.ndim != x.ndim or value.shape[0] != 1 or not fits:
        raise RefusedError(
            f"its constant has shape {tuple(value.shape)} beside {tuple(x.shape)}; one for all "
            "samples, which does not enlarge them, is"
        )
    return value[0].clone()
