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
from speck_adacal.inspection.continuous import ContinuousSimulation, run_on_end
from speck_adacal.readout.decision import NO_DECISION

Ints = npt.NDArray[np.int64]
_READ = ("leader", "value")


@dataclass(frozen=True)
class Alarms:
    """What a read-out layer said on recordings on end, one look for each cycle of the slow clock.

    Attributes:
        threshold: of the read-out layer.
        looks: cycles of the slow clock.
        right: share of looks at which a class was said that was shown within the window.
        wrong: share of looks at which one was said that was not shown in it.
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
        wrong_alarms: most looks, of all, at which a class may be said that was not shown in the
            window of the look.
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
    looks = _looks(stream, truth, readout.window)
    if not len(looks.leader):
        raise SettingsError(
            "No cycle of the slow clock ended on these recordings; use longer or more recordings, "
            "or a faster clock."
        )
    rates = [looks.alarms(threshold) for threshold in range(int(looks.value.max()) + 1)]
    chosen = next(found for found in rates if found.wrong <= wrong_alarms)
    wiring = replace(deployment.wiring, readout=replace(readout, threshold=chosen.threshold))
    return rewired(deployment, wiring), chosen


@dataclass(frozen=True, eq=False)
class _Looks:
    """The leading class of every look, its mean count, and whether it was shown in the window."""

    leader: Ints
    value: Ints
    shown: npt.NDArray[np.bool_]

    def alarms(self, threshold: int) -> Alarms:
        said = (self.value > threshold) & (self.leader != NO_DECISION)
        right, wrong = said & self.shown, said & ~self.shown
        shares = (float(np.mean(found)) for found in (right, wrong, ~said))
        return Alarms(threshold, len(said), *shares)


def _looks(stream: ContinuousSimulation, truth: Ints, window: int) -> _Looks:
    """Looks in the order of the stream."""
    said = [stream.chip_decisions[index] for index in stream.order]
    starts = stream.starts_us[stream.order]
    leader, value = (np.concatenate([getattr(s, name) for s in said]) for name in _READ)
    ends = np.concatenate([s.t_us + start for s, start in zip(said, starts, strict=True)])
    begins = np.concatenate([np.zeros(window, dtype=np.int64), ends])[: len(ends)]
    first = np.maximum(np.searchsorted(starts, begins, side="right") - 1, 0)
    last = np.maximum(np.searchsorted(starts, ends, side="left") - 1, 0)
    classes, shown = truth[stream.order], np.zeros(len(ends), dtype=np.bool_)
    for back in range(int((last - first).max(initial=0)) + 1):
        scene = np.maximum(last - back, first)
        shown |= classes[scene] == leader
    return _Looks(leader, value, shown)
