"""A chip configuration as one JSON file that needs nothing beside it.

The content of `chip.json`, with a version, and the arrays of `chip.safetensors` as base64 of their
zlib-packed bytes (little endian, samna's order of axes). Source of the layout: this project
(`docs/spec-bundle.md`); it is not the vendor's.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.bundle import dump_json, parse_json
from speck_adacal.bundles.chip_configuration import ChipConfiguration, checked_configuration
from speck_adacal.errors import BundleError

SCHEMA = 1
# As stored (little endian), and as used.
_TYPES: dict[str, tuple[str, type[np.signedinteger[Any]]]] = {
    "int8": ("<i1", np.int8),
    "int16": ("<i2", np.int16),
}
_LARGEST_FILE_BYTES = 64 << 20
# The largest array of a core: 1024 features of 64 x 64 neurons, 16 bits each.
_LARGEST_ARRAY_BYTES = 1024 * 64 * 64 * 2


def dump_configuration(configuration: ChipConfiguration) -> bytes:
    """The file's bytes; the same on every run."""
    arrays = {name: _packed(array) for name, array in sorted(configuration.arrays.items())}
    return dump_json({**configuration.data(), "schema": SCHEMA, "arrays": arrays})


def read_configuration(path: Path) -> ChipConfiguration:
    """Read a file that `dump_configuration` made.

    Raises:
        BundleError: it is missing, malformed, or of a newer schema; the message names the field.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise BundleError(f"{path} is larger than 64 MiB, which no chip configuration is.")
        raw = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}; check the path.") from error
    data = parse_json(raw, path.parent, path.name)
    if not isinstance(data, dict):
        raise BundleError(f"{path} is no chip configuration: it must be an object.")
    schema = data.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        raise BundleError(
            f"{path} has schema {schema!r}, this version reads {SCHEMA}; install the speck-adacal "
            "that made it, or export it again."
        )
    packed = data.get("arrays")
    if not isinstance(packed, dict):
        raise BundleError(f"{path} needs 'arrays', an object; export it again.")
    arrays = {name: _unpacked(name, entry, path) for name, entry in packed.items()}
    return checked_configuration(data, arrays, str(path))


def _packed(array: npt.NDArray[Any]) -> dict[str, Any]:
    # Level 9 by name: the default may differ from one zlib to the next.
    data = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
    return {
        "dtype": str(array.dtype),
        "shape": list(array.shape),
        "zlib_base64": base64.b64encode(zlib.compress(data, 9)).decode("ascii"),
    }


def _unpacked(name: str, entry: Any, path: Path) -> npt.NDArray[Any]:
    try:
        stored, wanted = _TYPES[entry["dtype"]]
        shape = [int(length) for length in entry["shape"]]
        size = int(np.prod(shape, dtype=object)) * np.dtype(wanted).itemsize
        if min(shape) < 1 or size > _LARGEST_ARRAY_BYTES:
            raise ValueError(f"shape {shape} is too large, or not positive")
        unpacker = zlib.decompressobj()
        packed = base64.b64decode(entry["zlib_base64"], validate=True)
        data = unpacker.decompress(packed, size + 1)
        if len(data) != size or not unpacker.eof:
            raise ValueError(f"its bytes do not fill {shape} of {entry['dtype']}")
        return np.frombuffer(data, stored).reshape(shape).astype(wanted)
    except (KeyError, TypeError, ValueError, AttributeError, zlib.error, binascii.Error) as error:
        raise BundleError(
            f"The array {name} in {path} is damaged ({error!r}); export it again."
        ) from error
