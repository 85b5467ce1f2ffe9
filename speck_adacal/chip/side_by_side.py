"""Mapping of networks whose cores take several maps as channels side by side.

sinabs' `DynapcnnNetwork` has no such layer. Its layers and its configuration builder do: they are
used one by one, and the destinations get the channel at which a map begins (`feature_shift`).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from speck_adacal.core_layers import QuantisedLayer
from speck_adacal.errors import ConfigurationError
from speck_adacal.rules.fan_out import readers
from speck_adacal.virtual_samna.sinabs_chips import sinabs_device


class SideBySideNetwork(nn.Module):
    """The time-stepped quantised network (the `quantized` level), sinabs' layers in our order.

    Args:
        layers: quantised layers in order of the signal.
        modules: by position, the modules of each layer: convolution, neurons, pooling if any.
    """

    def __init__(
        self, layers: Sequence[QuantisedLayer], modules: Sequence[Sequence[nn.Module]]
    ) -> None:
        super().__init__()
        from sinabs.backend.dynapcnn.dynapcnn_layer import DynapcnnLayer

        self._folded = [layer.folded for layer in layers]
        self._destinations = destinations(layers)
        self.dynapcnn_layers = {
            position: DynapcnnLayer(
                conv=conv,
                spk=neurons,
                in_shape=layers[position].folded.in_shape,
                pool=[(layers[position].folded.pool,) * 2 for _ in self._destinations[position]],
                discretize=False,
            )
            for position, (conv, neurons, *_) in enumerate(modules)
        }

    @property
    def destination_map(self) -> Mapping[int, Sequence[int]]:
        """Positions of the layers that each layer sends to; -1 stands for the host."""
        return self._destinations

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch * time, channels, height, width]` to the last layer's spikes."""
        values: list[torch.Tensor] = []
        for position, folded in enumerate(self._folded):
            found = self._gathered(folded, values) if folded.sources else x
            layer = self.dynapcnn_layers[position]
            spikes = layer.spk_layer(layer.conv_layer(found))
            area = folded.pool * folded.pool
            values.append(nn.functional.avg_pool2d(spikes, folded.pool) * area)
        return values[-1]

    def _gathered(self, folded: Any, values: Sequence[torch.Tensor]) -> torch.Tensor:
        whole: torch.Tensor = values[folded.sources[0]].new_zeros(
            (len(values[folded.sources[0]]), *folded.in_shape)
        )
        for source, shift in zip(folded.sources, folded.shifts, strict=True):
            whole[:, shift : shift + values[source].shape[1]] += values[source]
        return whole


def destinations(layers: Sequence[QuantisedLayer]) -> dict[int, tuple[int, ...]]:
    """By position, those that read each layer; (-1,) where the host reads it."""
    folded = [layer.folded for layer in layers]
    return {i: readers(folded, i) or (-1,) for i in range(len(folded))}


def build_configuration(
    network: SideBySideNetwork,
    layers: Sequence[QuantisedLayer],
    *,
    chip: str,
    cores: Sequence[int] | None,
) -> tuple[Any, tuple[int, ...]]:
    """samna's configuration and the core of each layer.

    Args:
        network: holds the integers.
        layers: the same, with the channels at which maps begin.
        chip: a name of `chip_description.known_chips()`.
        cores: a placement to keep; sinabs finds one where none is given.

    Raises:
        ConfigurationError: no placement was found, or samna's validation refused the result.
    """
    from sinabs.backend.dynapcnn.chip_factory import ChipFactory

    builder = ChipFactory(sinabs_device(chip)).get_config_builder()
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            placement = (
                builder.map_layers_to_cores(network.dynapcnn_layers)
                if cores is None
                else dict(enumerate(cores))
            )
            configuration = builder.build_config(
                layers=network.dynapcnn_layers,
                layer2core_map=placement,
                destination_map=network.destination_map,
            )
            _shift(configuration, layers, placement)
            builder.monitor_layers(configuration, [placement[len(layers) - 1]])
            valid = builder.validate_configuration(configuration)
    except ValueError as error:
        raise ConfigurationError(f"The configuration for {chip} was refused: {error}") from error
    if not valid:
        raise ConfigurationError(
            f"The configuration for {chip} was refused by samna's validation: "
            f"{said.getvalue().strip()}"
        )
    return configuration, tuple(placement[i] for i in range(len(layers)))


def _shift(
    configuration: Any, layers: Sequence[QuantisedLayer], placement: Mapping[int, int]
) -> None:
    """Tell every core at which channel of its reader its map begins."""
    for position, layer in enumerate(layers):
        for source, shift in zip(layer.folded.sources, layer.folded.shifts, strict=True):
            for entry in configuration.cnn_layers[placement[source]].destinations:
                if entry.enable and entry.layer == placement[position]:
                    entry.feature_shift = shift
