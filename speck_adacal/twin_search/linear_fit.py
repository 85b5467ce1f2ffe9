"""Linear layers fitted to what really reaches them on the chip twin.

A network that was rewritten reaches its linear layers with errors of its own: spikes come in an
order, and what came too early is not taken back. Their weights and biases are fitted in closed form
to the trained network's values, on the spike counts that the twin gives them, layer by layer in the
order of the signal. Samples that the fit did not see choose how far weights may go, and refuse fits
that surely decide worse.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.ann.graph import Kind, Node
from speck_adacal.chip.deploy import Deployment, deploy_network
from speck_adacal.chip.simulation import run_on_twin
from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.errors import DesignRuleError, ModelError
from speck_adacal.events.types import Events
from speck_adacal.recipe.recipe import LayerRecipe, StepRecord
from speck_adacal.rewriting.least_squares import LARGEST_FAN_IN, RidgeFit
from speck_adacal.samples.batches import Batches
from speck_adacal.samples.held_out import judges
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin import Twin
from speck_adacal.twin_search.log_loss import log_losses, one_hot
from speck_adacal.twin_search.targets import reference_decisions

_STEP = "linear layers calibrated in closed form on the twin"
_RIDGES = (0.01, 0.03, 0.1, 0.3)  # pulls to the weights as they are; see `RidgeFit`
FEWEST_SAMPLES = 64


@torch.no_grad()
def fit_linear_layers(
    adapted: AdaptedNetwork,
    batches: Batches,
    labels: npt.ArrayLike | None = None,
    *,
    chip: str = DEFAULT_CHIP,
) -> AdaptedNetwork:
    """Fit the linear layers of a rewritten network on the twin.

    Args:
        adapted: a network with a constant channel, or whose max pooling was replaced; others are
            returned as they are.
        batches: the calibration set, with the constant channel.
        labels: int `[n]`, the decisions to come closer to; the trained network's without them.
        chip: the chip to deploy to.

    Returns:
        The network with fitted layers, or as it was; with a record that says which.
    """
    replaced = bool(adapted.ann.of_kind(Kind.MAX_POOL)) and adapted.rewritten is not None
    if batches.samples < FEWEST_SAMPLES or not (adapted.recipe.constant or replaced):
        return adapted
    started = time.perf_counter()
    try:
        deployment = deploy_network(adapted, chip=chip)
    except (ModelError, DesignRuleError):
        return adapted  # the correction on the twin has said why
    names = [layer.folded.name for layer in deployment.layers]
    names = [name for name in names if _is_small(adapted.graph[name])]
    samples = _Samples.of(adapted, batches, names, chip)
    tried, ridges = adapted, {}
    for name in names:
        tried, ridges[name] = samples.fitted(tried, name, None)
    wanted = reference_decisions(adapted, batches) if labels is None else np.asarray(labels)
    losses = [samples.losses(network, wanted) for network in (adapted, tried)]
    gain = losses[0] - losses[1]
    keep = bool(gain.mean() > -gain.std() / np.sqrt(len(gain)))  # not surely worse
    kept = adapted
    for name in names if keep else ():
        kept, _ = samples.fitted(kept, name, ridges[name])
    values = {"log loss before": float(losses[0].mean()), "log loss": float(losses[1].mean())}
    values |= {f"ridge:{name}": ridge for name, ridge in ridges.items()} | {"kept": float(keep)}
    record = StepRecord(_STEP, time.perf_counter() - started, values)
    return replace(kept, recipe=replace(kept.recipe, trace=(*kept.recipe.trace, record)))


def was_fitted(adapted: AdaptedNetwork) -> bool:
    """Whether linear layers of a network were fitted on the twin, and kept."""
    return any(record.step == _STEP and record.values["kept"] for record in adapted.recipe.trace)


def _is_small(node: Node) -> bool:
    module: Any = node.module
    small = node.kind is Kind.LINEAR and int(module.weight.shape[1]) <= LARGEST_FAN_IN
    return small and int(node.shape[0]) > 0


@dataclass(frozen=True, eq=False)
class _Samples:
    """What layers are fitted on: recordings, values wanted, and which of them judge."""

    recordings: Sequence[Events]
    wanted: dict[str, torch.Tensor]
    judges: npt.NDArray[np.bool_]
    chip: str
    _inputs: dict[str, tuple[AdaptedNetwork, torch.Tensor]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, adapted: AdaptedNetwork, batches: Batches, names: Sequence[str], chip: str
    ) -> _Samples:
        runs = [adapted.reference.run(batch, keep=names) for batch in batches.held()]
        wanted = {name: torch.cat([run[name] for run in runs]) for name in names}
        return cls(batches.recordings(), wanted, judges(batches.samples), chip)

    def fitted(
        self, adapted: AdaptedNetwork, name: str, ridge: float | None
    ) -> tuple[AdaptedNetwork, float]:
        """The network with one linear layer fitted, whose potential starts at half a threshold
        again, and the ridge; without one, that which the judges find best, and fitted on the others
        only."""
        deployment = deploy_network(adapted, chip=self.chip)
        position = [layer.folded.name for layer in deployment.layers].index(name)
        inputs, wanted = self._reaching(deployment, position), self.wanted[name]
        module = copy.deepcopy(adapted.graph[name].module)
        fit, judge = RidgeFit(module), torch.from_numpy(self.judges)
        fitted_on = ~judge if ridge is None else torch.ones_like(judge)
        fit.add(inputs[fitted_on], wanted[fitted_on])
        if ridge is None:
            ridge = min(_RIDGES, key=lambda r: fit.error(r, inputs[judge], wanted[judge]))
        fit.fit(ridge)
        spiking = deployment.layers[position].folded.recipe.name
        return _with_layer(adapted, name, module, spiking), ridge

    def _reaching(self, deployment: Deployment, position: int) -> torch.Tensor:
        """What reaches a layer; the first of them is asked for twice, behind the same layers."""
        name = deployment.layers[position].folded.name
        before = self._inputs.get(name)
        if before is None or before[0] is not deployment.adapted:
            found = torch.from_numpy(_mean_inputs(deployment, position, self.recordings)).flatten(1)
            before = self._inputs[name] = (deployment.adapted, found)
        return before[1]

    def losses(
        self, adapted: AdaptedNetwork, decisions: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Log loss of each judge."""
        deployment = deploy_network(adapted, chip=self.chip)
        recordings = [x for x, judge in zip(self.recordings, self.judges, strict=True) if judge]
        counts = run_on_twin(deployment, recordings).class_counts
        return log_losses(counts, one_hot(decisions[self.judges], deployment.classes))


def _with_layer(adapted: AdaptedNetwork, name: str, module: Any, spiking: str) -> AdaptedNetwork:
    nodes = tuple(
        replace(other, module=module) if other.name == name else other
        for other in adapted.graph.nodes
    )
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
