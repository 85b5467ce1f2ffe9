"""Quantised layers as a sinabs `DynapcnnNetwork`, and from there to a Speck configuration."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from speck_adacal.chip.side_by_side import SideBySideNetwork, build_configuration
from speck_adacal.core_layers import STATE_LOW, QuantisedLayer
from speck_adacal.errors import ConfigurationError
from speck_adacal.virtual_samna import ensure_samna
from speck_adacal.virtual_samna.sinabs_chips import sinabs_device


@dataclass(frozen=True, eq=False)
class MappedNetwork:
    """The network on the chip's cores.

    Attributes:
        network: sinabs' `DynapcnnNetwork` holding the quantised integers, or a
            `SideBySideNetwork` where cores take several maps as channels.
        cores: core of each layer, in order of the signal.
        configuration: samna's `SpeckConfiguration`.
    """

    network: Any
    cores: tuple[int, ...]
    configuration: Any


def map_network(
    layers: Sequence[QuantisedLayer],
    *,
    chip: str,
    time_steps: int,
    cores: Sequence[int] | None = None,
) -> MappedNetwork:
    """Place the layers on cores through sinabs, and build the configuration.

    The integers are ours (see `quantise`), so sinabs is told not to discretise again.

    Args:
        layers: quantised layers in order of the signal.
        chip: a name of `chip_description.known_chips()`.
        time_steps: steps per sample of the time-stepped forward pass.
        cores: a placement to keep; sinabs finds one where none is given.

    Raises:
        ConfigurationError: samna's validation refused the configuration; its message is quoted.
    """
    ensure_samna()
    from sinabs.backend.dynapcnn import DynapcnnNetwork

    if any(any(layer.folded.shifts) for layer in layers):
        modules = [_modules(layer, time_steps, i) for i, layer in enumerate(layers)]
        joined = SideBySideNetwork(layers, modules)
        reset_to_initial(joined, layers)
        configuration, found = build_configuration(joined, layers, chip=chip, cores=cores)
        return MappedNetwork(joined, found, configuration)
    network = DynapcnnNetwork(
        _Branched(layers, time_steps), input_shape=layers[0].folded.in_shape, discretize=False
    )
    reset_to_initial(network, layers)
    indices = _indices(network)
    placement = "auto" if cores is None else dict(zip(indices, cores, strict=True))
    said = io.StringIO()  # sinabs prints its verdict, and stdout belongs to the caller
    try:
        with contextlib.redirect_stdout(said):
            configuration = network.make_config(
                device=sinabs_device(chip), layer2core_map=placement
            )
    except ValueError as error:
        reason = said.getvalue().strip() or str(error)
        raise ConfigurationError(
            f"The configuration for {chip} was refused by samna's validation: {reason}"
        ) from error
    found = tuple(network.layer2core_map[index] for index in indices)
    return MappedNetwork(network, found, configuration)


def run_quantised(
    mapped: MappedNetwork, layers: Sequence[QuantisedLayer], frames: torch.Tensor
) -> npt.NDArray[np.float32]:
    """Run the time-stepped quantised network (the `quantized` level).

    Args:
        mapped: the network on the chip.
        layers: its layers, for the initial states.
        frames: float32 `[n, T, channels, height, width]` event counts per step.

    Returns:
        float32 `[n, T, classes]` spikes of the readout neurons per step.
    """
    reset_to_initial(mapped.network, layers)
    count, steps = frames.shape[:2]
    with torch.no_grad():
        out = mapped.network(frames.flatten(0, 1))
    reset_to_initial(mapped.network, layers)
    return np.asarray(out.reshape(count, steps, -1).numpy())


def reset_to_initial(network: Any, layers: Sequence[QuantisedLayer]) -> None:
    """Set every neuron's state to its configured initial value."""
    for index, layer in zip(_indices(network), layers, strict=True):
        core_layer = network.dynapcnn_layers[index]
        initial = torch.from_numpy(layer.initial.astype(np.float32))[None]
        core_layer.spk_layer.v_mem = initial


def _indices(network: Any) -> list[int]:
    """sinabs' number of each of our layers: it sorts branches in an order of its own."""
    numbers = {layer.conv.position: index for index, layer in network.dynapcnn_layers.items()}
    return [numbers[position] for position in range(len(numbers))]


class _Branched(nn.Module):
    """The layers as sinabs reads them: convolution, neurons, pooling, and sums where they meet."""

    def __init__(self, layers: Sequence[QuantisedLayer], time_steps: int) -> None:
        super().__init__()
        import sinabs.layers as sl

        self.sources = [layer.folded.sources for layer in layers]
        self.blocks = nn.ModuleList(
            nn.Sequential(*_modules(layer, time_steps, position))
            for position, layer in enumerate(layers)
        )
        self.sums = nn.ModuleList(
            nn.ModuleList(sl.Merge() for _ in sources[1:]) for sources in self.sources
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[batch * time, channels, height, width]` to the last layer's spikes."""
        values: list[torch.Tensor] = []
        for block, sums, sources in zip(self.blocks, self.sums, self.sources, strict=True):
            found = values[sources[0]] if sources else x
            for add, source in zip(sums, sources[1:], strict=True):  # type: ignore[call-overload]
                found = add(found, values[source])
            values.append(block(found))
        return values[-1]


def _modules(layer: QuantisedLayer, time_steps: int, position: int) -> list[nn.Module]:
    import sinabs.layers as sl
    from sinabs.activation import MaxSpike, MultiSpike

    folded = layer.folded
    out_channels, in_channels, *kernel = layer.weight.shape
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        (kernel[0], kernel[1]),
        stride=folded.stride,
        padding=folded.padding,
        bias=bool(layer.bias.any()),
    )
    if conv.bias is not None:
        conv.bias.data = torch.from_numpy(layer.bias.astype(np.float32))
        conv.bias.requires_grad_(False)
    conv.weight.data = torch.from_numpy(layer.weight.astype(np.float32))
    conv.weight.requires_grad_(False)
    conv.position = position  # type: ignore[assignment]  # survives sinabs' copies
    neuron = sl.IAFSqueeze(
        num_timesteps=time_steps,
        spike_threshold=torch.tensor(float(layer.threshold)),
        # The readout's threshold is finer than φ spikes a step could follow.
        spike_fn=MultiSpike if folded.recipe.readout else MaxSpike(folded.recipe.phi),
        min_v_mem=None if layer.threshold_low == STATE_LOW else float(layer.threshold_low),
    )
    pool = [sl.SumPool2d(folded.pool)] if folded.pool > 1 else []
    return [conv, neuron, *pool]
