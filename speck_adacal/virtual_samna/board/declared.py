"""Which virtual boards there are: declared by the user in a variable or by a call."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from speck_adacal.errors import SettingsError

BOARDS_VARIABLE = "SPECK_ADACAL_VIRTUAL"
TIME_VARIABLE = "SPECK_ADACAL_VIRTUAL_TIME"
SCENE_VARIABLE = "SPECK_ADACAL_VIRTUAL_SCENE"

BOARD_TYPES: dict[str, tuple[str, str]] = {
    "speck2fdevkit": ("Speck2fDevKit", "speck2f"),
    "speck2fmodule": ("Speck2fModuleDevKit", "speck2f"),
    "speck2edevkit": ("Speck2eDevKit", "speck2e"),
    "speck2e": ("Speck2eTestBoard", "speck2e"),
}
"""sinabs' short name: (the driver's type name, chip)."""

DEFAULT = ",".join(BOARD_TYPES)
"""Without a declaration there is one board of each type, so that any program finds its own."""


@dataclass(frozen=True)
class BoardDeclaration:
    """One virtual board.

    Attributes:
        kind: sinabs' short name of the type, such as "speck2fmodule".
        real_time: True if the stop watch runs with the wall clock and events wait for it; False
            for as fast as possible, where time moves with the events' time stamps.
    """

    kind: str
    real_time: bool = True
    scene: str = ""

    @property
    def type_name(self) -> str:
        """The driver's type name, such as "Speck2fModuleDevKit"."""
        return BOARD_TYPES[self.kind][0]

    @property
    def chip(self) -> str:
        """ "speck2e" or "speck2f"."""
        return BOARD_TYPES[self.kind][1]


def parse_boards(
    text: str, *, real_time: bool = True, scene: str = ""
) -> tuple[BoardDeclaration, ...]:
    """Boards from a declaration such as `"speck2fmodule:2,speck2edevkit"`.

    Args:
        text: types separated by commas, each with an optional number of boards after a colon
            (`:0`, sinabs' name of the first board, counts as one); "none" or "" for no board.
        real_time, scene: see `BoardDeclaration`.

    Raises:
        SettingsError: an unknown type, a number that is none, or a scene that is not there.
    """
    boards: list[BoardDeclaration] = []
    if scene and not Path(scene).is_file():
        raise SettingsError(f"{SCENE_VARIABLE} names the recording {scene!r}, which is not there.")
    if text.strip().lower() in ("", "none"):
        return ()
    for item in text.split(","):
        name, _, number = item.strip().partition(":")
        kind = _kind(name)
        if number and not number.isdigit():
            raise SettingsError(
                f"{BOARDS_VARIABLE} has {item.strip()!r}; after the colon comes a number of boards."
            )
        boards += [BoardDeclaration(kind, real_time, scene)] * max(int(number or 1), 1)
    order = list(BOARD_TYPES)
    return tuple(sorted(boards, key=lambda board: order.index(board.kind)))


def declared_boards() -> tuple[BoardDeclaration, ...]:
    """The boards that the environment declares.

    Raises:
        SettingsError: one of the variables is malformed.
    """
    pace = os.environ.get(TIME_VARIABLE, "real").strip().lower()
    if pace not in ("real", "fast"):
        raise SettingsError(f"{TIME_VARIABLE} is {pace!r}, allowed is real or fast.")
    text = os.environ.get(BOARDS_VARIABLE, DEFAULT)
    scene = os.environ.get(SCENE_VARIABLE, "")
    return parse_boards(text, real_time=pace == "real", scene=scene)


def _kind(name: str) -> str:
    for kind, (type_name, _) in BOARD_TYPES.items():
        if name.lower() in (kind, type_name.lower()):
            return kind
    raise SettingsError(
        f"{BOARDS_VARIABLE} names the board {name!r}, allowed is one of {', '.join(BOARD_TYPES)}."
    )
