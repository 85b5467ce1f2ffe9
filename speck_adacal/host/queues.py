"""The two bounded queues of a stream: pieces of input on their way in, batches on their way out.

Both count events, not entries, so that memory stays bounded whatever the pieces' sizes. Neither
locks: the stream that owns them does.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from speck_adacal.events.types import Events
from speck_adacal.readout.decision import Answer, Decision

MOST_ENTRIES = 4096
"""Pieces and batches without events take room too."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Input of a stream: a part of a sample, or the sample's end.

    Attributes:
        events: the part; None for the end.
        sample: number of the sample, from 0.
        accepted_s: host time (monotonic) at which it was taken.
    """

    events: Events | None
    sample: int
    accepted_s: float

    @property
    def size(self) -> int:
        """Events in it."""
        return 0 if self.events is None else len(self.events)


@dataclass(frozen=True, eq=False)
class Batch:
    """Output of a stream.

    Attributes:
        number: from 0, without gaps.
        sample: number of the sample it belongs to.
        answer: output spikes; None at a sample's end.
        decision: where the readout decided with this batch.
        latency_s: from taking the piece to having its answer.
    """

    number: int
    sample: int
    answer: Answer | None
    decision: Decision | None
    latency_s: float

    @property
    def size(self) -> int:
        """Output spikes in it."""
        return 0 if self.answer is None else len(self.answer)


class Inbox:
    """Pieces waiting for the chip; at most `room` events of them."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._pieces: deque[Piece] = deque()
        self.events = 0

    def has_room(self, size: int) -> bool:
        """Does a piece of so many events fit? One piece always fits into an empty queue."""
        if not self._pieces:
            return True
        return self.events + size <= self._room and len(self._pieces) < MOST_ENTRIES

    @property
    def ready(self) -> bool:
        """Is there a piece?"""
        return bool(self._pieces)

    def put(self, piece: Piece) -> None:
        """Add a piece."""
        self._pieces.append(piece)
        self.events += piece.size

    def take(self) -> Piece | None:
        """The oldest piece, or None."""
        if not self._pieces:
            return None
        piece = self._pieces.popleft()
        self.events -= piece.size
        return piece

    def clear(self) -> int:
        """Throw away everything; the number of events thrown away."""
        lost, self.events = self.events, 0
        self._pieces.clear()
        return lost


class Outbox:
    """Batches that a consumer has not acknowledged yet; at most `room` spikes of them.

    A batch that was delivered stays until it is acknowledged, so that a consumer that dies can
    begin again with the first batch that it had not finished.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._batches: deque[Batch] = deque()
        self._delivered = 0  # of those in the queue
        self.spikes = 0

    def has_room(self) -> bool:
        """May the chip go on? The spikes of the next piece are not known before it is run."""
        return self.spikes < self._room and len(self._batches) < MOST_ENTRIES

    def put(self, batch: Batch) -> None:
        """Add a batch."""
        self._batches.append(batch)
        self.spikes += batch.size

    @property
    def ready(self) -> bool:
        """Is there a batch that was not delivered yet?"""
        return self._delivered < len(self._batches)

    def next(self) -> Batch | None:
        """The oldest batch that was not delivered yet, or None."""
        if not self.ready:
            return None
        self._delivered += 1
        return self._batches[self._delivered - 1]

    def acknowledge(self, number: int) -> int:
        """Let go of every delivered batch up to `number`; how many spikes they had."""
        spikes = 0
        while self._delivered and self._batches[0].number <= number:
            spikes += self._batches.popleft().size
            self._delivered -= 1
        self.spikes -= spikes
        return spikes

    def rewind(self) -> None:
        """Deliver again from the first batch that was not acknowledged."""
        self._delivered = 0
