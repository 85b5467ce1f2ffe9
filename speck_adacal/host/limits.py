"""Settings and counters of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from speck_adacal.validation import Count, Positive, checked, one_of

OVERRUNS = ("wait", "error", "drop")


@checked
class SessionLimits:
    """Sizes of a session's queues, and what happens when input comes too fast.

    Attributes:
        input_events: most events that wait for the chip (one larger piece is taken too, when
            nothing else waits).
        output_spikes: most output spikes that wait to be acknowledged; the chip waits beyond.
        overrun: a piece that does not fit `"wait"`s for room (back-pressure), is an
            `"error"`, or is a counted `"drop"`.
        stop_s: how long `stop(drain=False)` waits for the chip to finish its piece.

    Raises:
        SettingsError: naming the field, the value found and what is allowed.
    """

    input_events: Count = 1 << 18
    output_spikes: Count = 1 << 18
    overrun: Annotated[str, one_of(*OVERRUNS)] = "wait"
    stop_s: Positive = 30.0


@dataclass(frozen=True)
class Counters:
    """Where every event and every spike of a stream went.

    `offered = accepted + dropped`; `accepted = processed + spared + discarded + waiting`;
    `spikes = acknowledged + unacknowledged`.

    Attributes:
        offered: events given to `send`.
        dropped: those refused because the queue was full.
        accepted: those taken.
        processed: those run on the chip.
        spared: those not run because their sample was decided before.
        discarded: those thrown away by `stop(drain=False)`, or after a failure.
        waiting: those in the queue, or on the chip now.
        spikes: output spikes.
        acknowledged, unacknowledged: those that a consumer has, and has not, acknowledged.
        batches: batches put out.
        samples: samples finished.
    """

    offered: int = 0
    dropped: int = 0
    accepted: int = 0
    processed: int = 0
    spared: int = 0
    discarded: int = 0
    waiting: int = 0
    spikes: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    batches: int = 0
    samples: int = 0

    @property
    def add_up(self) -> bool:
        """Do the three sums hold?"""
        ran = self.processed + self.spared + self.discarded + self.waiting
        return (
            self.offered == self.accepted + self.dropped
            and self.accepted == ran
            and self.spikes == self.acknowledged + self.unacknowledged
        )
