"""Where a layer's error comes from: clipping, quantisation, unevenness (the paper's Fig. 3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from speck_adacal.adaptation.both_networks import SideBySide
from speck_adacal.ann.graph import SPIKING, LayerGraph, Node
from speck_adacal.recipe.recipe import AdaptSettings, Recipe
from speck_adacal.samples.batches import Batches
from speck_adacal.snn._values import broadcastable
from speck_adacal.snn.adafire import AdaFire
from speck_adacal.snn.network import SpikingNetwork


@dataclass(frozen=True)
class LayerError:
    """Root mean square parts of a layer's error, as parts of the RMS of the ANN's activation.

    The four parts add up, value by value, to the total error `s̄ - a` (their squares do not).

    Attributes:
        name: the layer.
        clipping: `clip(a, 0, φθ) - a`, with a sign `clip(a, -φθ, φθ) - a`.
        quantisation: ClipFloor minus clip, pair of the ANN's value.
        unevenness: the spiking output minus ClipFloor of its own mean input: what depends on
            *when* the input came.
        inherited: ClipFloor of the spiking mean input minus that of the ANN's: the errors of
            the layers before.
        total: `s̄ - a`.
    """

    name: str
    clipping: float
    quantisation: float
    unevenness: float
    inherited: float
    total: float


@torch.no_grad()
def decompose(
    graph: LayerGraph,
    recipe: Recipe,
    batches: Batches,
    settings: AdaptSettings,
    corrected: LayerGraph | None = None,
) -> tuple[LayerError, ...]:
    """The parts of every spiking layer's error, from one run over the calibration samples.

    Args:
        graph: the ANN.
        recipe: the spiking network's values.
        batches: data; the first `settings.correction_samples` are used.
        settings: T and the input coding.
        corrected: the spiking network's graph, if corrections changed it.
    """
    network = SpikingNetwork(corrected or graph, recipe)
    inputs = list(batches.between(0, settings.correction_samples))
    pair = SideBySide(graph, network, inputs, batches, settings.time_steps)
    return tuple(
        _layer_error(node, network, pair, settings.time_steps)
        for node in pair
        if node.kind in SPIKING
    )


def _layer_error(node: Node, network: SpikingNetwork, pair: SideBySide, steps: int) -> LayerError:
    module = network.layer(node.name)
    assert isinstance(module, AdaFire)  # noqa: S101  (SpikingNetwork makes it so)
    both = (module.theta, module.initial_potential)
    theta, start = (broadcastable(v, len(node.shape)) for v in both)
    top, least = module.phi * theta, module.least
    sums = torch.zeros(6, dtype=torch.float64)
    for ann, snn in zip(pair.ann, pair.snn, strict=True):
        wanted = ann[node.name]
        current = snn[node.inputs[0]][0]
        module.reset_states()
        found = module.run(current, steps).mean(1)
        clipped = torch.minimum(wanted, top).maximum(least * theta)
        levels = _clip_floor(wanted, steps, module, theta / 2)
        own = _clip_floor(current.mean(1), steps, module, start)
        parts = (
            clipped - wanted,
            levels - clipped,
            found - own,
            own - levels,
            found - wanted,
            wanted,
        )
        sums += torch.stack([p.double().square().sum() for p in parts])
    size = float(sums[5].sqrt()) or 1.0
    rms = [float(s.sqrt()) / size for s in sums[:5]]
    return LayerError(node.name, *rms)


def _clip_floor(z: torch.Tensor, steps: int, neurons: AdaFire, start: torch.Tensor) -> torch.Tensor:
    """Mean output of a neuron whose input comes evenly (eq. 8)."""
    theta = broadcastable(neurons.theta, z.ndim - 1)
    level = torch.floor((z * steps + start) / theta)
    return level.clamp(neurons.least * steps, neurons.phi * steps) * theta / steps
