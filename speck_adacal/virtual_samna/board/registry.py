"""`samna.device`: which boards there are, opening and closing them."""

from __future__ import annotations

import atexit
import os
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from speck_adacal.errors import DeviceError
from speck_adacal.virtual_samna.board.declared import (
    BoardDeclaration,
    declared_boards,
    parse_boards,
)
from speck_adacal.virtual_samna.board.handle import VirtualBoard
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
    doc="What is known of a board before it is opened; a virtual one's serial number says so.",
)


@dataclass(eq=False)
class _Slot:
    """One declared board, and its handle while it is open."""

    declaration: BoardDeclaration
    info: Any
    index: int
    handle: VirtualBoard | None = None

    @property
    def name(self) -> str:
        return f"{self.declaration.type_name}:{self.index}"


@dataclass(eq=False)
class _Registry:
    """The boards of this process."""

    slots: list[_Slot] | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def all(self) -> list[_Slot]:
        """The boards; read from the environment at the first call."""
        with self.lock:
            if self.slots is None:
                self.slots = _slots(declared_boards())
            return self.slots

    def declare(self, boards: tuple[BoardDeclaration, ...]) -> None:
        """Replace the boards; open ones are closed."""
        with self.lock:
            for slot in self.slots or []:
                if slot.handle is not None:
                    slot.handle.close()
            self.slots = _slots(boards)


def _slots(boards: tuple[BoardDeclaration, ...]) -> list[_Slot]:
    counts: Counter[str] = Counter()
    slots = []
    for number, board in enumerate(boards):
        info = DeviceInfo(
            serial_number=f"virtual-{number}",
            usb_bus_number=0,
            usb_device_address=number + 1,
            device_type_name=board.type_name,
        )
        slots.append(_Slot(board, info, counts[board.kind]))
        counts[board.kind] += 1
    return slots


_BOARDS = _Registry()


def declare_boards(text: str, *, real_time: bool = True, scene: str = "") -> list[Any]:
    """Declare the virtual boards of this process, in place of those of the environment.

    Args:
        text: as in the variable SPECK_ADACAL_VIRTUAL, such as `"speck2fmodule:2,speck2e"`.
        real_time: False for as fast as possible.
        scene: path of a recording that the boards' sensors see, in real time only.

    Returns:
        Their `DeviceInfo`s. Boards that were open before are closed.
    """
    _BOARDS.declare(parse_boards(text, real_time=real_time, scene=scene))
    return get_all_devices()


def get_all_devices() -> list[Any]:
    """All boards."""
    return [slot.info._clone() for slot in _BOARDS.all()]


def get_unopened_devices() -> list[Any]:
    """The boards that are not open."""
    return [slot.info._clone() for slot in _BOARDS.all() if slot.handle is None]


def get_opened_devices() -> list[Any]:
    """The boards that are open."""
    return [slot.info._clone() for slot in _BOARDS.all() if slot.handle is not None]


def open_device(device: Any, default_config: Any = None) -> VirtualBoard:
    """Open a board.

    Args:
        device: a `DeviceInfo` or a name with an index ("Speck2fDevKit:0"): the board itself,
            and the same handle again if it is open; a bare name ("Speck2fDevKit"): the next
            board of that type that is not open.
        default_config: configuration to start with, and to go back to at a soft reset.

    Raises:
        DeviceError: there is no such board, or all of that type are open.
    """
    with _BOARDS.lock:
        slot = _find(device)
        if slot.handle is None:
            slot.handle = VirtualBoard(slot.declaration, slot.name, default_config)
        return slot.handle


def close_device(handle: Any) -> None:
    """Close a board; its handle is of no use afterwards.

    Raises:
        DeviceError: not an open board's handle.
    """
    with _BOARDS.lock:
        for slot in _BOARDS.all():
            if slot.handle is not None and slot.handle is handle:
                slot.handle = None
                handle.close()
                return
    raise DeviceError(f"close_device takes the handle of an open board, found {handle!r}.")


def _find(device: Any) -> _Slot:
    slots = _BOARDS.all()
    if isinstance(device, str):
        return _by_name(slots, device)
    for slot in slots:
        if isinstance(device, DeviceInfo) and slot.info == device:
            return slot
    raise DeviceError(f"There is no board {device!r}; {_what_there_is(slots)}.")


def _by_name(slots: list[_Slot], name: str) -> _Slot:
    kind, _, index = name.partition(":")
    same = [s for s in slots if kind in (s.declaration.type_name, s.declaration.kind)]
    if index:
        found = [s for s in same if str(s.index) == index]
    else:
        found = [s for s in same if s.handle is None]
    if not found:
        why = "all of that type are open" if same and not index else _what_there_is(slots)
        raise DeviceError(f"There is no board {name!r} to open; {why}.")
    return found[0]


def _what_there_is(slots: list[_Slot]) -> str:
    names = ", ".join(slot.name for slot in slots) or "none"
    return f"there is: {names} (declare boards with the variable SPECK_ADACAL_VIRTUAL)"


def _after_fork() -> None:
    """A forked process has boards of its own, all closed: threads do not survive a fork."""
    declared = _BOARDS.slots
    _BOARDS.lock = threading.RLock()
    _BOARDS.slots = None if declared is None else _slots(tuple(s.declaration for s in declared))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _close_all() -> None:
    """Close what is open before the interpreter is taken down."""
    for slot in _BOARDS.slots or []:
        if slot.handle is not None:
            slot.handle.close()


def public() -> dict[str, Any]:
    """Names of the module `samna.device`."""
    return {
        "DeviceInfo": DeviceInfo,
        "get_all_devices": get_all_devices,
        "get_unopened_devices": get_unopened_devices,
        "get_opened_devices": get_opened_devices,
        "open_device": open_device,
        "close_device": close_device,
    }
