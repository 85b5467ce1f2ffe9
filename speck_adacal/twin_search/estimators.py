"""The same recipe by the other estimator: time-stepped, in float, with φ spikes a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.samples.batches import Batches
from speck_adacal.twin_search.front import FrontPoint


@dataclass(frozen=True)
class LayerGap:
    """Mean spikes of a sample in one layer: `time_stepped` (estimated) and `twin` (simulated)."""

    name: str
    time_stepped: float
    twin: float

    @property
    def ratio(self) -> float:
        """Twin over time-stepped; NaN where the latter is silent."""
        return self.twin / self.time_stepped if self.time_stepped else float("nan")


@dataclass(frozen=True)
class StepEstimate:
    """A recipe by the time-stepped estimator, on the recordings that the front is judged by.

    Attributes:
        accuracy: share of decisions equal to the targets.
        synops: SynOps a sample; those of the first layer, which its input alone decides, are
            the twin's.
        layers: the gap to the twin of every spiking layer but the readout, which is not spiking
            in the time-stepped network.
    """

    accuracy: float
    synops: float
    layers: tuple[LayerGap, ...]


def time_stepped(point: FrontPoint, batches: Batches, labels: npt.ArrayLike) -> StepEstimate:
    """Run a point of the front in time steps.

    Args:
        point: the point.
        batches: the held-out samples, on which the twin's spikes were counted.
        labels: int `[samples]`.
    """
    network = point.network.network
    network.count_synops()
    decisions, spikes, synops = [], [], []
    with torch.no_grad():
        for batch in batches:
            outputs = point.recipe.decision_output(network(batch))
            decisions.append(outputs.flatten(1).argmax(1).numpy())
            activity = network.activity().values()
            spikes.append(_totals([layer.spikes for layer in activity]))
            synops.append(_totals([layer.synops for layer in activity if layer.synops is not None]))
    stepped = dict(zip(network.activity(), np.concatenate(spikes).mean(axis=0), strict=True))
    on_chip = zip(point.layer_names, point.layer_spikes, strict=True)
    return StepEstimate(
        accuracy=float(np.mean(np.concatenate(decisions) == np.asarray(labels))),
        synops=point.layer_synops[0] + float(np.concatenate(synops).sum(axis=1).mean()),
        layers=tuple(
            LayerGap(name, float(stepped[name]), twin) for name, twin in on_chip if name in stepped
        ),
    )


def _totals(layers: Sequence[torch.Tensor]) -> npt.NDArray[np.float64]:
    """`[batch, layers]` sums over time."""
    return torch.stack([layer.sum(1) for layer in layers], dim=1).double().numpy()
