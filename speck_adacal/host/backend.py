"""What a session needs of a chip, be it the twin, the virtual dev kit or a real one."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import EventError
from speck_adacal.events.types import Events
from speck_adacal.readout.decision import Answer

Ints = npt.NDArray[np.int64]
Grade = Literal["simulated", "measured on a chip"]


class Backend(Protocol):
    """A chip that is fed piece by piece.

    Attributes:
        name: for messages and reports.
        grade: what its figures are worth.
        shape: `(channels, height, width)` of its input.
        outputs: number of the network's outputs (classes).
        threshold: of the output neurons, in the chip's integers.
    """

    name: str
    grade: Grade
    shape: tuple[int, int, int]
    outputs: int
    threshold: int

    def reset(self) -> None:
        """All states as after configuration, the sample's time at 0."""

    def feed(self, events: Events) -> Answer:
        """Run one piece to its end; times go on from the last piece's `duration_us`."""

    def charge(self) -> Ints:
        """int64 `[outputs]`: membrane potentials above their initial values, summed over the
        neurons of each of the network's outputs."""

    def close(self) -> None:
        """Give back what the backend holds; may be called twice."""


def check_shape(events: Events, shape: tuple[int, int, int], name: str) -> None:
    """Refuse a piece of another shape than the network's input.

    Raises:
        EventError: naming both shapes.
    """
    if events.shape != shape:
        raise EventError(
            f"The events have shape {events.shape}, but the network on {name} takes {shape}; "
            "crop or pool them, or deploy a network for that shape."
        )
