"""Early exit on a stream that nobody resets: a decision whenever the bar is passed.

After a decision the readout says nothing for a refractory time, or until its evidence is sure of
another class; the chip's states go on in either case. What is evidence are the output spikes of
the last `memory_us`: a stream has no beginning to sum from.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speck_adacal.errors import SettingsError
from speck_adacal.readout.class_counts import count
from speck_adacal.readout.decision import NO_DECISION, Answer, Ints
from speck_adacal.readout.early_exit import ExitRule
from speck_adacal.readout.readouts import Readout, Verdict


class StreamExit(Readout):
    """Decides whenever the evidence of the last `memory_us` reaches the bar, at the end of a step.

    Args:
        names, class_of: as for `Readout`.
        bar: confidence to reach, above 0 and at most 1.
        memory_us: how long an output spike is evidence.
        step_us: how often the readout looks.
        refractory_us: after a decision it rests so long, and its evidence begins anew; None: until
            the evidence is sure of another class.
        metric, temperature: of the confidence, see `ExitRule`.
        spare: the host feeds no events while the readout rests, which saves their SynOps.

    Raises:
        SettingsError: a value is out of range, or events are to be spared without a refractory
            time.
    """

    kind = "stream_exit"
    goes_on = True

    def __init__(
        self,
        names: Sequence[str] | int,
        bar: float,
        *,
        memory_us: int,
        step_us: int,
        refractory_us: int | None = None,
        metric: str = "margin",
        temperature: float = 1.0,
        spare: bool = False,
        class_of: Ints | None = None,
    ) -> None:
        super().__init__(names, class_of=class_of)
        if not 0 < bar <= 1:
            raise SettingsError(f"The bar is above 0 and at most 1, found {bar}.")
        if step_us < 1 or memory_us < step_us or (refractory_us is not None and refractory_us < 0):
            raise SettingsError(
                "A stream's readout needs a step of at least 1 µs, a memory of at least a step and "
                f"a refractory time of at least 0 µs; found {step_us}, {memory_us} and "
                f"{refractory_us}."
            )
        if spare and refractory_us is None:
            raise SettingsError(
                "A host that feeds nothing after a decision sees no change either; give a "
                "refractory time, or do not spare events."
            )
        self.rule = ExitRule((bar,), metric, temperature)
        self.memory_us, self.refractory_us, self.spare = memory_us, refractory_us, spare
        self.window_us: int = step_us
        self._t_us: Ints = np.zeros(0, dtype=np.int64)
        self._labels: Ints = self._t_us
        self.start()

    @property
    def counts(self) -> Ints:
        """int64 `[classes]`: the spikes that are evidence now."""
        return count(self._labels, len(self.names))[0]

    @property
    def confidence(self) -> float:
        """Of the evidence now; 0 without a spike."""
        return float(self.rule.confidence(self.counts))

    @property
    def bar(self) -> float:
        """What the confidence has to reach."""
        return self.rule.bars[0]

    def start(self) -> None:
        """Begin a stream."""
        super().start()
        self._forget()
        self._said = NO_DECISION
        self._rests_until_us = self._looked_us = 0

    def rests(self, t_us: int) -> bool:
        """Whether events of the step that begins now need not be fed."""
        return self.spare and t_us < self._rests_until_us

    def update(self, answer: Answer) -> Verdict | None:
        """The decision, if a step ends and the evidence reaches the bar."""
        self._take(answer)
        now = answer.until_us
        if now // self.window_us <= self._looked_us // self.window_us:
            return None
        self._looked_us = now
        counts, leader = count(self._labels, len(self.names))
        sure = float(self.rule.confidence(counts))
        if now < self._rests_until_us or leader == NO_DECISION or sure < self.bar:
            return None
        if self.refractory_us is None and leader == self._said:
            return None
        self._said = leader
        if self.refractory_us is not None:
            self._rests_until_us = now + self.refractory_us
            self._forget()
        return Verdict(leader, now, sure)

    def finish(self, until_us: int, charge: Ints | None = None) -> Verdict:
        """Nothing: decisions fell on the way."""
        return Verdict(NO_DECISION, until_us)

    def _take(self, answer: Answer) -> None:
        """Spikes become evidence, and old ones cease to be."""
        self._t_us = np.concatenate([self._t_us, answer.t_us])
        self._labels = np.concatenate([self._labels, self._counts.classes(answer.output)])
        oldest = max(answer.until_us - self.memory_us, self._rests_until_us)
        kept = self._t_us >= oldest
        self._t_us, self._labels = self._t_us[kept], self._labels[kept]

    def _forget(self) -> None:
        self._t_us = self._labels = np.zeros(0, dtype=np.int64)
