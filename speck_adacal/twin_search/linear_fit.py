"""Linear layers fitted to what really reaches them on the chip twin.

A network that was rewritten reaches its linear layers with errors of its own: spikes come in an
order, and what came too early is not taken back. Their weights and biases are fitted in closed form
to the trained network's values, on the spike counts that the twin gives them, layer by layer in the
order of the signal; kept where decisions on samples that the fit did not see come closer.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.ann.graph import Kind, Node
from speck_adacal.chip.deploy import Deployment, deploy_network
from speck_adacal.chip.simulation import run_on_twin
from speck_adacal.errors import DesignRuleError, ModelError
from speck_adacal.events.types import Events
from speck_adacal.recipe.recipe import LayerRecipe, StepRecord
from speck_adacal.rewriting.least_squares import LARGEST_FAN_IN, RidgeFit
from speck_adacal.samples.batches import Batches
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin import Twin
from speck_adacal.twin_search.log_loss import log_losses, one_hot
from speck_adacal.twin_search.targets import reference_decisions

_RIDGE = 1e-2
_HELD_OUT = 4  # one sample in four judges
FEWEST_SAMPLES = 64


@torch.no_grad()
def fit_linear_layers(
    adapted: AdaptedNetwork, batches: Batches, labels: npt.ArrayLike | None = None
) -> AdaptedNetwork:
    """Fit the linear layers of a rewritten network on the twin.

    Args:
        adapted: a network with a constant channel, or whose max pooling was replaced; others are
            returned as they are.
        batches: the calibration set, with the constant channel.
        labels: int `[n]`, the decisions to come closer to; the trained network's without them.

    Returns:
        The network with fitted layers, or as it was; with a record that says which.
    """
    replaced = bool(adapted.ann.of_kind(Kind.MAX_POOL)) and adapted.rewritten is not None
    if batches.samples < FEWEST_SAMPLES or not (adapted.recipe.constant or replaced):
        return adapted
    started = time.perf_counter()
    try:
        deployment = deploy_network(adapted)
    except (ModelError, DesignRuleError):
        return adapted  # the correction on the twin has said why
    judges = np.arange(batches.samples) % _HELD_OUT == _HELD_OUT - 1
    part = batches.part(np.flatnonzero(~judges).tolist())
    judging = batches.part(np.flatnonzero(judges).tolist())
    wanted = reference_decisions(adapted, judging)
    if labels is not None:
        wanted = np.asarray(labels)[judges]
    recordings, fitted = part.recordings(), adapted
    for layer in deployment.layers:
        node = adapted.graph[layer.folded.name]
        if node.kind is Kind.LINEAR and int(node.shape[0]) and _is_small(node):
            fitted = _fitted(fitted, layer.folded.name, part, recordings)
    tests, decisions = judging.recordings(), one_hot(wanted, deployment.classes)
    before, after = (_loss(deploy_network(net), tests, decisions) for net in (adapted, fitted))
    kept = fitted if after < before else adapted
    values = {"log loss before": before, "log loss": after, "kept": float(after < before)}
    record = StepRecord(
        "linear layers calibrated in closed form on the twin",
        time.perf_counter() - started,
        values,
    )
    return replace(kept, recipe=replace(kept.recipe, trace=(*kept.recipe.trace, record)))


def _is_small(node: Node) -> bool:
    module: Any = node.module
    return int(module.weight.shape[1]) <= LARGEST_FAN_IN


def _fitted(
    adapted: AdaptedNetwork, name: str, batches: Batches, recordings: Sequence[Events]
) -> AdaptedNetwork:
    """The network with one linear layer fitted; its potential starts at half a threshold again."""
    deployment = deploy_network(adapted)
    position = [layer.folded.name for layer in deployment.layers].index(name)
    node = adapted.graph[name]
    module = copy.deepcopy(node.module)
    fit = RidgeFit(module)
    inputs = torch.from_numpy(_mean_inputs(deployment, position, recordings)).flatten(1)
    wanted = torch.cat([adapted.reference.run(b, keep=[name])[name] for b in batches.held()])
    fit.add(inputs, wanted)
    fit.fit(_RIDGE)
    nodes = tuple(
        replace(other, module=module) if other.name == name else other
        for other in adapted.graph.nodes
    )
    spiking = deployment.layers[position].folded.recipe.name
    layers = tuple(
        _half_full(layer) if layer.name == spiking else layer for layer in adapted.recipe.layers
    )
    graph = replace(adapted.graph, nodes=nodes)
    return replace(adapted, graph=graph, recipe=replace(adapted.recipe, layers=layers))


def _half_full(layer: LayerRecipe) -> LayerRecipe:
    return replace(layer, initial_potential=np.asarray(layer.firing_threshold / 2))


def _mean_inputs(
    deployment: Deployment, position: int, recordings: Sequence[Events]
) -> npt.NDArray[np.float32]:
    """What reaches a layer, as values of a time step, float32 `[n, channels, height, width]`."""
    folded = deployment.layers[position].folded
    cores = tuple(deployment.cores[source] for source in folded.sources)
    twin = Twin.from_configuration(
        deployment.mapped.configuration,
        chip=deployment.chip,
        observe=cores,
        slow_clock_hz=deployment.slow_clock_hz,
    )
    runs = twin.run_many(recordings)
    steps = deployment.adapted.recipe.settings.time_steps
    found = np.zeros((len(runs), *folded.in_shape), dtype=np.float32)
    for source, shift, core in zip(folded.sources, folded.shifts, cores, strict=True):
        before = deployment.layers[source].folded
        channels = before.out_shape[0]
        value = np.broadcast_to(before.recipe.firing_threshold, (channels,)) / steps
        value = (value / _averaged(deployment, folded.name, before.pool)).astype(np.float32)
        for counts, run in zip(found, runs, strict=True):
            spikes = run.spikes[core]
            at = (spikes.channel + shift, spikes.y // before.pool, spikes.x // before.pool)
            np.add.at(counts, at, value[spikes.channel])
    return found


def _averaged(deployment: Deployment, name: str, pool: int) -> int:
    """What one spike is divided by on its way: the area of an average pooling."""
    graph = deployment.adapted.graph
    node = graph[graph[name].inputs[0]]
    while node.kind in (Kind.FLATTEN, Kind.CONCAT):
        node = graph[node.inputs[0]]
    return pool * pool if node.kind is Kind.AVG_POOL else 1


def _loss(
    deployment: Deployment, recordings: Sequence[Events], decisions: npt.NDArray[np.float64]
) -> float:
    return float(log_losses(run_on_twin(deployment, recordings).class_counts, decisions).mean())
