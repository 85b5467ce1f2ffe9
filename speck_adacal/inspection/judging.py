"""The verdict on an adapted network: trained, spiking and on the chip, and what loses accuracy."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.adaptation.energy import estimate_energy
from speck_adacal.ann.graph import Kind, LayerGraph
from speck_adacal.chip.deploy import Deployment, deploy_network
from speck_adacal.chip.simulation import run_on_twin
from speck_adacal.errors import DesignRuleError, ModelError, SettingsError
from speck_adacal.inspection.continuous import run_on_end
from speck_adacal.inspection.levels import decide_ann, decide_quantised, decide_snn
from speck_adacal.recipe.recipe import Recipe
from speck_adacal.recipe.verdict import (
    AGREEMENT,
    LABELS,
    WORTH_SAYING,
    Cause,
    Verdict,
    accuracy_error,
    share_right,
)
from speck_adacal.samples.batches import Batches, Form
from speck_adacal.snn.adapted import AdaptedNetwork

_SMALLEST_CAUSE = 0.003  # share of right decisions that is worth a word
_OPTIONS = {
    "time steps": "`adapt --per-channel`, or `--time-steps 16`",
    "clip": "`deploy --lower-clip open`",
    "bias": "`adapt --bias events`, or `leak`",
    "8 bits": "`autopsy` for the layer, and `adapt --per-channel`",
    "order of events": "`adapt --time-steps 16`, or a point of `front`",
}

Ints = npt.NDArray[np.int64]


def measure_verdict(
    adapted: AdaptedNetwork,
    batches: Batches,
    labels: npt.ArrayLike | None = None,
    *,
    held_out: bool,
    chip: str = "speck2f",
) -> Verdict:
    """Measure a network at the levels that users see; see `Verdict`.

    Args:
        adapted: the adapted network.
        batches: the samples to judge on.
        labels: int `[n]`; without them, agreement with the trained network is measured.
        held_out: whether calibration had not seen the samples.
        chip: the chip to deploy to.
    """
    trained = np.concatenate(list(decide_ann(adapted, batches)))
    truth = trained if labels is None else np.asarray(labels, dtype=np.int64)
    spiking = share_right(_spiking(adapted, batches), truth)
    verdict = Verdict(
        reference=AGREEMENT if labels is None else LABELS,
        held_out=held_out,
        samples=batches.samples,
        trained=share_right(trained, truth),
        spiking=spiking,
        chip=None,
        standard_error=0.0,
        synops=0.0,
        chip_nj=0.0,
        trained_nj=0.0,
    )
    try:
        deployment = deploy_network(adapted, chip=chip)
    except (ModelError, DesignRuleError, SettingsError):
        return verdict
    recordings = batches.recordings()
    stream = run_on_end(deployment, recordings) if batches.form is Form.RECORDINGS else None
    for_stream = stream if adapted.recipe.settings.never_reset else None
    run = for_stream or run_on_twin(deployment, recordings)
    right, synops = int(np.count_nonzero(run.decisions == truth)), float(run.synops.mean())
    energy = estimate_energy(adapted.ann, synops)
    verdict = replace(
        verdict,
        chip=right / len(truth),
        never_reset=None if stream is None else share_right(stream.decisions, truth),
        standard_error=accuracy_error(right, len(truth)),
        synops=synops,
        chip_nj=energy.snn_nj,
        trained_nj=energy.ann_nj,
    )
    if verdict.lost <= WORTH_SAYING:
        return verdict
    return replace(verdict, causes=_causes(deployment, batches, truth, verdict))


def _causes(
    deployment: Deployment, batches: Batches, truth: Ints, verdict: Verdict
) -> tuple[Cause, ...]:
    """What each thing that the chip does otherwise costs, switched on one after the other."""
    adapted = deployment.adapted
    opened = _opened(adapted)
    shares = {"trained": verdict.trained}
    shares["time steps"] = share_right(_spiking(opened, batches), truth)
    shares["clip"] = verdict.spiking if opened is not adapted else shares["time steps"]
    shares["bias"] = shares["clip"]
    charged = _charged_at_start(adapted)
    if charged is not adapted:
        shares["bias"] = share_right(_spiking(charged, batches), truth)
    quantised = np.concatenate(list(decide_quantised(deployment, batches)))
    shares["8 bits"] = share_right(quantised, truth)
    shares["order of events"] = 0.0 if verdict.chip is None else verdict.chip
    before = list(shares.values())
    found = [
        Cause(name, lost, _OPTIONS[name])
        for name, lost in zip(list(shares)[1:], -np.diff(before), strict=True)
        if lost >= _SMALLEST_CAUSE
    ]
    return tuple(
        replace(cause, lost=float(cause.lost)) for cause in sorted(found, key=lambda c: -c.lost)
    )


def _spiking(adapted: AdaptedNetwork, batches: Batches) -> Ints:
    return np.concatenate(list(decide_snn(adapted, batches)))


def _opened(adapted: AdaptedNetwork) -> AdaptedNetwork:
    """The network without lower clips; itself where it has none."""
    if all(layer.lower_clip is None for layer in adapted.recipe.layers):
        return adapted
    layers = tuple(replace(layer, lower_clip=None) for layer in adapted.recipe.layers)
    return replace(adapted, recipe=replace(adapted.recipe, layers=layers))


def _charged_at_start(adapted: AdaptedNetwork) -> AdaptedNetwork:
    """The time-stepped network with its biases where the chip has them: a window's worth in the
    initial potentials; itself where there are none (or they leak, a step's worth each step)."""
    graph, recipe = adapted.graph, adapted.recipe
    for name, activation, bias in _biases(graph):
        if not recipe[activation].leaks:
            recipe = _raised(recipe, activation, recipe.settings.time_steps * bias)
            graph = _without_bias(graph, name)
    return adapted if graph is adapted.graph else replace(adapted, graph=graph, recipe=recipe)


def _biases(graph: LayerGraph) -> Iterator[tuple[str, str, npt.NDArray[np.float64]]]:
    """Layers with biases and an activation behind them: both names, and float64 `[channels]`."""
    for node in graph.of_kind(Kind.CONV, Kind.LINEAR):
        bias: Any = getattr(node.module, "bias", None)
        readers = graph.consumers(node.name)
        if bias is None or not bool((bias != 0).any()) or len(readers) != 1:
            continue
        if readers[0].kind is Kind.ACTIVATION:
            yield node.name, readers[0].name, bias.detach().double().numpy()


def _raised(recipe: Recipe, name: str, charge: npt.NDArray[np.float64]) -> Recipe:
    layers = tuple(
        replace(x, initial_potential=x.initial_potential + x.beside_potential(charge))
        if x.name == name
        else x
        for x in recipe.layers
    )
    return replace(recipe, layers=layers)


def _without_bias(graph: LayerGraph, name: str) -> LayerGraph:
    nodes = []
    for node in graph.nodes:
        if node.name == name and node.module is not None:
            module = _copied(node.module)
            node = replace(node, module=module)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _copied(module: torch.nn.Module) -> torch.nn.Module:
    copy: Any = deepcopy(module)
    copy.bias.data.zero_()
    unbiased: torch.nn.Module = copy
    return unbiased
