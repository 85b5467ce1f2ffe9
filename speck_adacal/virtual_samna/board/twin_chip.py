"""The chip of a virtual board: the twin, driven event by event."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import RAILS
from speck_adacal.events.types import Events
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.power import Activity, PowerModel
from speck_adacal.twin.result import TwinRun
from speck_adacal.twin.simulator import Twin
from speck_adacal.virtual_samna.board.addresses import AddressedMemories, neuron_place
from speck_adacal.virtual_samna.board.board_inputs import Command, Ints, Segment
from speck_adacal.virtual_samna.board.outputs import Output, one
from speck_adacal.virtual_samna.chip import ChipFamily
from speck_adacal.virtual_samna.configuration_checks import used_cores
from speck_adacal.virtual_samna.objects import tensor_of

log = logging.getLogger("speck_adacal.virtual_samna.board")

_ROWS_NAMED = 256
"""Rows and columns that an event can name."""


class TwinChip:
    """A configured chip: input in, output out, in board time.

    Args:
        config: a valid configuration of the chip; not changed.
        chip: its chip.
        assumptions: what is not publicly known (see `speck_adacal.twin.Assumptions`).

    Raises:
        ConfigurationError: the twin cannot run the configuration (a loop of cores).
    """

    def __init__(
        self, config: Any, chip: ChipFamily, assumptions: Assumptions | None = None
    ) -> None:
        full = _with_weights(config)
        self._twin = Twin.from_configuration(full, chip=chip.name, assumptions=assumptions)
        self.power_model = PowerModel.published(self._twin.program.chip)
        self._memory = AddressedMemories(self._twin)
        self._dropped = 0
        self._entries = [*self.cores, self._twin.program.chip.dvs_layer]
        self._counts = np.zeros(3, np.int64)  # SynOps, spikes, events since the last estimate
        limits = self._twin.program.chip.limits
        self._sensor = limits.sensor_size
        self._addresses = (limits.features, _ROWS_NAMED, _ROWS_NAMED)
        self._killed = np.zeros((self._sensor, self._sensor), np.bool_)
        self._ticks_matter = self._does_anything_at_ticks()
        self._commands = self._command_table()
        self._twin.advance(0)  # compile now, not when the first events come

    @property
    def cores(self) -> frozenset[int]:
        """Cores that events can be sent to."""
        return frozenset(self._twin.program.cores)

    @property
    def dropped(self) -> int:
        """Input events so far that lay outside their core's input, or could not be answered."""
        return self._dropped

    def run(self, segment: Segment, times_us: npt.NDArray[np.int64]) -> list[Output]:
        """Events of a segment, at these board times."""
        columns = segment.columns
        if segment.kind == "spike":
            return self._feed(
                columns["layer"], columns["feature"], columns["y"], columns["x"], times_us
            )
        p, y, x = columns["p"], columns["y"], columns["x"]
        outputs: list[Output] = []
        if segment.sensor:
            outputs, alive = self._sensed(columns, times_us)
            p, y, x, times_us = (values[alive] for values in (p, y, x, times_us))
        return outputs + self._feed(
            np.full(len(p), self._twin.program.chip.dvs_layer), p, y, x, times_us
        )

    def ticks(self, times_us: npt.NDArray[np.int64]) -> list[Output]:
        """Ticks of the external slow clock, with nothing in between."""
        if not self._ticks_matter:
            return []
        outputs: list[Output] = []
        for time_us in times_us:
            self._restart_time()
            outputs += self._outputs(self._twin.tick(), np.array([time_us], np.int64))
        return outputs

    def command(self, command: Command, time_us: int) -> list[Output]:
        """A read, a write or another request; those that are not simulated are counted."""
        name = type(command.event).__name__
        handler = self._commands.get(name)
        if handler is None:
            self._drop(1, f"{name} is not simulated")
            return []
        return handler(command.event)

    def power_w(self, interval_us: int) -> tuple[float, ...]:
        """Estimated power of the five rails over the last so many µs, in W.

        The rails at rest are published figures; the energies of activity are not public, so
        they are zero until `power_model` is replaced by one that has them.
        """
        seconds = max(interval_us, 1) * 1e-6
        synop, spike, event = (self._counts / seconds).tolist()
        activity = Activity(synop, spike, event, seconds)
        self._counts[:] = 0
        rails = self.power_model.estimate(activity).rails_w
        return tuple(rails[rail] for rail in RAILS)

    def _feed(self, layer: Ints, channel: Ints, y: Ints, x: Ints, times_us: Ints) -> list[Output]:
        known = (channel < self._addresses[0]) & np.isin(layer, self._entries)
        if not known.all():
            layer, channel, y, x, times_us = (
                values[known] for values in (layer, channel, y, x, times_us)
            )
        self._restart_time()
        events = Events(
            t_us=np.arange(len(layer), dtype=np.int64),
            x=x.astype(np.int16),
            y=y.astype(np.int16),
            channel=channel.astype(np.int16),
            shape=self._addresses,
        )
        result = self._twin.feed(events, entry=layer, outside="drop")
        lost = int((~known).sum()) + result.dropped_input
        if lost:
            self._drop(lost, "their core is not configured, or they lie outside its input")
        return self._outputs(result, times_us)

    def _restart_time(self) -> None:
        """The twin counts events instead of µs here: its time would end after 32 bits."""
        self._twin.restart_time()

    def _sensed(
        self, columns: dict[str, Ints], times_us: Ints
    ) -> tuple[list[Output], npt.NDArray[np.bool_]]:
        """Raw monitor of sensor events, and which of them go on to the stage."""
        y, x = columns["y"], columns["x"]
        alive = (y < self._sensor) & (x < self._sensor)
        alive[alive] &= ~self._killed[y[alive], x[alive]]
        stage, readout = self._twin.program.dvs, self._twin.program.readout
        outputs = []
        if stage.raw_monitor and not (readout and readout.monitor) and alive.any():
            raw = {"p": columns["p"] > 0, "y": y, "x": x, "timestamp": times_us}
            outputs = [Output("DvsEvent", {name: v[alive] for name, v in raw.items()})]
        return outputs, alive & stage.pass_sensor_events

    def _outputs(self, result: TwinRun, times_us: Ints) -> list[Output]:
        """Output events; `times_us` are the board times of the input events that caused them."""
        counted = (result.synops_per_core, result.spikes_per_core, result.events_per_core)
        self._counts += [int(count.sum()) for count in counted]
        outputs: list[Output] = []
        stream = result.monitored
        if len(stream):
            columns = {
                "layer": stream.layer.astype(np.int64),
                "feature": stream.channel.astype(np.int64),
                "y": stream.y.astype(np.int64),
                "x": stream.x.astype(np.int64),
                "timestamp": times_us[stream.t_us],
            }
            outputs.append(Output("Spike", columns))
        return outputs + self._read_out(result, times_us)

    def _read_out(self, result: TwinRun, times_us: Ints) -> list[Output]:
        program, run = self._twin.program.readout, result.readout
        if program is None or run is None:
            return []
        outputs: list[Output] = []
        for i in range(len(run)):
            if program.monitor:
                outputs.append(one("ReadoutValue", value=int(run.value[i])))
            if program.pin_monitor and run.interrupt[i]:
                winner, time_us = int(run.winner[i]), int(times_us[run.t_us[i]])
                outputs.append(one("ReadoutPinValue", index=winner, timestamp=time_us))
        return outputs

    def _does_anything_at_ticks(self) -> bool:
        """Does a tick of the external slow clock change anything in this configuration?"""
        program = self._twin.program
        leaks = any(c.leak and not c.leak_internal_clock for c in program.cores.values())
        reads = program.readout is not None and not program.readout.internal_clock
        settings = program.dvs.filter
        return leaks or reads or (settings is not None and not settings.internal_clock)

    def _command_table(self) -> dict[str, Callable[[Any], list[Output]]]:
        return {
            "ReadNeuronValue": self._read_neuron,
            "WriteNeuronValue": self._write_neuron,
            "ReadWeightValue": self._read_weight,
            "WriteWeightValue": self._write_weight,
            "ReadBiasValue": self._read_bias,
            "WriteBiasValue": self._write_bias,
            "KillSensorPixel": lambda event: self._set_pixel(event, dead=True),
            "ResetSensorPixel": lambda event: self._set_pixel(event, dead=False),
        }

    def _read_neuron(self, event: Any) -> list[Output]:
        place = neuron_place(self._twin.program.cores[event.layer], event.address)
        value = self._twin.read_neuron(event.layer, place.x, place.y, place.feature) if place else 0
        return [one("NeuronValue", layer=event.layer, address=event.address, neuron_state=value)]

    def _write_neuron(self, event: Any) -> list[Output]:
        place = neuron_place(self._twin.program.cores[event.layer], event.address)
        if place is not None:
            state = event.neuron_state
            self._twin.write_neuron(event.layer, place.x, place.y, place.feature, state)
        return []

    def _read_weight(self, event: Any) -> list[Output]:
        value = self._memory.read_weight(event.layer, event.address)
        return [one("WeightValue", layer=event.layer, address=event.address, weight=value)]

    def _write_weight(self, event: Any) -> list[Output]:
        self._memory.write_weight(event.layer, event.address, event.weight)
        return []

    def _read_bias(self, event: Any) -> list[Output]:
        value = self._memory.read_bias(event.layer, event.address)
        return [one("BiasValue", layer=event.layer, address=event.address, bias=value)]

    def _write_bias(self, event: Any) -> list[Output]:
        self._memory.write_bias(event.layer, event.address, event.bias)
        return []

    def _set_pixel(self, event: Any, *, dead: bool) -> list[Output]:
        if event.y < self._sensor and event.x < self._sensor:
            self._killed[event.y, event.x] = dead
        return []

    def _drop(self, count: int, why: str) -> None:
        if not self._dropped:
            log.warning("%d input event(s) dropped: %s; later ones are counted only.", count, why)
        self._dropped += count


def _with_weights(config: Any) -> Any:
    """A copy in which cores in use without weights have zeros."""
    full = config._clone()
    for index in used_cores(full):
        core = full.cnn_layers[index]
        if not tensor_of(core, "weights").size:
            dims = core.dimensions
            k = dims.kernel_size
            shape = (dims.output_shape.feature_count, dims.input_shape.feature_count, k, k)
            core.weights = np.zeros(shape, np.int8)
    return full
