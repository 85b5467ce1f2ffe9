"""Run a deployment on the chip twin and read out decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import EventError, SettingsError
from speck_adacal.events import Events
from speck_adacal.events.labels import checked_labels
from speck_adacal.readout.class_counts import count
from speck_adacal.readout.decision import NO_DECISION
from speck_adacal.samples.batches import encode_for
from speck_adacal.sheet import Sheet, Summarised
from speck_adacal.twin import Spikes, Twin
from speck_adacal.twin.result import Done, TwinRun


@dataclass(frozen=True, eq=False)
class ChipDecisions:
    """What the chip's read-out layer said, one row for each cycle of the slow clock that ended.

    Attributes:
        t_us: int64 `[n]`, end of the cycle.
        label: int64 `[n]`, the class; -1 where the chip said nothing.
        value: int64 `[n]`, mean count of the leading class, which the threshold is compared with.
        leader: int64 `[n]`, that class; -1 where there was no spike.
    """

    t_us: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    value: npt.NDArray[np.int64]
    leader: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.t_us)


def chip_decisions(run: TwinRun) -> ChipDecisions:
    """What the read-out layer of a run said.

    Raises:
        SettingsError: it is not enabled.
    """
    found = run.readout
    if found is None:
        raise SettingsError("The chip reads nothing out; deploy with a Wiring that has a readout.")
    return ChipDecisions(
        t_us=found.t_us,
        label=np.where(found.interrupt, found.winner - 1, NO_DECISION),
        value=found.average.max(axis=1),
        leader=found.winner - 1,
    )


@dataclass(frozen=True, eq=False)
class Simulation(Summarised):
    """What the chip twin did with one or more recordings. Every figure here is *simulated*.

    Attributes:
        decisions: int64 `[n]`, the class with most output spikes; of equals the one that got
            there first; `-1` (no decision) where there was no output spike.
        class_counts: int64 `[n, classes]` output spikes per class.
        output: output spikes of each recording, with times in µs.
        output_class: int64 `[spikes]` of each recording, the class that each of them stands for
            by the deployment's class map; -1 for none.
        events: int64 `[n]` input events.
        spikes_per_core: int64 `[n, 9]`.
        synops_per_core: int64 `[n, 9]` synaptic operations: updates of a neuron by an event.
        chip_decisions: what the chip's read-out layer said of each recording; empty without one.
    """

    decisions: npt.NDArray[np.int64]
    class_counts: npt.NDArray[np.int64]
    output: tuple[Spikes, ...]
    output_class: tuple[npt.NDArray[np.int64], ...]
    events: npt.NDArray[np.int64]
    spikes_per_core: npt.NDArray[np.int64]
    synops_per_core: npt.NDArray[np.int64]
    chip_decisions: tuple[ChipDecisions, ...] = field(default=(), kw_only=True)

    def __len__(self) -> int:
        return len(self.decisions)

    @property
    def synops(self) -> npt.NDArray[np.int64]:
        """SynOps of each recording over all cores, int64 `[n]`."""
        total: npt.NDArray[np.int64] = self.synops_per_core.sum(axis=1)
        return total

    def _sheet(self) -> Sheet:
        silent = int(np.count_nonzero(self.decisions == NO_DECISION))
        rows = tuple(
            (f"core {core}", f"{spikes:,.0f}", f"{synops:,.0f}")
            for core, (spikes, synops) in enumerate(
                zip(self.spikes_per_core.mean(0), self.synops_per_core.mean(0), strict=True)
            )
            if spikes or synops
        )
        total = ("all", f"{self.spikes_per_core.sum(1).mean():,.0f}", f"{self.synops.mean():,.0f}")
        return Sheet(
            f"{len(self)} samples on the chip twin (simulated), a sample's means",
            ("", "spikes", "SynOps"),
            (*rows, total),
            (
                f"{self.events.mean():,.0f} input events; {silent} samples without a decision",
                "accuracy(labels) compares the decisions with labels.",
            ),
        )

    def accuracy(self, labels: npt.ArrayLike) -> float:
        """Share of decisions equal to `labels`; no decision counts as wrong.

        Raises:
            CalibrationError: the labels are not class numbers, one for each decision.
        """
        return float(np.mean(self.decisions == checked_labels(labels, len(self.decisions))))


def run_on_twin(
    deployment: Deployment, recordings: Sequence[Events], *, done: Done | None = None
) -> Simulation:
    """Run recordings through the chip twin, each from the configured initial state.

    Args:
        deployment: what runs.
        recordings: inputs, of the network's shape.
        done: told the recordings done and their number.

    Raises:
        EventError: there are no recordings, or one has another shape than the network takes.
    """
    if not recordings:
        raise EventError("There are no recordings to simulate; give at least one.")
    expected, entry = entry_of(deployment, recordings[0])
    for index, recording in enumerate(recordings):
        if recording.shape != expected:
            raise EventError(
                f"Recording {index} has shape {recording.shape}, the network takes {expected}; "
                "crop or pool it, or deploy for that shape."
            )
    runs = wired_twin(deployment).run_many(recordings, entry=entry, done=done)
    output = tuple(run.spikes[deployment.readout_core] for run in runs)
    classes, decisions, class_counts = decided(deployment, output)
    return Simulation(
        decisions=decisions,
        class_counts=class_counts,
        output=output,
        output_class=classes,
        events=np.array([len(recording) for recording in recordings], dtype=np.int64),
        spikes_per_core=np.stack([run.spikes_per_core for run in runs]),
        synops_per_core=np.stack([run.synops_per_core for run in runs]),
        chip_decisions=tuple(map(chip_decisions, runs)) if deployment.wiring.readout else (),
    )


def recordings_for(deployment: Deployment, data: Any) -> Sequence[Events]:
    """Samples as the deployment takes them: recordings of the whole sensor as they are, if it is
    wired, and anything else encoded for the network. Recordings are the sensor's where one of them
    is larger than the network's input: a file tells no more than the pixels that had events.

    Raises:
        CalibrationError: there are no samples, or of a wrong shape or range.
    """
    listed = [data] if isinstance(data, Events) else data
    if isinstance(listed, Sequence) and listed and all(isinstance(r, Events) for r in listed):
        seen = _by_sensor(deployment, listed)
        if seen:
            return seen
    adapted = deployment.adapted
    return encode_for(data, adapted.ann.input_shape, adapted.recipe).recordings()


def _by_sensor(deployment: Deployment, recordings: Sequence[Events]) -> list[Events]:
    """The recordings as those of the whole sensor; none if they are not."""
    side = load_chip_description(deployment.chip).limits.sensor_size
    _, height, width = deployment.input_shape
    shapes = [recording.shape for recording in recordings]
    larger = any(shape[1] > height or shape[2] > width for shape in shapes)
    fit = all(shape[0] <= 2 and max(shape[1:]) <= side for shape in shapes)
    whole = any(shape == (2, side, side) for shape in shapes)
    if deployment.wiring.sensor is None or not fit or not (larger or whole):
        return []
    return [_on_sensor(recording.from_own_start(), side) for recording in recordings]


def _on_sensor(events: Events, side: int) -> Events:
    shape = (2, side, side)
    columns = (events.t_us, events.x, events.y, events.channel)
    return Events(*columns, shape, events.duration_us)


def wired_twin(deployment: Deployment) -> Twin:
    """A twin of the deployment with its sensor and read-out."""
    # A search runs hundreds of twins, and a copy takes a tenth of a second: none without need.
    wired = deployment.configuration if deployment.around else deployment.mapped.configuration
    return Twin.from_configuration(
        wired, chip=deployment.chip, slow_clock_hz=deployment.slow_clock_hz
    )


def entry_of(deployment: Deployment, recording: Events) -> tuple[tuple[int, int, int], int]:
    """The shape that recordings must have, and where they enter: a sensor's own recordings go
    through the sensor's stage if it is wired, others to the first core."""
    description = load_chip_description(deployment.chip)
    sensor = (2, description.limits.sensor_size, description.limits.sensor_size)
    if deployment.wiring.sensor is not None and recording.shape == sensor:
        return sensor, description.dvs_layer
    return deployment.layers[0].folded.in_shape, deployment.cores[0]


def decided(
    deployment: Deployment, output: Sequence[Spikes]
) -> tuple[tuple[npt.NDArray[np.int64], ...], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What the output spikes of recordings mean.

    Returns:
        The class of each spike, int64 `[spikes]` by recording; the decisions, int64 `[n]`; and the
        spikes of each class, int64 `[n, classes]`.
    """
    classes = tuple(deployment.class_map.of(s.channel, s.y, s.x) for s in output)
    counted = [count(labels, deployment.classes) for labels in classes]
    decisions = np.array([leader for _, leader in counted], dtype=np.int64)
    return classes, decisions, np.stack([counts for counts, _ in counted])
