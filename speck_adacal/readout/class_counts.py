"""Counting output spikes by class, and the class that leads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import DEFAULT_CHIP, load_chip_description
from speck_adacal.errors import EventError, SettingsError
from speck_adacal.readout.decision import NO_DECISION

Ints = npt.NDArray[np.int64]


def plain_channels(classes: int) -> Ints:
    """Output k of the network is class k: int64 `[classes]`."""
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


def leaders(counts: Ints, reached: Ints) -> Ints:
    """The class with most spikes; of equals the one that got there first; -1 for none.

    Args:
        counts: int64 `[..., classes]` spikes.
        reached: int64 `[..., classes]`, when each class got the last of its spikes, in any unit
            that grows with time; of classes equal in this too the lowest leads.

    Returns:
        int64 `[...]`.
    """
    most = counts.max(axis=-1, keepdims=True)
    never = np.iinfo(np.int64).max
    found = np.where(counts == most, reached, never).argmin(axis=-1)
    return np.where(most[..., 0] > 0, found, NO_DECISION)


def leaders_of_steps(spikes: npt.ArrayLike) -> Ints:
    """The leaders of samples whose spikes are known by time step.

    Args:
        spikes: `[samples, steps, classes]`, spikes of each class in each step.

    Returns:
        int64 `[samples]`.
    """
    counts = np.asarray(spikes).astype(np.int64)
    steps = np.arange(1, counts.shape[1] + 1)[:, None]
    return leaders(counts.sum(axis=1), np.where(counts > 0, steps, 0).max(axis=1))


def counts_at(labels: Ints, until: Ints, classes: int) -> tuple[Ints, Ints]:
    """Counts of a sequence of spikes at several moments.

    Args:
        labels: int64 `[n]`, class of each spike in their order; -1 for none.
        until: int64 `[moments]`, non-decreasing: how many spikes had come by each moment.
        classes: their number.

    Returns:
        Counts until then, and when each class got the last of its spikes (their number in the
        sequence, from 1), both int64 `[moments, classes]`.
    """
    moment = np.searchsorted(until, np.arange(len(labels)), side="right")
    meant = np.flatnonzero((labels >= 0) & (moment < len(until)))
    at = (moment[meant], labels[meant])
    counts = np.zeros((len(until), classes), dtype=np.int64)
    reached = np.zeros_like(counts)
    np.add.at(counts, at, 1)
    np.maximum.at(reached, at, meant + 1)
    return counts.cumsum(axis=0), np.maximum.accumulate(reached, axis=0)


def count(labels: Ints, classes: int) -> tuple[Ints, int]:
    """Counts int64 `[classes]` of a whole sequence of spikes, and its leader; see `counts_at`."""
    counts, reached = counts_at(labels, np.array([len(labels)]), classes)
    return counts[0], int(leaders(counts, reached)[0])


class ClassCounts:
    """Spikes of each class so far in a sample.

    Args:
        class_of: int64 `[outputs]`, class of each of the network's outputs; -1 for none.

    Attributes:
        counts: int64 `[classes]`.
    """

    def __init__(self, class_of: Ints) -> None:
        if class_of.ndim != 1 or not len(class_of) or class_of.max() < 0:
            raise SettingsError("A readout needs at least one output that stands for a class.")
        self._class_of = np.append(class_of, NO_DECISION)  # an output of -1 means no class
        self.counts = np.zeros(int(class_of.max()) + 1, dtype=np.int64)
        self._reached = np.zeros(len(self.counts), dtype=np.int64)
        self._seen = 0

    def clear(self) -> None:
        """Begin a sample."""
        self.counts[:] = 0
        self._reached[:] = 0
        self._seen = 0

    def classes(self, output: Ints) -> Ints:
        """Class of each spike, -1 for none.

        Args:
            output: int64 `[n]`, the network's output that each spike stands for; -1 for none.

        Raises:
            EventError: a spike stands for an output that the readout does not know.
        """
        known = len(self._class_of) - 1
        if len(output) and int(output.max()) >= known:
            raise EventError(
                f"An output spike stands for output {output.max()}, but the readout knows {known}; "
                "give the readout the network's classes."
            )
        found: Ints = self._class_of[output]
        return found

    def add(self, labels: Ints) -> None:
        """Count spikes, given by class, in their order."""
        index = np.flatnonzero(labels >= 0)
        kept = labels[index]
        self.counts += np.bincount(kept, minlength=len(self.counts))
        self._reached[kept] = self._seen + index  # of equal indices the last one stays
        self._seen += len(labels)

    def leader(self) -> int:
        """The class that leads now, see `leaders`."""
        return int(leaders(self.counts, self._reached))


def class_names(names: Sequence[str] | int) -> tuple[str, ...]:
    """Names of classes: as given, or numbers from 0.

    Raises:
        SettingsError: there are none, or one of them twice.
    """
    found = tuple(str(n) for n in (range(names) if isinstance(names, int) else names))
    if not found or len(set(found)) != len(found):
        raise SettingsError(f"Classes need different names, at least one; found {list(found)}.")
    return found
