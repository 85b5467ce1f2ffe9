"""The power monitor: an estimate of the five rails, at a rate, as measurement events."""

from __future__ import annotations

import time

import numpy as np

from speck_adacal.errors import SettingsError
from speck_adacal.virtual_samna.board.board_engine import Engine
from speck_adacal.virtual_samna.board.board_nodes import DeviceSourceNode
from speck_adacal.virtual_samna.events import MEASUREMENT, event_class
from speck_adacal.virtual_samna.fields import Real
from speck_adacal.virtual_samna.graph.batch import Columns

Measurement = event_class(
    "Measurement",
    MEASUREMENT,
    "samna.unifirm.modules.events",
    "unifirm::modules::events::Measurement",
)
HIGHEST_RATE_HZ = 1000.0
"""The dev kit documents up to 100 Hz; more is accepted here, up to this."""


LOWEST_VDD_IO_V, HIGHEST_VDD_IO_V = 1.2, 3.6
"""Assumed; the range is not public. 2.5 V is the dev kit's own, 3.3 V is seen in programs."""


class PowerModule:
    """The board's power supply (`DevKitPowerModule` of the driver), as far as it is known."""

    def __init__(self) -> None:
        self._vdd_io_v = 2.5

    def set_vdd_io(self, voltage: float) -> None:
        """Set the voltage of the IO rail in V; kept, and no estimate of power depends on it.

        Raises:
            SettingsError: it is no number, or far outside what the rail can have.
        """
        number = Real().coerce("set_vdd_io", voltage)
        if not LOWEST_VDD_IO_V <= number <= HIGHEST_VDD_IO_V:
            raise SettingsError(
                f"The voltage of VDD_IO is {number:g} V, allowed is {LOWEST_VDD_IO_V:g} to "
                f"{HIGHEST_VDD_IO_V:g} V; give it in volts."
            )
        self._vdd_io_v = number


class MeasurementSourceNode_unifirm_modules_events_measurement(DeviceSourceNode):
    """Output of the power monitor."""


class PowerMonitor:
    """Estimates power; every value is an estimate of the twin, never a measurement.

    Rails: 0 VDD_IO, 1 VDD_RAM, 2 VDD_LOGIC, 3 VDD_PIXEL_DIGITAL, 4 VDD_PIXEL_ANALOG, in W.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._source = MeasurementSourceNode_unifirm_modules_events_measurement()
        self._period_s = 0.0
        self._due = 0.0
        self._generation = 0

    def get_source_node(self) -> DeviceSourceNode:
        """The node that the measurements come from."""
        return self._source

    def start_auto_power_measurement(self, rate: float) -> None:
        """Estimate all rails `rate` times a second, by the wall clock.

        Raises:
            SettingsError: the rate is not above 0 and at most 1000 Hz.
        """
        if isinstance(rate, (str, bytes)) or not 0 < float(rate) <= HIGHEST_RATE_HZ:
            raise SettingsError(
                f"The power monitor's rate is {rate!r} Hz, allowed is above 0 to "
                f"{HIGHEST_RATE_HZ:g} (a real dev kit documents 100)."
            )
        with self._engine.changed:
            self._period_s = 1 / float(rate)
            self._due = time.monotonic() + self._period_s
            self._generation += 1
            mine = self._generation
        self._engine.add_timer(lambda: self._measure(mine))

    def stop_auto_power_measurement(self) -> None:
        """Stop estimating."""
        with self._engine.changed:
            self._generation += 1

    def _measure(self, generation: int) -> float:
        """A timer of the engine: emit when due, return the seconds until the next time."""
        if generation != self._generation:
            return -1.0
        while (now := time.monotonic()) >= self._due:
            self._due += self._period_s
            chip = self._engine.chip
            rails = chip.power_w(int(self._period_s * 1e6)) if chip else ()
            stamp = self._engine.stop_watch.get_value() & 0xFFFFFFFF
            self._source.emit(
                Columns(
                    Measurement,
                    (
                        np.full(len(rails), stamp, np.int64),
                        np.arange(len(rails)),
                        np.array(rails, np.float64),
                    ),
                )
            )
        return self._due - now
