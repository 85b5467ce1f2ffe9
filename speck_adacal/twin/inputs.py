"""Events on their way into the chip: where each one enters, and whether it may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import EventError, SettingsError
from speck_adacal.events.types import Events
from speck_adacal.twin.program import ChipProgram, Shape

Ints = npt.NDArray[np.int64]
OUTSIDE_CHOICES = ("error", "drop")


@dataclass(frozen=True, eq=False)
class InputEvents:
    """Checked events, each with the stage it enters.

    Attributes:
        t_us: int64 `[n]`, non-decreasing.
        layer: int64 `[n]`, a core, or the number of the DVS stage.
        channel, y, x: int64 `[n]`.
        index: int64 `[n]`, places among the events offered.
        offered: number of events offered.
    """

    t_us: Ints
    layer: Ints
    channel: Ints
    y: Ints
    x: Ints
    index: Ints
    offered: int

    def __len__(self) -> int:
        return len(self.t_us)


def checked_input(
    program: ChipProgram,
    events: Events,
    layer: npt.ArrayLike,
    *,
    after_us: int,
    outside: str = "error",
) -> InputEvents:
    """Check events against the stages they enter.

    Args:
        program: the configuration.
        events: the events; their shape need not be that of the stages.
        layer: one stage for all, or `[n]`, one each.
        after_us: time up to which the chip has been run.
        outside: `"error"`, or `"drop"` events outside their stage's input, which are counted.

    Raises:
        EventError: naming the first event that is outside, too early, too late for the chip's
            32-bit time, or addressed to a core that is not configured.
        SettingsError: `outside` is neither of the two.
    """
    if outside not in OUTSIDE_CHOICES:
        raise SettingsError(f"outside must be one of {OUTSIDE_CHOICES}, found {outside!r}.")
    if not isinstance(events, Events):
        raise EventError(
            f"The twin takes Events, found {type(events).__name__}; make them with "
            "Events(t_us, x, y, channel, shape)."
        )
    count = len(events)
    entries = _entries(layer, count)
    layers = np.broadcast_to(entries, (count,))
    _check_times(program, events, after_us)
    inside = _inside(program, events, entries)
    if outside == "error" and not inside.all():
        raise _outside_error(program, events, layers, int(np.flatnonzero(~inside)[0]))
    index = np.flatnonzero(inside)
    channel, y, x = (v[index].astype(np.int64) for v in (events.channel, events.y, events.x))
    return InputEvents(events.t_us[index], layers[index], channel, y, x, index, count)


def _entries(layer: npt.ArrayLike, count: int) -> Ints:
    """One stage for all events, `[]`, or one each, `[n]`."""
    layers = np.asarray(layer)
    if layers.dtype.kind not in "iu":
        raise SettingsError(
            f"entry must be whole numbers, found {layer!r}; give the number of a core "
            "or of the DVS stage."
        )
    if layers.shape not in ((), (count,)):
        raise SettingsError(
            f"entry has shape {layers.shape}, but there are {count} events; give one stage for "
            "all, or one for each."
        )
    return layers.astype(np.int64)


def _shapes(program: ChipProgram) -> Mapping[int, Shape]:
    sensor = program.chip.limits.sensor_size
    shapes = {i: core.in_shape for i, core in program.cores.items()}
    return {**shapes, program.chip.dvs_layer: (2, sensor, sensor)}


def _inside(program: ChipProgram, events: Events, entries: Ints) -> npt.NDArray[np.bool_]:
    inside = np.zeros(len(events), dtype=np.bool_)
    shapes = _shapes(program)
    for layer in np.unique(entries) if len(events) else ():
        own = np.broadcast_to(entries == layer, inside.shape)
        if int(layer) not in shapes:
            raise EventError(
                f"Event {np.flatnonzero(own)[0]} is addressed to layer {layer}, which is not "
                f"configured; configured are {sorted(program.cores)}, and "
                f"{program.chip.dvs_layer} is the DVS stage."
            )
        features, height, width = shapes[int(layer)]
        fits = (events.channel < features) & (events.y < height) & (events.x < width)
        inside |= own & fits
    return inside


def _check_times(program: ChipProgram, events: Events, after_us: int) -> None:
    t_us = events.t_us
    bits = program.chip.limits.timestamp_bits
    limit = 2**bits
    if len(t_us) and t_us[0] < after_us:
        raise EventError(
            f"Event 0 is at {t_us[0]} µs, but the chip has already been run up to {after_us} µs; "
            "times go on from chunk to chunk, so reset the twin or shift the chunk."
        )
    if len(t_us) and t_us[-1] >= limit:
        first = int(np.searchsorted(t_us, limit))
        raise EventError(
            f"Event {first} is at {t_us[first]} µs, but the chip's time has {bits} bits and ends "
            f"at {limit - 1} µs; call restart_time() and start the next chunk at 0 µs."
        )
    if events.duration_us >= limit:
        raise EventError(
            f"duration_us is {events.duration_us} µs, but the chip's time has {bits} bits and "
            f"ends at {limit - 1} µs; split the recording."
        )


def _outside_error(program: ChipProgram, events: Events, layers: Ints, first: int) -> EventError:
    layer = int(layers[first])
    features, height, width = _shapes(program)[layer]
    where = "the DVS stage" if layer == program.chip.dvs_layer else f"core {layer}"
    return EventError(
        f"Event {first} is at x={events.x[first]}, y={events.y[first]}, "
        f"channel={events.channel[first]}, but {where} has an input of {features} channels, "
        f"{height} rows and {width} columns; crop the recording, or pass outside='drop'."
    )
