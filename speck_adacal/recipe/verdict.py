"""What adaptation kept and what it lost, measured on samples that it had not seen."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from speck_adacal.validation import CountOrZero, PositiveOrZero, Share, checked, one_of

LABELS, AGREEMENT = "labels", "trained network"
WORTH_SAYING = 0.01  # of the accuracy: a point
TOLERATED_FALL = 0.02  # share of right decisions that may depend on resets


@checked
class Cause:
    """One thing that the chip does otherwise than the trained network, switched on its own.

    Attributes:
        name: `"time steps"` (what the spiking network loses before it meets the chip), `"bias"`,
            `"clip"`, `"8 bits"` or `"order of events"`.
        lost: share of right decisions that it costs, of 1.
        option: what mends it, as one would type it.
    """

    name: str
    lost: float
    option: str


@checked
class Verdict:
    """Accuracy of a network as it was trained, as it spikes and as it runs on the chip's twin.

    Attributes:
        reference: `"labels"`: shares of right decisions; `"trained network"`: there were no
            labels, and the shares are those of agreement with the trained network.
        held_out: whether the samples were kept from calibration.
        samples: number of samples.
        trained: share for the trained network; 1 where it is the reference.
        spiking: for the time-stepped spiking network.
        chip: for the chip twin, event by event (simulated); None where the network cannot be
            deployed.
        standard_error: of `chip` (Agresti and Coull).
        never_reset: share for the chip twin on recordings on end, which nobody resets; None for
            images, of which each is a sample of its own. A network for a stream is judged by it:
            `chip` is the same.
        synops: SynOps a sample on the twin.
        chip_nj, trained_nj: energy a sample (estimated): of the chip's SynOps and of the trained
            network's multiply-accumulates.
        causes: what loses accuracy on the chip, the largest first; only where it loses more than
            a point.
    """

    reference: Annotated[str, one_of(LABELS, AGREEMENT)]
    held_out: bool
    samples: CountOrZero
    trained: Share
    spiking: Share
    chip: Share | None
    standard_error: PositiveOrZero
    synops: PositiveOrZero
    chip_nj: PositiveOrZero
    trained_nj: PositiveOrZero
    causes: tuple[Cause, ...] = ()
    never_reset: Share | None = None

    @property
    def lost(self) -> float:
        """What the chip loses against the trained network, as a share of 1."""
        return 0.0 if self.chip is None else self.trained - self.chip

    def line(self) -> str:
        """The verdict in one line."""
        where = "" if self.held_out else ", which calibration had seen"
        chip = "the chip cannot run it"
        if self.chip is not None:
            chip = f"on the chip {self.chip:.1%} ± {100 * self.standard_error:.1f}"
        text = f"spiking {self.spiking:.1%}, {chip} ({self.samples} samples{where})"
        if self.chip is not None:
            text += f", {_count(self.synops)} SynOps"
        if self.reference == LABELS:
            return f"trained {self.trained:.1%}, {text}"
        return f"agreement with the trained network: {text}"

    def lines(self) -> tuple[str, ...]:
        """The verdict, what loses accuracy, and energy above the trained network's own."""
        causes = [
            f"{cause.name} cost {100 * cause.lost:.1f} (try {cause.option})"
            for cause in self.causes
        ]
        found = [self.line()]
        if self.chip is not None and self.never_reset is not None:
            warning = fall_never_reset(self.chip, self.never_reset)
            found += [] if warning is None else [warning]
        if self.lost > WORTH_SAYING:
            said = ", ".join(causes) or "no single cause was found"
            found.append(f"The chip loses {100 * self.lost:.1f} points: {said}.")
        if self.chip is not None and self.chip_nj > self.trained_nj > 0:
            found.append(
                f"Energy above the trained network's own: {self.chip_nj:,.0f} nJ a sample against "
                f"{self.trained_nj:,.0f} nJ (estimated, 45 nm convention)."
            )
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**asdict(self), "causes": [asdict(cause) for cause in self.causes]}


def fall_never_reset(accuracy: float, never_reset: float) -> str | None:
    """What to say where a network loses much because nobody resets it; None where it does not."""
    if accuracy - never_reset <= TOLERATED_FALL:
        return None
    return (
        f"Never reset, as at a camera, {never_reset:.1%} of the decisions are right, with a reset "
        f"before each recording {accuracy:.1%}: neurons remember what inhibited them. Adapt on "
        "recordings of events without --reset-each, or deploy with --lower-clip 0.5."
    )


def accuracy_error(right: int, samples: int) -> float:
    """Standard error of a share of right decisions (binomial, with two successes and two failures
    added as by Agresti and Coull, so that 100 % is not claimed to be certain)."""
    share = (right + 2) / (samples + 4)
    return float(np.sqrt(share * (1 - share) / (samples + 4)))


def share_right(decisions: npt.ArrayLike, wanted: npt.ArrayLike) -> float:
    """Share of decisions that are as wanted."""
    return float(np.mean(np.asarray(decisions) == np.asarray(wanted)))


def _count(value: float) -> str:
    return f"{value / 1e6:.1f} M" if value >= 1e5 else f"{value / 1e3:.1f} k"
