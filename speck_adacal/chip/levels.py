"""Accuracy at every level of a network, on the same samples: ann, snn, quantized, event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.adapt.adapted import AdaptedNetwork
from speck_adacal.adapt.batches import Batches, encode_samples
from speck_adacal.adapt.recipe import AdaptSettings
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.network import run_quantised
from speck_adacal.chip.simulate import Simulation, run_on_twin
from speck_adacal.errors import CalibrationError, DataError
from speck_adacal.events import Events
from speck_adacal.events.encode import rate_code


@dataclass(frozen=True)
class LevelResult:
    """Accuracy at one level.

    Attributes:
        level: `"ann"`, `"snn"`, `"quantized"` or `"event"`.
        meaning: what runs at this level, in words.
        accuracy: share of right decisions.
        standard_error: of `accuracy`, binomial.
        samples: number of samples.
        seconds: time the level took.
    """

    level: str
    meaning: str
    accuracy: float
    standard_error: float
    samples: int
    seconds: float


def as_recordings(samples: Any, settings: AdaptSettings) -> list[Events]:
    """Recordings as they are; images `[n, channels, height, width]` rate-coded one by one."""
    if isinstance(samples, Events):
        return [samples]
    if isinstance(samples, Sequence) and all(isinstance(item, Events) for item in samples):
        return list(samples)
    images = np.asarray(samples)
    if images.ndim != 4:
        raise DataError(
            f"Samples have shape {images.shape}; give images [n, channels, height, width] or "
            "a list of Events."
        )
    return [rate_code(image, time_steps=settings.time_steps) for image in images]


def measure_levels(
    deployment: Deployment, samples: Any, labels: npt.ArrayLike
) -> tuple[tuple[LevelResult, ...], Simulation]:
    """Measure every level on the same samples.

    Args:
        deployment: the network on the chip.
        samples: images `[n, channels, height, width]` (0 to 1) or recordings.
        labels: int `[n]`.

    Returns:
        One result per level in order, and the simulation on the twin.

    Raises:
        CalibrationError: samples and labels differ in number.
    """
    adapted = deployment.adapted
    settings = adapted.recipe.settings
    truth = np.asarray(labels)
    batches = encode_samples(samples, adapted.ann.input_shape, settings)
    if len(truth) != len(batches.samples):
        raise CalibrationError(
            f"There are {len(batches.samples)} samples but {len(truth)} labels; give one each."
        )
    analog = _analog_inputs(samples, batches.samples)
    ran = [
        ("ann", "trained network", lambda: _decide_ann(adapted.ann, analog, settings.batch_size)),
        ("snn", "burst-firing, float", lambda: np.concatenate(list(_decide_snn(adapted, batches)))),
        (
            "quantized",
            "8-bit weights, time-stepped (sinabs)",
            lambda: np.concatenate(list(_decide_quantised(deployment, batches))),
        ),
    ]
    results = [_timed(level, meaning, run, truth) for level, meaning, run in ran]
    recordings = as_recordings(samples, settings)
    start = time.perf_counter()
    simulation = run_on_twin(deployment, recordings)
    seconds = time.perf_counter() - start
    results.append(
        _result("event", "chip twin, event by event", simulation.decisions, truth, seconds)
    )
    return tuple(results), simulation


def _analog_inputs(samples: Any, frames: torch.Tensor) -> torch.Tensor:
    """Images as they are; recordings as the mean count per step."""
    if isinstance(samples, (torch.Tensor, np.ndarray)):
        images = torch.as_tensor(samples).float()
        if images.ndim == frames.ndim - 1:
            return images
    return frames.mean(dim=1)


def _decide_ann(ann: LayerGraph, inputs: torch.Tensor, batch_size: int) -> npt.NDArray[np.int64]:
    with torch.no_grad():
        outputs = [ann.run(batch)[ann.outputs[0]] for batch in inputs.split(batch_size)]
    decisions: npt.NDArray[np.int64] = torch.cat(outputs).flatten(1).argmax(1).numpy()
    return decisions


def _decide_snn(adapted: AdaptedNetwork, batches: Batches) -> Iterator[npt.NDArray[np.int64]]:
    with torch.no_grad():
        for batch in batches:
            yield adapted.network(batch).sum(1).flatten(1).argmax(1).numpy()


def _decide_quantised(deployment: Deployment, batches: Batches) -> Iterator[npt.NDArray[np.int64]]:
    for batch in batches:
        yield run_quantised(deployment.mapped, deployment.layers, batch).sum(1).argmax(1)


def _timed(
    level: str,
    meaning: str,
    run: Callable[[], npt.NDArray[np.int64]],
    truth: npt.NDArray[Any],
) -> LevelResult:
    start = time.perf_counter()
    decisions = run()
    return _result(level, meaning, decisions, truth, time.perf_counter() - start)


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
        standard_error=float(np.sqrt(accuracy * (1 - accuracy) / len(truth))),
        samples=len(truth),
        seconds=seconds,
    )
