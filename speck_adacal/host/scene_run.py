"""What a chip that stands alone says of a scene: on the virtual dev kit, as the board would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.bundles.chip_configuration import ChipConfiguration
from speck_adacal.chip_description import DeviceName
from speck_adacal.errors import SettingsError
from speck_adacal.events.types import Events
from speck_adacal.host.board_backend import device_errors
from speck_adacal.host.board_link import BoardLink
from speck_adacal.host.devices import close_quietly, open_virtual


@dataclass(frozen=True, eq=False)
class SceneDecisions:
    """Decisions that came out of the interrupt pins.

    Attributes:
        t_us: int64 `[n]`, times from the scene's start.
        label: int64 `[n]`, classes; the chip says nothing in between.
    """

    t_us: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.t_us)


def show_scene(
    configuration: ChipConfiguration, device: DeviceName, scene: Events
) -> SceneDecisions:
    """Configure a virtual board once, show it a scene, and listen to its pins; nothing else.

    Args:
        configuration: of a chip that stands alone.
        device: a virtual board.
        scene: a recording of the whole sensor, `(2, 128, 128)`.

    Raises:
        SettingsError: the device is no virtual one, or the configuration waits for a host.
        DeviceError: the board refused the configuration.
    """
    if device.kind != "virtual" or not configuration.wiring.stands_alone:
        raise SettingsError(
            f"A scene is shown to a virtual board whose chip stands alone, found {device} and "
            f"{'such a' if configuration.wiring.stands_alone else 'a host-fed'} configuration; "
            "use --device virtual, and a bundle of deploy --input sensor --readout chip."
        )
    board = open_virtual(device, configuration.chip)
    try:
        link = BoardLink(board, configuration.chip)
        try:
            with device_errors("showing a scene"):
                pins = _pins(board, link, configuration, scene.from_own_start())
        finally:
            link.stop()
    finally:
        close_quietly(board)
    return SceneDecisions(
        np.array([pin.timestamp for pin in pins], dtype=np.int64),
        np.array([pin.index - 1 for pin in pins], dtype=np.int64),
    )


def _pins(
    board: Any, link: BoardLink, configuration: ChipConfiguration, scene: Events
) -> list[Any]:
    watch = board.get_stop_watch()
    watch.start()
    watch.reset()
    link.set_slow_clock(configuration.slow_clock_hz)
    link.model.apply_configuration(configuration.to_samna())
    board.virtual.show(scene)
    board.virtual.wait_idle()
    passed = int(scene.t_us[-1]) if len(scene) else 0
    board.virtual.advance(scene.duration_us - passed)
    found = link.sink.get_events()
    return [event for event in found if type(event).__name__ == "ReadoutPinValue"]
