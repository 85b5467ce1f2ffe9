"""Activity and errors of every layer of a deployment, on samples, by the chip twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import avg_pool2d, conv2d

from speck_adacal.chip.deploy import Deployment
from speck_adacal.core_layers import QuantisedLayer
from speck_adacal.events import Events
from speck_adacal.samples.batches import Batches, encode_for
from speck_adacal.twin import Twin

Floats = npt.NDArray[np.float64]
# Share of the events at a neuron that it answers with a spike; one per event is the chip's limit.
_CEILING = 0.9


@dataclass(frozen=True)
class LayerActivity:
    """What the twin (simulated) did in one layer, over all samples.

    Attributes:
        spikes: spikes a sample.
        dead_channels: channels that never fired.
        always_on_channels: channels at the ceiling of the chip's rule, which fired at nine in ten
            or more of the events that reached them.
        layer_error: what rounding alone did: charge that reached the neurons in a window, from
            the spikes that really came, by the integers against the same by the layer in float;
            root mean square, relative.
        cumulative_error: everything up to here: spike counts of the window against the trained
            network's activations in spikes; root mean square, relative. `None` where the trained
            network's layer is silent.
    """

    spikes: float
    dead_channels: tuple[int, ...]
    always_on_channels: tuple[int, ...]
    layer_error: float
    cumulative_error: float | None


def measure_activity(deployment: Deployment, samples: Any) -> tuple[int, tuple[LayerActivity, ...]]:
    """Run samples through the twin and look at every core.

    Returns:
        The number of samples, and one result per layer in order of the signal.

    Raises:
        CalibrationError: the samples are empty, of a wrong shape or range.
    """
    adapted = deployment.adapted
    batches = encode_for(samples, adapted.ann.input_shape, adapted.recipe)
    recordings = batches.recordings()
    spikes = _spike_counts(deployment, recordings)
    wanted = _wanted(deployment, batches)
    inputs = np.stack([_input_counts(recording) for recording in recordings])
    results = []
    steps = deployment.adapted.recipe.settings.time_steps
    for layer, fired, target in zip(deployment.layers, spikes, wanted, strict=True):
        sources = layer.folded.sources
        arriving = inputs
        if sources:
            parts = [_pooled(spikes[s], deployment.layers[s].folded.pool) for s in sources]
            arriving = np.zeros((len(inputs), *layer.folded.in_shape))
            for part, shift in zip(parts, layer.folded.shifts, strict=True):
                arriving[:, shift : shift + part.shape[1]] += part
        results.append(_activity(layer, arriving, fired, target.reshape(fired.shape), steps))
    return batches.samples, tuple(results)


def _activity(
    layer: QuantisedLayer, arriving: Floats, fired: Floats, wanted: Floats, steps: int
) -> LayerActivity:
    folded = layer.folded
    reached = _convolved(layer, arriving, np.ones_like(folded.weight)).sum(axis=(0, 2, 3))
    per_channel = fired.sum(axis=(0, 2, 3))
    constant = folded.initial + steps * folded.bias[:, None, None]
    ticked = layer.initial + steps * layer.bias.astype(np.float64)[:, None, None]
    exact = _convolved(layer, arriving, folded.weight) + constant
    integers = _convolved(layer, arriving, layer.weight.astype(np.float64)) + ticked
    always = (per_channel > 0) & (per_channel >= _CEILING * reached)
    return LayerActivity(
        spikes=float(fired.sum() / len(fired)),
        dead_channels=tuple(np.flatnonzero(per_channel == 0).tolist()),
        always_on_channels=tuple(np.flatnonzero(always).tolist()),
        layer_error=_relative(integers / layer.threshold, exact) or 0.0,
        cumulative_error=_relative(fired, wanted),
    )


def _spike_counts(deployment: Deployment, recordings: list[Events]) -> list[Floats]:
    """Spikes of every neuron by layer, float64 `[n, channels, height, width]`."""
    configuration = deployment.mapped.configuration
    twin = Twin.from_configuration(
        configuration,
        chip=deployment.chip,
        observe=deployment.cores,
        slow_clock_hz=deployment.slow_clock_hz,
    )
    runs = twin.run_many(recordings)
    found = []
    for layer, core in zip(deployment.layers, deployment.cores, strict=True):
        counts = np.zeros((len(runs), *layer.folded.out_shape))
        for count, run in zip(counts, runs, strict=True):
            spikes = run.spikes[core]
            np.add.at(count, (spikes.channel, spikes.y, spikes.x), 1)
        found.append(counts)
    return found


def _wanted(deployment: Deployment, batches: Batches) -> list[Floats]:
    """The trained network's activations as spikes of a window, by layer."""
    adapted = deployment.adapted
    names = [layer.folded.recipe.name for layer in deployment.layers]
    with torch.no_grad():
        runs = [adapted.reference.run(batch, keep=names) for batch in batches.held()]
    found = []
    for layer, name in zip(deployment.layers, names, strict=True):
        folded = layer.folded
        threshold = np.broadcast_to(folded.recipe.firing_threshold, folded.out_shape[:1])
        values = torch.cat([run[name] for run in runs]).double().numpy().clip(min=0)
        values = values.reshape(-1, *folded.out_shape)
        found.append(values * adapted.recipe.settings.time_steps / threshold[:, None, None])
    return found


def _input_counts(recording: Events) -> Floats:
    counts = np.zeros(recording.shape)
    np.add.at(counts, (recording.channel, recording.y, recording.x), 1)
    return counts


def _pooled(counts: Floats, edge: int) -> Floats:
    pooled = avg_pool2d(torch.from_numpy(counts), edge) * edge**2
    return np.asarray(pooled.numpy())


def _convolved(layer: QuantisedLayer, counts: Floats, weight: Floats) -> Floats:
    folded = layer.folded
    result = conv2d(
        torch.from_numpy(counts),
        torch.from_numpy(weight),
        stride=folded.stride,
        padding=folded.padding,
    )
    return np.asarray(result.numpy())


def _relative(found: Floats, exact: Floats) -> float | None:
    size = float(np.mean(exact**2))
    return float(np.sqrt(np.mean((found - exact) ** 2) / size)) if size > 0 else None
