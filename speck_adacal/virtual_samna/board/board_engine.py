"""The thread of one board: releases input when it is due, ticks the slow clock, emits output.

All times inside are board time (see `board_time`). Input is a queue: the event at its head holds
the others back until the stop watch has reached its time stamp. Work is done in slices, so that
calls from other threads never wait long.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from speck_adacal.errors import DeviceError, SpeckAdacalError
from speck_adacal.twin.power import PowerModel
from speck_adacal.virtual_samna.board.board_inputs import Command, Segment, sort_input
from speck_adacal.virtual_samna.board.board_time import (
    STAMP_MASK,
    BoardClock,
    SlowClock,
    StopWatch,
)
from speck_adacal.virtual_samna.board.outputs import ChipModel, Output
from speck_adacal.virtual_samna.board.pending import FAR_US, Pending
from speck_adacal.virtual_samna.graph.batch import Batch, Columns

log = logging.getLogger("speck_adacal.virtual_samna.board")

SMALLEST_SLICE, LARGEST_SLICE = 64, 8192
"""Events processed at a time: as many as take about `SLICE_S` seconds."""
SLICE_S = 0.02
BREATH_S = 1e-5
GIVE_UP_S = 2.0
MOST_TICKS = 256
"""Most ticks of the slow clock done at a time."""
SHORTEST_WAIT_S = 0.0005


class Engine:
    """Queue, clocks and thread of one board.

    Args:
        name: for messages and the thread's name.
        events: event classes of the chip, by name.
        emit: takes each batch of output.
        real_time: see `BoardClock`.
    """

    def __init__(
        self,
        name: str,
        events: dict[str, Any],
        emit: Callable[[Batch], None],
        *,
        real_time: bool,
    ) -> None:
        self.changed = threading.Condition()
        self.clock = BoardClock(real_time=real_time)
        self.stop_watch = StopWatch(self.clock, self.changed)
        self.slow_clock = SlowClock(self.clock, self.changed)
        self.errors = 0
        self.lost_events = 0
        self._name = name
        self._events = events
        self._emit = emit
        self._chip: ChipModel | None = None
        self._power_model: PowerModel | None = None
        self._pending = Pending(self.stop_watch)
        self._slice = SMALLEST_SLICE
        self._last_us = 0
        self._closing = False
        self._timers: list[Callable[[], float]] = []
        self._thread = threading.Thread(target=self._run, name=f"virtual-{name}", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """True once the board is closed."""
        return self._closing

    @property
    def waiting(self) -> int:
        """Input events that are not yet processed."""
        with self.changed:
            return self._pending.waiting()

    @property
    def chip(self) -> ChipModel | None:
        """The configured chip."""
        return self._chip

    def submit(self, batch: Batch) -> None:
        """Queue input; on a closed board it is dropped."""
        with self.changed:
            if self._closing:
                self.lost_events += len(batch)
                return
            for item in sort_input(batch, self.clock.now_us()):
                self._pending.put(item)
            self.changed.notify_all()

    def sense(self, segment: Segment) -> None:
        """Let the sensor see events; their time stamps are board time.

        They do not queue behind input: what waits for the stop watch does not stop the sensor.
        """
        if len(segment):
            with self.changed:
                self._pending.sense(segment)
                self.changed.notify_all()

    def configure(self, chip: ChipModel) -> None:
        """Process what is due, then go on with another chip."""
        with self.changed:
            while self._step():
                pass
            self._chip = chip
            if self._power_model is not None:
                chip.power_model = self._power_model

    def set_power_model(self, model: PowerModel) -> None:
        """Estimate power with these constants from now on."""
        with self.changed:
            self._power_model = model
            if self._chip is not None:
                self._chip.power_model = model

    def wait_idle(self, timeout_s: float = 60.0) -> bool:
        """Wait until all input is processed; True if it is."""
        with self.changed:
            return self.changed.wait_for(lambda: self._closing or self._is_idle(), timeout_s)

    def _is_idle(self) -> bool:
        """No input waits, and nothing that the sensor has seen by now."""
        now = self.clock.now_us() if self.clock.real_time else FAR_US - 1
        return not self._pending.input and self._pending.sensor_due_us() > now

    def catch_up(self) -> None:
        """Wait until what is due now has been processed; given up if nothing moves."""
        if threading.current_thread() is self._thread:
            return
        with self.changed:
            now = self.clock.now_us() if self.clock.real_time else FAR_US
            pending, goal = self._pending, self._pending.arrived
            while not (self._closing or pending.processed >= goal or pending.head_due_us() > now):
                if not self._wait_for_progress(pending.processed):
                    return

    def _wait_for_progress(self, before: int) -> bool:
        """Wait until the count of processed events is no longer `before`; False if it stays."""
        return self.changed.wait_for(lambda: self._pending.processed != before, GIVE_UP_S)

    def advance(self, time_us: int) -> None:
        """Move virtual time on by so many µs, with the ticks of the slow clock in between."""
        if self.clock.real_time:
            raise DeviceError("A board in real time cannot be advanced; wait instead.")
        with self.changed:
            while self._step():
                pass
            end = self.clock.now_us() + time_us
            while self._tick_until(end):
                pass
            self.clock.move_to(end)

    def add_timer(self, timer: Callable[[], float]) -> None:
        """Call `timer` now and then: it returns the seconds until its next call, or less than
        zero to end."""
        with self.changed:
            self._timers.append(timer)
            self.changed.notify_all()

    def close(self) -> None:
        """End the thread; what waits is dropped and counted."""
        with self.changed:
            if self._closing:
                return
            self._closing = True
            self.lost_events += self._pending.drop_all()
            self.changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self.changed:
                if self._closing:
                    return
                wait_s = self._run_timers()
                worked = self._step()
                self.changed.notify_all()  # for those who wait in wait_idle and catch_up
                if not worked:
                    self.changed.wait(min(wait_s, self._next_wait_s()))
            if worked:
                time.sleep(BREATH_S)  # or other threads would never get the lock

    def _run_timers(self) -> float:
        soonest = threading.TIMEOUT_MAX
        for timer in list(self._timers):
            left = timer()
            if left < 0:
                self._timers.remove(timer)
            else:
                soonest = min(soonest, left)
        return soonest

    def _next_wait_s(self) -> float:
        """Seconds until something is due, in real time."""
        if not self.clock.real_time:
            return threading.TIMEOUT_MAX
        due = min(self.slow_clock.next_tick_us(), self._pending.head_due_us())
        if due >= FAR_US:
            return threading.TIMEOUT_MAX
        return max((due - self.clock.now_us()) / 1e6, SHORTEST_WAIT_S)

    def _step(self) -> bool:
        """Do the next due thing; False if nothing is due. Called with the lock held."""
        limit = self.clock.now_us() if self.clock.real_time else FAR_US - 1
        pending = self._pending
        from_input, from_sensor = pending.input_due_us(), pending.sensor_due_us()
        head = min(from_input, from_sensor)
        if head > limit:
            return self.clock.real_time and self._tick_until(limit)
        if self._tick_until(head):
            return True
        try:
            if from_sensor < from_input:
                self._do_segment(pending.sensor, min(limit, from_input))
            elif isinstance(pending.input[0], Command):
                self._do_command()
            else:
                self._do_segment(pending.input, min(limit, from_sensor))
        except SpeckAdacalError:
            self.errors += 1
            log.exception("%s: a part of the input could not be processed.", self._name)
        return True

    def _tick_until(self, limit_us: int) -> bool:
        if self.slow_clock.next_tick_us() > limit_us:
            return False
        times_us = np.maximum(self.slow_clock.take(limit_us, MOST_TICKS), self._last_us)
        self._last_us = int(times_us[-1])
        self.clock.move_to(self._last_us)
        if self._chip is not None:
            self._give_out(self._chip.ticks(times_us))
        return True

    def _do_command(self) -> None:
        command = self._pending.input[0]
        self._pending.take(self._pending.input, 1)
        if self._chip is not None and isinstance(command, Command):
            self._give_out(self._chip.command(command, max(self._last_us, self.clock.now_us())))
        else:
            self.lost_events += 1

    def _do_segment(self, queue: deque[Any], limit_us: int) -> None:
        """Process the part of the first segment that is due before the limit and the next tick."""
        segment: Segment = queue[0]
        head = segment.part(0, self._slice)
        due = np.maximum(np.maximum.accumulate(self._pending.due_us(head)), self._last_us)
        before_tick = int(np.searchsorted(due, self.slow_clock.next_tick_us(), side="left"))
        count = max(min(int(np.searchsorted(due, limit_us, side="right")), before_tick), 1)
        self._pending.take(queue, count)
        self._last_us = int(due[count - 1])
        self.clock.move_to(self._last_us)
        if self._chip is None:
            self.lost_events += count
            return
        start = time.monotonic()
        self._give_out(self._chip.run(head.part(0, count), due[:count]))
        self._adapt_slice(count, time.monotonic() - start)

    def _adapt_slice(self, count: int, seconds: float) -> None:
        """Keep a slice near `SLICE_S` of work, so that output comes steadily."""
        if seconds > SLICE_S:
            self._slice = max(self._slice // 2, SMALLEST_SLICE)
        elif count == self._slice and seconds < SLICE_S / 4:
            self._slice = min(self._slice * 2, LARGEST_SLICE)

    def _give_out(self, outputs: list[Output]) -> None:
        for output in outputs:
            event_class = self._events[output.name]
            columns = dict(output.columns)
            if "timestamp" in columns:
                columns["timestamp"] = self._stamps(columns["timestamp"])
            self._emit(Columns(event_class, tuple(columns[f] for f in event_class.FIELDS)))

    def _stamps(self, times_us: Any) -> Any:
        if not self.stop_watch.enabled:
            return np.full(len(times_us), self.stop_watch.at(0) & STAMP_MASK, np.int64)
        return np.maximum(times_us - self.stop_watch.offset_us(), 0) & STAMP_MASK
