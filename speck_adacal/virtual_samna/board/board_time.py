"""Time on a board: the wall clock or a virtual one, the stop watch, and the slow clock."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DeviceError
from speck_adacal.virtual_samna.fields import Bool, FieldValueError
from speck_adacal.virtual_samna.old_names import written_directly

STAMP_MASK = 0xFFFFFFFF
"""Time stamps have 32 bits of µs and start again after about 71 minutes."""


class BoardClock:
    """Board time in µs since the board was opened; never runs backwards.

    In real time it is the wall clock. As fast as possible, it stands still until an event's
    time stamp, or `advance`, moves it on.
    """

    def __init__(self, *, real_time: bool) -> None:
        self.real_time = real_time
        self._opened = time.monotonic_ns()
        self._virtual_us = 0

    def now_us(self) -> int:
        """Board time now."""
        if self.real_time:
            return (time.monotonic_ns() - self._opened) // 1000
        return self._virtual_us

    def move_to(self, time_us: int) -> None:
        """Move virtual time on; does nothing in real time."""
        self._virtual_us = max(self._virtual_us, time_us)


class StopWatch:
    """The board's stop watch, in µs: stamps output, and holds input back until its time.

    While it is off (as after opening a board) input goes out at once, whatever its time stamp,
    and output carries the value at which the watch stands.
    """

    def __init__(self, clock: BoardClock, changed: threading.Condition) -> None:
        self._clock = clock
        self._changed = changed
        self._on = False
        self._value = 0  # value at board time `_since`
        self._since = 0

    @property
    def enabled(self) -> bool:
        """True while the watch runs."""
        return self._on

    def start(self, reset: bool = False) -> None:
        """Let the watch run on; from zero with `reset`."""
        self._set(on=True, value=0 if reset else None)

    def stop(self) -> None:
        """Hold the watch at its value."""
        self._set(on=False)

    def reset(self) -> None:
        """Set the watch to zero; it runs on if it ran."""
        self._set(on=self._on, value=0)

    def set_enable_value(self, value: bool) -> None:
        """`start` or `stop`."""
        self._set(on=bool(value))

    def get_value(self) -> int:
        """The watch's value now, in µs."""
        with self._changed:
            return self.at(self._clock.now_us())

    def at(self, board_us: int) -> int:
        """The watch's value at a board time, before wrapping at 32 bits."""
        return self._value + (board_us - self._since if self._on else 0)

    def offset_us(self) -> int:
        """Board time at which the running watch stood, or would have stood, at zero."""
        return self._since - self._value

    def _set(self, *, on: bool, value: int | None = None) -> None:
        with self._changed:
            now = self._clock.now_us()
            self._value = self.at(now) if value is None else value
            self._since = now
            self._on = on
            self._changed.notify_all()


class SlowClock:
    """The external slow clock: off until switched on, ticks at a rate in Hz."""

    def __init__(self, clock: BoardClock, changed: threading.Condition) -> None:
        self._clock = clock
        self._changed = changed
        self._on = False
        self._rate_hz = 10.0  # assumed; not public
        self._start_us = 0  # ticks are counted from here, so that no rounding adds up
        self._ticks = 0

    @property
    def rate_hz(self) -> float:
        """Ticks a second."""
        return self._rate_hz

    @property
    def enabled(self) -> bool:
        """True while it ticks."""
        return self._on

    def switch(self, on: bool) -> None:
        """Switch on or off; the first tick comes one period later."""
        with self._changed:
            if on and not self._on:
                self._start()
            self._on = on
            self._changed.notify_all()

    def set_rate(self, rate_hz: float) -> None:
        """Change the rate."""
        if isinstance(rate_hz, (str, bytes)) or not 0 < float(rate_hz) <= 1e6:
            raise FieldValueError(
                f"The slow clock's rate is {rate_hz!r} Hz, allowed is above 0 to 1000000 "
                "(10 Hz to 10 kHz is typical)."
            )
        with self._changed:
            self._rate_hz = float(rate_hz)
            self._start()
            self._changed.notify_all()

    def next_tick_us(self) -> float:
        """Board time of the next tick in whole µs, infinite while off."""
        return math.floor(self._tick_us(0)) if self._on else float("inf")

    def take(self, until_us: float, most: int) -> npt.NDArray[np.int64]:
        """Board times of the ticks up to `until_us`, in whole µs; they are being done."""
        left_us = math.floor(until_us) + 1 - self._tick_us(0)
        count = max(min(math.ceil(left_us * self._rate_hz / 1e6), most), 0)
        times = self._tick_us(np.arange(count))
        self._ticks += count
        whole: npt.NDArray[np.int64] = np.floor(times).astype(np.int64)
        return whole

    def _start(self) -> None:
        self._start_us, self._ticks = self._clock.now_us(), 0

    def _tick_us(self, ahead: Any) -> Any:
        """Board time of the tick so many after the next."""
        return self._start_us + (self._ticks + 1 + ahead) * (1e6 / self._rate_hz)


class IoModule:
    """The board's IO module, as far as it concerns clocks."""

    def __init__(self, slow_clock: SlowClock, sink: Callable[[], Any]) -> None:
        self._slow_clock = slow_clock
        self._sink = sink
        self._interface_rate = 0
        self._dual_channel = False

    def write(self, events: Any) -> None:
        """As in old programs: send events to the chip at once; logs the call to use now."""
        written_directly("The IO module", self._sink(), events)

    def set_slow_clk(self, value: bool) -> None:
        """Switch the external slow clock on or off."""
        self._slow_clock.switch(bool(value))

    def set_slow_clock(self, value: bool) -> None:
        """The same as `set_slow_clk`, in the datasheet's spelling."""
        self.set_slow_clk(value)

    def set_dual_channel_output_enable(self, value: bool) -> None:
        """Kept, without effect: output events do not wait for a channel of the interface here."""
        self._dual_channel = Bool().coerce("set_dual_channel_output_enable", value)

    def set_slow_clk_rate(self, rate: float) -> None:
        """Set the external slow clock's rate in Hz."""
        self._slow_clock.set_rate(rate)

    def set_in_out_interface_clk_rate(self, rate: int) -> None:
        """Kept, without effect: the virtual board's interface has no speed limit."""
        if isinstance(rate, (str, bytes)) or float(rate) <= 0:
            raise DeviceError(f"The interface clock's rate is {rate!r}, allowed is above 0.")
        self._interface_rate = int(rate)
