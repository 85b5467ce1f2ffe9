"""The readout layer: counts spikes by class in a moving window of slow clock cycles.

Assumed (docs, "Virtual samna"): the window's value is the sum of its cycles; a class is, after the
published erratum, core channel 4k as class k+1 in the layout of one pixel and 16 features, and
the running number of the neuron plus one in the other layouts; of several classes at the same
count the lowest wins.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from speck_adacal.twin.program import ReadoutProgram
from speck_adacal.virtual_samna.board.outputs import Output, one

Ints = npt.NDArray[np.int64]
CLASSES = 15
_LAYOUTS = {0: (2, 2, 4), 1: (2, 4, 2), 2: (4, 4, 1), 3: (1, 1, 16)}
_ERRATUM = 4
_LARGEST = 0xFFFF
MODE_THRESHOLD, MODE_MAXIMUM, MODE_SPECIFIC = 1, 2, 3


class Readout:
    """The running readout layer."""

    def __init__(self, program: ReadoutProgram) -> None:
        self.program = program
        self._cycle = np.zeros(CLASSES + 1, np.int64)
        self._window: deque[Ints] = deque(maxlen=program.window)

    def count(self, feature: Ints, y: Ints, x: Ints) -> None:
        """Spikes that arrive during a cycle."""
        number = self._class(feature, y, x)
        valid = number[(number >= 1) & (number <= CLASSES)]
        self._cycle += np.bincount(valid, minlength=CLASSES + 1)

    def tick(self, time_us: int) -> list[Output]:
        """End of a cycle: what the layer reports."""
        self._window.append(self._cycle)
        self._cycle = np.zeros(CLASSES + 1, np.int64)
        total = np.minimum(np.sum(self._window, axis=0), _LARGEST)
        number, payload, valid = self._decide(total)
        outputs = []
        if self.program.monitor:
            value = (int(valid) << 20) | ((number if valid else 0) << 16) | payload
            outputs.append(one("ReadoutValue", value=value))
        if self.program.pin_monitor and valid:
            outputs.append(one("ReadoutPinValue", index=number, timestamp=time_us))
        return outputs

    def _class(self, feature: Ints, y: Ints, x: Ints) -> Ints:
        height, width, features = _LAYOUTS[self.program.layout]
        if (height, width) == (1, 1):
            return np.where(feature % _ERRATUM == 0, feature // _ERRATUM + 1, 0)
        inside = (y < height) & (x < width) & (feature < features)
        return np.where(inside, (y * width + x) * features + feature + 1, 0)

    def _decide(self, total: Ints) -> tuple[int, int, bool]:
        """(class, its count, does it count as a decision)."""
        mode = self.program.mode
        number = self.program.neuron if mode == MODE_SPECIFIC else int(np.argmax(total[1:])) + 1
        payload = int(total[number]) if number <= CLASSES else 0
        if mode == MODE_MAXIMUM:
            return number, payload, payload > 0
        enough = payload >= max(self.program.threshold, 1)
        return number, payload, mode in (MODE_THRESHOLD, MODE_SPECIFIC) and enough
