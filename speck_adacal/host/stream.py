"""A chip run by a thread of its own, between two bounded queues."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from speck_adacal.errors import EventError, OverrunError, SessionError, SpeckAdacalError
from speck_adacal.events.types import Events
from speck_adacal.host.backend import Backend, check_shape
from speck_adacal.host.latencies import LatencyMeter, LatencySummary
from speck_adacal.host.limits import Counters, SessionLimits
from speck_adacal.host.queues import Batch, Inbox, Outbox, Piece
from speck_adacal.host.sample import Sample
from speck_adacal.host.windows import cut
from speck_adacal.readout.decision import Answer, Decision
from speck_adacal.readout.readouts import Readout


class Stream:
    """The pushing half of a `Session`; see there for what its methods promise."""

    def __init__(self, backend: Backend, readout: Readout | None, limits: SessionLimits) -> None:
        self._backend = backend
        self._readout = readout
        self._limits = limits
        self._changed = threading.Condition()
        self._inbox = Inbox(limits.input_events)
        self._outbox = Outbox(limits.output_spikes)
        self._meter = LatencyMeter()
        self._count = dict.fromkeys(Counters.__dataclass_fields__, 0)
        self._failure: SpeckAdacalError | None = None
        self._ending = self._abandoned = self._finished = False
        self._sample_number = 0  # of the sample that `send` is at
        self._covered_us = 0  # the time up to which that sample was sent
        self._busy = 0  # events of the piece that the chip is at
        self._thread = threading.Thread(target=self._run, name="session", daemon=True)
        self._thread.start()

    def send(self, events: Events, timeout_s: float | None) -> int:
        """Take a piece, or say why not."""
        check_shape(events, self._backend.shape, self._backend.name)
        with self._changed:
            self._refuse_if_over()
            if len(events) and events.t_us[0] < self._covered_us:
                raise EventError(
                    f"A piece begins at {events.t_us[0]} µs, but the sample was sent up to "
                    f"{self._covered_us} µs already; send in order of time, or end the sample."
                )
            self._count["offered"] += len(events)
            if not self._make_room(len(events), self._limits.overrun, timeout_s):
                return 0
            self._take(events)
            self._covered_us = max(self._covered_us, events.duration_us)
            return len(events)

    def end_sample(self, timeout_s: float | None) -> None:
        """Queue the end of the sample."""
        with self._changed:
            self._refuse_if_over()
            self._make_room(0, "wait", timeout_s)
            self._take(None)
            self._sample_number += 1
            self._covered_us = 0

    def receive(self, timeout_s: float | None) -> Batch | None:
        """The next batch."""
        with self._changed:
            self._changed.wait_for(lambda: self._finished or self._outbox.ready, timeout_s)
            batch = self._outbox.next()
            if batch is None:
                self._raise_failure()
            return batch

    def acknowledge(self, batch: Batch) -> None:
        """Let go of what the consumer has."""
        with self._changed:
            self._count["acknowledged"] += self._outbox.acknowledge(batch.number)
            self._changed.notify_all()

    def restart_consumer(self) -> None:
        """Deliver again what was not acknowledged."""
        with self._changed:
            self._outbox.rewind()
            self._changed.notify_all()

    def stop(self, *, drain: bool) -> None:
        """End the thread."""
        with self._changed:
            self._ending = True
            if not drain:
                self._abandon()
            self._changed.notify_all()
        self._thread.join(None if drain else self._limits.stop_s)
        if self._thread.is_alive():
            raise SessionError(
                f"{self._backend.name} did not finish its piece in {self._limits.stop_s:g} s and "
                "is left to itself; raise SessionLimits.stop_s, or send smaller pieces."
            )

    @property
    def counters(self) -> Counters:
        """All counters, at one moment."""
        with self._changed:
            now = {
                "waiting": self._inbox.events + self._busy,
                "unacknowledged": self._outbox.spikes,
            }
            return Counters(**{**self._count, **now})

    @property
    def latency(self) -> LatencySummary:
        """From taking a piece to having its answer."""
        with self._changed:
            return self._meter.summary()

    # Called with the lock held

    def _take(self, events: Events | None) -> None:
        piece = Piece(events, self._sample_number, time.monotonic())
        self._inbox.put(piece)
        self._count["accepted"] += piece.size
        self._changed.notify_all()

    def _make_room(self, size: int, rule: str, timeout_s: float | None) -> bool:
        """False where the piece is to be dropped."""
        if self._inbox.has_room(size):
            return True
        if rule == "wait" and self._changed.wait_for(
            lambda: self._ending or self._finished or self._inbox.has_room(size), timeout_s
        ):
            if self._inbox.has_room(size) and not self._ending:
                return True
            self._count["dropped"] += size
            self._refuse_if_over()
        self._count["dropped"] += size
        if rule == "drop":
            return False
        raise OverrunError(
            f"{self._inbox.events} events wait for {self._backend.name}, whose queue holds "
            f"{self._limits.input_events}, so the next {size} were not taken; send slower, "
            "receive and acknowledge faster, or choose overrun='wait' or 'drop'."
        )

    def _refuse_if_over(self) -> None:
        self._raise_failure()
        if self._ending:
            raise SessionError("The session was stopped; make a new one.")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise SessionError(
                f"The session on {self._backend.name} failed: {self._failure}"
            ) from self._failure

    def _abandon(self) -> None:
        self._abandoned = True
        self._count["discarded"] += self._inbox.clear()

    # The thread

    def _run(self) -> None:
        runner = _Runner(self._backend, self._readout)
        failure: SpeckAdacalError | None = SessionError("its thread broke off; see the log")
        try:
            while (piece := self._next_piece()) is not None:
                self._do(runner, piece)
            failure = None
        except SpeckAdacalError as error:
            failure = error
        finally:
            self._finish(failure)

    def _finish(self, failure: SpeckAdacalError | None) -> None:
        with self._changed:
            self._failure = failure
            self._count["discarded"] += self._busy
            self._busy = 0
            self._abandon()
            self._finished = True
            self._changed.notify_all()

    def _next_piece(self) -> Piece | None:
        """Wait for input, and for room for its output; None when it is over."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._abandoned
                    or (self._ending and not self._inbox.ready)
                    or (self._inbox.ready and self._outbox.has_room())
                )
            )
            piece = None if self._abandoned else self._inbox.take()
            self._busy = 0 if piece is None else piece.size
            self._changed.notify_all()
            return piece

    def _do(self, runner: _Runner, piece: Piece) -> None:
        if piece.events is None:
            self._give_out(piece, None, runner.end())
            return
        for part in runner.parts(piece.events):
            if runner.decided:
                self._spare(len(part))
            else:
                answer, spared = runner.feed(part)
                self._spare(spared)
                self._give_out(piece, answer, runner.decision)

    def _spare(self, events: int) -> None:
        with self._changed:
            self._count["spared"] += events
            self._busy -= events

    def _give_out(self, piece: Piece, answer: Answer | None, decision: Decision | None) -> None:
        latency_s = time.monotonic() - piece.accepted_s
        events = 0 if answer is None else answer.events
        with self._changed:
            batch = Batch(self._count["batches"], piece.sample, answer, decision, latency_s)
            self._count["batches"] += 1
            self._count["processed"] += events
            self._count["spikes"] += batch.size
            self._count["samples"] += answer is None
            self._busy -= events
            self._meter.add(latency_s)
            self._outbox.put(batch)
            self._changed.notify_all()


class _Runner:
    """Samples one after another; the chip is reset when the first piece of a sample comes."""

    def __init__(self, backend: Backend, readout: Readout | None) -> None:
        self._backend = backend
        self._readout = readout
        self._sample: Sample | None = None
        self._covered_us = 0

    @property
    def decision(self) -> Decision | None:
        """Of the sample under way."""
        return None if self._sample is None else self._sample.decision

    @property
    def decided(self) -> bool:
        """Is what follows of the sample not needed?"""
        goes_on = self._readout is not None and self._readout.goes_on
        return self.decision is not None and not goes_on

    def parts(self, events: Events) -> Iterator[Events]:
        """The piece, cut at the readout's windows."""
        window_us = None if self._readout is None else self._readout.window_us
        start, self._covered_us = self._covered_us, max(self._covered_us, events.duration_us)
        return iter([events]) if window_us is None else cut(events, start, window_us)

    def feed(self, part: Events) -> tuple[Answer, int]:
        """Run a part of the sample; how many of its events were spared."""
        if self._sample is None:
            self._sample = Sample(self._backend, self._readout)
        before = self._sample.spared
        answer = self._sample.feed(part)
        return answer, self._sample.spared - before

    def end(self) -> Decision | None:
        """The sample's decision; the next piece begins another."""
        sample = self._sample or Sample(self._backend, self._readout)
        self._sample, self._covered_us = None, 0
        return sample.finish()
