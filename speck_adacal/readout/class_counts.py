"""Counting output spikes by class, and which class a chip's channel stands for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import DEFAULT_CHIP, load_chip_description
from speck_adacal.errors import EventError, SettingsError
from speck_adacal.readout.decision import NO_DECISION

Ints = npt.NDArray[np.int64]


def plain_channels(classes: int) -> Ints:
    """Channel k of the last core is class k: int64 `[classes]`."""
    return np.arange(classes, dtype=np.int64)


def extended_channels(classes: int) -> Ints:
    """The class of every channel of a readout core that sinabs' `extend_readout_layer` made.

    Only every fourth channel of a core reaches the chip's readout layer (chip errata: channel 4k
    appears as readout channel k + 1), so the class k is put on channel 4k, and the channels in
    between (-1 here) stay silent.

    Returns:
        int64 `[4 · classes]`.
    """
    found = np.full(4 * classes, NO_DECISION, dtype=np.int64)
    found[::4] = np.arange(classes)
    return found


def class_of_readout_pin(index: int, *, chip: str = DEFAULT_CHIP) -> int:
    """The class that the chip's readout layer names with `ReadoutPinValue.index`.

    Index 0 is idle, hence no decision; k + 1 is class k (chip errata).

    Raises:
        EventError: the index is not one of 0 (idle) to the number of classes.
    """
    classes = load_chip_description(chip).readout_classes
    if not 0 <= index <= classes:
        raise EventError(f"A readout pin has the index {index}; 0 (idle) to {classes} exist.")
    return index - 1 if index else NO_DECISION


class Tally:
    """Spikes of each class so far in a sample.

    Args:
        class_of: int64 `[channels]`, class of each output channel; -1 for none.

    Attributes:
        counts: int64 `[classes]`.
    """

    def __init__(self, class_of: Ints) -> None:
        if class_of.ndim != 1 or not len(class_of) or class_of.max() < 0:
            raise SettingsError("A readout needs at least one channel that stands for a class.")
        self._class_of = class_of
        self.counts = np.zeros(int(class_of.max()) + 1, dtype=np.int64)
        self._last = np.zeros(len(self.counts), dtype=np.int64)
        self._seen = 0

    def clear(self) -> None:
        """Begin a sample."""
        self.counts[:] = 0
        self._last[:] = 0
        self._seen = 0

    def classes(self, channel: Ints) -> Ints:
        """Class of each spike, -1 for none.

        Raises:
            EventError: a spike comes from a channel that the readout does not know.
        """
        if len(channel) and int(channel.max()) >= len(self._class_of):
            raise EventError(
                f"An output spike comes from channel {channel.max()}, but the readout knows "
                f"{len(self._class_of)} channels; give the readout the network's classes."
            )
        return self._class_of[channel]

    def add(self, labels: Ints) -> None:
        """Count spikes, given by class, in their order."""
        index = np.flatnonzero(labels >= 0)
        kept = labels[index]
        self.counts += np.bincount(kept, minlength=len(self.counts))
        self._last[kept] = self._seen + index  # of equal indices the last one stays
        self._seen += len(labels)

    def leader(self) -> int:
        """The class with most spikes; of equals the one that got there first; -1 for none."""
        most = int(self.counts.max())
        if most == 0:
            return NO_DECISION
        leaders = np.flatnonzero(self.counts == most)
        return int(leaders[np.argmin(self._last[leaders])])


def class_names(names: Sequence[str] | int) -> tuple[str, ...]:
    """Names of classes: as given, or numbers from 0.

    Raises:
        SettingsError: there are none, or one of them twice.
    """
    found = tuple(str(n) for n in (range(names) if isinstance(names, int) else names))
    if not found or len(set(found)) != len(found):
        raise SettingsError(f"Classes need different names, at least one; found {list(found)}.")
    return found
