"""What makes a chip stand alone: sensor in, read-out layer out, and the slow clock of both.

Source of the slow clock: datasheet §3.2.6.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from speck_adacal.chip.chip_readout import ChipReadout
from speck_adacal.chip.policy import CLOCK_HIGH_HZ, CLOCK_LOW_HZ
from speck_adacal.chip.sensor_wiring import SensorWiring, Shape
from speck_adacal.chip_description import ChipDescription
from speck_adacal.errors import SettingsError
from speck_adacal.recipe.recipe import Recipe
from speck_adacal.validation import Count, Positive, checked

_FILTER_HZ, _COMPANY_S = 100.0, 0.01
_WINDOWS_A_SAMPLE = 3
_USUAL_SAMPLE_US = 300_000.0


@checked
class Wiring:
    """What stands around the cores; what is None comes from, and goes to, a host.

    Attributes:
        sensor: the chip's own sensor is the source.
        readout: the chip's own read-out layer decides.
        slow_clock_hz: rate of the external slow clock for filter and read-out; that of the leak
            where biases leak, else filled in by `deploy`.
        clock_divider: the internal slow clock instead: one tick every 2^n sensor events. It needs
            nothing outside of the chip, but its rate follows the scene.
    """

    sensor: SensorWiring | None = None
    readout: ChipReadout | None = None
    slow_clock_hz: Positive | None = None
    clock_divider: Count | None = None

    @property
    def ticks(self) -> bool:
        """Does anything here follow the slow clock?"""
        filtered = self.sensor is not None and self.sensor.noise_filter != "off"
        return filtered or self.readout is not None

    @property
    def stands_alone(self) -> bool:
        """Does the chip need no host, neither for its input nor for its decisions?"""
        return self.sensor is not None and self.readout is not None

    def settled(
        self, recipe: Recipe, shape: Shape, leak_hz: float | None, chip: ChipDescription
    ) -> Wiring:
        """With every value that was left open.

        Args:
            recipe: tells how long a sample lasts, and what its biases need.
            shape: `(channels, height, width)` of the network's input.
            leak_hz: rate of the slow clock that leaking biases need.
            chip: the chip.

        Raises:
            SettingsError: no clock fits, or the biases come as events that a host sends.
        """
        if self.sensor is not None and recipe.constant is not None:
            raise SettingsError(
                "The network's biases come as events that a host sends beside the input, which "
                "nobody does where the chip's own sensor is the source; adapt it with bias='leak'."
            )
        rate = self._rate(recipe, leak_hz, chip)
        sensor = None if self.sensor is None else self.sensor.fitted(shape, chip)
        if sensor is not None and sensor.filter_ticks is None:
            ticks = 1 if rate is None else max(1, round(rate * _COMPANY_S))
            sensor = replace(sensor, filter_ticks=ticks)
        return replace(self, sensor=sensor, slow_clock_hz=rate)

    def _rate(self, recipe: Recipe, leak_hz: float | None, chip: ChipDescription) -> float | None:
        asked = self.slow_clock_hz
        if self.clock_divider is not None:
            low, high = chip.clock_dividers
            if asked is not None or not low <= self.clock_divider <= high:
                raise SettingsError(
                    f"clock_divider is {self.clock_divider} and slow_clock_hz is {asked}, allowed "
                    f"is one of them, a divider of {low} to {high}; leave the other out."
                )
            return leak_hz
        if asked is not None and leak_hz is not None and asked != leak_hz:
            raise SettingsError(
                f"slow_clock_hz is {asked:g}, but the biases leak at {leak_hz:g} Hz, and the chip "
                "has one slow clock; leave it out, or deploy with bias='initial'."
            )
        if leak_hz is not None or not self.ticks:
            return leak_hz
        rate = asked or self._usual_rate(recipe)
        if not CLOCK_LOW_HZ <= rate <= CLOCK_HIGH_HZ:
            raise SettingsError(
                f"slow_clock_hz is {rate:g}, the slow clock runs at {CLOCK_LOW_HZ:g} to "
                f"{CLOCK_HIGH_HZ:g} Hz; choose a rate in between."
            )
        return rate

    def _usual_rate(self, recipe: Recipe) -> float:
        """A read-out window lasts a third of a sample; a filter alone looks every 10 ms."""
        if self.readout is None:
            return _FILTER_HZ
        known = recipe.step_us is not None
        sample_us = recipe.settings.time_steps * (recipe.step_us or 0) if known else 0
        window_us = (sample_us or _USUAL_SAMPLE_US) / _WINDOWS_A_SAMPLE
        rate = self.readout.window * 1e6 / window_us
        return float(np.clip(round(rate, 3), CLOCK_LOW_HZ, CLOCK_HIGH_HZ))

    def fault(self, shape: Shape, chip: ChipDescription) -> str:
        """What is wrong with a wiring that should be settled; empty where nothing is."""
        sensor = self.sensor
        if sensor is None:
            return ""
        if None in (sensor.left, sensor.top, sensor.pooling, sensor.filter_ticks):
            return "the sensor's origin, pooling or filter is left open"
        return "; ".join(map(str, sensor.violations(shape, chip)))

    def fields(self, cores: tuple[int, ...], shape: Shape, chip: ChipDescription) -> dict[str, Any]:
        """What samna's configuration is told beside the cores of the network, by its own names.

        Args:
            cores: in order of the signal.
            shape: `(channels, height, width)` of the first core's input.
            chip: the chip.
        """
        internal, found = self.clock_divider is not None, dict[str, Any]()
        if self.sensor is not None:
            found |= self.sensor.fields(cores[0], shape, internal=internal)
        if self.readout is not None:
            found |= self.readout.fields(cores[-1], chip, internal=internal)
        if self.clock_divider is not None:
            divider = {"internal_slow_clk_divider": self.clock_divider}
            found["factory_config"] = {**found.get("factory_config", {}), **divider}
        return found


def copied(configuration: Any) -> Any:
    """A copy of a configuration of samna's, which shares nothing with it."""
    copy = type(configuration)()
    copy.from_json(configuration.to_json())
    return copy


def write_fields(target: Any, fields: dict[str, Any]) -> None:
    """Set samna's attributes: pairs as mappings, lists entry by entry, objects field by field."""
    for name, value in fields.items():
        if isinstance(value, list):
            for entry, found in zip(getattr(target, name), value, strict=False):
                write_fields(entry, found)
        elif name == "cnn_layers":
            for core, found in value.items():
                write_fields(target.cnn_layers[int(core)], found)
        elif isinstance(value, dict) and set(value) != {"x", "y"}:
            write_fields(getattr(target, name), value)
        else:
            setattr(target, name, value)
