"""From output spikes to a decision, or to the plain statement that there is none.

The names follow hls4ml's: `argmax_spike_count`, `first_to_threshold`, `threshold_then_argmax`,
`argmax_membrane`; `early_exit` is the paper's IAT (eqs. 16 and 17) on windows of time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speck_adacal.errors import SettingsError
from speck_adacal.readout.class_counts import ClassCounts, class_names, plain_channels
from speck_adacal.readout.decision import NO_DECISION, Answer, Ints
from speck_adacal.readout.early_exit import ExitRule

NOTHING = float("nan")


@dataclass(frozen=True)
class Verdict:
    """What a readout found: a class or `NO_DECISION`, when, and how sure."""

    label: int
    t_us: int
    confidence: float = NOTHING


class Readout(ABC):
    """Reads one sample at a time: `start`, `update` piece by piece, `finish`.

    Args:
        names: of the classes, or their number.
        class_of: class of each of the network's outputs; output k is class k without it.

    Attributes:
        names: of the classes.
        class_of: int64 `[outputs]`, class of each of the network's outputs; -1 for none.
        kind: its name in a bundle.
        window_us: pieces must not reach over a multiple of it; None if it does not matter.
        needs_charge: `finish` needs the output neurons' membrane potentials.
        goes_on: it decides again and again; a decision ends nothing.

    Raises:
        SettingsError: the names and the outputs are of different numbers of classes.
    """

    kind = ""
    window_us: int | None = None
    needs_charge = False
    goes_on = False

    def __init__(self, names: Sequence[str] | int, *, class_of: Ints | None = None) -> None:
        self.names = class_names(names)
        channels = plain_channels(len(self.names)) if class_of is None else class_of
        self.class_of = np.asarray(channels, dtype=np.int64)
        self._counts = ClassCounts(self.class_of)
        if len(self._counts.counts) != len(self.names):
            raise SettingsError(
                f"The readout has {len(self.names)} class names, but its outputs stand for "
                f"{len(self._counts.counts)} classes; give one name for each."
            )

    @property
    def counts(self) -> Ints:
        """int64 `[classes]` spikes so far; a copy."""
        return self._counts.counts.copy()

    @property
    def confidence(self) -> float:
        """How sure it is now, 0 to 1; NaN where it does not say."""
        return NOTHING

    @property
    def bar(self) -> float:
        """What the confidence has to reach now; NaN where there is no such bar."""
        return NOTHING

    def start(self) -> None:
        """Begin a sample."""
        self._counts.clear()

    def rests(self, t_us: int) -> bool:
        """Whether events from this time on need not be fed, until a later piece asks again."""
        return False

    def update(self, answer: Answer) -> Verdict | None:
        """Take the spikes of a piece; the decision, if it falls now."""
        self._counts.add(self._counts.classes(answer.output))
        return None

    @abstractmethod
    def finish(self, until_us: int, charge: Ints | None = None) -> Verdict:
        """The decision at the end of the sample.

        Args:
            until_us: the sample's end.
            charge: int64 `[outputs]` membrane potentials above their initial values, summed over
                the neurons of each of the network's outputs, where `needs_charge`.
        """


class ArgmaxSpikeCount(Readout):
    """The class with most spikes at the end; of equals the one that got there first."""

    kind = "argmax_spike_count"

    def finish(self, until_us: int, charge: Ints | None = None) -> Verdict:
        """The class with most spikes."""
        return Verdict(self._counts.leader(), until_us)


class FirstToThreshold(Readout):
    """The class that first has `threshold` spikes; no decision if none gets there.

    Args:
        names, class_of: as for `Readout`.
        threshold: spikes needed, at least 1.
    """

    kind = "first_to_threshold"

    def __init__(
        self, names: Sequence[str] | int, threshold: int, *, class_of: Ints | None = None
    ) -> None:
        super().__init__(names, class_of=class_of)
        if threshold < 1:
            raise SettingsError(f"threshold must be at least 1 spike, found {threshold}.")
        self.threshold = threshold

    def update(self, answer: Answer) -> Verdict | None:
        """The decision at the spike that reaches the threshold."""
        labels = self._counts.classes(answer.output)
        before = self._counts.counts.copy()
        self._counts.add(labels)
        crossed = (before < self.threshold) & (self._counts.counts >= self.threshold)
        reached = [
            (int(np.flatnonzero(labels == label)[self.threshold - 1 - before[label]]), int(label))
            for label in np.flatnonzero(crossed)
        ]
        if not reached:
            return None
        first, label = min(reached)
        return Verdict(label, int(answer.t_us[first]))

    def finish(self, until_us: int, charge: Ints | None = None) -> Verdict:
        """No decision: no class got there."""
        return Verdict(NO_DECISION, until_us)


class ThresholdThenArgmax(FirstToThreshold):
    """As `FirstToThreshold`; if no class gets there, the one with most spikes at the end."""

    kind = "threshold_then_argmax"

    def finish(self, until_us: int, charge: Ints | None = None) -> Verdict:
        """The class with most spikes."""
        return Verdict(self._counts.leader(), until_us)


class ArgmaxMembrane(Readout):
    """The class that gathered most charge: its spikes times the threshold, plus what is left.

    Finer than counting spikes, because the charge below the threshold counts too.

    Args:
        names, class_of: as for `Readout`.
        threshold: of the output neurons, in the chip's integers (`Backend.threshold`).
    """

    kind = "argmax_membrane"
    needs_charge = True

    def __init__(
        self, names: Sequence[str] | int, threshold: int, *, class_of: Ints | None = None
    ) -> None:
        super().__init__(names, class_of=class_of)
        if threshold < 1:
            raise SettingsError(f"The output threshold must be at least 1, found {threshold}.")
        self.threshold = threshold

    def finish(self, until_us: int, charge: Ints | None = None) -> Verdict:
        """The class with most charge; none if all have the same."""
        if charge is None:
            raise SettingsError("argmax_membrane needs the output neurons' membrane potentials.")
        labels = self._counts.classes(np.arange(len(charge)))
        total = self._counts.counts * self.threshold
        np.add.at(total, labels[labels >= 0], charge[labels >= 0])
        best = np.flatnonzero(total == total.max())
        return Verdict(int(best[0]) if len(best) == 1 else self._counts.leader(), until_us)


class EarlyExit(Readout):
    """IAT (eqs. 16 and 17): decides at the end of the first window in which it is sure enough.

    Confidence is that of the spikes summed so far; without any output spike there is no
    decision, however low the bar. After the rule's last window it waits
    for the end, and decides by spike count.

    Args:
        names, class_of: as for `Readout`.
        rule: α_t by window, see `calibrate_early_exit`.
        window_us: length of a window.
    """

    kind = "early_exit"

    def __init__(
        self,
        names: Sequence[str] | int,
        rule: ExitRule,
        window_us: int,
        *,
        class_of: Ints | None = None,
    ) -> None:
        super().__init__(names, class_of=class_of)
        if window_us < 1:
            raise SettingsError(f"window_us must be at least 1 µs, found {window_us}.")
        self.rule = rule
        self.window_us: int = window_us
        self._closed = 0

    @property
    def confidence(self) -> float:
        """Of the counts so far; 0 without a spike."""
        return float(self.rule.confidence(self._counts.counts))

    @property
    def bar(self) -> float:
        """α_t of the last window that closed; above 1 nothing exits."""
        bars = self.rule.bars
        return bars[min(max(self._closed, 1), len(bars)) - 1]

    def start(self) -> None:
        """Begin a sample."""
        super().start()
        self._closed = 0

    def update(self, answer: Answer) -> Verdict | None:
        """The decision, if a window closes and the confidence reaches its bar."""
        super().update(answer)
        closed = answer.until_us // self.window_us
        if closed <= self._closed:
            return None
        self._closed = closed
        if closed > len(self.rule.bars) or not self._counts.counts.any():
            return None
        sure = self.confidence
        if sure < self.bar:
            return None
        return Verdict(self._counts.leader(), answer.until_us, sure)

    def finish(self, until_us: int, charge: Ints | None = None) -> Verdict:
        """The class with most spikes."""
        self._closed = max(self._closed, -(-until_us // self.window_us))
        return Verdict(self._counts.leader(), until_us, self.confidence)
