"""The two ends of a board's event streams, and questions to it that are answered in order."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import DeviceError
from speck_adacal.events.types import Events
from speck_adacal.virtual_samna import ensure_samna

_LOOK_MS = 100


def set_slow_clock(board: Any, rate_hz: float | None) -> None:
    """Let a board's slow clock tick at this rate, for biases, filter or read-out; None leaves it as
    it is."""
    if rate_hz is not None:
        io = board.get_io_module()
        io.set_slow_clk_rate(rate_hz)
        io.set_slow_clk(True)


class BoardLink:
    """A source and a sink on a board's model, connected by a running graph.

    Attributes:
        model: the board's model.
        source: takes events for the chip.
        sink: gives what the chip sends.
        events: samna's module of the chip's events.
    """

    def __init__(self, board: Any, chip: str) -> None:
        ensure_samna()
        import samna

        source = getattr(samna, f"BasicSourceNode_{load_chip_description(chip).input_event}")
        sink = getattr(samna, f"BasicSinkNode_{chip}_event_output_event")
        self._board = board
        self._dvs_layer = load_chip_description(chip).dvs_layer
        self.model = board.get_model()
        self.events = getattr(samna, chip).event
        self._graph = samna.graph.EventFilterGraph()
        self.source, _ = self._graph.sequential([source(), self.model.get_sink_node()])
        _, self.sink = self._graph.sequential([self.model.get_source_node(), sink()])
        self._graph.start()

    def set_slow_clock(self, rate_hz: float | None) -> None:
        """Let the slow clock tick at this rate; None leaves it as it is."""
        set_slow_clock(self._board, rate_hz)

    def ask(self, requests: list[Any], *, lasts_us: int, timeout_s: float) -> list[Any]:
        """Send requests to read neurons; everything that came until the last was answered.

        Raises:
            DeviceError: there was no answer in time.
        """
        self.source.write(requests)
        deadline = time.monotonic() + lasts_us * 1e-6 + timeout_s
        found: list[Any] = []
        answers = 0
        while answers < len(requests):
            if time.monotonic() > deadline:
                raise DeviceError(
                    f"The dev kit gave {answers} of {len(requests)} answers in {timeout_s:g} s; "
                    "check that it is connected, press its reset button, and open it again."
                )
            came = self.sink.get_events_blocking(_LOOK_MS)
            answers += sum(type(event).__name__ == "NeuronValue" for event in came)
            found += came
        return found

    def as_input(self, events: Events, entry: int) -> list[Any]:
        """A recording as samna's events, for a core or for the sensor's stage."""
        if entry != self._dvs_layer:
            return self.as_spikes(events, entry)
        columns = (events.channel > 0, events.y, events.x, events.t_us)
        return [
            self.events.DvsEvent(p=p, y=y, x=x, timestamp=t)
            for p, y, x, t in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def as_spikes(self, events: Events, core: int) -> list[Any]:
        """A recording as samna's events, addressed to `core`."""
        columns = (events.channel, events.y, events.x, events.t_us)
        return [
            self.events.Spike(layer=core, feature=c, y=y, x=x, timestamp=t)
            for c, y, x, t in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def stop(self) -> None:
        """Stop the graph."""
        self._graph.stop()


def addresses(shape: tuple[int, int, int]) -> list[int]:
    """Addresses of a core's neurons `(channels, height, width)`, in the order of that array."""
    from sinabs.backend.dynapcnn.io import calculate_neuron_address

    return [int(calculate_neuron_address(x, y, c, shape)) for c, y, x in np.ndindex(*shape)]
