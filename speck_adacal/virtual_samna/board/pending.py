"""What a board has been given and not yet processed, and when it is due."""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from speck_adacal.virtual_samna.board.board_inputs import Command, Segment
from speck_adacal.virtual_samna.board.board_time import StopWatch

FAR_US = 1 << 62


class Pending:
    """Input in the order in which it came, and what the sensor saw; times are board time, µs.

    The event at the head of the input holds the others back. Not locked: the engine does that.

    Args:
        stop_watch: says when an input event with a time stamp goes out.

    Attributes:
        input: input not yet processed.
        sensor: events of the sensor not yet processed; their time stamps are board time.
        arrived: events ever given.
        processed: those taken out again.
    """

    def __init__(self, stop_watch: StopWatch) -> None:
        self.input: deque[Segment | Command] = deque()
        self.sensor: deque[Segment] = deque()
        self.arrived = 0
        self.processed = 0
        self._stop_watch = stop_watch

    def put(self, item: Segment | Command) -> None:
        """Queue input."""
        self.input.append(item)
        self.arrived += _events_of(item)

    def sense(self, segment: Segment) -> None:
        """Queue what the sensor saw."""
        self.sensor.append(segment)
        self.arrived += len(segment)

    def waiting(self) -> int:
        """Input events that are not yet processed."""
        return sum(_events_of(item) for item in self.input)

    def drop_all(self) -> int:
        """Forget everything; returns how many input events that were."""
        lost = self.waiting()
        self.input.clear()
        self.sensor.clear()
        return lost

    def take(self, queue: deque[Segment] | deque[Segment | Command], count: int) -> None:
        """Take the first `count` events out of the segment at the head of a queue."""
        segment = queue.popleft()
        if isinstance(segment, Segment) and count < len(segment):
            queue.appendleft(segment.part(count))
        self.processed += count

    def head_due_us(self) -> int:
        """When the next input or sensor event is due."""
        return min(self.input_due_us(), self.sensor_due_us())

    def sensor_due_us(self) -> int:
        """When the next event of the sensor is due."""
        return int(self.sensor[0].columns["timestamp"][0]) if self.sensor else FAR_US

    def input_due_us(self) -> int:
        """When the head of the input is due."""
        if not self.input:
            return FAR_US
        head = self.input[0]
        if isinstance(head, Command):
            return head.arrived_us
        return int(self.due_us(head.part(0, 1))[0])

    def due_us(self, segment: Segment) -> npt.NDArray[np.int64]:
        """Board times at which the events of a segment go out, int64 `[events]`."""
        stamps = segment.columns["timestamp"]
        if segment.sensor:
            return stamps
        due = np.full(len(segment), segment.arrived_us, np.int64)
        if self._stop_watch.enabled:
            due = np.maximum(due, stamps + self._stop_watch.offset_us())
        return due


def _events_of(item: Segment | Command) -> int:
    return len(item) if isinstance(item, Segment) else 1
