"""`Session`: a stream of events through a chip, with a readout.

Two ways of use, on the same backends:

- `decide` (or `watch`) *pulls* one sample's events from a source, and stops reading it once the
  readout has decided.
- `send` and `receive` *push*: a thread of the session runs the chip between two bounded queues.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from types import TracebackType

from speck_adacal.errors import SessionError, SettingsError
from speck_adacal.events.types import Events
from speck_adacal.host.backend import Backend
from speck_adacal.host.latencies import LatencyMeter, LatencySummary
from speck_adacal.host.limits import Counters, SessionLimits
from speck_adacal.host.queues import Batch
from speck_adacal.host.sample import Sample
from speck_adacal.host.stream import Stream
from speck_adacal.host.windows import split_at_windows
from speck_adacal.readout.decision import Decision, Moment
from speck_adacal.readout.readouts import Readout

_WARM = 500


class Session:
    """Events in, spikes and decisions out. Use it in a `with` block: it closes the backend.

    Args:
        backend: the chip.
        readout: how a sample is decided; None for output spikes alone.
        limits: sizes of the queues, and the overrun rule.
    """

    def __init__(
        self,
        backend: Backend,
        readout: Readout | None = None,
        *,
        limits: SessionLimits | None = None,
    ) -> None:
        self.backend = backend
        self.readout = readout
        self._limits = limits or SessionLimits()
        self._stream: Stream | None = None
        self._pulling = LatencyMeter()
        self._closed = False
        self._starting = threading.Lock()  # producer and consumer may both be the first

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def decide(self, source: Iterable[Events]) -> Decision:
        """Read a source until the readout decides; nothing of it is read after that.

        Args:
            source: pieces of one sample, in order, its time from 0 µs; each covers the time up
                to its `duration_us`. They are cut at the readout's windows.

        Raises:
            SettingsError: the session has no readout, one that goes on, or is streaming.
            EventError: a piece has another shape, or goes back in time.
        """
        if self.readout is None:
            raise SettingsError("This session has no readout, so it cannot decide; give it one.")
        if self.readout.goes_on:
            raise SettingsError(
                f"{self.readout.kind} decides again and again, and has no one decision; use watch."
            )
        moments = deque(self.watch(source), maxlen=1)
        decision = moments.pop().decision
        if decision is None:
            raise SessionError("The sample ended without a verdict of its readout.")
        return decision

    def watch(self, source: Iterable[Events]) -> Iterator[Moment]:
        """As `decide`, but yields how things stand after every piece; the last has the decision.

        A readout that goes on (`StreamExit`) reads the source to its end, never resets the chip on
        the way, and each moment has the decision that fell in it, if one did.
        """
        self._refuse_closed()
        if self._stream is not None:
            raise SettingsError("This session is streaming; use another one to pull samples.")
        sample = Sample(self.backend, self.readout)
        goes_on = self.readout is not None and self.readout.goes_on
        window_us = None if self.readout is None else self.readout.window_us
        for piece in split_at_windows(source, window_us):
            moment = sample.moment(sample.feed(piece))
            self._pulling.add(moment.latency_s)
            yield moment
            if sample.decision is not None and not goes_on:
                return
        if not goes_on:
            sample.finish()
            yield sample.moment(None)

    def warm_up(self, events: Events) -> None:
        """Run the first 500 events and forget them, so that the first latencies are not those of a
        cold program (kernels that are loaded, memory that is taken). A sample begins with a reset.

        Raises:
            EventError: the events have another shape.
        """
        self._refuse_closed()
        first = slice(_WARM)
        columns = (events.t_us[first], events.x[first], events.y[first], events.channel[first])
        few = Events(*columns, events.shape)
        self.backend.reset()
        self.backend.feed(few)
        self.backend.reset()

    def send(self, events: Events, *, timeout_s: float | None = None) -> int:
        """Give a piece of the current sample; returns the number of events taken.

        Events that were taken are run on the chip, whatever happens to the consumer. Under
        `overrun="wait"` this blocks while the queue is full.

        Raises:
            EventError: the piece has another shape, or goes back in time.
            OverrunError: the queue is full, and the rule is `"error"` or the time is up; nothing
                of the piece was taken.
            SessionError: the session was stopped, or its chip failed.
        """
        return self._pushing().send(events, timeout_s)

    def end_sample(self, *, timeout_s: float | None = None) -> None:
        """The current sample is over: it is read out, and the chip's states are reset.

        Raises:
            OverrunError, SessionError: as for `send`; an end is never dropped, but waits.
        """
        self._pushing().end_sample(timeout_s)

    def receive(self, *, timeout_s: float | None = None) -> Batch | None:
        """The next batch of output; None if none comes in time, or the session is over.

        A batch is kept until it is acknowledged, and the chip waits when too many are kept.

        Raises:
            SessionError: the chip failed; what it gave before was delivered.
        """
        return self._pushing().receive(timeout_s)

    def acknowledge(self, batch: Batch) -> None:
        """This batch, and all before it, are safe with the consumer."""
        self._pushing().acknowledge(batch)

    def restart_consumer(self) -> None:
        """A new consumer begins with the first batch that was not acknowledged."""
        self._pushing().restart_consumer()

    def stop(self, *, drain: bool = True) -> None:
        """Take no more input, and end.

        Args:
            drain: first run what was taken (a consumer has to make room for its output); else
                throw it away, counted.

        Raises:
            SessionError: the chip did not finish its piece in time.
        """
        if self._stream is not None:
            self._stream.stop(drain=drain)

    def close(self) -> None:
        """Stop without draining, and close the backend; may be called twice."""
        if self._closed:
            return
        self._closed = True
        try:
            self.stop(drain=False)
        finally:
            self.backend.close()

    @property
    def counters(self) -> Counters:
        """Where every event that was pushed went, at one moment."""
        return Counters() if self._stream is None else self._stream.counters

    @property
    def latency(self) -> LatencySummary:
        """Pushing: from taking a piece to having its answer; pulling: of chip and readout."""
        return self._pulling.summary() if self._stream is None else self._stream.latency

    def _pushing(self) -> Stream:
        with self._starting:
            if self._stream is None:
                self._refuse_closed()
                self._stream = Stream(self.backend, self.readout, self._limits)
            return self._stream

    def _refuse_closed(self) -> None:
        if self._closed:
            raise SessionError("The session is closed; make a new one.")
