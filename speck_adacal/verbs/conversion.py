"""A trained network in, a spiking one out, and onto the chip: check, adapt, deploy, simulate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from speck_adacal.adaptation import adapt_graph
from speck_adacal.adaptation.pipeline import run_plan
from speck_adacal.adaptation.plan import AdaptPlan
from speck_adacal.ann.trace import trace, trace_whole
from speck_adacal.chip.check import CheckResult, check_network
from speck_adacal.chip.deploy import Deployment, deploy_network
from speck_adacal.chip.policy import ChipPolicy
from speck_adacal.chip.simulation import Simulation, run_on_twin
from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.events.labels import checked_labels
from speck_adacal.recipe.recipe import AdaptSettings
from speck_adacal.rewriting.rewrite import rewrite
from speck_adacal.samples.batches import encode_for, encode_samples
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.correction import correct_on_twin
from speck_adacal.verbs import fronts


def check(
    network: nn.Module, *, input_shape: Sequence[int], chip: str = DEFAULT_CHIP
) -> CheckResult:
    """Would a network fit the chip? Shapes are enough, so it can be asked before training.

    Args:
        network: as for `adapt`; its weights do not matter.
        input_shape: shape of one input, such as `(1, 28, 28)`.
        chip: a name of `known_chips()`.

    Raises:
        ModelError: the network cannot be traced, or no chip configuration can say it.
        ConfigurationError: the chip is not known.
    """
    graph, _ = trace_whole(network, tuple(input_shape))
    return check_network(graph, chip=chip)


def adapt(
    ann: nn.Module,
    calibration: Any,
    *,
    input_shape: Sequence[int],
    settings: AdaptSettings | None = None,
    plan: AdaptPlan | None = None,
    folder: str | Path | None = None,
    labels: Any = None,
) -> AdaptedNetwork:
    """Turn a trained network into a spiking one, without training.

    Args:
        ann: the trained network; it is not changed.
        calibration: inputs as they come at inference, no labels needed: images
            `[n, *input_shape]` with values 0 to 1, event counts `[n, T, *input_shape]`, a list
            of `Events`, or a loader of image batches. A few dozen to a few hundred samples.
        input_shape: shape of one input, such as `(1, 28, 28)`.
        settings: see `AdaptSettings`.
        plan: which searches to run (φ and ρ per layer); none without it. Early exits are
            calibrated apart (`calibrate_early_exit`).
        folder: where finished work of a search is kept, so that a killed one goes on.
        labels: int `[n]`, the decisions that corrections and searches on the twin come closer to;
            without them the trained network's own.

    Raises:
        ModelError: the network cannot be traced or holds NaN weights.
        CalibrationError: the calibration set is empty, of another shape, or not finite; labels
            that are not class numbers of this network, one a sample.
        SettingsError: a setting is out of range.
    """
    settings = settings or AdaptSettings()
    graph = trace(ann, tuple(input_shape))
    batches = encode_samples(calibration, graph.input_shape, settings)
    if labels is not None:
        labels = checked_labels(labels, batches.samples)
    rewriting = rewrite(graph, batches, settings, labels)
    batches = replace(batches, constant=rewriting.constant)
    if plan is None:
        recipe, calibrated = adapt_graph(rewriting.graph, batches, settings)
    else:
        work = None if folder is None else Path(folder)
        plan = replace(plan, exit_early=False)
        result = run_plan(rewriting.graph, batches, settings, plan, folder=work).result
        recipe, calibrated = result.recipe, result.graph
    recipe = replace(
        recipe,
        input_amplitude=batches.amplitude,
        constant=rewriting.constant,
        trace=(*rewriting.trace, *recipe.trace),
    )
    rewritten = None if rewriting.graph is graph else rewriting.graph
    adapted = AdaptedNetwork(graph, calibrated, recipe, rewritten)
    if settings.chip_correction and settings.input_coding == "events":
        adapted = correct_on_twin(adapted, batches, labels)
    if settings.estimator == "time_steps":
        return adapted
    found = fronts.front(adapted, calibration, labels)
    return fronts.with_front_point(adapted, found.choose(max_synops=settings.max_synops))


def deploy(
    adapted: AdaptedNetwork, *, chip: str = DEFAULT_CHIP, policy: ChipPolicy | None = None
) -> Deployment:
    """Put an adapted network on a chip: fold, check, quantise, map and configure.

    Args:
        adapted: the result of `adapt`.
        chip: a name of `chip_description.known_chips()`.
        policy: what becomes of biases and of the membrane's lower clip.

    Raises:
        ModelError: an operation has no counterpart on the chip.
        DesignRuleError: one or more design rules are violated; all are listed.
        ConfigurationError: the chip is not known, or samna refused the configuration.
    """
    return deploy_network(adapted, chip=chip, policy=policy)


def simulate(deployment: Deployment, events: Any) -> Simulation:
    """Run a deployment on the chip twin.

    Args:
        deployment: the result of `deploy`.
        events: one `Events`, a list of them, or images `[n, channels, height, width]` with
            values 0 to 1, which are rate-coded.

    Raises:
        CalibrationError: there are no samples, or of a wrong shape or range.
    """
    adapted = deployment.adapted
    batches = encode_for(events, adapted.ann.input_shape, adapted.recipe)
    return run_on_twin(deployment, batches.recordings())
