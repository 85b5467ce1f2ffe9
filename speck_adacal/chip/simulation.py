"""Run a deployment on the chip twin and read out decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import Deployment
from speck_adacal.errors import EventError
from speck_adacal.events import Events
from speck_adacal.events.labels import checked_labels
from speck_adacal.readout.class_counts import count
from speck_adacal.twin import Spikes, Twin


@dataclass(frozen=True, eq=False)
class Simulation:
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
    """

    decisions: npt.NDArray[np.int64]
    class_counts: npt.NDArray[np.int64]
    output: tuple[Spikes, ...]
    output_class: tuple[npt.NDArray[np.int64], ...]
    events: npt.NDArray[np.int64]
    spikes_per_core: npt.NDArray[np.int64]
    synops_per_core: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.decisions)

    @property
    def synops(self) -> npt.NDArray[np.int64]:
        """SynOps of each recording over all cores, int64 `[n]`."""
        total: npt.NDArray[np.int64] = self.synops_per_core.sum(axis=1)
        return total

    def accuracy(self, labels: npt.ArrayLike) -> float:
        """Share of decisions equal to `labels`; no decision counts as wrong.

        Raises:
            CalibrationError: the labels are not class numbers, one for each decision.
        """
        return float(np.mean(self.decisions == checked_labels(labels, len(self.decisions))))


def run_on_twin(deployment: Deployment, recordings: Sequence[Events]) -> Simulation:
    """Run recordings through the chip twin, each from the configured initial state.

    Raises:
        EventError: there are no recordings, or one has another shape than the network takes.
    """
    expected = deployment.layers[0].folded.in_shape
    if not recordings:
        raise EventError("There are no recordings to simulate; give at least one.")
    for index, recording in enumerate(recordings):
        if recording.shape != expected:
            raise EventError(
                f"Recording {index} has shape {recording.shape}, the network takes {expected}; "
                "crop or pool it, or deploy for that shape."
            )
    twin = Twin.from_configuration(
        deployment.mapped.configuration,
        chip=deployment.chip,
        slow_clock_hz=deployment.slow_clock_hz,
    )
    runs = twin.run_many(recordings)
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
    )


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
