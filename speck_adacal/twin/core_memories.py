"""Reading and writing single neurons, weights and biases of a twin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import ChipLimits
from speck_adacal.errors import ConfigurationError, EventError, SettingsError
from speck_adacal.twin import core_kernel
from speck_adacal.twin import layout as at
from speck_adacal.twin.program import CoreProgram
from speck_adacal.twin.running import Plan, RunningChip


class CoreMemories:
    """The memories of a running chip: what a debugger, or the chip's own bus, can reach."""

    _plan: Plan
    _chip: RunningChip

    def membrane(self, core: int) -> npt.NDArray[np.int16]:
        """int16 `[features, height, width]` copy of a core's membrane potentials."""
        return self._unpacked(core, self._chip.machine.state)

    def residue(self, core: int) -> npt.NDArray[np.int16]:
        """int16 like `membrane`: what stands at or above the threshold and has not fired, else 0.

        On the chip such a neuron stays silent until its next input event.
        """
        potentials = self.membrane(core)
        return np.where(potentials >= self._core(core).threshold_high, potentials, np.int16(0))

    def peaks(self, core: int) -> npt.NDArray[np.int16]:
        """int16 `[features, height, width]` highest potentials since the last reset.

        The highest number there is means that the potential may have overflowed.

        Raises:
            SettingsError: the twin was made without `track_peaks`.
        """
        if not self._plan.track_peaks:
            raise SettingsError("Peaks are not kept; make the twin with track_peaks=True.")
        return self._unpacked(core, self._chip.machine.peak)

    def read_neuron(self, core: int, x: int, y: int, feature: int) -> int:
        """Membrane potential of one neuron."""
        return int(self._chip.machine.state[self._address(core, x, y, feature)])

    def write_neuron(self, core: int, x: int, y: int, feature: int, value: int) -> None:
        """Set the membrane potential of one neuron.

        Raises:
            ConfigurationError: the core is not configured, or the value does not fit 16 bits.
            EventError: there is no such neuron.
        """
        self._check_word("membrane potential", value, self._limits.potential_range)
        self._chip.machine.state[self._address(core, x, y, feature)] = value
        if self._plan.assumptions.lose_event_after_write:
            self._chip.machine.counters[core, core_kernel.LOSE_NEXT] = 1

    def read_weight(self, core: int, place: tuple[int, int, int, int]) -> int:
        """The weight `(output feature, input feature, row, column)` in a core's memory now.

        Raises:
            ConfigurationError: the core is not configured, or has no such weight.
        """
        return int(self._plan.layout.weights[self._weight_at(core, place)])

    def write_weight(self, core: int, place: tuple[int, int, int, int], value: int) -> None:
        """Set a weight; it stays through `reset`, and `program` keeps the configured one.

        Raises:
            ConfigurationError: as `read_weight`, or the value does not fit 8 bits.
        """
        self._check_word("weight", value, self._limits.weight_range)
        self._plan.layout.weights[self._weight_at(core, place)] = value

    def read_bias(self, core: int, feature: int) -> int:
        """The bias of an output feature in a core's memory now.

        Raises:
            ConfigurationError: the core is not configured, or has no such feature.
        """
        return int(self._plan.layout.bias[self._bias_at(core, feature)])

    def write_bias(self, core: int, feature: int, value: int) -> None:
        """Set a bias; it stays through `reset`, and `program` keeps the configured one.

        Raises:
            ConfigurationError: as `read_bias`, or the value does not fit 16 bits.
        """
        self._check_word("bias", value, self._limits.bias_range)
        self._plan.layout.bias[self._bias_at(core, feature)] = value

    @property
    def _limits(self) -> ChipLimits:
        return self._plan.program.chip.limits

    def _check_word(self, what: str, value: int, allowed: tuple[int, int]) -> None:
        low, high = allowed
        if not low <= value <= high:
            bits = (high - low).bit_length()
            raise ConfigurationError(
                f"The {what} {value} does not fit {bits} bits; give {low} to {high}."
            )

    def _weight_at(self, core: int, place: tuple[int, int, int, int]) -> int:
        shape = self._core(core).weights.shape
        if len(place) != 4 or not all(0 <= i < n for i, n in zip(place, shape, strict=True)):
            raise ConfigurationError(
                f"Core {core} has no weight {place}; its weights are {shape} (output features, "
                "input features, rows, columns), counted from 0."
            )
        return at.weight_index(self._plan.layout, self._core(core), place)

    def _bias_at(self, core: int, feature: int) -> int:
        features = self._core(core).out_shape[0]
        if not 0 <= feature < features:
            raise ConfigurationError(
                f"Core {core} has no feature {feature}; its features are 0 to {features - 1}."
            )
        return int(self._plan.layout.table[core, at.BIAS_AT]) + feature

    def _core(self, core: int) -> CoreProgram:
        if core not in self._plan.program.cores:
            raise ConfigurationError(
                f"Core {core} is not configured; configured are {sorted(self._plan.program.cores)}."
            )
        return self._plan.program.cores[core]

    def _address(self, core: int, x: int, y: int, feature: int) -> int:
        features, height, width = self._core(core).out_shape
        if not (0 <= x < width and 0 <= y < height and 0 <= feature < features):
            raise EventError(
                f"Core {core} has no neuron x={x}, y={y}, feature={feature}; its map is "
                f"{features} features of {height} rows and {width} columns."
            )
        start = int(self._plan.layout.table[core, at.STATE_AT])
        return start + (y * width + x) * features + feature

    def _unpacked(self, core: int, flat: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
        features, height, width = self._core(core).out_shape
        start = int(self._plan.layout.table[core, at.STATE_AT])
        packed = flat[start : start + features * height * width]
        return np.ascontiguousarray(packed.reshape(height, width, features).transpose(2, 0, 1))
