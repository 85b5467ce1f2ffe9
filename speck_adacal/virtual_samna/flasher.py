"""`samna.flasher`: firmware of real boards. A virtual board has none, so nothing can be flashed."""

from __future__ import annotations

from enum import Enum
from typing import Any

from speck_adacal.errors import HardwareMissingError


class FileType(Enum):
    """Kinds of firmware files."""

    fx3Firmware = 0
    fpgaFirmware = 1


def get_empty_devices() -> list[Any]:
    """Boards without firmware: none."""
    return []


def get_programmable_devices() -> list[Any]:
    """Boards whose firmware can be written: none."""
    return []


def _refused(name: str) -> Any:
    def refuse(*arguments: Any) -> None:
        """Refused: there is no real board.

        Raises:
            HardwareMissingError: always.
        """
        raise HardwareMissingError(
            f"samna.flasher.{name} writes the firmware of a real board, and there is none; "
            "install the vendor's samna library and connect a dev kit."
        )

    refuse.__name__ = name
    return refuse


def public() -> dict[str, Any]:
    """Names of the module."""
    names = (
        "program_empty_fx3_ram",
        "program_fx3_flash",
        "program_fpga_flash",
        "print_firmware_header_from_file",
    )
    return {
        "FileType": FileType,
        "get_empty_devices": get_empty_devices,
        "get_programmable_devices": get_programmable_devices,
        **{name: _refused(name) for name in names},
    }
