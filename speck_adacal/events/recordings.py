"""Recordings from files: `.npz`, `.npy`, N-MNIST `.bin`, `.aedat`, `.aedat4`, `.raw`, `.dat`.

Every reader gives checked `Events` or a `DataError` that names the file: files that are empty, cut
off inside a record, of another format, with times going backwards or addresses off the sensor. A
file that was cut exactly between two records cannot be told from a shorter recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from speck_adacal.bundle.array_files import read_arrays
from speck_adacal.errors import DataError
from speck_adacal.events.aedat import read_aedat
from speck_adacal.events.field_arrays import (
    NAMES,
    Fields,
    Shape,
    make_events,
    split_recordings,
    structured_fields,
)
from speck_adacal.events.prophesee import read_dat, read_raw
from speck_adacal.events.types import Events

_WITH_ARRAYS = (".npz", ".npy")


def read_recording(path: str | Path, shape: Shape | None = None) -> Events:
    """Read one recording; the format is told by the file's ending.

    Args:
        path: `.npz` (arrays `t` in µs, `x`, `y`, `p`, and optionally `sensor_size` as width,
            height, channels); `.npy` (a structured array with these fields, as event libraries
            save it); `.bin` (N-MNIST, N-Caltech101); `.aedat` (AEDAT 2.0 and 3.1); and, with
            the extra `recordings`, `.aedat4`, `.raw` (Prophesee EVT 2.0 or 3.0) and `.dat`.
        shape: `(channels, height, width)` of the sensor; where it is not given, from the file
            if it says so, else just large enough.

    Returns:
        The events. Times of `.aedat`, `.aedat4` and `.raw` count from the first event, as those
        cameras count from when they were switched on; other times are as in the file, and
        `start_us` says where the recording begins by its own clock.

    Raises:
        DataError: the file is missing, empty, damaged, of an unknown format, or its events
            break a rule of `Events` (which event and which rule is named).
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (*_READERS, *_WITH_ARRAYS):
        known = ", ".join(sorted((*_READERS, *_WITH_ARRAYS)))
        raise DataError(f"{path} has an unknown ending; known recordings are {known}.")
    if not path.is_file():
        raise DataError(f"There is no recording {path}; check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is an empty file; copy or record it again.")
    if suffix in _WITH_ARRAYS:
        return _read_array_file(path, shape)
    fields, own_shape = _READERS[suffix](path)
    return make_events(path, fields, shape or own_shape)


def read_nmnist_bin(path: Path) -> tuple[Fields, None]:
    """The 40-bit records of N-MNIST and N-Caltech101, read by Tonic."""
    check_nmnist_bin(path)
    from tonic.io import read_mnist_file

    # The reader fills the fields in this order.
    dtype = np.dtype([(name, np.int64) for name in ("x", "y", "t", "p")])
    events = read_mnist_file(str(path), dtype)
    return (events["t"], events["x"], events["y"], events["p"]), None


def check_nmnist_bin(path: Path) -> None:
    """What Tonic's reader does not look at: a last record that is cut off.

    Raises:
        DataError: the file cannot be read, or holds no whole number of records.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    if size == 0 or size % 5:
        raise DataError(
            f"{path} has {size} bytes, which are no whole number of 5-byte records; it is "
            "cut off or no N-MNIST recording."
        )


def read_aedat4(path: Path) -> tuple[Fields, Shape | None]:
    """iniVation's AEDAT 4, decoded by the package `aedat`."""
    with decoding_aedat4(path):
        import aedat

        decoder = aedat.Decoder(str(path))
        streams = {i: s for i, s in decoder.id_to_stream().items() if s["type"] == "events"}
        first = min(streams, default=None)
        packets = [p["events"] for p in decoder if p["stream_id"] == first]
    if first is None:
        raise DataError(f"{path} has no stream of events.")
    if not packets:
        raise DataError(f"{path} holds no events; record it again.")
    events = np.concatenate(packets)
    t = events["t"].astype(np.int64)
    shape = (2, int(streams[first]["height"]), int(streams[first]["width"]))
    return (t - t[0] if len(t) else t, events["x"], events["y"], events["on"]), shape


@contextmanager
def decoding_aedat4(path: Path) -> Iterator[None]:
    """Around calls of the package `aedat`: what it does on damage becomes a typed error.

    Raises:
        DataError: the file is no AEDAT 4, is damaged, or the package is not installed.
    """
    try:
        with path.open("rb") as file:
            first_line = file.read(12)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    if not first_line.startswith(b"#!AER-DAT4"):
        raise DataError(f"{path} is no AEDAT 4 file (its first line says something else).")
    try:
        yield
    except ImportError as error:
        raise DataError(
            f"Reading {path} needs the package aedat; install it with `pip install aedat`."
        ) from error
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the package's panics are no Exception
        raise DataError(f"{path} is damaged ({error}); copy it again.") from error


def _read_array_file(path: Path, shape: Shape | None) -> Events:
    arrays = read_arrays(path, (*NAMES, "offsets", "sensor_size"))
    if "" in arrays and arrays[""].dtype.names:
        arrays = structured_fields(arrays[""], path)
    missing = sorted(set(NAMES) - set(arrays))
    if missing:
        raise DataError(f"{path} lacks the arrays {', '.join(missing)} of a recording.")
    if "offsets" in arrays and arrays["offsets"].size != 2:
        raise DataError(
            f"{path} holds {arrays['offsets'].size - 1} recordings; this reads one, so choose "
            f"one of them ({path}:0) where the command allows it."
        )
    if shape is not None:
        channels, height, width = shape
        arrays["sensor_size"] = np.array([width, height, channels])
    found = split_recordings(arrays, path)
    return found[0]


_READERS: dict[str, Callable[[Path], tuple[Fields, Shape | None]]] = {
    ".bin": read_nmnist_bin,
    ".dat": read_dat,
    ".raw": read_raw,
    ".aedat": read_aedat,
    ".aedat4": read_aedat4,
}
