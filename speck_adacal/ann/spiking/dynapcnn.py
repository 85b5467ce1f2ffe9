"""Networks as sinabs' `Network` and its Speck back end hold them, as plain modules."""

from __future__ import annotations

from typing import Any

import torch
from sinabs import layers as sl
from torch import nn

from speck_adacal.errors import ModelError


def as_plain_module(network: Any) -> Any:
    """What a `Network` or a `DynapcnnNetwork` of sinabs runs, as a module of PyTorch's own layers.

    A `DynapcnnNetwork` is known by its name, since importing its class would import samna.
    """
    if type(network).__name__ == "Network" and isinstance(
        getattr(network, "spiking_model", None), nn.Module
    ):
        network = network.spiking_model
    if type(network).__name__ == "DynapcnnNetwork":
        network = _Cores(network)
    return network


class _Cores(nn.Module):
    """The cores of a `DynapcnnNetwork`, in their order, with the pooling on their ways."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.sensor = nn.Identity() if network.dvs_layer is None else network.dvs_layer
        layers = network.dynapcnn_layers
        self.destinations = {int(i): tuple(network.layer_destination_map[i]) for i in layers}
        self.order = sorted(self.destinations)
        self.blocks = nn.ModuleDict(
            {str(i): nn.Sequential(layers[i].conv_layer, layers[i].spk_layer) for i in layers}
        )
        self.pools = nn.ModuleDict(
            {
                str(i): nn.ModuleList(
                    sl.SumPool2d(tuple(size)) if max(size) > 1 else nn.Identity()
                    for size in layers[i].pool
                )
                for i in layers
            }
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch, channels, height, width]` to the spikes of the last core."""
        waiting: dict[int, torch.Tensor] = {}
        found = x = self.sensor(x)
        for index in self.order:
            spikes = self.blocks[str(index)](waiting.get(index, x))
            pools: Any = self.pools[str(index)]
            for target, pool in zip(self.destinations[index], pools, strict=True):
                sent = pool(spikes)
                if target < 0:
                    found = sent
                else:
                    waiting[target] = waiting[target] + sent if target in waiting else sent
        output: torch.Tensor = found
        return output


def without_sensor(network: nn.Module, channels: int) -> nn.Module:
    """The network (changed in place) without layers of the sensor that change nothing.

    Raises:
        ModelError: one pools, crops or flips, which no core can.
    """
    for name, module in list(network.named_modules()):
        if type(module).__name__ == "DVSLayer" and name:
            _refuse_changes(name, module, channels)
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, nn.Identity())
    return network


def _refuse_changes(name: str, layer: Any, channels: int) -> None:
    shape = tuple(layer.input_shape)
    (top, bottom), (left, right) = (
        (layer.crop_layer.top_crop, layer.crop_layer.bottom_crop),
        (layer.crop_layer.left_crop, layer.crop_layer.right_crop),
    )
    flips = layer.flip_layer
    changes = {
        "pools": set(_pair(layer.pool_layer.kernel_size)) != {1},
        "crops": (top, left, bottom, right) != (0, 0, shape[1], shape[2]),
        "flips or swaps axes": flips.flip_x or flips.flip_y or flips.swap_xy,
        "merges polarities": layer.merge_polarities and channels > 1,
    }
    if found := [what for what, does in changes.items() if does]:
        raise ModelError(
            f"{name!r} {' and '.join(found)} before the first layer, which the chip's sensor does "
            "and no core: leave it out, give the shape behind it as input_shape, and prepare "
            "recordings alike."
        )


def _pair(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)
