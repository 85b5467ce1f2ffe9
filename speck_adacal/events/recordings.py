"""Recordings from files: `.npz`, N-MNIST `.bin`, `.aedat`, `.aedat4`, `.raw`, `.dat`.

Every reader gives checked `Events` or a `DataError` that names the file: files that are empty, cut
off inside a record, of another format, with times going backwards or addresses off the sensor. A
file that was cut exactly between two records cannot be told from a shorter recording.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DataError, EventError
from speck_adacal.events.aedat import read_aedat
from speck_adacal.events.prophesee import read_dat, read_raw
from speck_adacal.events.types import Events

Fields = tuple[npt.NDArray, npt.NDArray, npt.NDArray, npt.NDArray]  # t, x, y, polarity
Shape = tuple[int, int, int]

_NMNIST_OVERFLOW_Y = 240
_NMNIST_OVERFLOW_US = 1 << 13


def read_recording(path: str | Path, shape: Shape | None = None) -> Events:
    """Read one recording; the format is told by the file's ending.

    Args:
        path: `.npz` (arrays `t` in µs, `x`, `y`, `p`, and optionally `sensor_size` as width,
            height, channels); `.bin` (N-MNIST, N-Caltech101); `.aedat4` (needs the package
            `aedat`); `.aedat` (AEDAT 2.0 and 3.1); `.raw` (Prophesee EVT 2.0 or 3.0) and `.dat`
            (Prophesee).
        shape: `(channels, height, width)` of the sensor; where it is not given, from the file
            if it says so, else just large enough.

    Returns:
        The events. Times of `.aedat`, `.aedat4` and `.raw` count from the first event, as those
        cameras count from when they were switched on; other times are as in the file.

    Raises:
        DataError: the file is missing, empty, damaged, of an unknown format, or its events
            break a rule of `Events` (which event and which rule is named).
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path} has an unknown ending; known recordings are {', '.join(sorted(_READERS))}."
        )
    if not path.is_file():
        raise DataError(f"There is no recording {path}; check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is an empty file; copy or record it again.")
    (t, x, y, p), own_shape = reader(path)
    return make_events(path, (t, x, y, p), shape or own_shape)


def make_events(source: str | Path, values: Fields, shape: Shape | None) -> Events:
    """Checked events from arrays.

    Raises:
        DataError: there are none, or they break a rule; the message begins with `source`.
    """
    t, x, y, p = (np.asarray(v) for v in values)
    if len(t) == 0:
        raise DataError(f"{source} holds no events; record it again.")
    if shape is None:
        shape = (2, int(y.max(initial=0)) + 1, int(x.max(initial=0)) + 1)
    try:
        times = t.astype(np.int64)
        return Events(times, _wide(x), _wide(y), _wide(p), shape)
    except EventError as error:
        raise DataError(f"{source}: {error}") from error


def _wide(values: npt.NDArray) -> npt.NDArray:
    """Signed and wide, so that bad values are found rather than wrapped."""
    return values.astype(np.int64)


def read_nmnist_bin(path: Path) -> tuple[Fields, None]:
    """The 40-bit records of N-MNIST and N-Caltech101: x, y, polarity and 23 bits of time (µs).

    A record with y = 240 is no event but 2^13 µs more on all later times (Orchard et al. 2015,
    as read by the authors' own tools).
    """
    data = _bytes(path)
    if len(data) % 5:
        raise DataError(
            f"{path} has {len(data)} bytes, which are no whole number of 5-byte records; it is "
            "cut off or no N-MNIST recording."
        )
    record = np.frombuffer(data, dtype=np.uint8).reshape(-1, 5).astype(np.int64)
    time = (record[:, 2] & 127) << 16 | record[:, 3] << 8 | record[:, 4]
    overflow = record[:, 1] == _NMNIST_OVERFLOW_Y
    time += np.cumsum(overflow) * _NMNIST_OVERFLOW_US
    keep = ~overflow
    return (time[keep], record[keep, 0], record[keep, 1], record[keep, 2] >> 7), None


def read_aedat4(path: Path) -> tuple[Fields, Shape | None]:
    """iniVation's AEDAT 4, decoded by the package `aedat`, which is not installed by default."""
    if not _bytes(path, 12).startswith(b"#!AER-DAT4"):
        raise DataError(f"{path} is no AEDAT 4 file (its first line says something else).")
    try:
        import aedat
    except ImportError as error:
        raise DataError(
            f"Reading {path} needs the package aedat; install it with `pip install aedat`."
        ) from error
    try:
        decoder = aedat.Decoder(str(path))
        streams = {i: s for i, s in decoder.id_to_stream().items() if s["type"] == "events"}
        first = min(streams, default=None)
        packets = [p["events"] for p in decoder if p["stream_id"] == first]
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the package's panics are no Exception
        raise DataError(f"{path} is damaged ({error}); copy it again.") from error
    if first is None:
        raise DataError(f"{path} has no stream of events.")
    if not packets:
        raise DataError(f"{path} holds no events; record it again.")
    events = np.concatenate(packets)
    shape = (2, int(streams[first]["height"]), int(streams[first]["width"]))
    return _from_zero({n: events[n] for n in ("t", "x", "y")} | {"p": events["on"]}), shape


def read_npz(path: Path) -> tuple[Fields, Shape | None]:
    """Arrays `t`, `x`, `y`, `p` of one recording; no pickles."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            names = set(file.files)
            missing = {"t", "x", "y", "p"} - names
            if missing:
                raise DataError(f"{path} lacks the arrays {', '.join(sorted(missing))}.")
            if "offsets" in names and len(file["offsets"]) != 2:
                raise DataError(
                    f"{path} holds {len(file['offsets']) - 1} recordings; this reads one."
                )
            fields = (file["t"], file["x"], file["y"], file["p"])
            size = [int(n) for n in file["sensor_size"]] if "sensor_size" in names else []
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is no sound .npz file ({error}); save it again.") from error
    for name, values in zip("txyp", fields, strict=True):
        if values.dtype.kind not in "iub":
            raise DataError(f"The array {name} in {path} is {values.dtype}, needed are integers.")
    return fields, (size[2], size[1], size[0]) if len(size) == 3 else None


def _bytes(path: Path, count: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).") from error


def _from_zero(events: Mapping[str, npt.NDArray] | npt.NDArray) -> Fields:
    t = np.asarray(events["t"]).astype(np.int64)
    start = t[0] if len(t) else 0
    return t - start, events["x"], events["y"], events["p"]


_READERS: dict[str, Callable[[Path], tuple[Fields, Shape | None]]] = {
    ".npz": read_npz,
    ".bin": read_nmnist_bin,
    ".dat": read_dat,
    ".raw": read_raw,
    ".aedat": read_aedat,
    ".aedat4": read_aedat4,
}
