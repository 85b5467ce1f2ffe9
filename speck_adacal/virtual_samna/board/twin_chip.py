"""The chip of a virtual board: the twin, driven event by event."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.twin import layout as at
from speck_adacal.twin.assumptions import Assumptions
from speck_adacal.twin.layout import lay_out
from speck_adacal.twin.machine import Machine, Trace
from speck_adacal.twin.program import ChipProgram, CoreProgram
from speck_adacal.twin.reading import program_from_configuration
from speck_adacal.virtual_samna.board import dvs_stage
from speck_adacal.virtual_samna.board.inputs import Command, Ints, Segment
from speck_adacal.virtual_samna.board.memory import neuron_place, weight_place
from speck_adacal.virtual_samna.board.outputs import Output, one
from speck_adacal.virtual_samna.board.power import idle_rails_w
from speck_adacal.virtual_samna.board.readout import Readout
from speck_adacal.virtual_samna.chip import ChipFamily
from speck_adacal.virtual_samna.configuration import DVS_LAYER
from speck_adacal.virtual_samna.objects import tensor_of
from speck_adacal.virtual_samna.validation import used_cores

log = logging.getLogger("speck_adacal.virtual_samna.board")

LOGIC_RAIL = 2
SENSOR_SIZE = 128


class TwinChip:
    """A configured chip: input in, output out, in board time.

    Args:
        config: a valid configuration of the chip; not changed.
        chip: its chip.
        assumptions: what is not publicly known (see `speck_adacal.twin.Assumptions`).
    """

    def __init__(
        self, config: Any, chip: ChipFamily, assumptions: Assumptions | None = None
    ) -> None:
        program = program_from_configuration(_with_weights(config), chip=chip.name)
        assume = assumptions or Assumptions()
        self.program: ChipProgram = program
        self.energy_per_synop_j = 0.0  # not public: see `power_w`
        self._idle_w = idle_rails_w(chip.name)
        self._layout = lay_out(program, assume)
        self._machine = Machine(self._layout, assume, track_peaks=False)
        self._readout = Readout(program.readout) if program.readout else None
        self._silent = bool(program.readout and program.readout.monitor)
        self._dropped = 0
        self._dvs_events = 0
        self._synops = 0
        self._killed = np.zeros((SENSOR_SIZE, SENSOR_SIZE), np.bool_)
        self._leak_external = self._leak_mask(internal=False)
        self._leak_internal = self._leak_mask(internal=True)
        self._commands = self._command_table()
        self._machine.run(np.zeros(0, np.int8), np.zeros(0, np.int64), record_load=False)

    @property
    def cores(self) -> frozenset[int]:
        """Cores that events can be sent to."""
        return frozenset(self.program.cores)

    @property
    def dropped(self) -> int:
        """Input events so far that lay outside their core's input, or could not be answered."""
        return self._dropped

    def run(self, segment: Segment, times_us: npt.NDArray[np.int64]) -> list[Output]:
        """Events of a segment, at these board times."""
        if segment.kind == "spike":
            return self._run_spikes(segment.columns, times_us)
        return self._run_dvs(segment, times_us)

    def tick(self, time_us: int) -> list[Output]:
        """A tick of the external slow clock."""
        outputs: list[Output] = []
        if self._leak_external:
            outputs += self._drive(
                np.array([at.TICK_ROW], np.int8),
                np.array([self._leak_external], np.int64),
                np.array([time_us], np.int64),
            )
        if self._readout is not None and not self._readout.program.internal_clock:
            outputs += self._readout.tick(time_us)
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

        The rails at rest are published figures; the energy of a SynOp is not public, so the
        part that depends on activity is zero until `energy_per_synop_j` is set.
        """
        rails = list(self._idle_w)
        rails[LOGIC_RAIL] += self._synops * self.energy_per_synop_j / max(interval_us * 1e-6, 1e-9)
        self._synops = 0
        return tuple(rails)

    def _run_spikes(self, columns: dict[str, Ints], times_us: Ints) -> list[Output]:
        layer = columns["layer"]
        inside = np.zeros(len(layer), np.bool_)
        for index, core in self.program.cores.items():
            features, height, width = core.in_shape
            fits = (columns["feature"] < features) & (columns["y"] < height)
            inside |= (layer == index) & fits & (columns["x"] < width)
        if not inside.all():
            self._drop(int((~inside).sum()), "spikes lie outside their core's input")
        source = (at.DIRECT_ROW + layer[inside]).astype(np.int8)
        words = _words(*(columns[name][inside] for name in ("feature", "y", "x")))
        return self._drive(source, words, times_us[inside])

    def _run_dvs(self, segment: Segment, times_us: Ints) -> list[Output]:
        stage = self.program.dvs
        p, y, x = (segment.columns[name] for name in ("p", "y", "x"))
        on_sensor = (y < SENSOR_SIZE) & (x < SENSOR_SIZE)
        outputs: list[Output] = []
        if segment.sensor:
            on_sensor[on_sensor] &= ~self._killed[y[on_sensor], x[on_sensor]]
            if stage.raw_monitor and not self._silent:
                columns = {"p": p, "y": y, "x": x, "timestamp": times_us}
                outputs.append(Output("DvsEvent", {n: v[on_sensor] for n, v in columns.items()}))
            if not stage.pass_sensor_events:
                return outputs
        if not on_sensor.all() and not segment.sensor:
            self._drop(int((~on_sensor).sum()), "events lie outside the sensor's 128 x 128")
        p, y, x, times = (values[on_sensor] for values in (p, y, x, times_us))
        outputs += self._monitored_stage(p, y, x, times)
        passed = dvs_stage.preprocess(stage, p, y, x)
        words = _words(passed.feature, passed.y, passed.x)
        source = np.full(len(words), at.DVS_ROW, np.int8)
        if not stage.destinations:
            source, words = source[:0], words[:0]
            passed_times = times[:0]
        else:
            passed_times = times[passed.index]
        ticks = self._internal_ticks(len(p))
        if not len(ticks):
            return outputs + self._drive(source, words, passed_times)
        return outputs + self._with_ticks(source, words, passed_times, times[ticks])

    def _monitored_stage(self, p: Ints, y: Ints, x: Ints, times: Ints) -> list[Output]:
        """Events of layer 13, which show neither pooling nor the region of interest."""
        stage = self.program.dvs
        if not stage.monitor or self._silent or not len(p):
            return []
        chosen = dvs_stage.selected(stage, p)
        feature = np.zeros_like(p) if stage.merge else (p > 0).astype(np.int64)
        columns = {
            "layer": np.full(int(chosen.sum()), DVS_LAYER, np.int64),
            "feature": feature[chosen],
            "y": y[chosen],
            "x": x[chosen],
            "timestamp": times[chosen],
        }
        return [Output("Spike", columns)]

    def _internal_ticks(self, count: int) -> Ints:
        """Indices of the events that make the internal slow clock tick."""
        period = 1 << self.program.internal_clock_divider
        first = period - 1 - self._dvs_events % period
        self._dvs_events += count
        return np.arange(first, count, period, dtype=np.int64)

    def _with_ticks(
        self, source: npt.NDArray[np.int8], words: Ints, times: Ints, ticks_us: Ints
    ) -> list[Output]:
        """Drive events with ticks of the internal clock between them, by time."""
        outputs: list[Output] = []
        start = 0
        for tick_us in ticks_us.tolist():
            stop = int(np.searchsorted(times, tick_us, side="right"))
            outputs += self._drive(source[start:stop], words[start:stop], times[start:stop])
            start = stop
            if self._leak_internal:
                mask = np.array([self._leak_internal], np.int64)
                when = np.array([tick_us], np.int64)
                outputs += self._drive(np.array([at.TICK_ROW], np.int8), mask, when)
            if self._readout is not None and self._readout.program.internal_clock:
                outputs += self._readout.tick(tick_us)
        return outputs + self._drive(source[start:], words[start:], times[start:])

    def _drive(self, source: npt.NDArray[np.int8], words: Ints, times_us: Ints) -> list[Output]:
        if not len(source):
            return []
        trace = self._machine.run(source, words, record_load=False)
        self._synops += int(trace.synops.sum())
        return self._outputs(trace, times_us)

    def _outputs(self, trace: Trace, times_us: Ints) -> list[Output]:
        layer = trace.words >> 48
        y, x = (trace.words >> 32) & 0xFFFF, (trace.words >> 16) & 0xFFFF
        feature = trace.words & 0xFFFF
        to_readout = layer == at.READOUT
        if self._readout is not None and to_readout.any():
            self._readout.count(feature[to_readout], y[to_readout], x[to_readout])
        shown = ~to_readout
        if self._silent or not shown.any():
            return []
        columns = {
            "layer": layer[shown],
            "feature": feature[shown],
            "y": y[shown],
            "x": x[shown],
            "timestamp": times_us[trace.roots[shown]],
        }
        return [Output("Spike", columns)]

    def _leak_mask(self, *, internal: bool) -> int:
        return sum(
            1 << index
            for index, core in self.program.cores.items()
            if core.leak and core.leak_internal_clock is internal
        )

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
        index = self._neuron_index(event)
        value = int(self._machine.state[index]) if index is not None else 0
        return [one("NeuronValue", layer=event.layer, address=event.address, neuron_state=value)]

    def _write_neuron(self, event: Any) -> list[Output]:
        index = self._neuron_index(event)
        if index is not None:
            self._machine.state[index] = event.neuron_state
        return []

    def _neuron_index(self, event: Any) -> int | None:
        """Place of a neuron in the machine's state; None for a word outside the map."""
        core = self.program.cores[event.layer]
        place = neuron_place(core, event.address)
        if place is None:
            return None
        features, _, width = core.out_shape
        start = int(self._layout.table[event.layer, at.STATE_AT])
        return start + (place.y * width + place.x) * features + place.feature

    def _read_weight(self, event: Any) -> list[Output]:
        index = self._weight_index(event)
        value = int(self._layout.weights[index]) if index is not None else 0
        return [one("WeightValue", layer=event.layer, address=event.address, weight=value)]

    def _write_weight(self, event: Any) -> list[Output]:
        index = self._weight_index(event)
        if index is not None:
            self._layout.weights[index] = event.weight
        return []

    def _weight_index(self, event: Any) -> int | None:
        """Place of a weight in the layout, which groups kernel columns by stride phase."""
        core: CoreProgram = self.program.cores[event.layer]
        place = weight_place(core, event.address)
        if place is None:
            return None
        out, source, ky, kx = place
        kernel, stride = core.kernel_size[1], core.stride[1]
        columns = [k for phase in range(stride) for k in range(phase, kernel, stride)[::-1]]
        start = int(self._layout.table[event.layer, at.WEIGHTS_AT])
        row = (source * kernel + ky) * kernel + columns.index(kx)
        return start + row * core.out_shape[0] + out

    def _read_bias(self, event: Any) -> list[Output]:
        core = self.program.cores[event.layer]
        index = int(self._layout.table[event.layer, at.BIAS_AT]) + event.address
        value = int(self._layout.bias[index]) if event.address < core.out_shape[0] else 0
        return [one("BiasValue", layer=event.layer, address=event.address, bias=value)]

    def _write_bias(self, event: Any) -> list[Output]:
        if event.address < self.program.cores[event.layer].out_shape[0]:
            index = int(self._layout.table[event.layer, at.BIAS_AT]) + event.address
            self._layout.bias[index] = event.bias
        return []

    def _set_pixel(self, event: Any, *, dead: bool) -> list[Output]:
        if event.y < SENSOR_SIZE and event.x < SENSOR_SIZE:
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


def _words(feature: Ints, y: Ints, x: Ints) -> Ints:
    return (y << 32) | (x << 16) | feature
