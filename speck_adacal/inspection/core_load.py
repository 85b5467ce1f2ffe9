"""How much each core has to do on the user's own recordings (simulated on the twin)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from speck_adacal.chip.deploy import Deployment, rewired
from speck_adacal.chip.simulation import entry_of, wired_twin
from speck_adacal.events.types import Events
from speck_adacal.twin.result import TwinRun

WINDOW_US = 1000
_LONGER = 10


@dataclass(frozen=True)
class CoreLoad:
    """The load of one core over all recordings.

    Attributes:
        core: 0 to 8.
        mean_synops_per_s: over the recordings' whole duration.
        worst_synops_per_s: in the busiest window, at any place of any recording.
        recording: the one with that window.
        start_us: where the window starts there.
        window_us: its length.
        mean_events_per_s: input events of the core, over the whole duration.
        worst_events_per_s: in their busiest window.
        longer_synops_per_s, longer_events_per_s: the worst of windows ten times as long.
    """

    core: int
    mean_synops_per_s: float
    worst_synops_per_s: float
    recording: int
    start_us: int
    window_us: int
    mean_events_per_s: float
    worst_events_per_s: float
    longer_synops_per_s: float
    longer_events_per_s: float

    def exceeds(self, limit_per_s: float | None) -> bool:
        """Is the busiest window over a limit in SynOps a second? None is no limit."""
        return limit_per_s is not None and self.worst_synops_per_s > limit_per_s


def core_loads(
    deployment: Deployment, recordings: Sequence[Events], *, window_us: int = WINDOW_US
) -> tuple[CoreLoad, ...]:
    """The load of every core in use, in order of the signal.

    Args:
        deployment: what runs.
        recordings: inputs, at least one; they are run one by one, so that memory stays small.
        window_us: length of the windows.
    """
    twin = wired_twin(deployment)
    meters = {core: _Meter(core, window_us) for core in deployment.cores}
    for index, recording in enumerate(recordings):
        _, entry = entry_of(deployment, recording)
        run = twin.run(recording, entry=entry, record_load=True)
        for meter in meters.values():
            meter.add(run, index)
    seconds = max(sum(recording.duration_us for recording in recordings), 1) / 1e6
    return tuple(meter.load(seconds) for meter in meters.values())


class _Meter:
    """Totals and busiest windows of one core."""

    def __init__(self, core: int, window_us: int) -> None:
        self._core, self._window_us = core, window_us
        self._synops = self._events = 0
        self._worst = (0.0, 0, 0)
        self._worst_events = self._longer_synops = self._longer_events = 0.0

    def add(self, run: TwinRun, index: int) -> None:
        core, window = self._core, self._window_us
        self._synops += int(run.synops_per_core[core])
        self._events += int(run.events_per_core[core])
        if run.load is None:
            return
        found, longer = run.load.worst(core, window), _LONGER * window
        self._worst = max(self._worst, (found.per_s, index, found.start_us))
        events = run.load.worst(core, window, events=True).per_s
        self._worst_events = max(self._worst_events, events)
        self._longer_synops = max(self._longer_synops, run.load.worst(core, longer).per_s)
        events = run.load.worst(core, longer, events=True).per_s
        self._longer_events = max(self._longer_events, events)

    def load(self, seconds: float) -> CoreLoad:
        worst, recording, start_us = self._worst
        return CoreLoad(
            core=self._core,
            mean_synops_per_s=self._synops / seconds,
            worst_synops_per_s=worst,
            recording=recording,
            start_us=start_us,
            window_us=self._window_us,
            mean_events_per_s=self._events / seconds,
            worst_events_per_s=self._worst_events,
            longer_synops_per_s=self._longer_synops,
            longer_events_per_s=self._longer_events,
        )


@dataclass(frozen=True)
class LoadChange:
    """What another wiring of the sensor would do to the load.

    Attributes:
        change: in words.
        worst_synops_per_s: of the busiest core, in its busiest window.
        input_events_per_s: that reach the first core, over the whole duration.
    """

    change: str
    worst_synops_per_s: float
    input_events_per_s: float


def load_changes(deployment: Deployment, recordings: Sequence[Events]) -> tuple[LoadChange, ...]:
    """What noise filter, pooling and region would do, each alone, on recordings of the sensor.

    Decisions change with them: simulate what is chosen. Empty where a host feeds the network.
    """
    sensor = deployment.wiring.sensor
    if sensor is None:
        return ()
    first, pooling = deployment.cores[0], sensor.pooling or 1
    ways: dict[str, dict[str, Any]]
    ways = {f"noise filter {kind}": {"noise_filter": kind} for kind in ("background", "hot_pixel")}
    ways = {name: way for name, way in ways.items() if way["noise_filter"] != sensor.noise_filter}
    fresh: dict[str, Any] = {"left": None, "top": None}  # the region's middle moves with it
    if pooling > 1:
        name = f"pooling {pooling // 2}, a smaller region"
        ways[name] = {"pooling": pooling // 2, **fresh}
    found = []
    for name, way in ways.items():
        wiring = replace(deployment.wiring, sensor=replace(sensor, filter_ticks=None, **way))
        loads = core_loads(rewired(deployment, wiring), recordings)
        events = next(load.mean_events_per_s for load in loads if load.core == first)
        found.append(LoadChange(name, max(load.worst_synops_per_s for load in loads), events))
    return tuple(found)
