"""What a readout says, and what a session shows of one moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.events.types import Events

Ints = npt.NDArray[np.int64]

NO_DECISION = -1
"""The label where no spike told any class from another."""


@dataclass(frozen=True, eq=False)
class Decision:
    """A decision on one sample, or the explicit absence of one.

    Attributes:
        label: class, or `NO_DECISION` (-1): no spike told any class from another.
        name: the class's name; `"no decision"` where there is none.
        t_us: the sample's time at which it fell.
        early: it fell before the source ended.
        confidence: 0 to 1 where the readout has one, else NaN.
        counts: int64 `[classes]` output spikes until then.
        events: input events used until then.
        synops: SynOps used until then; None where the backend cannot count them.
        latency_s: host time from taking the last piece of input to the decision.
    """

    label: int
    name: str
    t_us: int
    early: bool
    confidence: float
    counts: npt.NDArray[np.int64]
    events: int
    synops: int | None
    latency_s: float

    @property
    def made(self) -> bool:
        """True unless this is "no decision"."""
        return self.label != NO_DECISION

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON; what is not known is None."""
        return {
            "label": self.label,
            "name": self.name,
            "t_us": self.t_us,
            "early": self.early,
            "confidence": None if np.isnan(self.confidence) else self.confidence,
            "counts": self.counts.tolist(),
            "events": self.events,
            "synops": self.synops,
            "latency_s": self.latency_s,
        }


@dataclass(frozen=True, eq=False)
class Moment:
    """A session after one piece of input.

    Attributes:
        t_us: the sample's time.
        t_spikes_us, output: int64 `[n]`, output spikes of this piece, see `Answer`.
        counts: int64 `[classes]`, output spikes so far.
        confidence: of the readout now; NaN where it has none.
        bar: α_t that the confidence must reach now; NaN where there is none.
        events: input events so far.
        synops: SynOps so far, or None.
        latency_s: host time that this piece took.
        decision: the decision, if it fell with this piece.
        seen: events of this piece, where the chip's own sensor is the source.
    """

    t_us: int
    t_spikes_us: npt.NDArray[np.int64]
    output: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    confidence: float
    bar: float
    events: int
    synops: int | None
    latency_s: float
    decision: Decision | None = None
    seen: Events | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """What a chip gave for one piece of its input.

    Attributes:
        t_us: int64 `[n]`, times of the output spikes, in the sample's time.
        output: int64 `[n]`, the network's output (class) that each stands for by the network's
            class map; -1 for none.
        until_us: the sample's time up to which the chip has been fed.
        events: input events of the piece.
        synops: SynOps that they caused; None where the backend cannot count them.
        seen: what the chip's own sensor saw, where that is the input.
    """

    t_us: Ints
    output: Ints
    until_us: int
    events: int
    synops: int | None
    seen: Events | None = None

    def __len__(self) -> int:
        return len(self.t_us)
