"""The readout layer: moving averages of up to 15 classes over slow clock cycles.

Sources: datasheet §3.2.5; sinabs docs, speck/notebooks/using_readout_layer and chip errata. What
they leave open is in `Assumptions` (`readout_mapping`, `readout_average`, `readout_compare`); of
classes with equal averages the lowest wins, and with no spikes at all the class is 0 (idle).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import ChipDescription
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.program import ReadoutProgram

Ints = npt.NDArray[np.int64]
_VALID_BIT, _INDEX_SHIFT = 1 << 20, 16
# (height, width, features) of the neurons that are read, by readout_configuration_sel
LAYOUTS = ((2, 2, 4), (4, 2, 2), (4, 4, 1), (1, 1, 16))
_OFF, _COMPARE, _SELECTED, _MAXIMUM = range(4)


@dataclass(frozen=True, eq=False)
class ReadoutRun:
    """What the readout layer did in one run; one row per slow clock cycle that ended.

    Attributes:
        t_us: int64 `[n]`, end of the cycle.
        average: int64 `[n, classes + 1]`, moving average by class; column 0 is idle.
        winner: int64 `[n]`, class of the largest average, 0 if all are zero.
        value: int64 `[n]`, `ReadoutValue.value`, 21 bits in the mode of `output_mode_sel`.
        interrupt: bool `[n]`, the winner is above the threshold: a `ReadoutPinValue` is sent.
    """

    t_us: Ints
    average: Ints
    winner: Ints
    value: Ints
    interrupt: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.t_us)


class ReadoutLayer:
    """The readout layer of one running chip.

    Args:
        program: its settings.
        assumptions: see the module.
        chip: says how many classes there are, and how wide its counters.
    """

    def __init__(
        self, program: ReadoutProgram, assumptions: Assumptions, chip: ChipDescription
    ) -> None:
        self.program = program
        self._assume = assumptions
        self._classes = chip.readout_classes
        self._most = 2**chip.limits.readout_counter_bits - 1
        self._current = np.zeros(self._classes + 1, dtype=np.int64)
        self._window = np.zeros((program.window, self._classes + 1), dtype=np.int64)

    def classes(self, channel: Ints, y: Ints, x: Ints) -> Ints:
        """int64 `[n]`, the class each spike counts for; 0 counts for none."""
        height, width, features = LAYOUTS[self.program.layout]
        if (height, width) != (1, 1):
            inside = (y < height) & (x < width) & (channel < features)
            number = (y * width + x) * features + channel + 1
        elif self._assume.readout_mapping == "plain":
            inside, number = np.ones(len(channel), dtype=np.bool_), channel + 1
        else:
            inside, number = channel % 4 == 0, channel // 4 + 1
            if self._assume.readout_mapping == "quarter":
                inside[:] = True
        return np.where(inside & (number <= self._classes), number, 0)

    def run(self, number: Ints, step: Ints, tick_step: Ints, tick_us: Ints) -> ReadoutRun:
        """Count spikes and end cycles, in the order of their steps.

        Args:
            number: int64 `[n]`, class of each spike.
            step: int64 `[n]`, step at which it arrives, non-decreasing.
            tick_step, tick_us: int64 `[m]`, steps and times of the ticks.
        """
        cycle = np.searchsorted(tick_step, step, side="right")
        counts = np.zeros((len(tick_step) + 1, self._classes + 1), dtype=np.int64)
        np.add.at(counts, (cycle, number), 1)
        counts[0] += self._current
        counts[:, 0] = 0
        self._current = counts[-1]
        averages = self._averages(np.minimum(counts[:-1], self._most))
        return self._decided(tick_us, averages)

    def _averages(self, counts: Ints) -> Ints:
        span = self.program.window
        joined = np.concatenate([self._window, counts])
        self._window = joined[len(joined) - span :]
        total = np.concatenate(
            [np.zeros((1, self._classes + 1), dtype=np.int64), joined.cumsum(axis=0)]
        )
        # Row i ends with cycle i of this run; the stored window stands before the first.
        sums = total[span + 1 :] - total[1 : len(total) - span]
        if self._assume.readout_average == "sum":
            return np.asarray(np.minimum(sums, self._most))
        return np.asarray(sums // span)

    def _decided(self, tick_us: Ints, average: Ints) -> ReadoutRun:
        winner = average.argmax(axis=1)
        largest = average.max(axis=1)
        above = self._above(average)
        interrupt = above[np.arange(len(winner)), winner] & (winner > 0)
        return ReadoutRun(
            t_us=tick_us,
            average=average,
            winner=winner,
            value=self._value(average, winner, largest, above, interrupt),
            interrupt=interrupt,
        )

    def _above(self, average: Ints) -> npt.NDArray[np.bool_]:
        threshold = self.program.threshold
        if self._assume.readout_compare == ">=":
            return np.asarray(average >= threshold)
        return np.asarray(average > threshold)

    def _value(
        self,
        average: Ints,
        winner: Ints,
        largest: Ints,
        above: npt.NDArray[np.bool_],
        interrupt: npt.NDArray[np.bool_],
    ) -> Ints:
        mode = self.program.mode
        if mode == _OFF:
            return np.zeros(len(winner), dtype=np.int64)
        index = winner << _INDEX_SHIFT
        if mode == _COMPARE:
            classes = (above[:, 1:] << np.arange(1, self._classes + 1)).sum(axis=1)
            return np.asarray(_VALID_BIT | index | classes)
        if mode == _SELECTED:
            return np.asarray(_VALID_BIT | index | average[:, self.program.neuron])
        return np.asarray(np.where(interrupt, _VALID_BIT, 0) | index | largest)
