"""What a chip gives out, before the board stamps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from speck_adacal.twin.power import PowerModel
from speck_adacal.virtual_samna.board.board_inputs import Command, Segment


@dataclass(frozen=True, eq=False)
class Output:
    """Output events of one class, in order.

    Attributes:
        name: class name, such as "Spike".
        columns: int64 (bool for a polarity) `[n]` by field; `timestamp`, where there is one, is
            board time in µs.
    """

    name: str
    columns: Mapping[str, npt.NDArray[Any]]


def one(name: str, **values: int) -> Output:
    """A single output event."""
    return Output(name, {key: np.array([value], np.int64) for key, value in values.items()})


class ChipModel(Protocol):
    """A configured chip, as the board's engine drives it."""

    @property
    def cores(self) -> frozenset[int]:
        """Cores that events can be sent to."""

    @property
    def dropped(self) -> int:
        """Input events so far that no core could take."""

    def run(self, segment: Segment, times_us: npt.NDArray[np.int64]) -> list[Output]:
        """Events of a segment, at these board times."""

    def ticks(self, times_us: npt.NDArray[np.int64]) -> list[Output]:
        """Ticks of the external slow clock, with nothing in between."""

    def command(self, command: Command, time_us: int) -> list[Output]:
        """A read, a write or another request."""

    power_model: PowerModel
    """Constants of the power estimate; replace it by one fitted to a board of your own."""

    def power_w(self, interval_us: int) -> tuple[float, ...]:
        """Estimated power of the five rails over the last so many µs."""
