"""One spelling for every call: arguments by the names that PyTorch documents, before any handler
reads them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import fx, nn
from torch._jit_internal import boolean_dispatched
from torch.fx.operator_schemas import get_signature_for_torch_op

# What PyTorch's own parser takes beside its names, for the sake of NumPy's users.
_ALIASES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "x1": "input", "x2": "other"}
# Python's operators take no names.
_OPERANDS = ("input", "other")


def named_arguments(node: fx.Node, module: nn.Module | None) -> dict[str, Any]:
    """The arguments of a traced call by name, in the order of its signature.

    Args:
        node: a call of a module, a function or a method.
        module: what is called, for a call of a module.

    Returns:
        The given arguments; what no signature could be found for is named `input`, `other` and by
        its position.
    """
    args, kwargs = tuple(node.args), dict(node.kwargs)
    for signature in _signatures(node, module):
        names = signature.parameters
        renamed = {k if k in names else _ALIASES.get(k, k): v for k, v in kwargs.items()}
        try:
            bound = signature.bind(*args, **renamed)
        except TypeError:
            continue
        return dict(bound.arguments)
    operands = {
        _OPERANDS[i] if i < len(_OPERANDS) else str(i): value for i, value in enumerate(args)
    }
    return operands | {_ALIASES.get(k, k): v for k, v in kwargs.items()}


def _signatures(node: fx.Node, module: nn.Module | None) -> Iterable[inspect.Signature]:
    if module is not None:
        return [inspect.signature(type(module).forward).replace(parameters=_without_self(module))]
    if isinstance(node.target, str):
        name = node.target
        function = getattr(torch, name, None) or getattr(torch, name.rstrip("_"), None)
    else:
        function = node.target
    return [] if function is None else _of_function(function)


def _without_self(module: nn.Module) -> list[inspect.Parameter]:
    return list(inspect.signature(type(module).forward).parameters.values())[1:]


def _of_function(function: Any) -> Iterable[inspect.Signature]:
    if function in boolean_dispatched:
        plain: Callable[..., Any] = boolean_dispatched[function]["if_false"]
        return [inspect.signature(plain)]
    if (builtin := get_signature_for_torch_op(function)) is not None:
        # TorchScript's overloads for lists and numbers name their first argument otherwise.
        return [s for s in builtin if next(iter(s.parameters), "") in ("input", "tensors")]
    try:
        return [inspect.signature(function)] if inspect.isfunction(function) else []
    except (TypeError, ValueError):
        return []
