"""What a run says about the limits of a configuration: 16 bits, residue, load, and what to change.

Every figure is simulated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from speck_adacal.errors import SettingsError
from speck_adacal.events.types import Events
from speck_adacal.twin.load import WorstWindow
from speck_adacal.twin.simulator import Twin


@dataclass(frozen=True)
class CoreHeadroom:
    """One core after a recording.

    Attributes:
        core: its number.
        highest: highest potential that any neuron reached (before its spike was subtracted).
        room: distance from there to the top of 16 bits; 0 means that sums were cut or wrapped.
        near: neurons that came within `margin` of the top.
        margin: what counts as near.
        residue: neurons left at or above the threshold at the end: they owe spikes.
        owed_spikes: spikes those neurons would still fire with enough input events.
    """

    core: int
    highest: int
    room: int
    near: int
    margin: int
    residue: int
    owed_spikes: int


def core_headroom(twin: Twin, core: int, *, margin: int = 1024) -> CoreHeadroom:
    """Head-room and residue of one core after whatever the twin ran last.

    Args:
        twin: made with `track_peaks=True`.
        core: its number.
        margin: a neuron that came this close to the top counts as near.
    """
    peaks, residue = twin.peaks(core), twin.residue(core).astype(np.int64)
    top = twin.program.chip.limits.potential_range[1]
    threshold = twin.program.cores[core].threshold_high
    owed = residue // threshold if threshold > 0 else np.zeros_like(residue)
    return CoreHeadroom(
        core=core,
        highest=int(peaks.max()),
        room=top - int(peaks.max()),
        near=int((peaks > top - margin).sum()),
        margin=margin,
        residue=int((residue != 0).sum()),
        owed_spikes=int(owed.sum()),
    )


@dataclass(frozen=True)
class Remedy:
    """What a change of one core would do to the load of the whole chip.

    Attributes:
        change: in words, e.g. `"decimator 1 of 4"`.
        worst: busiest window of each configured core with the change.
        synops: SynOps of the whole recording with the change.
    """

    change: str
    worst: tuple[WorstWindow, ...]
    synops: int


def try_remedies(
    twin: Twin,
    events: Events,
    core: int,
    *,
    window_us: int,
    entry: int | None = None,
    decimations: Sequence[int] = (2, 4, 8),
    threshold_factors: Sequence[float] = (1.25, 1.5, 2.0),
) -> tuple[Remedy, ...]:
    """Run a recording again with the decimator on, or a higher threshold, on one core.

    Args:
        twin: the configuration as it is; not changed.
        events: the user's own recording.
        core: core whose output to thin.
        window_us: length of the load windows.
        entry: where events enter, as in `Twin.run`.
        decimations: settings of the output decimator to try.
        threshold_factors: factors on `threshold_high` to try.

    Returns:
        The configuration as it is, then each change.
    """
    if core not in twin.program.cores:
        raise SettingsError(
            f"Core {core} is not configured; choose among {sorted(twin.program.cores)}."
        )
    own, top = twin.program.cores[core], twin.program.chip.limits.potential_range[1]
    changed = [("as configured", own)]
    changed += [(f"decimator 1 of {n}", replace(own, decimation=n)) for n in decimations]
    for factor in threshold_factors:
        higher = min(round(own.threshold_high * factor), top)
        changed.append((f"threshold {higher}", replace(own, threshold_high=higher)))
    remedies = []
    for name, program in changed:
        cores = {**twin.program.cores, core: program}
        other = Twin(replace(twin.program, cores=cores), assumptions=twin.assumptions)
        run = other.run(events, entry=entry, record_load=True)
        load = run.load
        worst = tuple(load.worst(i, window_us) for i in sorted(cores)) if load else ()
        remedies.append(Remedy(name, worst, run.synops))
    return tuple(remedies)
