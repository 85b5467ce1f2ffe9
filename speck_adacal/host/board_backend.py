"""A dev kit as a session's backend: the virtual one or a real one, through the same samna calls.

Input goes out by the board's stop watch. How the host knows that a piece is through: it puts a
request to read a neuron behind it, and the answer comes after the output of all that stood before.
That this holds on a real board too is an assumption (`docs/assumptions.md`); spikes that would
overtake the answer there are counted in the next piece.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip_description import DEFAULT_CHIP, load_chip_description
from speck_adacal.errors import (
    DeviceError,
    EventError,
    HardwareMissingError,
    SettingsError,
    SpeckAdacalError,
)
from speck_adacal.events.types import Events
from speck_adacal.host.backend import Grade, check_shape
from speck_adacal.host.board_link import BoardLink, addresses
from speck_adacal.host.constant_feed import ConstantFeed
from speck_adacal.readout.decision import Answer, Ints
from speck_adacal.virtual_samna import ensure_samna

RESETS = ("configure", "write")
_STAMP_LIMIT = 1 << 32
_LOOK_MS = 100


class BoardBackend:
    """Runs a deployment on an opened dev kit.

    Args:
        deployment: what runs; its configuration is applied.
        board: what `samna.device.open_device` returned; see `open_board`.
        reset: how states are reset between samples: `"configure"` applies the configuration
            again; `"write"` writes every neuron's state, which saves the settling time of a real
            board but loses the first event after it in every core there (seen on one, see
            `Assumptions.lose_event_after_write`).
        settle_s: wait so long after a configuration was sent, which a real board applies in its
            own time (sinabs waits 1 s); by default 1 s on a real board, 0 on a virtual one.
        timeout_s: how long a piece may take beyond its own duration.
        close_device: give the board back on `close`.
        step_us: length of a time step, where the network has a constant channel; that of the
            calibration set by default.

    Raises:
        DeviceError: the board refused the configuration or its graph.
        SettingsError: `reset` is not one of the two.
    """

    def __init__(
        self,
        deployment: Deployment,
        board: Any,
        *,
        reset: str = "configure",
        settle_s: float | None = None,
        timeout_s: float = 10.0,
        close_device: bool = True,
        step_us: float | None = None,
    ) -> None:
        if reset not in RESETS:
            raise SettingsError(f"reset must be one of {', '.join(RESETS)}, found {reset!r}.")
        real = ensure_samna().kind == "real"
        readout = deployment.layers[-1]
        self.name = "the dev kit" if real else "the virtual dev kit"
        self.grade: Grade = "measured on a chip" if real else "simulated"
        self.shape = deployment.input_shape
        self._constant = ConstantFeed(deployment, step_us)
        self.outputs = deployment.classes
        self.threshold = readout.threshold
        self._deployment, self._board = deployment, board
        self._initial = readout.initial.astype(np.int64)
        self._timeout_s, self._close_device = timeout_s, close_device
        self._settle_s = settle_s if settle_s is not None else float(real)
        self._closed = False
        self._covered_us = 0
        with device_errors("configuring"):
            self._connect()
            self._apply()
        self._writes = self._state_writes() if reset == "write" else None

    def reset(self) -> None:
        """All states as after configuration, the stop watch at 0."""
        with device_errors("resetting"):
            if self._writes is None:
                self._apply()
            else:
                self._source.write(self._writes)
                self._fenced(0)
            watch = self._board.get_stop_watch()
            watch.start()
            watch.reset()
        self._covered_us = 0
        self._constant.restart()

    def feed(self, events: Events) -> Answer:
        """Send one piece and wait until the chip is through with it.

        Raises:
            EventError: the piece has another shape, or its times need more than 32 bits.
            DeviceError: the board gave no answer in time.
        """
        check_shape(events, self.shape, self.name)
        if events.duration_us >= _STAMP_LIMIT:
            raise EventError(
                f"A piece ends at {events.duration_us} µs, but the board's time has 32 bits; end "
                "the sample and begin another."
            )
        with device_errors("streaming"):
            sent = self._constant.add(events)
            if len(sent):
                self._source.write(self._link.as_spikes(sent, self._deployment.cores[0]))
            found = self._fenced(events.duration_us - self._covered_us)
        self._covered_us = events.duration_us
        return self._answer(found, events.duration_us, len(events))

    def _answer(
        self, found: list[Any], until_us: int, events: int, seen: Events | None = None
    ) -> Answer:
        core = self._deployment.readout_core
        spikes = [e for e in found if type(e).__name__ == "Spike" and e.layer == core]
        return Answer(
            t_us=np.array([e.timestamp for e in spikes], dtype=np.int64),
            output=self._deployment.class_map.of(
                [e.feature for e in spikes], [e.y for e in spikes], [e.x for e in spikes]
            ),
            until_us=until_us,
            events=events,
            synops=None,
            seen=seen,
        )

    def charge(self) -> Ints:
        """int64 `[outputs]`, see `Backend.charge`."""
        core, event = self._deployment.readout_core, self._events.ReadNeuronValue
        addresses = self._addresses(len(self._deployment.layers) - 1)
        with device_errors("reading neurons"):
            self._source.write([event(layer=core, address=a) for a in addresses])
            found = self._fenced(0, answers=len(addresses) + 1)
        values = {e.address: e.neuron_state for e in found if type(e).__name__ == "NeuronValue"}
        states = np.array([values[a] for a in addresses]).reshape(self._initial.shape)
        return self._deployment.class_map.total(states - self._initial)

    def close(self) -> None:
        """Stop the graph and, if so asked, give the board back."""
        if self._closed:
            return
        self._closed = True
        with device_errors("closing"):
            self._link.stop()
            if self._close_device:
                import samna

                samna.device.close_device(self._board)

    def _connect(self) -> None:
        self._link = BoardLink(self._board, self._deployment.chip)
        self._events, self._source = self._link.events, self._link.source
        self._model, self._sink = self._link.model, self._link.sink

    def _configuration(self) -> Any:
        """What is put on the chip."""
        return self._deployment.mapped.configuration

    def _apply(self) -> None:
        self._link.set_slow_clock(self._deployment.slow_clock_hz)
        self._model.apply_configuration(self._configuration())
        time.sleep(self._settle_s)

    def _fenced(self, lasts_us: int, answers: int = 1) -> list[Any]:
        """Everything that came before the answer to a request put behind the input."""
        core = self._deployment.readout_core
        self._source.write([self._events.ReadNeuronValue(layer=core, address=0)])
        deadline = time.monotonic() + max(lasts_us, 0) * 1e-6 + self._timeout_s
        found: list[Any] = []
        while sum(type(e).__name__ == "NeuronValue" for e in found) < answers:
            if time.monotonic() > deadline:
                raise DeviceError(
                    f"{self.name} gave no answer for {self._timeout_s:g} s; check that it is "
                    "connected, press its reset button, and open it again."
                )
            found += self._sink.get_events_blocking(_LOOK_MS)
        return found

    def _addresses(self, layer: int) -> list[int]:
        """Addresses of a layer's neurons, in the order of its initial values."""
        return addresses(self._deployment.layers[layer].folded.out_shape)

    def _state_writes(self) -> list[Any]:
        event, writes = self._events.WriteNeuronValue, []
        for index, core in enumerate(self._deployment.cores):
            states = self._deployment.layers[index].initial.reshape(-1).tolist()
            writes += [
                event(layer=core, address=a, neuron_state=v)
                for a, v in zip(self._addresses(index), states, strict=True)
            ]
        return writes


def open_board(chip: str = DEFAULT_CHIP) -> Any:
    """Open the first free board with this chip, real or virtual.

    Raises:
        HardwareMissingError: there is none.
    """
    ensure_samna()
    import samna

    types = {board.driver_type for board in load_chip_description(chip).boards}
    with device_errors("opening"):
        for info in samna.device.get_unopened_devices():
            if info.device_type_name in types:
                return samna.device.open_device(info)
    raise HardwareMissingError(
        f"There is no free dev kit with a {chip}; connect one, or use the virtual dev kit or the "
        "twin (--backend virtual, --backend twin)."
    )


@contextmanager
def device_errors(doing: str) -> Iterator[None]:
    """samna's own errors as ours."""
    try:
        yield
    except SpeckAdacalError:
        raise
    except RuntimeError as error:
        raise DeviceError(f"The dev kit failed while {doing}: {error}") from error
