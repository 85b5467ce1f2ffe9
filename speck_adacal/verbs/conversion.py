"""A trained network in, a spiking one out, and onto the chip: check, adapt, deploy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from speck_adacal.adaptation.plan import AdaptPlan
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.ann.spiking import has_neurons, read_spiking
from speck_adacal.ann.trace import trace, trace_whole
from speck_adacal.chip.check import CheckResult, check_network
from speck_adacal.chip.deploy import Deployment, deploy_network
from speck_adacal.chip.fitting import target_chip
from speck_adacal.chip.policy import ChipPolicy
from speck_adacal.chip.wiring import Wiring
from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.errors import CalibrationError
from speck_adacal.events.labels import checked_labels
from speck_adacal.inspection.judging import measure_verdict
from speck_adacal.recipe.recipe import AdaptSettings
from speck_adacal.rewriting.rewrite import rewrite_for_cores
from speck_adacal.samples.batches import Batches, Form, encode_samples
from speck_adacal.samples.held_out import held_out_indices, remaining_indices
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.bases import compared, ways_of_biases
from speck_adacal.twin_search.front_search import find_front
from speck_adacal.twin_search.linear_fit import fit_linear_layers
from speck_adacal.twin_search.policies import choose_policy
from speck_adacal.twin_search.progress import Progress
from speck_adacal.twin_search.stream_fit import fit_to_stream
from speck_adacal.twin_search.targets import reference_decisions
from speck_adacal.verbs.calibration import calibrated, finer


def check(
    network: nn.Module,
    *,
    input_shape: Sequence[int],
    chip: str = DEFAULT_CHIP,
    wiring: Wiring | None = None,
) -> CheckResult:
    """Would a network fit the chip? Shapes are enough, so it can be asked before training.

    Args:
        network: as for `adapt` or `from_sinabs`; its weights do not matter.
        input_shape: shape of one input, such as `(1, 28, 28)`.
        chip: a name of `known_chips()`.
        wiring: the chip's own sensor as source, its own read-out layer, as for `deploy`.

    Raises:
        ModelError: the network cannot be traced, or no chip configuration can say it.
        ConfigurationError: the chip is not known.
    """
    shape = tuple(input_shape)
    if has_neurons(network):
        graph = read_spiking(network, shape).graph
    else:
        graph, _ = trace_whole(network, shape)
    return check_network(graph, chip=chip, wiring=wiring)


def adapt(
    ann: nn.Module,
    calibration: Any,
    *,
    input_shape: Sequence[int],
    settings: AdaptSettings | None = None,
    plan: AdaptPlan | None = None,
    folder: str | Path | None = None,
    labels: Any = None,
    chip: str = DEFAULT_CHIP,
    progress: Progress | None = None,
) -> AdaptedNetwork:
    """Turn a trained network into a spiking one, without training.

    What becomes of biases and of the lower clip on the chip is chosen by measuring. A part of the
    samples is held out and says in the end what the network lost: `result.recipe.verdict`.

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
        chip: the chip that it is for, a name of `known_chips()`: its memories decide what can be
            rewritten.
        progress: told how many of how many steps on the chip twin are done, and the next one.

    Raises:
        ConfigurationError: the chip is not known.
        ModelError: the network cannot be traced or holds NaN weights.
        CalibrationError: the calibration set is empty, of another shape, or not finite; labels
            that are not class numbers of this network, one a sample.
        SettingsError: a setting is out of range.
    """
    settings, target = settings or AdaptSettings(), target_chip(chip)
    graph = trace(ann, tuple(input_shape))
    everything = _encoded(calibration, graph, settings)
    settings = everything.settings
    if labels is not None:
        labels = checked_labels(labels, everything.samples)
    held_out = held_out_indices(everything.samples, settings.seed) if settings.hold_out else ()
    seen = remaining_indices(everything.samples, held_out)
    truth = _of(labels, seen)
    calibration_set = everything.part(seen)
    shaped = rewrite_for_cores(graph, calibration_set, settings, target)
    one_way = plan is not None or not target.fits(shaped.graph)
    ways = ways_of_biases(shaped.graph, settings, one_way=one_way)
    work = None if folder is None else Path(folder)
    bases = [calibrated(graph, shaped, calibration_set, way, target, plan, work) for way in ways]
    if settings.input_coding != "events":
        return bases[0].adapted
    if plan is None and not settings.never_reset:
        bases = [finer(base, graph, shaped, calibration_set, target) for base in bases]
    adapted, batches = bases[0].adapted, bases[0].batches
    if settings.never_reset:
        adapted = fit_to_stream(adapted, batches, truth, chip=chip)
    elif settings.chip_correction:
        adapted = choose_policy(
            compared(bases, measured=settings.bias == "measured"),
            truth,
            chip=chip,
            progress=progress,
        )
    batches = replace(batches, constant=adapted.recipe.constant)
    if settings.chip_correction and not settings.never_reset:
        adapted = fit_linear_layers(adapted, batches, truth, chip=chip)
    if settings.estimator == "twin":
        wanted = reference_decisions(adapted, batches) if truth is None else truth
        front = find_front(adapted, batches.recordings(), wanted, chip=chip)
        adapted = front.choose(max_synops=settings.max_synops).network
    judges = replace(everything.part(held_out or seen), constant=adapted.recipe.constant)
    truth = _of(labels, held_out or seen)
    found = measure_verdict(adapted, judges, truth, held_out=bool(held_out), chip=chip)
    return replace(adapted, recipe=replace(adapted.recipe, verdict=found))


def _encoded(calibration: Any, graph: LayerGraph, settings: AdaptSettings) -> Batches:
    """The samples as steps, in batches that fit the memory, with settings for what they are."""
    found = encode_samples(calibration, graph.input_shape, settings)
    found = replace(found, settings=_for_use(settings, found.form))
    return found.fitting(graph.largest_layer)


def _of(labels: Any, indices: Sequence[int]) -> npt.NDArray[np.int64] | None:
    return None if labels is None else np.asarray(labels, dtype=np.int64)[list(indices)]


def _for_use(settings: AdaptSettings, form: Form) -> AdaptSettings:
    """The settings, with what they leave open: a stream that is never reset, or single samples."""
    if settings.reset_each is not None and not settings.never_reset:
        return settings
    if form is Form.RECORDINGS:
        return settings.for_stream()
    if settings.never_reset:
        raise CalibrationError(
            "A network for a stream (reset_each=False) is adapted on recordings of events, found "
            f"{form.value}; give a list of Events, or leave reset_each out."
        )
    return replace(settings, reset_each=True)


def deploy(
    adapted: AdaptedNetwork,
    *,
    chip: str = DEFAULT_CHIP,
    policy: ChipPolicy | None = None,
    wiring: Wiring | None = None,
) -> Deployment:
    """Put an adapted network on a chip: fold, check, quantise, map and configure.

    Args:
        adapted: the result of `adapt`.
        chip: a name of `chip_description.known_chips()`.
        policy: what becomes of biases and of the membrane's lower clip.
        wiring: the chip's own sensor as source, its own read-out layer; a host's without it.

    Raises:
        ModelError: an operation has no counterpart on the chip.
        DesignRuleError: one or more design rules are violated; all are listed.
        ConfigurationError: the chip is not known, or samna refused the configuration.
    """
    return deploy_network(adapted, chip=chip, policy=policy, wiring=wiring)
