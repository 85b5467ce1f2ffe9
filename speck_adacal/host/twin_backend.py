"""The chip twin as a session's backend."""

from __future__ import annotations

import numpy as np

from speck_adacal.chip.deploy import Deployment
from speck_adacal.events.types import Events
from speck_adacal.host.backend import Grade, check_shape
from speck_adacal.host.constant_feed import ConstantFeed
from speck_adacal.readout.decision import Answer, Ints
from speck_adacal.twin import Assumptions, Twin

_RESTART_US = 1 << 31
"""Well before the 32 bits of the chip's time are used up."""


class TwinBackend:
    """Runs a deployment on the twin; every figure is simulated.

    Its reset makes new state arrays and compiles nothing.

    Args:
        deployment: what runs.
        assumptions: what is not publicly known of the chip.
        step_us: length of a time step, where the network has a constant channel; that of the
            calibration set by default.
    """

    name = "the chip twin"
    grade: Grade = "simulated"

    def __init__(
        self,
        deployment: Deployment,
        *,
        assumptions: Assumptions | None = None,
        step_us: float | None = None,
    ) -> None:
        readout = deployment.layers[-1]
        self.shape = deployment.input_shape
        self._constant = ConstantFeed(deployment, step_us)
        self.outputs = deployment.classes
        self._class_map = deployment.class_map
        self.threshold = readout.threshold
        self._initial = readout.initial.astype(np.int64)
        self._core = deployment.readout_core
        self._twin = Twin.from_configuration(
            deployment.mapped.configuration,
            chip=deployment.chip,
            assumptions=assumptions,
            slow_clock_hz=deployment.slow_clock_hz,
        )
        self._base_us = 0

    def reset(self) -> None:
        """All states as after configuration, the sample's time at 0."""
        self._twin.reset()
        self._constant.restart()
        self._base_us = 0

    def feed(self, events: Events) -> Answer:
        """Run one piece.

        Raises:
            EventError: the piece has another shape, or begins before the last one's end.
        """
        check_shape(events, self.shape, self.name)
        self._make_room(events.duration_us)
        run = self._twin.feed(_shifted(self._constant.add(events), self._base_us))
        spikes = run.spikes[self._core]
        return Answer(
            t_us=spikes.t_us + self._base_us,
            output=self._class_map.of(spikes.channel, spikes.y, spikes.x),
            until_us=events.duration_us,
            events=len(events),
            synops=run.synops,
        )

    def charge(self) -> Ints:
        """int64 `[outputs]`, see `Backend.charge`."""
        return self._class_map.total(self._twin.membrane(self._core) - self._initial)

    def close(self) -> None:
        """Nothing to give back."""

    def _make_room(self, end_us: int) -> None:
        """A stream may last longer than the chip's clock: let it start again at 0 in time."""
        if end_us - self._base_us >= _RESTART_US:
            self._base_us += self._twin.time_us
            self._twin.restart_time()


def _shifted(events: Events, by_us: int) -> Events:
    if by_us == 0:
        return events
    return Events(
        events.t_us - by_us,
        events.x,
        events.y,
        events.channel,
        events.shape,
        events.duration_us - by_us,
    )
