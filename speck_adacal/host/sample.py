"""One sample on a chip: feed piece by piece, read out, stop when it is decided."""

from __future__ import annotations

import time

import numpy as np

from speck_adacal.events.types import Events
from speck_adacal.host.backend import Backend
from speck_adacal.host.windows import part
from speck_adacal.readout.decision import NO_DECISION, Answer, Decision, Moment
from speck_adacal.readout.readouts import Readout, Verdict


class Sample:
    """A sample under way. Making it resets the chip and the readout.

    Args:
        backend: the chip.
        readout: how it is read; None to collect output spikes only.

    Attributes:
        decision: once it fell; of a readout that goes on, the one that fell with the last piece.
        spared: events that were not fed, since the readout rested.
    """

    def __init__(self, backend: Backend, readout: Readout | None) -> None:
        self._backend = backend
        self._readout = readout
        self.decision: Decision | None = None
        self.spared = 0
        self._events = 0
        self._synops: int | None = 0
        self._until_us = 0
        self._latency_s = 0.0
        backend.reset()
        if readout is not None:
            readout.start()

    def feed(self, piece: Events) -> Answer:
        """Run a piece; `decision` is set if it decides."""
        start = time.monotonic()
        if self._readout is not None and self._readout.rests(self._until_us):
            self.spared += len(piece)
            piece = part(piece, 0, 0, piece.duration_us)
        answer = self._backend.feed(piece)
        self._events += answer.events
        self._until_us = answer.until_us
        if self._synops is not None:
            self._synops = None if answer.synops is None else self._synops + answer.synops
        if self._readout is None:
            self._latency_s = time.monotonic() - start
            return answer
        verdict = self._readout.update(answer)
        self._latency_s = time.monotonic() - start
        self.decision = (
            None if verdict is None else self._decided(self._readout, verdict, early=True)
        )
        return answer

    def finish(self) -> Decision | None:
        """The sample is over; its decision (None without a readout, or of one that goes on)."""
        if self._readout is None or self._readout.goes_on:
            return None
        if self.decision is not None:
            return self.decision
        start = time.monotonic()
        charge = self._backend.charge() if self._readout.needs_charge else None
        verdict = self._readout.finish(self._until_us, charge)
        self._latency_s += time.monotonic() - start
        self.decision = self._decided(self._readout, verdict, early=False)
        return self.decision

    def moment(self, answer: Answer | None) -> Moment:
        """How it stands after a piece, or at its end."""
        nothing = np.zeros(0, np.int64)
        readout = self._readout
        return Moment(
            t_us=self._until_us,
            t_spikes_us=nothing if answer is None else answer.t_us,
            output=nothing if answer is None else answer.output,
            counts=nothing if readout is None else readout.counts,
            confidence=float("nan") if readout is None else readout.confidence,
            bar=float("nan") if readout is None else readout.bar,
            events=self._events,
            synops=self._synops,
            latency_s=self._latency_s,
            decision=self.decision,
            seen=None if answer is None else answer.seen,
        )

    def _decided(self, readout: Readout, verdict: Verdict, *, early: bool) -> Decision:
        made = verdict.label != NO_DECISION
        return Decision(
            label=verdict.label,
            name=readout.names[verdict.label] if made else "no decision",
            t_us=verdict.t_us,
            early=early,
            confidence=verdict.confidence,
            counts=readout.counts,
            events=self._events,
            synops=self._synops,
            latency_s=self._latency_s,
        )
