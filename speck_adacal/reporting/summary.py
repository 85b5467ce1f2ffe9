"""The numbers of a deployment, measured once and shown as table, page or JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.adaptation.decompose import LayerError, decompose
from speck_adacal.adaptation.energy import ConversionEnergy, estimate_energy
from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.simulation import Simulation
from speck_adacal.chip_description import load_chip_description
from speck_adacal.events.labels import checked_labels
from speck_adacal.inspection.levels import NEVER_RESET, LevelResult, measure_levels
from speck_adacal.recipe.verdict import Verdict, fall_never_reset
from speck_adacal.reporting.decisions import Decisions, decisions_of
from speck_adacal.reporting.details import Details, measure_details
from speck_adacal.rules.shapes import LayerShape
from speck_adacal.samples.batches import encode_for
from speck_adacal.snn.layer_names import layer_names
from speck_adacal.twin_search.progress import Progress


@dataclass(frozen=True)
class LayerRow:
    """One layer of the per-layer table; spikes and SynOps are means per sample on the twin.

    Attributes:
        threshold: V_th per layer, or the mean over channels.
        weight_levels: distinct weight values that survive 8 bits.
        limited_by: what sets the quantisation scale.
        kernel_used, kernel_available, neuron_used, neuron_available, bias_used, bias_available:
            memory in words; biases take some only where they leak.
    """

    name: str
    core: int
    phi: int
    rho: float
    threshold: float
    threshold_integer: int
    weight_levels: int
    limited_by: str
    kernel_used: int
    kernel_available: int
    neuron_used: int
    neuron_available: int
    bias_used: int = 0
    bias_available: int = 0
    spikes: float | None = None
    synops: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Summary:
    """Everything the demo and the report show.

    Attributes:
        chip: the chip deployed to.
        time_steps: T.
        levels: accuracy at each level.
        layers: the per-layer table.
        synops: mean SynOps per sample on the twin (simulated).
        events: mean input events per sample.
        energy: estimated energy per sample.
        undecided: samples without any output spike.
        warnings: design-rule warnings.
        seconds: time the measurement took.
        command: what made it.
        errors: parts of every spiking layer's error, of the first samples.
        verdict: what adaptation kept and lost, on calibration samples.
        details: what was measured on a part of the samples, if it was.
        decisions: what the twin decided of each class, with pictures of samples.

    Without samples `levels` is empty, and what needs them is 0 or None.
    """

    chip: str
    time_steps: int
    levels: tuple[LevelResult, ...]
    layers: tuple[LayerRow, ...]
    synops: float
    events: float
    energy: ConversionEnergy | None
    undecided: int
    warnings: tuple[str, ...]
    seconds: float
    command: str
    errors: tuple[LayerError, ...] = ()
    details: Details | None = None
    verdict: Verdict | None = None
    decisions: Decisions | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "chip": self.chip,
            "time_steps": self.time_steps,
            "levels": [asdict(level) for level in self.levels],
            "layers": [row.to_dict() for row in self.layers],
            "synops_per_sample": {"value": self.synops, "kind": "simulated"},
            "events_per_sample": self.events,
            "energy": None if self.energy is None else self.energy.to_dict(),
            "errors": [asdict(error) for error in self.errors],
            "undecided": self.undecided,
            "warnings": list(self.warnings),
            "seconds": self.seconds,
            "command": self.command,
            "verdict": None if self.verdict is None else self.verdict.to_dict(),
            "decisions": None if self.decisions is None else self.decisions.to_dict(),
            "details": None if self.details is None else self.details.to_dict(),
        }


def describe(deployment: Deployment, *, command: str) -> Summary:
    """What a deployment shows without samples."""
    return Summary(
        chip=deployment.chip,
        time_steps=deployment.adapted.recipe.settings.time_steps,
        levels=(),
        layers=layer_rows(deployment),
        synops=0.0,
        events=0.0,
        energy=None,
        undecided=0,
        warnings=tuple(str(violation) for violation in deployment.violations),
        seconds=0.0,
        command=command,
        verdict=deployment.adapted.recipe.verdict,
    )


def summarise(
    deployment: Deployment,
    samples: Any,
    labels: npt.ArrayLike,
    *,
    command: str,
    details: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Measure every level on labelled samples, and with `details` all that the page shows.

    `progress` is told how many of how many samples or steps are done, and of what.

    Raises:
        CalibrationError: samples and labels differ in number, or samples do not fit.
    """
    start = time.perf_counter()
    levels, simulation = measure_levels(deployment, samples, labels, progress=progress)
    truth = checked_labels(labels, len(simulation), deployment.classes)
    found = measure_details(deployment, samples, labels, progress=progress) if details else None
    return Summary(
        chip=deployment.chip,
        time_steps=deployment.adapted.recipe.settings.time_steps,
        levels=levels,
        layers=layer_rows(deployment, simulation),
        synops=float(simulation.synops.mean()),
        events=float(simulation.events.mean()),
        energy=estimate_energy(deployment.adapted.ann, float(simulation.synops.mean())),
        undecided=int(np.count_nonzero(simulation.decisions < 0)),
        warnings=(*map(str, deployment.violations), *_never_reset(levels)),
        seconds=time.perf_counter() - start,
        command=command,
        errors=_error_parts(deployment, samples),
        details=found,
        decisions=decisions_of(simulation, samples, truth, deployment.classes),
        verdict=deployment.adapted.recipe.verdict,
    )


def _never_reset(levels: Sequence[LevelResult]) -> Iterator[str]:
    """What to say of a network that loses much where nobody resets it."""
    for level in levels:
        if level.level == NEVER_RESET:
            said = fall_never_reset(accuracy_of(levels, "event"), level.accuracy)
            yield from () if said is None else (said,)


def _error_parts(deployment: Deployment, samples: Any) -> tuple[LayerError, ...]:
    adapted = deployment.adapted
    settings = adapted.recipe.settings
    batches = encode_for(samples, adapted.ann.input_shape, adapted.recipe)
    names = layer_names(adapted.graph, adapted.recipe)
    found = decompose(adapted.reference, adapted.recipe, batches, settings, adapted.graph)
    return tuple(replace(error, name=names[error.name]) for error in found)


def layer_rows(
    deployment: Deployment, simulation: Simulation | None = None
) -> tuple[LayerRow, ...]:
    """The per-layer table; with a simulation, spikes and SynOps too."""
    description = load_chip_description(deployment.chip)
    rows = []
    for layer, core in zip(deployment.layers, deployment.cores, strict=True):
        shape, memory = LayerShape.of(layer.folded), description.cores[core]
        recipe = layer.folded.recipe
        rows.append(
            LayerRow(
                name=layer.folded.name,
                core=core,
                phi=recipe.phi,
                rho=recipe.rho,
                threshold=float(np.mean(recipe.threshold)),
                threshold_integer=layer.threshold,
                weight_levels=layer.distinct_levels,
                limited_by=layer.limited_by,
                kernel_used=shape.kernel_words,
                kernel_available=memory.kernel,
                neuron_used=shape.neuron_words,
                neuron_available=memory.neuron,
                bias_used=len(layer.bias) if layer.bias.any() else 0,
                bias_available=memory.bias,
                spikes=None if simulation is None else _mean(simulation.spikes_per_core, core),
                synops=None if simulation is None else _mean(simulation.synops_per_core, core),
            )
        )
    return tuple(rows)


def accuracy_of(levels: Sequence[LevelResult], level: str) -> float:
    """Accuracy at one level."""
    return next(result.accuracy for result in levels if result.level == level)


def _mean(per_core: npt.NDArray[np.int64], core: int) -> float:
    return float(per_core[:, core].mean())
