"""The constant channel of a network whose biases come by events, piece by piece."""

from __future__ import annotations

from speck_adacal.chip.deploy import Deployment
from speck_adacal.errors import SettingsError
from speck_adacal.events.types import Events


class ConstantFeed:
    """Adds a deployment's constant channel to what a session feeds; nothing where it has none.

    Args:
        deployment: what runs.
        step_us: length of a time step; that of the calibration set by default.

    Raises:
        SettingsError: `step_us` is not above 0.
    """

    def __init__(self, deployment: Deployment, step_us: float | None = None) -> None:
        if step_us is not None and not step_us > 0:
            raise SettingsError(f"step_us must be above 0 µs, found {step_us}.")
        self._constant = deployment.adapted.recipe.constant
        self._step_us = step_us
        self.restart()

    def restart(self) -> None:
        """A new sample begins, at 0 µs."""
        self._covered_us = -1

    def add(self, events: Events) -> Events:
        """A piece with the channel behind its own, for the time since the last piece."""
        if self._constant is None:
            return events
        since, self._covered_us = self._covered_us, events.duration_us
        return self._constant.added_since(events, since, self._step_us or self._constant.step_us)
