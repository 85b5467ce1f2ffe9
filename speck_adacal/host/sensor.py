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
        """What the DVS stage's monitor showed, pooled, mirrored and cut as the network gets it."""
        sensor = self._wired.wiring.sensor or SensorWiring()
        stage = load_chip_description(self._deployment.chip).dvs_layer
        pool, merged = sensor.pooling or 1, self.shape[0] == 1
        seen = [  # the monitor counts from the corner of the region, before pooling
            (e.timestamp, e.x // pool, e.y // pool, 0 if merged else e.feature)
            for e in found
            if type(e).__name__ == "Spike" and e.layer == stage
        ]
        t, x, y, p = np.array(seen, dtype=np.int64).reshape(-1, 4).T
        right, bottom = sensor.cut(self.shape)
        width, height = right + 1 - (sensor.left or 0), bottom + 1 - (sensor.top or 0)
        keep = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        x = width - 1 - x if sensor.mirror_x else x
        y = height - 1 - y if sensor.mirror_y else y
        x, y = (y, x) if sensor.diagonal else (x, y)
        t = np.maximum.accumulate(np.clip(t[keep], self._covered_us, until_us))
        columns, rows, channel = (values[keep].astype(np.int16) for values in (x, y, p))
        return Events(t, columns, rows, channel, self.shape, until_us)


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
