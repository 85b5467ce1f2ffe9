"""Devices by name, as the command line takes them: `twin`, `virtual[:TYPE]`, `speck2fdevkit:0`."""

from __future__ import annotations

from dataclasses import dataclass

from speck_adacal.chip_description.chip_files import known_boards, known_chips
from speck_adacal.errors import ConfigurationError, SettingsError


@dataclass(frozen=True)
class DeviceName:
    """A device as named by a user.

    Attributes:
        kind: `"twin"`, `"virtual"` or `"real"`.
        board: sinabs' name of the board's type; empty where the bundle's chip decides.
        index: of the board among those of its type.
    """

    kind: str
    board: str = ""
    index: int = 0

    def __str__(self) -> str:
        if self.kind == "real":
            return f"{self.board}:{self.index}"
        return f"{self.kind}:{self.board}" if self.board else self.kind


def parse_device(text: str) -> DeviceName:
    """The device that a text names.

    Raises:
        SettingsError: it names none; the message lists what is allowed.
    """
    boards = known_boards()
    head, _, tail = text.strip().lower().partition(":")
    if head == "twin" and not tail:
        return DeviceName("twin")
    board, _, index = tail.partition(":")
    if head == "virtual" and (not tail or board in boards) and (not index or index == "0"):
        return DeviceName("virtual", board)
    if head in boards and (not tail or tail.isdecimal()):
        return DeviceName("real", head, int(tail or 0))
    raise SettingsError(
        f"There is no device {text!r}; give twin, virtual, virtual:TYPE, virtual:TYPE:0 or TYPE:0, "
        f"where TYPE is one of {', '.join(boards)}."
    )


def chip_named(text: str) -> str:
    """The chip that a text names: by its own name, or by that of a board it stands on.

    Raises:
        ConfigurationError: it names none; the message lists what is allowed.
    """
    name = text.strip().lower()
    if name in known_chips():
        return name
    boards = known_boards()
    board = name.partition(":")[0]
    if board in boards:
        return boards[board].chip
    raise ConfigurationError(
        f"There is no chip {text!r}; choose one of {', '.join(known_chips())}, or a board that has "
        f"one: {', '.join(boards)}."
    )
