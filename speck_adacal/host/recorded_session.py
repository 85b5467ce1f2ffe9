"""A session on one sample, kept: for the live view's end, files, videos and replays."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.bundle import new_file
from speck_adacal.host.backend import Grade
from speck_adacal.host.sources import Source
from speck_adacal.readout.decision import Decision, Moment


@dataclass(frozen=True, eq=False)
class RecordedSession:
    """What happened with one source.

    Attributes:
        source: what was looked at, all of it.
        names: of the classes.
        class_of: int64 `[outputs]`, class of each of the network's outputs.
        moments: after every piece; the last one has the decision.
        backend: name of what ran.
        grade: what the figures are worth.
    """

    source: Source
    names: tuple[str, ...]
    class_of: npt.NDArray[np.int64]
    moments: tuple[Moment, ...]
    backend: str
    grade: Grade

    @property
    def decision(self) -> Decision:
        """The decision."""
        found = self.moments[-1].decision
        if found is None:
            raise ValueError("A recorded session ends with a decision.")
        return found

    @property
    def spared_events(self) -> int:
        """Events of the source that were not needed."""
        return len(self.source.events) - self.decision.events

    @property
    def spared_synops(self) -> int | None:
        """SynOps that these would have cost, at the mean of those used (estimated)."""
        used, synops = self.decision.events, self.decision.synops
        if synops is None or not used:
            return None
        return round(synops / used * self.spared_events)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        duration = self.source.events.duration_us
        return {
            "source": self.source.name,
            "backend": self.backend,
            "grade": self.grade,
            "label": self.source.label,
            "decision": self.decision.to_dict(),
            "duration_us": duration,
            "events": len(self.source.events),
            "events_spared": self.spared_events,
            "synops_spared_estimated": self.spared_synops,
            "names": list(self.names),
            "fitting": None if self.source.fitting is None else asdict(self.source.fitting),
            "moments": [
                {
                    "t_us": m.t_us,
                    "counts": m.counts.tolist(),
                    "confidence": _number(m.confidence),
                    "bar": _number(m.bar),
                    "events": m.events,
                    "synops": m.synops,
                    "latency_s": m.latency_s,
                }
                for m in self.moments
            ],
        }


def write_recorded_session(recorded: RecordedSession, path: Path, *, force: bool = False) -> None:
    """Write events, output spikes and the decision to an `.npz`, which `read_recording` reads too.

    Raises:
        OutputExistsError: `path` exists and `force` is False.
        OutputError: it cannot be written.
    """
    events = recorded.source.events
    channels, height, width = events.shape
    with new_file(path, force=force) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            t=events.t_us,
            x=events.x,
            y=events.y,
            p=events.channel,
            sensor_size=np.array([width, height, channels]),
            spike_t=np.concatenate([m.t_spikes_us for m in recorded.moments]),
            spike_output=np.concatenate([m.output for m in recorded.moments]),
            session=np.array(json.dumps(recorded.to_dict())),
        )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
