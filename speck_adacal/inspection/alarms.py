"""The read-out layer's threshold, for a rate of wrong alarms on recordings on end (simulated)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import Deployment, rewired
from speck_adacal.errors import SettingsError
from speck_adacal.events.labels import checked_labels
from speck_adacal.events.types import Events
from speck_adacal.inspection.continuous import run_on_end
from speck_adacal.readout.decision import NO_DECISION


@dataclass(frozen=True)
class Alarms:
    """What a read-out layer said on recordings on end, one look for each cycle of the slow clock.

    Attributes:
        threshold: of the read-out layer.
        looks: cycles of the slow clock.
        right: share of looks at which the class shown was said.
        wrong: share of looks at which another was said.
        nothing: share of looks at which nothing was said.
    """

    threshold: int
    looks: int
    right: float
    wrong: float
    nothing: float


def calibrated_readout(
    deployment: Deployment,
    recordings: Sequence[Events],
    labels: npt.ArrayLike,
    *,
    wrong_alarms: float = 0.01,
    gap_us: int = 0,
    seed: int = 0,
) -> tuple[Deployment, Alarms]:
    """The deployment with the lowest read-out threshold that keeps to a rate of wrong alarms.

    Args:
        deployment: with a read-out layer.
        recordings: shown on end in random order, never reset.
        labels: int `[n]`, their classes.
        wrong_alarms: most looks, of all, at which another class than the one shown may be said.
        gap_us: silence behind each recording.
        seed: of the order.

    Raises:
        SettingsError: there is no read-out layer, the rate is no share, or no cycle of the slow
            clock ended.
        EventError: as for a continuous simulation.
    """
    readout = deployment.wiring.readout
    if readout is None or not 0 <= wrong_alarms <= 1:
        raise SettingsError(
            f"A rate of wrong alarms (found {wrong_alarms}, allowed 0 to 1) is kept by a read-out "
            "layer on the chip; deploy with Wiring(readout=ChipReadout())."
        )
    truth = checked_labels(labels, len(recordings))
    stream = run_on_end(deployment, recordings, gap_us=gap_us, seed=seed)
    said = stream.chip_decisions
    leader, value = (np.concatenate([getattr(s, name) for s in said]) for name in _READ)
    shown = np.repeat(truth, [len(s) for s in said])
    if not len(leader):
        raise SettingsError(
            "No cycle of the slow clock ended on these recordings; use longer or more recordings, "
            "or a faster clock."
        )
    most = int(value.max())
    rates = [_alarms(leader, value, shown, threshold) for threshold in range(most + 1)]
    chosen = next(found for found in rates if found.wrong <= wrong_alarms)
    wiring = replace(deployment.wiring, readout=replace(readout, threshold=chosen.threshold))
    return rewired(deployment, wiring), chosen


_READ = ("leader", "value")
Ints = npt.NDArray[np.int64]


def _alarms(leader: Ints, value: Ints, shown: Ints, threshold: int) -> Alarms:
    label = np.where(value > threshold, leader, NO_DECISION)
    right, nothing = float(np.mean(label == shown)), float(np.mean(label == NO_DECISION))
    wrong = float(np.mean((label != shown) & (label != NO_DECISION)))
    return Alarms(threshold, len(label), right, wrong, nothing)
