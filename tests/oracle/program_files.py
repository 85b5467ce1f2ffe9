"""A `ChipProgram` as named arrays and back, for `.npz` files without pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import ConfigurationError
from speck_adacal.twin.checks import check_program
from speck_adacal.twin.program import (
    ChipProgram,
    CoreProgram,
    Destination,
    DvsFilterProgram,
    DvsProgram,
    ReadoutProgram,
)

_ARRAYS = ("weights", "initial", "bias")
_SCHEMA = 1


def program_to_arrays(program: ChipProgram) -> dict[str, npt.NDArray[Any]]:
    """All settings as one JSON text in `"program"`, all arrays as `"core3.weights"` and so on."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    cores = []
    for index, core in sorted(program.cores.items()):
        settings = {f.name: getattr(core, f.name) for f in fields(core) if f.name not in _ARRAYS}
        settings["destinations"] = [asdict(d) for d in core.destinations]
        cores.append(settings)
        for name in _ARRAYS:
            if (array := getattr(core, name)) is not None:
                arrays[f"core{index}.{name}"] = array
    text = json.dumps(
        {
            "schema": _SCHEMA,
            "chip": program.chip.name,
            "cores": cores,
            "dvs": asdict(program.dvs),
            "readout": None if program.readout is None else asdict(program.readout),
            "internal_clock_divider": program.internal_clock_divider,
        }
    )
    return {"program": np.frombuffer(text.encode(), dtype=np.uint8), **arrays}


def program_from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> ChipProgram:
    """The inverse of `program_to_arrays`; the program is checked.

    Raises:
        ConfigurationError: a part is missing, of another schema, or of the wrong type.
    """
    try:
        settings = json.loads(arrays["program"].tobytes().decode())
        if settings["schema"] != _SCHEMA:
            raise ConfigurationError(
                f"The stored program has schema {settings['schema']!r}, allowed is {_SCHEMA}; "
                "write it again with this version."
            )
        program = _program(settings, arrays)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(
            f"The stored program is damaged ({type(error).__name__}: {error}); write it again."
        ) from error
    check_program(program)
    return program


def _program(settings: dict[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> ChipProgram:
    cores = {}
    for stored in settings["cores"]:
        own: dict[str, Any] = {n: arrays.get(f"core{stored['index']}.{n}") for n in _ARRAYS[1:]}
        own["weights"] = arrays[f"core{stored['index']}.weights"]
        cores[stored["index"]] = CoreProgram(**_with_tuples(stored), **own)
    dvs = _with_tuples(settings["dvs"])
    if dvs["filter"] is not None:
        dvs["filter"] = DvsFilterProgram(**_with_tuples(dvs["filter"]))
    readout = settings["readout"]
    return ChipProgram(
        chip=load_chip_description(settings["chip"]),
        cores=cores,
        dvs=DvsProgram(**dvs),
        readout=None if readout is None else ReadoutProgram(**readout),
        internal_clock_divider=settings["internal_clock_divider"],
    )


def _with_tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples that they were."""
    found = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    if "destinations" in found:
        found["destinations"] = tuple(Destination(**d) for d in found["destinations"])
    return found
