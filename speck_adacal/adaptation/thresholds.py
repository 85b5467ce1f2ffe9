"""Thresholds from activations: the MSE grid of eqs. 6 and 8, the maximum, or a percentile."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.adaptation.histogram import ActivationHistogram, clip_floor_errors
from speck_adacal.ann.graph import SPIKING, Kind, LayerGraph
from speck_adacal.errors import CalibrationError
from speck_adacal.recipe.recipe import AdaptSettings
from speck_adacal.samples.batches import Batches
from speck_adacal.snn._values import by_channel, on_axis

Array = npt.NDArray[np.float64]

_COARSE = np.linspace(0.01, 1.0, 100)
_LOG = logging.getLogger("speck_adacal")


@dataclass(frozen=True, eq=False)
class LayerStatistics:
    """What calibration saw of one layer.

    Attributes:
        name: activation node, or output node.
        histogram: of the ANN's rectified values; of their sizes, where they have a sign.
        bound: the rectifier's upper bound, or None.
        readout: True for an output node without a rectifier.
        relay: threshold of a last channel that relays a constant, which the histogram leaves out;
            0 where there is none.
        signed: whether its neurons have a sign.
        axes: of one of its values.
        channel_axis: that of the channels among them.
    """

    name: str
    histogram: ActivationHistogram
    bound: float | None
    readout: bool
    relay: float = 0.0
    signed: bool = False
    axes: int = 1
    channel_axis: int = 0

    @property
    def dead_channels(self) -> int:
        """Channels that were never above zero."""
        return int((self.histogram.peak <= 0).sum())


@torch.no_grad()
def observe(graph: LayerGraph, batches: Batches) -> dict[str, LayerStatistics]:
    """Histograms of every activation and of the non-spiking outputs, in one pass over the data.

    Raises:
        CalibrationError: no data, other shapes than traced, or NaN or infinite activations (the
            layer and the batch are named).
    """
    nodes = {n.name: n for n in graph.of_kind(*SPIKING)}
    readouts = {o for o in graph.outputs if o not in nodes}
    nodes |= {o: graph[o] for o in readouts}
    found = {
        name: LayerStatistics(
            name,
            ActivationHistogram(node.channels - bool(node.relay)),
            getattr(node.module, "upper", None),
            name in readouts,
            node.relay,
            node.kind is Kind.SIGNED,
            len(node.shape),
            node.channel_axis,
        )
        for name, node in nodes.items()
    }
    for index, batch in enumerate(batches):
        values = graph.run(batches.ann_input(batch), keep=tuple(nodes))
        for name, layer in found.items():
            value = values[name]
            if not bool(torch.isfinite(value).all()):
                raise CalibrationError(
                    f"Layer {name!r} gives NaN or infinite values on calibration batch {index}; "
                    "check the weights and the input's scale."
                )
            seen = by_channel(value.abs() if layer.signed else value, layer.channel_axis)
            own = seen[:, : layer.histogram.channels]  # not the relay
            layer.histogram.observe(own.contiguous().numpy())
    return found


def thresholds(
    layers: Mapping[str, LayerStatistics], settings: AdaptSettings, phi: Mapping[str, int] | int
) -> dict[str, Array]:
    """V_th of every layer at its φ, `()` or `[channels]`; always above zero."""
    found = {}
    for name, layer in layers.items():
        cap = phi if isinstance(phi, int) else phi.get(name, settings.phi)
        found[name] = layer_threshold(layer, settings, cap)
        if layer.dead_channels and layer.dead_channels == layer.histogram.channels:
            _LOG.warning("Layer %s is dead: no calibration sample activates it.", name)
    return found


def layer_threshold(layer: LayerStatistics, settings: AdaptSettings, phi: int) -> Array:
    """V_th of one layer at φ: one for all channels, or one each; a relay has its own.

    A channel that never fires gets the largest threshold of its layer, a layer that never fires
    gets 1: any value above zero keeps it silent.
    """
    per_channel = settings.per_channel and not layer.readout
    histogram = layer.histogram if per_channel else layer.histogram.merged()
    if settings.threshold_method == "mse":
        values = search_grid(histogram, settings.time_steps, phi)
    elif settings.threshold_method == "max":
        values = histogram.peak / phi
    else:
        values = histogram.percentile(settings.percentile) / phi
    alive = values > 0
    values = np.where(alive, values, values.max() if alive.any() else 1.0)
    if layer.relay:
        channels = np.broadcast_to(values, (layer.histogram.channels,))
        return np.append(channels, layer.relay)
    found = torch.from_numpy(np.asarray(values))
    shaped = on_axis(found, layer.axes, layer.channel_axis) if per_channel else found[0]
    return np.asarray(shaped.numpy())


def search_grid(
    histogram: ActivationHistogram, time_steps: int, phi: int, shift: float = 0.5
) -> Array:
    """Per channel the V_th in (0, max/φ] of least squared error; 0 where nothing was seen.

    One hundred even candidates, then twenty around the best; all on the histogram, so that the
    data are read once. Above max/φ nothing is clipped and steps only get coarser.
    """
    tables = (histogram.counts, histogram.sums, histogram.squares)
    top = (histogram.peak / phi)[:, None]
    grid = np.where(top > 0, top, 1.0) * _COARSE
    best = _pick(grid, clip_floor_errors(*tables, grid, time_steps, phi, shift))
    fine = best[:, None] + np.where(top > 0, top, 1.0) * np.linspace(-0.0095, 0.0095, 20)
    fine = np.concatenate((best[:, None], fine), axis=1)
    best = _pick(fine, clip_floor_errors(*tables, fine, time_steps, phi, shift))
    return np.where(histogram.peak > 0, best, 0.0)


def _pick(grid: Array, errors: Array) -> Array:
    return np.take_along_axis(grid, errors.argmin(1)[:, None], axis=1)[:, 0]
