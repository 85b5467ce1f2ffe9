"""An opened board and its chip model: what `samna.device.open_device` returns."""

from __future__ import annotations

from typing import Any

import numpy as np

from speck_adacal.errors import ConfigurationError, DeviceError, SettingsError
from speck_adacal.events.recordings import read_recording
from speck_adacal.events.types import Events
from speck_adacal.twin.power import PowerModel
from speck_adacal.virtual_samna.board.board_engine import Engine
from speck_adacal.virtual_samna.board.board_inputs import Segment
from speck_adacal.virtual_samna.board.board_nodes import (
    DeviceSinkNode,
    DeviceSourceNode,
    device_nodes,
)
from speck_adacal.virtual_samna.board.board_time import IoModule, StopWatch
from speck_adacal.virtual_samna.board.declared import BoardDeclaration
from speck_adacal.virtual_samna.board.power_monitor import PowerModule, PowerMonitor
from speck_adacal.virtual_samna.board.twin_chip import TwinChip
from speck_adacal.virtual_samna.chip import ChipFamily, family
from speck_adacal.virtual_samna.old_names import written_directly

SCENE_AHEAD_US = 1_000_000
SCENE_SHORTEST_US = 10_000
SCENE_LOOK_S = 0.01


class InvalidConfigurationError(ConfigurationError, RuntimeError):
    """A configuration that the chip cannot hold was applied; the message names every fault."""


class VirtualModel:
    """The chip of a board (`Speck2fModel` or `Speck2eModel` of the driver)."""

    def __init__(self, engine: Engine, chip: ChipFamily, default: Any) -> None:
        source, sink = device_nodes(chip.name, chip.input_events)
        self._engine = engine
        self._family = chip
        self._source: DeviceSourceNode = source(self._catch_up)
        self._sink: DeviceSinkNode = sink(engine)
        self.configured = False
        self._applied = default or chip.configuration["SpeckConfiguration"]()
        self.reset()

    def apply_configuration(self, config: Any) -> None:
        """Check a configuration and put it on the chip; all states start anew.

        Raises:
            DeviceError: the board is closed.
            FieldValueError: not a configuration of this chip.
            InvalidConfigurationError: the chip cannot hold it; the old one stays.
        """
        require_open(self._engine)
        self._family.require_configuration("apply_configuration", config)
        valid, message = self._family.validate_configuration(config)
        if not valid:
            raise InvalidConfigurationError(
                f"The configuration is not valid for {self._family.name}: {message}"
            )
        kept = config._clone()
        self._engine.configure(TwinChip(kept, self._family))
        self._applied = kept
        self.configured = True

    def get_configuration(self) -> Any:
        """A copy of the configuration applied last (not the state of the chip)."""
        require_open(self._engine)
        return self._applied._clone()

    def get_source_node(self) -> DeviceSourceNode:
        """The node that the chip's output comes from."""
        require_open(self._engine)
        return self._source

    def get_sink_node(self) -> DeviceSinkNode:
        """The node that the chip's input goes to."""
        require_open(self._engine)
        return self._sink

    def write(self, events: Any) -> None:
        """As in samna before 0.21: send events to the chip at once; logs the call to use now."""
        require_open(self._engine)
        written_directly("The model", self._sink, events)

    def reset(self) -> None:
        """The default configuration, without validation."""
        self._engine.configure(TwinChip(self._applied, self._family))

    def _catch_up(self, visited: set[object]) -> None:
        """Wait until input written before now has arrived, and what is due is processed."""
        for feeder in self._sink._feeders:
            feeder.settle(visited)
        self._engine.catch_up()


class VirtualBoard:
    """An opened virtual dev kit.

    Beside the driver's methods, `virtual` holds what only a virtual board can do.
    """

    def __init__(
        self, declaration: BoardDeclaration, name: str, default_configuration: Any = None
    ) -> None:
        chip = family(declaration.chip)
        if default_configuration is not None:
            chip.require_configuration("open_device", default_configuration)
        self._default = default_configuration
        self._chip = chip
        self._name = name
        self._engine = Engine(name, dict(chip.events), self._emit, real_time=declaration.real_time)
        self._io = IoModule(self._engine.slow_clock, lambda: self._model.get_sink_node())
        self._power = PowerMonitor(self._engine)
        self._power_module = PowerModule()
        self._model = VirtualModel(self._engine, chip, default_configuration)
        self.virtual = VirtualOnly(self._engine)
        if declaration.scene and (declaration.real_time or declaration.scene_once):
            scene = scene_events(declaration.scene, chip.sensor_size)
            shown = Scene(self._engine, scene)
            if declaration.scene_once:
                self._engine.add_timer(lambda: shown.play_once(self._model.configured))
            else:
                self._engine.add_timer(shown.play)

    def __repr__(self) -> str:
        state = "closed" if self._engine.closed else "open"
        return f"<virtual {self._name}, {state}>"

    def get_model(self) -> VirtualModel:
        """The chip's model."""
        require_open(self._engine)
        return self._model

    def get_model_source_node(self) -> DeviceSourceNode:
        """The same node as the model's."""
        return self.get_model().get_source_node()

    def get_model_sink_node(self) -> DeviceSinkNode:
        """The same node as the model's."""
        return self.get_model().get_sink_node()

    def get_stop_watch(self) -> StopWatch:
        """The stop watch."""
        require_open(self._engine)
        return self._engine.stop_watch

    def get_io_module(self) -> IoModule:
        """The IO module."""
        require_open(self._engine)
        return self._io

    def get_power_module(self) -> PowerModule:
        """The power module: voltages that the virtual board keeps, without effect."""
        require_open(self._engine)
        return self._power_module

    def get_power_monitor(self) -> PowerMonitor:
        """The power monitor; its values are estimates."""
        require_open(self._engine)
        return self._power

    def reset_board_soft(self, value: bool = True) -> None:
        """Stop the clocks and apply the default configuration."""
        require_open(self._engine)
        if not value:
            return
        self._engine.stop_watch.stop()
        self._engine.stop_watch.reset()
        self._engine.slow_clock.switch(False)
        self._power.stop_auto_power_measurement()
        fresh = self._default or self._chip.configuration["SpeckConfiguration"]()
        self._model.apply_configuration(fresh)

    def close(self) -> None:
        """End the board's thread; afterwards every call on this handle is refused."""
        self._engine.close()

    @property
    def closed(self) -> bool:
        """True once closed."""
        return self._engine.closed

    def _emit(self, batch: Any) -> None:
        self._model._source.emit(batch)


class Scene:
    """A recording in front of a board's sensor, shown again and again, or once."""

    def __init__(self, engine: Engine, recording: Events) -> None:
        self._engine = engine
        self._recording = recording
        self._next_us = engine.clock.now_us()

    def play(self) -> float:
        """A timer of the engine: keep a second of the scene ready; returns seconds to wait."""
        while self._next_us < self._engine.clock.now_us() + SCENE_AHEAD_US:
            self._engine.sense(sensor_segment(self._recording, self._next_us))
            self._next_us += max(self._recording.duration_us, SCENE_SHORTEST_US)
        return SCENE_AHEAD_US / 2e6

    def play_once(self, configured: bool) -> float:
        """A timer of the engine: show the scene once the program has configured the chip."""
        if not configured:
            return SCENE_LOOK_S
        self._engine.sense(sensor_segment(self._recording, self._engine.clock.now_us()))
        return -1.0


def scene_events(path: str, sensor_size: int) -> Events:
    """A recording as a scene, checked: two polarities, and no larger than the sensor.

    Raises:
        DataError: it cannot be read.
        SettingsError: the sensor cannot see it.
    """
    recording = read_recording(path)
    polarities, height, width = recording.shape
    if polarities > 2 or max(height, width) > sensor_size:
        raise SettingsError(
            f"The scene {path} has {polarities} polarities on {width} x {height} pixels, but the "
            f"sensor has 2 on {sensor_size} x {sensor_size}; crop or scale the recording."
        )
    return recording.from_own_start()


class VirtualOnly:
    """What a real board does not have: waiting for it, moving its time, showing it things."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def wait_idle(self, timeout_s: float = 60.0) -> bool:
        """Wait until all input is processed; True if it is."""
        return self._engine.wait_idle(timeout_s)

    def advance(self, time_us: int) -> None:
        """Let time pass, with ticks of the slow clock (as fast as possible only)."""
        require_open(self._engine)
        self._engine.advance(time_us)

    def show(self, recording: Events) -> None:
        """Show a recording to the board's sensor, from now on.

        Args:
            recording: sensor events; channel 0 is OFF, 1 is ON.
        """
        require_open(self._engine)
        self._engine.sense(sensor_segment(recording, self._engine.clock.now_us()))

    def set_power_model(self, model: PowerModel) -> None:
        """Estimate power with other constants, such as ones fitted to a board of your own.

        The published model knows the rails at rest only. A new configuration keeps the model.
        """
        self._engine.set_power_model(model)

    @property
    def waiting_events(self) -> int:
        """Input events not yet processed."""
        return self._engine.waiting

    @property
    def lost_events(self) -> int:
        """Input events dropped: no configuration, a closed board, or outside a core's input."""
        chip = self._engine.chip
        return self._engine.lost_events + (chip.dropped if chip else 0)


def sensor_segment(recording: Events, start_us: int) -> Segment:
    """A recording as what the sensor sees from board time `start_us` on."""
    columns = {
        "p": (recording.channel > 0).astype(np.int64),
        "y": recording.y.astype(np.int64),
        "x": recording.x.astype(np.int64),
        "timestamp": recording.t_us + start_us,
    }
    return Segment("dvs", columns, start_us, sensor=True)


def require_open(engine: Engine) -> None:
    """Refuse a closed board.

    Raises:
        DeviceError: the board is closed.
    """
    if engine.closed:
        raise DeviceError("The device is closed; open it again with samna.device.open_device.")
