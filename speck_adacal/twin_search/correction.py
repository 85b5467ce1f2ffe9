"""Correct initial membrane potentials by the chip's own rule, with the twin in the loop.

The chip fires at most one spike per event and has no time steps, so its neurons miss their targets
in their own way. Layer by layer in the order of the signal, each seeing the corrected layers
before it, the mean difference between the trained network's activation (in spikes of a window)
and the twin's spike count is added to the initial potential of each channel: all of it, half, or
nothing. A shift is kept only where the chip's decisions come closer to their targets by more than
a standard error. (A layer's own counts closer to their targets can still make worse decisions: what
a channel lacks on the average it would get for samples, too, for which it should be silent.)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.chip.deploy import Deployment, deploy_network
from speck_adacal.chip.fold import fold
from speck_adacal.chip.quantise import quantise
from speck_adacal.chip.simulation import run_on_twin
from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.errors import DesignRuleError, ModelError
from speck_adacal.events import Events
from speck_adacal.events.labels import checked_labels
from speck_adacal.recipe.recipe import LayerRecipe, Recipe, StepRecord
from speck_adacal.samples.batches import Batches
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin import Twin
from speck_adacal.twin_search.log_loss import log_losses, one_hot
from speck_adacal.twin_search.targets import reference_decisions

_PARTS = (1.0, 0.5)


def correct_on_twin(
    adapted: AdaptedNetwork,
    batches: Batches,
    labels: npt.ArrayLike | None = None,
    *,
    chip: str = DEFAULT_CHIP,
) -> AdaptedNetwork:
    """Correct the initial potentials of all spiking layers but the readout.

    Args:
        adapted: the calibrated network.
        batches: the calibration set.
        labels: int `[n]`, the decisions to come closer to; the trained network's without them.
        chip: the chip to deploy to (speck2e and speck2f are equal in all that matters here).

    Returns:
        The network with corrected potentials; the same network, with a record that says why,
        where it cannot be deployed.
    """
    started = time.perf_counter()
    try:
        deployment = deploy_network(adapted, chip=chip)
    except (ModelError, DesignRuleError) as error:
        return _recorded(adapted, StepRecord(f"chip correction left out: {error}", 0.0))
    places = {layer.folded.recipe.name: i for i, layer in enumerate(deployment.layers[:-1])}
    spiking = tuple(places)  # an activation behind a sum of spikes has no core
    recordings = batches.recordings()
    targets = _activations(adapted, batches, spiking)
    values: dict[str, float] = {}
    if labels is None:
        wanted = reference_decisions(adapted, batches)
    else:
        wanted = checked_labels(labels, batches.samples, deployment.classes)
    decisions = one_hot(wanted, deployment.classes)
    losses = _losses(deployment, recordings, decisions)
    for name, position in places.items():
        residual = _residual(deployment, position, recordings, targets[name])
        values[f"mean spikes missing:{name}"] = float(residual.mean())
        threshold = deployment.layers[position].folded.recipe.firing_threshold
        shift = residual.mean(axis=(0, 2, 3)) * threshold
        kept = _Choice(0.0, losses, adapted, deployment)
        for part in _PARTS:
            moved = _shifted(adapted, name, part * shift)
            changed = _restarted(deployment, moved, position)
            choice = _Choice(part, _losses(changed, recordings, decisions), moved, changed)
            if choice.surely_better(kept, losses):
                kept = choice
        losses, adapted, deployment = kept.losses, kept.adapted, kept.deployment
        _write_initial(deployment, position)  # the last one tried stands in the configuration
        values[f"part of the shift:{name}"] = kept.part
    values["log loss"] = float(losses.mean())
    return _recorded(adapted, StepRecord("chip correction", time.perf_counter() - started, values))


def _restarted(deployment: Deployment, adapted: AdaptedNetwork, position: int) -> Deployment:
    """The deployment with new initial potentials on one core, written into its configuration."""
    folded = fold(adapted.graph, adapted.recipe)[position]
    steps = adapted.recipe.settings.time_steps
    layers = list(deployment.layers)
    before, after = layers[position], quantise(folded, window_steps=steps)
    if after.scale != before.scale:  # the initial potentials set it: all integers change
        return deploy_network(adapted, chip=deployment.chip, cores=deployment.cores)
    layers[position] = after
    changed = replace(deployment, adapted=adapted, layers=tuple(layers))
    _write_initial(changed, position)
    return changed


def _write_initial(deployment: Deployment, position: int) -> None:
    """Put a layer's initial states into the configuration, which deployments may share."""
    core = deployment.mapped.configuration.cnn_layers[deployment.cores[position]]
    core.neurons_initial_value = deployment.layers[position].initial.swapaxes(1, 2).tolist()


def _activations(
    adapted: AdaptedNetwork, batches: Batches, names: Sequence[str]
) -> dict[str, npt.NDArray[np.float32]]:
    """What the trained network computes at the spiking layers, `[n, *shape]` by name."""
    with torch.no_grad():
        runs = [adapted.reference.run(batch, keep=names) for batch in batches.held()]
    return {name: torch.cat([run[name] for run in runs]).numpy() for name in names}


@dataclass(frozen=True, eq=False)
class _Choice:
    """A part of a layer's shift, what it does to each recording's log loss, and the network."""

    part: float
    losses: npt.NDArray[np.float64]
    adapted: AdaptedNetwork
    deployment: Deployment

    def surely_better(self, kept: _Choice, before: npt.NDArray[np.float64]) -> bool:
        """Better than what is kept, and than no shift by more than a standard error."""
        gain = before - self.losses
        error = float(gain.std() / np.sqrt(len(gain)))
        return float(gain.mean()) > error and self.losses.mean() < kept.losses.mean()


def _losses(
    deployment: Deployment, recordings: Sequence[Events], decisions: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Log loss of the chip's output spikes, by recording, against the decisions wanted."""
    return log_losses(run_on_twin(deployment, recordings).class_counts, decisions)


def _residual(
    deployment: Deployment,
    position: int,
    recordings: Sequence[Events],
    target: npt.NDArray[np.float32],
) -> npt.NDArray[np.float64]:
    """Spikes of a window that each neuron should have fired, minus those it did.

    float64 `[n, channels, height, width]`.
    """
    layer, core = deployment.layers[position], deployment.cores[position]
    shape = layer.folded.out_shape
    configuration = deployment.mapped.configuration
    twin = Twin.from_configuration(
        configuration,
        chip=deployment.chip,
        observe=(core,),
        slow_clock_hz=deployment.slow_clock_hz,
    )
    runs = twin.run_many(recordings)
    counts = np.zeros((len(runs), *shape))
    for count, run in zip(counts, runs, strict=True):
        spikes = run.spikes[core]
        np.add.at(count, (spikes.channel, spikes.y, spikes.x), 1)
    threshold = np.broadcast_to(layer.folded.recipe.firing_threshold, shape[:1])
    steps = deployment.adapted.recipe.settings.time_steps
    wanted = target.reshape(counts.shape) * steps / threshold[:, None, None]
    return np.asarray(wanted - counts, dtype=np.float64)


def _shifted(adapted: AdaptedNetwork, name: str, shift: npt.NDArray[np.float64]) -> AdaptedNetwork:
    def change(layer: LayerRecipe) -> LayerRecipe:
        if layer.name != name:
            return layer
        initial = layer.initial_potential + layer.beside_potential(shift)
        return replace(layer, initial_potential=initial)

    layers = tuple(change(layer) for layer in adapted.recipe.layers)
    return replace(adapted, recipe=replace(adapted.recipe, layers=layers))


def _recorded(adapted: AdaptedNetwork, record: StepRecord) -> AdaptedNetwork:
    recipe: Recipe = replace(adapted.recipe, trace=(*adapted.recipe.trace, record))
    return replace(adapted, recipe=recipe)
