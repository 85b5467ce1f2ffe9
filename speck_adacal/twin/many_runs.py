"""Many recordings on chips of one program, each from the state after configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

import numpy.typing as npt

from speck_adacal.errors import SettingsError
from speck_adacal.events.types import Events
from speck_adacal.spread import in_pieces, is_spread
from speck_adacal.twin.inputs import checked_input
from speck_adacal.twin.result import TwinRun
from speck_adacal.twin.running import Plan, PreparedInput, RunningChip


@dataclass(frozen=True)
class Entering:
    """How recordings enter, and what is kept of them.

    Attributes:
        entry: the core or DVS stage where events enter, or one for each event.
        outside: `"error"`, or `"drop"` for events outside the entry's input.
        record_load: keep events and SynOps by input event.
    """

    entry: int | npt.ArrayLike
    outside: str = "error"
    record_load: bool = False


def run_on(plan: Plan, chip: RunningChip, events: Events, how: Entering) -> TwinRun:
    """Check a recording and run it on a chip as it stands."""
    checked = checked_input(
        plan.program, events, how.entry, after_us=chip.time_us, outside=how.outside
    )
    until_us = max(events.duration_us, chip.time_us)
    return chip.run(checked, until_us, record_load=how.record_load)


def run_each(
    plan: Plan, recordings: Sequence[Events | PreparedInput], how: Entering, threads: int | None
) -> Iterator[TwinRun]:
    """Runs of all recordings, in order.

    Args:
        plan: what the chips are.
        recordings: inputs, or what `Twin.prepare` made of them.
        how: where they enter.
        threads: by default one a processor, or where they are spread to (`spread`).

    Raises:
        SettingsError: fewer than one thread.
    """
    if threads is None and is_spread():
        return in_pieces(partial(_run_piece, plan, how), recordings, threads=True)
    workers = os.cpu_count() or 1 if threads is None else threads
    if workers < 1:
        raise SettingsError(f"threads must be at least 1, found {threads}.")
    return _in_threads(plan, recordings, how, workers)


def _in_threads(
    plan: Plan, recordings: Sequence[Events | PreparedInput], how: Entering, workers: int
) -> Iterator[TwinRun]:
    """Threads of this process: joblib's start takes 16 ms (two processors), these take 3."""
    idle: SimpleQueue[RunningChip] = SimpleQueue()
    for _ in range(min(workers, len(recordings))):
        idle.put(RunningChip(plan))

    def run_one(recording: Events | PreparedInput) -> TwinRun:
        chip = idle.get()
        try:
            return _run_from_start(plan, chip, recording, how)
        finally:
            idle.put(chip)

    with ThreadPoolExecutor(max_workers=workers) as pool:
        yield from pool.map(run_one, recordings)


def _run_piece(
    plan: Plan, how: Entering, recordings: Sequence[Events | PreparedInput]
) -> list[TwinRun]:
    chip = RunningChip(plan)
    return [_run_from_start(plan, chip, recording, how) for recording in recordings]


def _run_from_start(
    plan: Plan, chip: RunningChip, recording: Events | PreparedInput, how: Entering
) -> TwinRun:
    chip.reset()
    if isinstance(recording, PreparedInput):
        return chip.run_prepared(recording, record_load=how.record_load)
    return run_on(plan, chip, recording, how)
