"""What programs for sinabs 2 expect of sinabs 3, bridged where the meaning is the same.

`speck-adacal virtual run --compat sinabs2` installs it for one process. What cannot be bridged
stops as it does without; `docs/howto/old-speck-programs.md` has the edit for each error.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import nn

_TO_OF_2 = (
    "device",
    "chip_layers_ordering",
    "monitor_layers",
    "config_modifier",
    "slow_clk_frequency",
)
_MAKE_CONFIG_OF_2 = ("chip_layers_ordering", "device", "monitor_layers", "config_modifier")


def install() -> None:
    """Bridge the sinabs of this process; `ensure_samna` comes first."""
    import sinabs.nir
    from sinabs.backend.dynapcnn import DynapcnnNetwork
    from sinabs.backend.dynapcnn.dynapcnn_layer import DynapcnnLayer

    if getattr(DynapcnnNetwork, "speck_adacal_sinabs2", False):
        return
    DynapcnnNetwork.speck_adacal_sinabs2 = True
    DynapcnnNetwork.__init__ = _without_leading_pool(DynapcnnNetwork.__init__)
    DynapcnnNetwork.to = _with_old_positions(DynapcnnNetwork.to, _TO_OF_2)
    DynapcnnNetwork.make_config = _with_old_positions(
        DynapcnnNetwork.make_config, _MAKE_CONFIG_OF_2
    )
    DynapcnnLayer.pool_layer = property(_pool_layer)
    DynapcnnNetwork.chip_layers_ordering = property(_ordering)
    DynapcnnNetwork.sequence = property(_sequence)
    DynapcnnNetwork.compatible_layers = property(_sequence)
    sinabs.nir.from_nir = _with_plain_outputs(sinabs.nir.from_nir)


def _without_leading_pool(init: Callable[..., None]) -> Callable[..., None]:
    """sinabs 2 took a pooling of 1 in front for the sensor's; sinabs 3 finds no place for it."""

    @wraps(init)
    def build(self: Any, snn: nn.Module, *args: Any, **values: Any) -> None:
        init(self, _leading_pool_removed(snn), *args, **values)

    return build


def _leading_pool_removed(snn: nn.Module) -> nn.Module:
    from sinabs.layers import SumPool2d

    if not isinstance(snn, nn.Sequential) or len(snn) < 2:
        return snn
    first = snn[0]
    whole = isinstance(first, (SumPool2d, nn.AvgPool2d))
    if whole and _pair(first.kernel_size) == (1, 1):
        return nn.Sequential(*list(snn)[1:])
    return snn


def _pair(size: Any) -> tuple[int, int]:
    return tuple(size) if isinstance(size, (tuple, list)) else (size, size)


def _with_old_positions(function: Callable[..., Any], names: tuple[str, ...]) -> Callable[..., Any]:
    """Positional arguments by their names of sinabs 2, and a list of cores as what it was.

    In sinabs 2 `"auto"` and a list of cores, in order of the layers, could stand in the place
    where sinabs 3 expects a dict.
    """

    @wraps(function)
    def call(self: Any, *args: Any, **values: Any) -> Any:
        if len(args) > len(names):
            raise TypeError(f"{function.__name__} takes at most {len(names)} positional arguments")
        given = {**dict(zip(names, args, strict=False)), **values}
        cores = given.pop("chip_layers_ordering", None)
        if isinstance(cores, dict):
            given["layer2core_map"] = cores
        elif cores is not None and cores != "auto":
            given["layer2core_map"] = dict(zip(sorted(self.dynapcnn_layers), cores, strict=True))
        return function(self, **given)

    return call


def _ordering(self: Any) -> list[int]:
    """The core of each layer, in order, as sinabs 2 kept it."""
    cores = self.layer2core_map or {}
    return [cores[index] for index in sorted(cores)]


def _sequence(self: Any) -> nn.ModuleList:
    """The layers in order, with the sensor's stage in front where there is one."""
    layers = [self.dynapcnn_layers[index] for index in sorted(self.dynapcnn_layers)]
    stage = [] if self.dvs_layer is None else [self.dvs_layer]
    return nn.ModuleList(stage + layers)


def _pool_layer(self: Any) -> nn.Module | None:
    """The pooling behind a layer's neurons, None where there is none; layers of 2 had one."""
    from sinabs.layers import SumPool2d

    sizes = [_pair(size) for size in self.pool]
    return SumPool2d(sizes[0]) if sizes and sizes[0] != (1, 1) else None


def _with_plain_outputs(from_nir: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Models whose call returns the output, where newer releases return (output, state)."""

    @wraps(from_nir)
    def load(*args: Any, **values: Any) -> nn.Module:
        model = from_nir(*args, **values)
        kind = type(model)

        def forward(self: nn.Module, *inputs: Any) -> torch.Tensor:
            found = kind.forward(self, *inputs)
            output: torch.Tensor = found[0] if isinstance(found, tuple) else found
            return output

        model.__class__ = type(kind.__name__, (kind,), {"forward": forward})
        return model

    return load
