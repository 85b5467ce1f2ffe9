"""Accuracy at every level of a network, on the same samples: ann, snn, quantized, event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.mapping import run_quantised
from speck_adacal.chip.simulation import Simulation, run_on_twin
from speck_adacal.events.labels import checked_labels
from speck_adacal.inspection.continuous import run_on_end
from speck_adacal.readout.class_counts import leaders_of_steps
from speck_adacal.readout.objective import decided
from speck_adacal.recipe.verdict import accuracy_error
from speck_adacal.samples.batches import Batches, Form, encode_for
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin.result import Done
from speck_adacal.twin_search.progress import Progress

NEVER_RESET = "never reset"
_TRAINED = "trained network"


@dataclass(frozen=True)
class LevelResult:
    """Accuracy at one level.

    Attributes:
        level: `"ann"`, `"snn"`, `"quantized"`, `"event"`, or for recordings of events
            `"never reset"` too: on end in random order, with states carried over.
        meaning: what runs at this level, in words.
        accuracy: share of right decisions.
        standard_error: of `accuracy` (binomial, with two successes and two failures added as
            by Agresti and Coull, so that 100 % is not claimed to be certain).
        samples: number of samples.
        seconds: time the level took.
    """

    level: str
    meaning: str
    accuracy: float
    standard_error: float
    samples: int
    seconds: float


def measure_levels(
    deployment: Deployment,
    samples: Any,
    labels: npt.ArrayLike,
    *,
    progress: Progress | None = None,
) -> tuple[tuple[LevelResult, ...], Simulation]:
    """Measure every level on the same samples.

    Args:
        deployment: the network on the chip.
        samples: images `[n, channels, height, width]` (0 to 1) or recordings.
        labels: int `[n]`.
        progress: told how many of how many samples are done, and at which level.

    Returns:
        One result per level in order, and the simulation on the twin.

    Raises:
        CalibrationError: samples and labels differ in number.
    """
    adapted = deployment.adapted
    batches = encode_for(samples, adapted.ann.input_shape, adapted.recipe)
    truth = checked_labels(labels, batches.samples, deployment.classes)
    trained = "as rates, which it was not trained as" if adapted.recipe.came_spiking else _TRAINED
    ran = [
        ("ann", trained, decide_ann(adapted, batches)),
        ("snn", _snn_meaning(adapted), decide_snn(adapted, batches)),
        (
            "quantized",
            "8-bit weights, time-stepped (sinabs)",
            decide_quantised(deployment, batches),
        ),
    ]
    results = []
    for level, meaning, parts in ran:
        start, decided = time.perf_counter(), []
        for part in parts:
            decided.append(part)
            if progress is not None:
                progress(sum(map(len, decided)), len(truth), level)
        seconds = time.perf_counter() - start
        results.append(_result(level, meaning, np.concatenate(decided), truth, seconds))
    recordings = batches.recordings()
    start = time.perf_counter()
    simulation = run_on_twin(deployment, recordings, done=telling(progress, "event"))
    seconds = time.perf_counter() - start
    results.append(
        _result("event", "chip twin, event by event", simulation.decisions, truth, seconds)
    )
    if batches.form is Form.RECORDINGS:
        start = time.perf_counter()
        told = telling(progress, NEVER_RESET)
        stream = run_on_end(deployment, recordings, done=told).decisions
        seconds = time.perf_counter() - start
        results.append(_result(NEVER_RESET, "chip twin, recordings on end", stream, truth, seconds))
    return tuple(results), simulation


def telling(progress: Progress | None, what: str) -> Done | None:
    """What tells `progress` how many are done, with the name of what they are done for."""
    if progress is None:
        return None
    return lambda done, total: progress(done, total, what)


def decide_ann(adapted: AdaptedNetwork, batches: Batches) -> Iterator[npt.NDArray[np.int64]]:
    """Decisions of the trained network, int64 `[batch]` (or `[batch, *places]`) each.

    Raises:
        CalibrationError: the outputs decide on no class.
    """
    graph, terms = adapted.ann, adapted.recipe.settings.outputs
    with torch.no_grad():
        for batch in batches.network_inputs():
            yield decided(graph, graph.run(batch), terms)


def _snn_meaning(adapted: AdaptedNetwork) -> str:
    """What the level runs; biases of single time steps are nowhere else."""
    recipe, meaning = adapted.recipe, "burst-firing, float"
    if recipe.has_step_biases:
        meaning += ", with biases per time step, which the chip has not"
    if recipe.first_step > 1:
        meaning += f"; steps {recipe.first_step} to {recipe.settings.time_steps} decide"
    return meaning


def decide_snn(adapted: AdaptedNetwork, batches: Batches) -> Iterator[npt.NDArray[np.int64]]:
    """Decisions of the time-stepped spiking network, int64 `[batch]` (or `[batch, *places]`) each.

    Raises:
        CalibrationError: the outputs decide on no class.
    """
    graph, decision_output = adapted.graph, adapted.recipe.decision_output
    terms = adapted.recipe.settings.outputs
    with torch.no_grad():
        for batch in batches:
            values = adapted.network.run(batch)
            means = {name: decision_output(values[name]) for name in graph.outputs}
            yield decided(graph, means, terms)


def decide_quantised(deployment: Deployment, batches: Batches) -> Iterator[npt.NDArray[np.int64]]:
    """Decisions of the time-stepped network with 8-bit weights, int64 `[batch]` each."""
    for batch in batches:
        counts = torch.round(batch / batches.amplitude)
        yield leaders_of_steps(run_quantised(deployment.mapped, deployment.layers, counts))


def _result(
    level: str,
    meaning: str,
    decisions: npt.NDArray[np.int64],
    truth: npt.NDArray[Any],
    seconds: float,
) -> LevelResult:
    accuracy = float(np.mean(decisions == truth))
    return LevelResult(
        level=level,
        meaning=meaning,
        accuracy=accuracy,
        standard_error=accuracy_error(int(np.count_nonzero(decisions == truth)), len(truth)),
        samples=len(truth),
        seconds=seconds,
    )
