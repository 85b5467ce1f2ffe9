"""Known answers on a board: what each core of a (virtual or real) dev kit does with them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from speck_adacal.bundles.chip_configuration import ChipConfiguration, held_by
from speck_adacal.bundles.known_answers import Answers, digest_of_states, neuron_numbers
from speck_adacal.chip.wiring import copied
from speck_adacal.chip_description import load_chip_description
from speck_adacal.events.types import Events
from speck_adacal.host.board_backend import device_errors
from speck_adacal.host.board_link import BoardLink, addresses


class BoardPlayer:
    """Replays events on an opened dev kit with every core monitored.

    What the board shows is compared: spikes of each core, final membrane potentials, the output,
    and the configuration that its driver says was applied. SynOps are not counted on a board.

    Args:
        board: what `samna.device.open_device` returned.
        settle_s: wait so long after a configuration was sent; a real board applies it in its own
            time (sinabs waits 1 s).
        timeout_s: how long an answer may take beyond the input's own duration.
    """

    def __init__(self, board: Any, *, settle_s: float = 0.0, timeout_s: float = 30.0) -> None:
        self._board, self._settle_s, self._timeout_s = board, settle_s, timeout_s

    def __call__(self, configuration: Any, described: ChipConfiguration, events: Events) -> Answers:
        """Configure, feed, read.

        Raises:
            DeviceError: the board refused the configuration, or gave no answer in time.
        """
        with device_errors("replaying known answers"), self._linked(described) as link:
            link.set_slow_clock(described.slow_clock_hz)
            link.model.apply_configuration(_monitored(configuration, described))
            time.sleep(self._settle_s)
            watch = self._board.get_stop_watch()
            watch.start()
            watch.reset()
            link.source.write(link.as_input(events, described.entry))
            readout = described.order[-1]
            fence = [link.events.ReadNeuronValue(layer=readout, address=0)]
            found = link.ask(fence, lasts_us=events.duration_us, timeout_s=self._timeout_s)
            states = {core: self._states(link, described, core) for core in described.order}
            held = held_by(
                link.model.get_configuration(), described.chip, described.order, described.layers
            )
        cores = len(load_chip_description(described.chip).cores)
        spikes = [event for event in found if type(event).__name__ == "Spike"]
        output = [spike for spike in spikes if spike.layer == readout]
        return Answers(
            spikes_per_core=np.bincount(
                np.array([spike.layer for spike in spikes if spike.layer < cores], dtype=np.int64),
                minlength=cores,
            ),
            output_channel=np.array([s.feature for s in output], dtype=np.int64),
            output_neuron=neuron_numbers(
                [s.feature for s in output],
                [s.y for s in output],
                [s.x for s in output],
                described.output_shape(readout),
            ),
            states={core: digest_of_states(values) for core, values in states.items()},
            configuration={core: held.digest(core) for core in described.order},
        )

    @contextmanager
    def _linked(self, described: ChipConfiguration) -> Iterator[BoardLink]:
        link = BoardLink(self._board, described.chip)
        try:
            yield link
        finally:
            link.stop()

    def _states(self, link: BoardLink, described: ChipConfiguration, core: int) -> Any:
        """int16 `[feature, y, x]` membrane potentials of a core."""
        shape = described.output_shape(core)
        wanted = addresses(shape)
        read = link.events.ReadNeuronValue
        found = link.ask(
            [read(layer=core, address=address) for address in wanted],
            lasts_us=0,
            timeout_s=self._timeout_s,
        )
        values = {e.address: e.neuron_state for e in found if type(e).__name__ == "NeuronValue"}
        return np.array([values[a] for a in wanted], dtype=np.int16).reshape(shape)


def _monitored(configuration: Any, described: ChipConfiguration) -> Any:
    copy = copied(configuration)
    copy.dvs_layer.pass_sensor_events = False  # the recorded events only; its stage goes on
    for core in described.order:
        copy.cnn_layers[core].monitor_enable = True
    return copy
