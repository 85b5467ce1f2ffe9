"""`samna.device`: finding, opening and closing boards."""

from __future__ import annotations

from typing import Any

from speck_adacal.virtual_samna.fields import Int, Text
from speck_adacal.virtual_samna.objects import define

DeviceInfo: Any = define(
    "DeviceInfo",
    {
        "serial_number": Text(),
        "usb_bus_number": Int("uint8"),
        "usb_device_address": Int("uint8"),
        "logic_version": Int("uint32"),
        "device_type_name": Text(),
    },
    module="samna.device",
    qualified="device::DeviceInfo",
    family={},
    doc="What is known of a board before it is opened.",
)


def get_all_devices() -> list[Any]:
    """All boards declared."""
    return []


def public() -> dict[str, Any]:
    """Names of the module."""
    return {
        "DeviceInfo": DeviceInfo,
        "get_all_devices": get_all_devices,
        "get_unopened_devices": get_all_devices,
        "get_opened_devices": get_all_devices,
        "open_device": open_device,
        "close_device": close_device,
    }


def open_device(device: Any, default_config: Any = None) -> Any:
    """Open a board.

    Raises:
        RuntimeError: there is none.
    """
    from speck_adacal.errors import DeviceError

    raise DeviceError(f"There is no device {device!r}.")


def close_device(handle: Any) -> None:
    """Close a board."""
    handle.close()
