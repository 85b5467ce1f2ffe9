"""The dev kit's own sensor as a session's source: the host only listens."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from speck_adacal.chip.deploy import Deployment, rewired
from speck_adacal.chip.sensor_wiring import SensorWiring
from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import EventError
from speck_adacal.events.types import Events
from speck_adacal.host.backend import check_shape
from speck_adacal.host.board_backend import BoardBackend
from speck_adacal.readout.decision import Answer
from speck_adacal.twin import Assumptions, program_from_configuration
from speck_adacal.twin.dvs import DvsStage, StageEvents

log = logging.getLogger("speck_adacal.host.sensor")


class SensorBackend(BoardBackend):
    """As `BoardBackend`, but the chip's sensor feeds the network; `feed` lets its time pass.

    The pieces are empty (`silence`); answers carry what the sensor saw. Arguments are those of
    `BoardBackend`. A network that was made for samples with a reset before each is run, but a
    warning is logged: at a sensor nobody resets it between two scenes.
    """

    def __init__(self, deployment: Deployment, *arguments: Any, **options: Any) -> None:
        if not deployment.adapted.recipe.settings.never_reset:
            log.warning(
                "The network was made for samples with a reset before each, at a sensor nobody "
                "resets it between two scenes; adapt on recordings of events without --reset-each."
            )
        self._wired = at_sensor(deployment)
        self._stage = _stage_of(self._wired)
        super().__init__(deployment, *arguments, **options)

    def reset(self) -> None:
        """All states as after configuration, the stop watch at 0."""
        super().reset()
        self._started_s = time.monotonic()

    def feed(self, events: Events) -> Answer:
        """Wait until the piece's end, and take what came.

        Raises:
            EventError: the piece has events of its own, or another shape.
            DeviceError: the board gave no answer in time.
        """
        check_shape(events, self.shape, self.name)
        if len(events):
            raise EventError("The sensor is the source; give pieces without events (silence).")
        ahead = self._started_s + events.duration_us * 1e-6 - time.monotonic()
        time.sleep(max(ahead, 0.0))
        found = self._fenced(0)
        seen = self._seen(found, events.duration_us)
        self._covered_us = events.duration_us
        return self._answer(found, events.duration_us, len(seen), seen)

    def _configuration(self) -> Any:
        found = self._wired.configuration
        found.dvs_layer.monitor_enable = True
        return found

    def _seen(self, found: list[Any], until_us: int) -> Events:
        """What the DVS stage's monitor showed, as the stage sends it on to the network."""
        number = load_chip_description(self._deployment.chip).dvs_layer
        shown = [
            (e.timestamp, e.feature, e.y, e.x)
            for e in found
            if type(e).__name__ == "Spike" and e.layer == number
        ]
        t, channel, y, x = np.array(shown, dtype=np.int64).reshape(-1, 4).T
        seen = self._stage.forwarded_of_monitored(StageEvents(np.arange(len(t)), channel, y, x))
        t = np.maximum.accumulate(np.clip(t[seen.index], self._covered_us, until_us))
        columns, rows, channels = (v.astype(np.int16) for v in (seen.x, seen.y, seen.channel))
        return Events(t, columns, rows, channels, self.shape, until_us)


def _stage_of(wired: Deployment) -> DvsStage:
    """The DVS stage behind its noise filter, which has done its work when the monitor looks."""
    description = load_chip_description(wired.chip)
    program = program_from_configuration(wired.configuration, chip=wired.chip).dvs
    side = description.limits.sensor_size
    return DvsStage(replace(program, filter=None), side, Assumptions())


def at_sensor(deployment: Deployment) -> Deployment:
    """The deployment with its sensor wired; the middle, as it fits, where it was made for a host.

    Raises:
        DesignRuleError: the network's input is no image of the sensor.
        SettingsError: its biases come by events.
    """
    if deployment.wiring.sensor is not None:
        return deployment
    found = rewired(deployment, replace(deployment.wiring, sensor=SensorWiring()))
    sensor = found.wiring.sensor or SensorWiring()
    log.warning(
        "The bundle was deployed for a host's events; the sensor's region from (%s, %s), pooled by "
        "%s, is shown to it. Deploy it with --input sensor to choose.",
        *(sensor.left, sensor.top, sensor.pooling),
    )
    return found


def silence(
    shape: tuple[int, int, int], *, window_us: int, windows: int | None = None
) -> Iterator[Events]:
    """Empty pieces, one for each window; without end where `windows` is not given."""
    never, nowhere = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int16)
    number = 0
    while windows is None or number < windows:
        number += 1
        yield Events(never, nowhere, nowhere, nowhere, shape, number * window_us)


def joined(parts: Iterable[Events], shape: tuple[int, int, int], duration_us: int) -> Events:
    """Pieces of a stream as one recording."""
    found = list(parts)
    empty = np.zeros(0, dtype=np.int64)
    t, x, y, p = (
        np.concatenate([empty, *(getattr(part, name) for part in found)])
        for name in ("t_us", "x", "y", "channel")
    )
    return Events(t, x, y, p, shape, duration_us)
