"""The verbs: adapt, pareto_front, deploy, simulate, save, load. Thin composition of parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from speck_adacal.adaptation import adapt_graph
from speck_adacal.adaptation.pipeline import run_plan
from speck_adacal.adaptation.plan import AdaptPlan
from speck_adacal.ann import trace
from speck_adacal.bundle import read_bundle, write_bundle
from speck_adacal.bundles.files import from_files, to_files
from speck_adacal.chip.deploy import Deployment, deploy_network
from speck_adacal.chip.policy import ChipPolicy
from speck_adacal.chip.simulation import Simulation, run_on_twin
from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.recipe.recipe import AdaptSettings
from speck_adacal.rewriting.rewrite import rewrite
from speck_adacal.samples.batches import encode_for, encode_samples
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.correction import correct_on_twin
from speck_adacal.twin_search.estimators import StepEstimate, time_stepped
from speck_adacal.twin_search.front import Front, FrontPoint
from speck_adacal.twin_search.search import FrontSettings, find_front
from speck_adacal.twin_search.targets import reference_decisions


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
            calibrated apart (`speck_adacal.readout.step_exit`).
        folder: where finished work of a search is kept, so that a killed one goes on.
        labels: int `[n]`, the decisions that corrections and searches on the twin come closer to;
            without them the trained network's own.

    Raises:
        ModelError: the network cannot be traced or holds NaN weights.
        CalibrationError: the calibration set is empty, of another shape, or not finite.
        SettingsError: a setting is out of range.
    """
    settings = settings or AdaptSettings()
    graph = trace(ann, tuple(input_shape))
    batches = encode_samples(calibration, graph.input_shape, settings)
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
    front = pareto_front(adapted, calibration, labels)
    return with_front_point(adapted, front.choose(max_synops=settings.max_synops))


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


def pareto_front(
    adapted: AdaptedNetwork,
    calibration: Any,
    labels: Any = None,
    *,
    settings: FrontSettings | None = None,
    chip: str = DEFAULT_CHIP,
) -> Front:
    """Adapt further with the chip twin in the loop: the front of accuracy and SynOps.

    Args:
        adapted: the result of `adapt`, where the search starts.
        calibration: recordings, or images, as for `adapt`; a few hundred.
        labels: int `[n]`; without them the trained network's own decisions are the target.
        settings: see `FrontSettings`.
        chip: a name of `chip_description.known_chips()`.

    Raises:
        CalibrationError: too few samples, of a wrong shape, or another number of labels.
        ModelError: the chip cannot run the network.
    """
    batches = encode_for(calibration, adapted.ann.input_shape, adapted.recipe)
    targets = reference_decisions(adapted, batches) if labels is None else labels
    return find_front(adapted, batches.recordings(), targets, settings=settings, chip=chip)


def front_in_steps(
    adapted: AdaptedNetwork, front: Front, calibration: Any, labels: Any = None
) -> tuple[StepEstimate, ...]:
    """The points of a front by the time-stepped estimator, with the gap to the twin by layer, on
    the same held-out samples.

    Args:
        adapted: what the front was searched from.
        front: the result of `pareto_front`.
        calibration, labels: as given there.
    """
    batches = encode_for(calibration, adapted.ann.input_shape, adapted.recipe)
    part = batches.part(front.held_out_indices)
    targets = reference_decisions(adapted, part)
    if labels is not None:
        targets = np.asarray(labels)[list(front.held_out_indices)]
    return tuple(time_stepped(adapted, point, part, targets) for point in front.points)


def with_front_point(adapted: AdaptedNetwork, point: FrontPoint) -> AdaptedNetwork:
    """The network under the recipe of a point of its front, ready for `deploy`."""
    return replace(adapted, recipe=point.recipe)


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


def save(
    obj: AdaptedNetwork | Deployment,
    path: str | Path,
    *,
    command: str = "",
    force: bool = False,
    extra: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a bundle: a folder, or a zip where `path` ends in `.zip`.

    A killed run leaves no half bundle.

    Args:
        obj: what `adapt` or `deploy` returned.
        path: where to write.
        command: the command line that made it, kept in the manifest.
        force: replace what stands at `path`.
        extra: more files to put into the bundle, such as `report.html`.

    Raises:
        OutputExistsError: `path` exists and `force` is False.
    """
    adapted = obj.adapted if isinstance(obj, Deployment) else obj
    return write_bundle(
        Path(path),
        {**to_files(obj), **(extra or {})},
        kind="deployment" if isinstance(obj, Deployment) else "adapted",
        seed=adapted.recipe.settings.seed,
        command=command or "speck_adacal.save",
        force=force,
    )


def load(path: str | Path) -> AdaptedNetwork | Deployment:
    """Read a bundle written by `save`.

    Raises:
        BundleError: it is missing, damaged, unsafe, or of another schema.
    """
    return from_files(read_bundle(Path(path)))
