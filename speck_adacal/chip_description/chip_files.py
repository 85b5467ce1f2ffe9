"""Chip descriptions from `chip_configs/*.toml`."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path

from speck_adacal.chip_description.description import Board, ChipDescription
from speck_adacal.errors import ConfigurationError
from speck_adacal.resources import resource_names, resource_path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_FOLDER = "chip_configs"
DEFAULT_CHIP = "speck2f"
"""The chip that is meant where none is named."""


def known_chips() -> tuple[str, ...]:
    """Names of the shipped chip descriptions, the default one first."""
    names = [name.removesuffix(".toml") for name in resource_names(_FOLDER, ".toml")]
    return tuple(sorted(names, key=lambda name: (name != DEFAULT_CHIP, name)))


def known_boards() -> dict[str, Board]:
    """The boards of all chips by sinabs' name; each chip's usual board comes first."""
    chips = [load_chip_description(name) for name in known_chips()]
    return {board.name: board for chip in chips for board in chip.boards}


def usual_board(chip: str) -> str:
    """sinabs' name of the board that one usually has for a chip."""
    return load_chip_description(chip).boards[0].name


def load_chip_description(name: str = DEFAULT_CHIP) -> ChipDescription:
    """The description of a shipped chip.

    Raises:
        ConfigurationError: the chip is not known, or its file is damaged.
    """
    if name not in known_chips():
        raise ConfigurationError(
            f"The chip {name!r} is not known; choose one of {', '.join(known_chips())}."
        )
    path = resource_path(_FOLDER, f"{name}.toml")
    return _read_once(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read_once(path: Path, changed_ns: int) -> ChipDescription:
    return read_chip_description(path)


def read_chip_description(path: Path) -> ChipDescription:
    """Read a chip description from a TOML file laid out like those in `chip_configs/`.

    Raises:
        ConfigurationError: the file is no TOML, or a field is missing or of the wrong type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"The chip description {path} cannot be read ({error}); restore the shipped file."
        ) from error
    # What checks types takes a second to import, and is not needed to know a chip's name.
    from speck_adacal.chip_description.toml_fields import Fields, description_of

    return description_of(Fields(path, table))
