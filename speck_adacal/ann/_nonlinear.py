"""What products, soft-maxima, normalisations and smooth activations of a network become."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from speck_adacal.ann import functions as f
from speck_adacal.ann._arithmetic import carries
from speck_adacal.ann._call import Call, RefusedError, Steps
from speck_adacal.ann._wide_layers import token_linear
from speck_adacal.ann.graph import Kind

Handler = Callable[[Call], Steps]


def _smooth(name: str, parameter: str = "") -> Handler:
    """A handler of an activation of single values, with the argument that sets its form."""

    def handler(call: Call) -> Steps:
        value = 1.0
        if parameter:
            default = 0.01 if name == "leaky_relu" else 1.0
            given = getattr(call.module, parameter, None) if call.module else None
            value = float(call.get(parameter, default) if given is None else given)
        return [(Kind.FUNCTION, f.Smooth(name, value))]

    return handler


def _gelu(call: Call) -> Steps:
    form = call.module.approximate if call.module else call.get("approximate", "none")
    return [(Kind.FUNCTION, f.Smooth("gelu" if form == "none" else "gelu_tanh"))]


def _softmax(call: Call) -> Steps:
    dim = call.module.dim if call.module is not None else call.get("dim")
    if not isinstance(dim, int) or dim % call.get("input").ndim == 0:
        raise RefusedError(f"it is over axis {dim}; name one axis of a sample")
    return [(Kind.FUNCTION, f.Softmax(dim % call.get("input").ndim))]


def _layer_norm(call: Call) -> Steps:
    if call.module is not None:
        module: Any = call.module
        shape, weight, bias, eps = (
            module.normalized_shape,
            module.weight,
            module.bias,
            module.eps,
        )
    else:
        shape, eps = call.get("normalized_shape"), call.get("eps", 1e-5)
        weight, bias = call.get("weight"), call.get("bias")
    return [(Kind.FUNCTION, _with(f.LayerNorm(tuple(shape), eps), weight, bias))]


def _group_norm(call: Call) -> Steps:
    module: Any = call.module
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        if module.track_running_stats:
            raise RefusedError("it keeps running statistics")
        groups, channels = module.num_features, module.num_features
    else:
        groups, channels = module.num_groups, module.num_channels
    made = f.GroupNorm(groups, channels, module.eps)
    return [(Kind.FUNCTION, _with(made, module.weight, module.bias))]


def _with(made: nn.Module, weight: Any, bias: Any) -> nn.Module:
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None:
            own = nn.Parameter(value.detach().clone().float(), requires_grad=False)
            setattr(made, name, own)
    return made


def _attention(call: Call) -> Steps:
    odd = {name: call.get(name) for name in ("attn_mask", "is_causal", "enable_gqa")}
    if given := [name for name, value in odd.items() if value is not None and value is not False]:
        raise RefusedError(f"it has {', '.join(given)}; attention of all to all is supported")
    if call.get("dropout_p", 0.0):
        raise RefusedError("it drops values at inference too; pass dropout_p=0 there")
    return [(Kind.FUNCTION, f.Attention(call.get("scale")))]


def _matrix_product(call: Call) -> Steps:
    names = list(call.arguments)
    if all(carries(call, name) for name in names[:2]):
        if min(call.get(name).ndim for name in names[:2]) < 3:
            raise RefusedError("it multiplies along the batch axis")
        return [(Kind.FUNCTION, f.MatrixProduct())]
    if carries(call, names[0]) and call.get(names[1]).ndim == 2:
        return token_linear(call.get(names[0]), call.get(names[1]).T)
    raise RefusedError("a constant in front is; write it as a linear layer")


def _power(call: Call) -> Steps:
    exponent = call.get("exponent", call.get("other", 2.0))
    if isinstance(exponent, torch.Tensor):
        raise RefusedError("its exponent is a tensor; use a number")
    return [(Kind.FUNCTION, f.Smooth("power", float(exponent)))]


def _of_two(smaller: bool) -> Handler:
    def handler(call: Call) -> Steps:
        if not (carries(call, "input") and carries(call, "other")):
            raise RefusedError("with a constant it is not; use clamp")
        return [(Kind.FUNCTION, f.Largest(smaller))]

    return handler


MODULES: dict[type, Handler] = {
    nn.GELU: _gelu,
    nn.SiLU: _smooth("silu"),
    nn.Mish: _smooth("mish"),
    nn.Sigmoid: _smooth("sigmoid"),
    nn.Tanh: _smooth("tanh"),
    nn.ELU: _smooth("elu", "alpha"),
    nn.LeakyReLU: _smooth("leaky_relu", "negative_slope"),
    nn.Hardsigmoid: _smooth("hardsigmoid"),
    nn.Hardswish: _smooth("hardswish"),
    nn.Softmax: _softmax,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.modules.instancenorm._InstanceNorm: _group_norm,
}
METHODS: dict[str, Handler] = {
    "softmax": _softmax,
    "sigmoid": _smooth("sigmoid"),
    "tanh": _smooth("tanh"),
    "exp": _smooth("exp"),
    "abs": _smooth("abs"),
    "pow": _power,
    "square": _power,
    **dict.fromkeys(("matmul", "bmm", "__matmul__"), _matrix_product),
    "maximum": _of_two(smaller=False),
    "minimum": _of_two(smaller=True),
}
FUNCTIONS: dict[Any, Handler] = {
    F.gelu: _gelu,
    F.silu: _smooth("silu"),
    F.mish: _smooth("mish"),
    F.elu: _smooth("elu", "alpha"),
    F.leaky_relu: _smooth("leaky_relu", "negative_slope"),
    F.hardsigmoid: _smooth("hardsigmoid"),
    F.hardswish: _smooth("hardswish"),
    **dict.fromkeys((torch.sigmoid, F.sigmoid), _smooth("sigmoid")),
    **dict.fromkeys((torch.tanh, F.tanh), _smooth("tanh")),
    torch.exp: _smooth("exp"),
    torch.abs: _smooth("abs"),
    **dict.fromkeys((torch.pow, torch.square, operator.pow), _power),
    **dict.fromkeys((F.softmax, torch.softmax), _softmax),
    F.layer_norm: _layer_norm,
    F.scaled_dot_product_attention: _attention,
    **dict.fromkeys((torch.matmul, torch.bmm, operator.matmul), _matrix_product),
    torch.maximum: _of_two(smaller=False),
    torch.minimum: _of_two(smaller=True),
}
