"""What recordings came to under one recipe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the twin did under one recipe.

    Attributes:
        counts: int64 `[recordings, classes]` output spikes.
        decisions: int64 `[recordings]`, see `readout.class_counts.leaders`.
        synops: float64 `[recordings, layers]`, in order of the signal; of recordings on end, of
            which only the sum is known, the mean for each.
        spikes: float64 `[recordings, layers]`, likewise.
    """

    counts: Ints
    decisions: Ints
    synops: Floats
    spikes: Floats

    @property
    def mean_synops(self) -> float:
        """SynOps a recording, all layers."""
        return float(self.synops.sum(axis=1).mean())

    def part(self, which: slice) -> Outcome:
        """The same on some of the recordings."""
        return Outcome(
            self.counts[which], self.decisions[which], self.synops[which], self.spikes[which]
        )

    def and_then(self, later: Outcome) -> Outcome:
        """Together with an outcome on further recordings."""
        return Outcome(
            np.concatenate([self.counts, later.counts]),
            np.concatenate([self.decisions, later.decisions]),
            np.concatenate([self.synops, later.synops]),
            np.concatenate([self.spikes, later.spikes]),
        )
