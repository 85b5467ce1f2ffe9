"""What early exits do on a stream: latency, and SynOps a second. Every figure is simulated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import Deployment
from speck_adacal.errors import EventError, SettingsError
from speck_adacal.events.on_end import on_end
from speck_adacal.events.types import Events
from speck_adacal.host.session import Session
from speck_adacal.host.twin_backend import TwinBackend
from speck_adacal.readout.decision import Ints
from speck_adacal.readout.stream_exit import StreamExit


@dataclass(frozen=True, eq=False)
class StreamExits:
    """Decisions on recordings on end, never reset.

    Attributes:
        t_us: int64 `[decisions]`, when each fell.
        labels: int64 `[decisions]`, the class that each names.
        order: int64 `[n]`, the recordings in the order in which they ran.
        starts_us: int64 `[n]`, when each of these began, in that order.
        duration_us: of the stream.
        events, fed: input events of the stream, and those that the chip was fed.
        synops: of the whole stream.
    """

    t_us: Ints
    labels: Ints
    order: Ints
    starts_us: Ints
    duration_us: int
    events: int
    fed: int
    synops: int

    @property
    def synops_per_s(self) -> float:
        """SynOps in a second of the stream."""
        return self.synops / (self.duration_us * 1e-6)

    @property
    def spared(self) -> float:
        """Share of the input events that the chip was not fed."""
        return 1 - self.fed / max(self.events, 1)

    def right(self, truth: npt.ArrayLike) -> float:
        """Share of decisions that name the scene's class; NaN without a decision.

        Args:
            truth: int `[n]`, class of each recording as they were given.
        """
        scenes = np.asarray(truth)[self.order][self._scene()]
        return float(np.mean(scenes == self.labels)) if len(self.labels) else float("nan")

    def latency_us(self, truth: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """float64 `[changes]`: from each change to a scene of another class (and the start) until
        the first right decision; infinite where none falls before the next scene."""
        scenes = np.asarray(truth)[self.order]
        changed = np.flatnonzero(np.concatenate([[True], np.diff(scenes) != 0]))
        found = np.full(len(scenes), np.inf)
        scene = self._scene()
        right = np.flatnonzero(scenes[scene] == self.labels)[::-1]
        found[scene[right]] = self.t_us[right] - self.starts_us[scene[right]]
        return found[changed]

    def _scene(self) -> Ints:
        # A step's decision is about what came before its end.
        return np.searchsorted(self.starts_us, self.t_us, side="left") - 1


def exits_on_stream(
    deployment: Deployment,
    recordings: Any,
    readout: StreamExit,
    *,
    gap_us: int = 0,
    seed: int = 0,
) -> StreamExits:
    """Run recordings on end through the chip twin, never reset, and decide on the way.

    Args:
        deployment: what runs; its input comes from the host.
        recordings: inputs, of the network's input shape.
        readout: when a decision falls, and how long it rests after it.
        gap_us: silence behind each recording.
        seed: of the order.

    Raises:
        EventError: there are no recordings of events, one has another shape, or the gap is below
            0.
        SettingsError: the chip's own sensor is the source, from which a host spares nothing.
    """
    if deployment.wiring.sensor is not None and readout.spare:
        raise SettingsError(
            "The chip's own sensor feeds this network, so that a host can spare it no events; "
            "leave sparing out, or deploy with --input host."
        )
    if not isinstance(recordings, Sequence) or not all(isinstance(r, Events) for r in recordings):
        raise EventError(
            f"Decisions on a stream need recordings of events, found {type(recordings).__name__}; "
            "give a list of Events."
        )
    order = np.random.default_rng(seed).permutation(len(recordings))
    stream = on_end([recordings[i] for i in order], gap_us=gap_us)
    times, labels, last = [], [], None
    with Session(TwinBackend(deployment), readout) as session:
        for last in session.watch([stream.events]):
            if last.decision is not None:
                times.append(last.decision.t_us)
                labels.append(last.decision.label)
    return StreamExits(
        t_us=np.array(times, dtype=np.int64),
        labels=np.array(labels, dtype=np.int64),
        order=order,
        starts_us=stream.starts_us,
        duration_us=stream.events.duration_us,
        events=len(stream.events),
        fed=0 if last is None else last.events,
        synops=0 if last is None else last.synops or 0,
    )
