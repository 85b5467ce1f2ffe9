"""What the kernels logged, decoded into `Spikes` and the monitor's stream when asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from speck_adacal.twin.dvs import StageEvents
from speck_adacal.twin.program import Shape

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spikes of one core, in the order of their firing, before pooling.

    Attributes:
        t_us: int64 `[n]`, time of the input event that caused the spike (plus the latency, if a
            latency model is set).
        x, y, channel: int16 `[n]`, column, row and feature.
        cause: int64 `[n]`, index in the run's input of the event that caused it; -1 for a tick
            of the slow clock.
        shape: `(features, height, width)` of the core's map.
    """

    t_us: Ints
    x: npt.NDArray[np.int16]
    y: npt.NDArray[np.int16]
    channel: npt.NDArray[np.int16]
    cause: Ints
    shape: Shape

    def __len__(self) -> int:
        return len(self.t_us)

    def counts(self) -> Ints:
        """int64 `[features, height, width]` spikes of each neuron."""
        _, height, width = self.shape
        flat = (self.channel.astype(np.int64) * height + self.y) * width + self.x
        return np.bincount(flat, minlength=int(np.prod(self.shape))).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class MonitorStream:
    """All monitored events of a run in the order in which they came about.

    Attributes:
        t_us: int64 `[n]`.
        layer: int16 `[n]`, cores and the DVS stage by number.
        x, y, channel: int16 `[n]`.
    """

    t_us: Ints
    layer: npt.NDArray[np.int16]
    x: npt.NDArray[np.int16]
    y: npt.NDArray[np.int16]
    channel: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.t_us)


@dataclass(frozen=True, eq=False)
class SpikeLog:
    """Packed spikes of one run.

    Attributes:
        words: int64 `[n]`, layer, row, column and feature in 16 bits each.
        step: int64 `[n]`, the step (see `tick_steps.Steps`) that caused each.
        step_t_us: int64 `[steps]`, their times.
        step_cause: int64 `[steps]`, input event of each step, -1 for a tick.
        latency_us: int64, by layer.
        stage: events that the DVS stage's monitor shows, or None.
        stage_step: int64, their steps.
        stage_layer: layer number of the DVS stage.
    """

    words: Ints
    step: Ints
    step_t_us: Ints
    step_cause: Ints
    latency_us: Ints
    stage: StageEvents | None
    stage_step: Ints
    stage_layer: int

    @cached_property
    def layer(self) -> Ints:
        """int64 `[n]`, layer of each spike."""
        return self.words >> 48

    def of_layer(self, layer: int) -> tuple[Ints, Ints]:
        """Words and steps of one layer's spikes."""
        own = np.flatnonzero(self.layer == layer)
        if len(own) == len(self.words):
            return self.words, self.step
        return self.words[own], self.step[own]

    def spikes(self, core: int, shape: Shape) -> Spikes:
        """The spikes of one core."""
        words, step = self.of_layer(core)
        return Spikes(
            t_us=self.step_t_us[step] + self.latency_us[core],
            x=unpacked(words, 16),
            y=unpacked(words, 32),
            channel=unpacked(words, 0),
            cause=self.step_cause[step],
            shape=shape,
        )

    def stream(self, cores: tuple[int, ...]) -> MonitorStream:
        """The spikes of `cores`, and the DVS stage's events before those that they cause."""
        own = np.flatnonzero(np.isin(self.layer, cores))
        words, step = self.words[own], self.step[own]
        t_us = self.step_t_us[step] + self.latency_us[words >> 48]
        if self.stage is not None:
            seen = (self.stage_layer << 48) | (self.stage.y << 32) | (self.stage.x << 16)
            words = np.concatenate([seen | self.stage.channel, words])
            order = np.argsort(np.concatenate([self.stage_step, step]), kind="stable")
            t_us = np.concatenate([self.step_t_us[self.stage_step], t_us])[order]
            words = words[order]
        layer = unpacked(words, 48)
        return MonitorStream(
            t_us, layer, unpacked(words, 16), unpacked(words, 32), unpacked(words, 0)
        )


class SpikesByCore(Mapping[int, Spikes]):
    """Spikes of the observed cores, decoded at the first look."""

    def __init__(self, log: SpikeLog, shapes: Mapping[int, Shape]) -> None:
        self._log = log
        self._shapes = shapes
        self._decoded: dict[int, Spikes] = {}

    def __getitem__(self, core: int) -> Spikes:
        if core not in self._decoded:
            self._decoded[core] = self._log.spikes(core, self._shapes[core])
        return self._decoded[core]

    def __iter__(self) -> Iterator[int]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)


def unpacked(words: Ints, shift: int) -> npt.NDArray[np.int16]:
    """One 16-bit part of packed words."""
    return ((words >> shift) & 0xFFFF).astype(np.int16)
