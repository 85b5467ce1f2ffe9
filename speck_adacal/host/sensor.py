"""The dev kit's own sensor as a session's source: the host only listens."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import EventError, SettingsError
from speck_adacal.events.types import Events
from speck_adacal.host.backend import check_shape
from speck_adacal.host.board_backend import BoardBackend
from speck_adacal.readout.decision import Answer

log = logging.getLogger("speck_adacal.host.sensor")
_POOLINGS = (4, 2, 1)


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
        return sensor_configuration(self._deployment)

    def _seen(self, found: list[Any], until_us: int) -> Events:
        """What the DVS stage's monitor showed, pooled and cut as the network gets it."""
        channels, height, width = self.shape
        stage = load_chip_description(self._deployment.chip).dvs_layer
        pool, _ = _view(height, width, self._deployment.chip)
        seen = [  # the monitor counts from the corner of the region, before pooling
            (e.timestamp, e.x // pool, e.y // pool, e.feature if channels > 1 else 0)
            for e in found
            if type(e).__name__ == "Spike" and e.layer == stage
        ]
        t, x, y, p = np.array(seen, dtype=np.int64).reshape(-1, 4).T
        keep = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        t = np.maximum.accumulate(np.clip(t[keep], self._covered_us, until_us))
        columns, rows, channel = (values[keep].astype(np.int16) for values in (x, y, p))
        return Events(t, columns, rows, channel, self.shape, until_us)


def sensor_configuration(deployment: Deployment) -> Any:
    """The deployment's configuration with the sensor wired to its first core.

    The middle of the sensor is shown to the network, pooled as far as that keeps its size.

    Raises:
        SettingsError: the network's input is no image of the sensor, or its biases come by events.
    """
    config = deployment.mapped.configuration
    copy = type(config)()
    copy.from_json(config.to_json())
    if deployment.adapted.recipe.constant is not None:
        raise SettingsError(
            "The network's biases come as events that a host sends beside the input, which nobody "
            "does where the chip's own sensor is the source; adapt it with bias='leak'."
        )
    channels, height, width = deployment.input_shape
    if channels > 2:
        raise SettingsError(f"A sensor has two polarities, the network takes {channels} channels.")
    pool, (top, left) = _view(height, width, deployment.chip)
    dvs = copy.dvs_layer
    dvs.pass_sensor_events = dvs.monitor_enable = True
    dvs.merge = channels == 1
    dvs.pooling = {"x": pool, "y": pool}
    dvs.origin = {"x": left, "y": top}
    dvs.cut = {"x": left + width - 1, "y": top + height - 1}
    dvs.destinations[0].enable = True
    dvs.destinations[0].layer = deployment.cores[0]
    return copy


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


def _view(height: int, width: int, chip: str) -> tuple[int, tuple[int, int]]:
    """Pooling, and the origin (y, x) of the middle of the pooled sensor."""
    side = load_chip_description(chip).limits.sensor_size
    if max(height, width) > side:
        raise SettingsError(f"The network takes {width} x {height} pixels, the sensor has {side}.")
    pool = next(p for p in _POOLINGS if side // p >= max(height, width))
    return pool, ((side // pool - height) // 2, (side // pool - width) // 2)
