"""A private copy of a user's network, without the wrappers that training puts around it."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from speck_adacal.ann._transformers import with_plain_attention
from speck_adacal.errors import ModelError

# Where the wrappers of PyTorch keep what they wrap: DataParallel, DistributedDataParallel and
# AveragedModel, and torch.compile.
_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "FullyShardedDataParallel": "module",
    "AveragedModel": "module",
    "OptimizedModule": "_orig_mod",
}


def unwrapped(module: nn.Module) -> nn.Module:
    """What a parallel, averaged or compiled network wraps; any other network as it is."""
    while (inner := _WRAPPERS.get(type(module).__name__)) and _is_torchs(module):
        module = getattr(module, inner)
    return module


def private_copy(module: Any) -> nn.Module:
    """A copy in inference mode and float32, wrappers taken off wherever they stand.

    Raises:
        ModelError: it is no network, is TorchScript, has no values (meta device, lazy layers), or
            cannot be copied.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"trace needs a torch.nn.Module, found {type(module).__name__}; load the network first."
        )
    module = unwrapped(module)
    _refuse_unreadable(module)
    try:
        copied: nn.Module = copy.deepcopy(module).eval().float()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ModelError(
            f"{type(module).__name__} cannot be copied ({error}); "
            "detach its tensors, or rebuild it from a state_dict."
        ) from error
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if (inner := unwrapped(child)) is not child:
                setattr(parent, name, inner)
    return with_plain_attention(copied)


def _is_torchs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.")


def _refuse_unreadable(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            place = f" ({name})" if name else ""
            raise ModelError(
                f"{type(part).__name__}{place} is TorchScript (torch.jit), whose code cannot be "
                "traced; give the Python module that it was made from, with its state_dict."
            )
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(value):
            raise ModelError(
                f"{name} is a lazy parameter without a shape yet; run the network once on a batch."
            )
        if value.is_meta:
            raise ModelError(
                f"{name} is on the meta device and holds no values; build the network on the CPU "
                "and load its state_dict."
            )
