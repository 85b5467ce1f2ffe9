"""Running programs on the virtual samna, and listing the boards that a program would find."""

from __future__ import annotations

import importlib
import importlib.util
import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from speck_adacal.chip_description import known_boards, load_chip_description
from speck_adacal.errors import BackendError, SettingsError, SpeckAdacalError
from speck_adacal.virtual_samna import gui
from speck_adacal.virtual_samna.board.declared import (
    BOARDS_VARIABLE,
    ONCE_VARIABLE,
    SCENE_VARIABLE,
    TIME_VARIABLE,
    declared_boards,
    parse_boards,
)
from speck_adacal.virtual_samna.board.handle import scene_events
from speck_adacal.virtual_samna.stand_in import VARIABLE, SamnaBackend, ensure_samna


@dataclass(frozen=True)
class BoardLine:
    """A board as listed.

    Attributes:
        name: as sinabs names it, such as "speck2fmodule:0".
        type_name: as the driver names its type.
        serial: serial number.
        kind: "real" or "virtual".
    """

    name: str
    type_name: str
    serial: str
    kind: str


def run_program(
    program: str,
    arguments: Sequence[str],
    *,
    as_module: bool = False,
    boards: str | None = None,
    fast: bool = False,
    scene: str | None = None,
    scene_once: bool = False,
    view_seconds: float | None = None,
    compat: str | None = None,
) -> None:
    """Run a script or a module as `__main__` on the virtual samna.

    Args:
        program: path of a script, or name of a module.
        arguments: the program's own, `sys.argv[1:]`.
        as_module: `program` is a module.
        boards: declaration of the virtual boards; None for that of the environment.
        fast: as fast as possible instead of in real time.
        scene: recording that the boards' sensors see; None for that of the environment.
        scene_once: show it once instead of again and again.
        view_seconds: end live views after so long; None for that of the environment.
        compat: "sinabs2" to bridge what programs for sinabs 2 expect (see `sinabs2`).

    Raises:
        SettingsError: no such script or module, or a malformed declaration.
        DataError: the scene cannot be read.
        BackendError: this process already uses the real library, or SPECK_ADACAL_SAMNA forbids
            the virtual one.
        SystemExit: as the program raises it.
    """
    if os.environ.get(VARIABLE, "virtual") not in ("virtual", ""):
        raise BackendError(
            f"{VARIABLE}={os.environ[VARIABLE]} forbids the virtual samna; "
            "unset it for this command."
        )
    _declare(boards, fast=fast, scene=scene, once=scene_once, view_seconds=view_seconds)
    if compat not in (None, "sinabs2"):
        raise SettingsError(f"compat is {compat!r}, allowed is sinabs2.")
    if as_module:
        _require_module(program)
    elif not Path(program).is_file():
        raise SettingsError(
            f"There is no script {program!r}; give the path of a Python file, or -m and a module."
        )
    _prepare_children()
    ensure_samna("virtual")
    if compat is not None:
        from speck_adacal.virtual_samna import sinabs2

        sinabs2.install()
    sys.argv = [program, *arguments]
    try:
        if as_module:
            sys.path.insert(0, os.getcwd())
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(program).resolve().parent))
            runpy.run_path(program, run_name="__main__")
    except (SpeckAdacalError, OSError) as error:  # the program's own: show where, as Python does
        traceback.print_exc()
        raise SystemExit(1) from error


def list_boards() -> tuple[SamnaBackend, list[BoardLine]]:
    """The back end that would be used, and its boards."""
    backend = ensure_samna()
    samna: Any = importlib.import_module("samna")
    importlib.import_module("samna.device")
    infos = sorted(samna.device.get_all_devices(), key=lambda info: info.device_type_name)
    short = {board.driver_type: board.name for board in known_boards().values()}
    lines = []
    for type_name, group in groupby(infos, key=lambda info: info.device_type_name):
        for index, info in enumerate(sorted(group, key=lambda info: info.usb_device_address)):
            name = f"{short.get(type_name, type_name)}:{index}"
            lines.append(BoardLine(name, type_name, str(info.serial_number), backend.kind))
    return backend, lines


def _declare(
    boards: str | None,
    *,
    fast: bool,
    scene: str | None,
    once: bool,
    view_seconds: float | None,
) -> None:
    if boards is not None:
        parse_boards(boards)  # refuse a malformed one now
        os.environ[BOARDS_VARIABLE] = boards
    if fast:
        os.environ[TIME_VARIABLE] = "fast"
    if scene is not None:
        os.environ[SCENE_VARIABLE] = scene
    if once:
        os.environ[ONCE_VARIABLE] = "1"
    if view_seconds is not None:
        os.environ[gui.VIEW_VARIABLE] = str(view_seconds)
    gui.view_seconds()
    for path, chip in {(board.scene, board.chip) for board in declared_boards() if board.scene}:
        scene_events(path, load_chip_description(chip).limits.sensor_size)


def _prepare_children() -> None:
    """Let processes that the program starts find the virtual samna as well, and no stub."""
    os.environ[VARIABLE] = "virtual"
    shim = str(Path(__file__).with_name("shim"))
    kept = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([shim, kept] if kept else [shim])
    sys.path.insert(0, shim)  # multiprocessing hands this path on


def _require_module(name: str) -> None:
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise SettingsError(f"There is no module {name!r} to run; check its name and sys.path.")
