"""Feeding the oracle no more than it can do in a reasonable time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from oracle.board import ReferenceBoard
from oracle.cores import EventTooLarge
from speck_adacal.events.types import Events
from speck_adacal.twin import Assumptions, ChipProgram


def run_oracle(
    program: ChipProgram,
    assumptions: Assumptions,
    clock_hz: float | None,
    events: Events,
    layer: npt.ArrayLike,
    *,
    budget: int,
    end_us: int | None = None,
) -> tuple[ReferenceBoard, int, int]:
    """Feed a new oracle until it has done `budget` SynOps, or an event is too large for it.

    Args:
        program, assumptions, clock_hz: what to simulate.
        events: input. layer: stage that each event enters.
        budget: SynOps after which no further event is fed.
        end_us: time to go on to after the last event, if all were fed; by default none.

    Returns:
        The oracle, how many events it was fed, and the time up to which it was run.
    """
    columns = (events.t_us, np.asarray(layer), events.channel, events.y, events.x)
    rows = [tuple(int(v) for v in row) for row in zip(*columns, strict=True)]
    limit = len(rows) + 1  # the last step is the time after all events
    while True:
        board = ReferenceBoard(program, assumptions, clock_hz)
        step, time_us = 0, 0
        try:
            while step < min(limit, len(rows)) and sum(board.chip.synops.values()) <= budget:
                board.run([rows[step]], rows[step][0])
                time_us = rows[step][0]
                step += 1
            if step == len(rows) and limit > len(rows) and end_us is not None:
                board.run([], end_us)
                time_us = end_us
        except EventTooLarge:
            limit = step  # again, from the start, up to before what was too large
        else:
            board.run([], time_us)
            return board, step, time_us
