"""Which virtual boards there are: declared by the user in a variable or by a call."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from speck_adacal.chip_description import known_boards
from speck_adacal.errors import SettingsError

BOARDS_VARIABLE = "SPECK_ADACAL_VIRTUAL"
TIME_VARIABLE = "SPECK_ADACAL_VIRTUAL_TIME"
SCENE_VARIABLE = "SPECK_ADACAL_VIRTUAL_SCENE"
ONCE_VARIABLE = "SPECK_ADACAL_VIRTUAL_SCENE_ONCE"


@dataclass(frozen=True)
class BoardDeclaration:
    """One virtual board.

    Attributes:
        kind: sinabs' short name of the type, such as "speck2fmodule".
        real_time: True if the stop watch runs with the wall clock and events wait for it; False
            for as fast as possible, where time moves with the events' time stamps.
        scene: path of a recording that the sensor sees; "" for nothing.
        scene_once: it is shown once instead of again and again.
    """

    kind: str
    real_time: bool = True
    scene: str = ""
    scene_once: bool = False

    @property
    def type_name(self) -> str:
        """The driver's type name, such as "Speck2fModuleDevKit"."""
        return known_boards()[self.kind].driver_type

    @property
    def chip(self) -> str:
        """Name of the chip."""
        return known_boards()[self.kind].chip


def parse_boards(
    text: str, *, real_time: bool = True, scene: str = "", scene_once: bool = False
) -> tuple[BoardDeclaration, ...]:
    """Boards from a declaration such as `"speck2fmodule:2,speck2edevkit"`.

    Args:
        text: types separated by commas, each with an optional number of boards after a colon
            (`:0`, sinabs' name of the first board, counts as one); "none" or "" for no board.
        real_time, scene, scene_once: see `BoardDeclaration`.

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
        boards += [BoardDeclaration(kind, real_time, scene, scene_once)] * max(int(number or 1), 1)
    order = list(known_boards())
    return tuple(sorted(boards, key=lambda board: order.index(board.kind)))


def declared_boards() -> tuple[BoardDeclaration, ...]:
    """The boards that the environment declares.

    Raises:
        SettingsError: one of the variables is malformed.
    """
    pace = os.environ.get(TIME_VARIABLE, "real").strip().lower()
    if pace not in ("real", "fast"):
        raise SettingsError(f"{TIME_VARIABLE} is {pace!r}, allowed is real or fast.")
    # Without a declaration there is one board of each type, so that any program finds its own.
    text = os.environ.get(BOARDS_VARIABLE, ",".join(known_boards()))
    scene = os.environ.get(SCENE_VARIABLE, "")
    once = os.environ.get(ONCE_VARIABLE, "").strip().lower()
    if once not in ("", "0", "1"):
        raise SettingsError(f"{ONCE_VARIABLE} is {once!r}, allowed is 0 or 1.")
    return parse_boards(text, real_time=pace == "real", scene=scene, scene_once=once == "1")


def _kind(name: str) -> str:
    boards = known_boards()
    for kind, board in boards.items():
        if name.lower() in (kind.lower(), board.driver_type.lower()):
            return kind
    raise SettingsError(
        f"{BOARDS_VARIABLE} names the board {name!r}, allowed is one of {', '.join(boards)}."
    )
