"""The devices that a name stands for: opened, and checked against a bundle's chip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from speck_adacal.bundles.known_answers import play_on_twin
from speck_adacal.bundles.verify import Player
from speck_adacal.chip_description import DeviceName, known_boards, usual_board
from speck_adacal.errors import DeviceError, HardwareMissingError, SettingsError
from speck_adacal.host.backend import Grade
from speck_adacal.host.board_backend import device_errors, open_board
from speck_adacal.host.board_replay import BoardPlayer
from speck_adacal.virtual_samna import declare_boards, ensure_samna
from speck_adacal.virtual_samna.stand_in import INSTALL_HINT

_REAL_SETTLE_S = 1.0


def check_chip(device: DeviceName, chip: str) -> None:
    """Make sure that a device has the chip that a bundle is for.

    Raises:
        SettingsError: it has another.
    """
    if device.board and known_boards()[device.board].chip != chip:
        raise SettingsError(
            f"{device} has a {known_boards()[device.board].chip}, but the bundle is for {chip}; "
            f"deploy for the other chip, or use {usual_board(chip)}."
        )


def require_real(device: DeviceName) -> None:
    """Make sure that the vendor's samna is what this process uses.

    Raises:
        HardwareMissingError: it is not installed; the message says what to install.
    """
    if device.kind != "real":
        raise SettingsError(
            f"{device} is not a real board; give a name such as speck2fdevkit:0, or use --dry-run."
        )
    if ensure_samna().kind != "real":
        raise HardwareMissingError(
            f"{device} is a real board, which needs the vendor's samna, and there is only the "
            f"virtual one here; {INSTALL_HINT.split(', or')[0]}, or use --device virtual."
        )


def open_real(device: DeviceName) -> Any:
    """Open a real board by its type and index.

    Raises:
        HardwareMissingError: samna or the board is not there.
        DeviceError: it is there and cannot be opened.
    """
    require_real(device)
    import samna

    type_name = known_boards()[device.board].driver_type
    with device_errors("opening"):
        infos = [
            info
            for info in samna.device.get_all_devices()
            if info.device_type_name.lower() == type_name.lower()
        ]
        if device.index >= len(infos):
            raise HardwareMissingError(
                f"There is no {device}: samna finds {len(infos)} boards of type {type_name}; "
                "connect it and check `speck-adacal devices`."
            )
        ordered = sorted(infos, key=lambda info: info.usb_device_address)
        return samna.device.open_device(ordered[device.index])


@contextmanager
def player_on(device: DeviceName, chip: str) -> Iterator[tuple[Player, Grade]]:
    """What replays known answers on a device, and what its figures are worth.

    Raises:
        HardwareMissingError: a real board is asked for and not there.
        SettingsError: the virtual kit is asked for where the real samna is in use, or a board
            with another chip.
    """
    check_chip(device, chip)
    if device.kind == "twin":
        yield play_on_twin, "simulated"
        return
    real = device.kind == "real"
    board = open_real(device) if real else open_virtual(device, chip)
    try:
        yield (
            BoardPlayer(board, settle_s=_REAL_SETTLE_S if real else 0.0),
            "measured on a chip" if real else "simulated",
        )
    finally:
        close_quietly(board)


def open_virtual(device: DeviceName, chip: str) -> Any:
    """Open a virtual board that runs as fast as possible.

    Raises:
        SettingsError: the real samna is in use.
    """
    if ensure_samna().kind == "real":
        raise SettingsError(
            f"{device} needs the virtual samna, but the real one is in use; set "
            "SPECK_ADACAL_SAMNA=virtual."
        )
    declare_boards(device.board or usual_board(chip), real_time=False)
    return open_board(chip)


def close_quietly(board: Any) -> None:
    """Close a board, whatever state it is in."""
    import samna

    try:
        with device_errors("closing"):
            samna.device.close_device(board)
    except DeviceError:
        return  # what went wrong before is what counts
