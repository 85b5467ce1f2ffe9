"""AEDAT 2.0 (jAER) and AEDAT 3.1 (cAER, DVS128 Gesture): address events in packets, `.aedat`.

Formats: iniVation's documentation of AEDAT 2.0 and 3.1. Rows and columns count from the top left,
as libcaer turns the DVS128's addresses round. (Tonic's readers of these formats unpack a header of
two values where its own header function returns three, so they cannot be used.)
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DataError
from speck_adacal.events.field_arrays import Fields, Shape, unwrapped

_END_OF_HEADER = b"#!END-HEADER\r\n"
_LARGEST_BYTES = 4 << 30
_SENSORS = {"DVS128": (2, 128, 128), "DAVIS240": (2, 180, 240), "DAVIS346": (2, 260, 346)}
_PACKET = np.dtype(
    [
        ("kind", "<i2"),
        ("source", "<i2"),
        ("size", "<i4"),
        ("stamp_at", "<i4"),
        ("overflow", "<i4"),
        ("capacity", "<i4"),
        ("number", "<i4"),
        ("valid", "<i4"),
    ]
)
_POLARITY_EVENTS = 1
_SPECIAL_DVS128 = 0x8000  # a bit of jAER's addresses: synchronisation, no event of a pixel


def read_aedat(path: Path) -> tuple[Fields, Shape | None]:
    """The events of an AEDAT 2.0 or 3.1 file; times count from the first event.

    Raises:
        DataError: another version (AEDAT 4 ends in `.aedat4`), cut off, or of an unknown sensor.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise DataError(f"{path} is larger than 4 GiB; cut it into shorter recordings.")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    match = re.match(rb"#!AER-DAT(\d+\.\d+)\r?\n", data)
    version = match.group(1).decode() if match else "none"
    if version.startswith("2."):
        return _version_2(path, data)
    if version == "3.1":
        return _version_3(path, data)
    raise DataError(
        f"{path} has the AEDAT version {version}, known are 2.0 and 3.1 (and 4 as .aedat4); "
        "convert it with the program that recorded it."
    )


def _sensor(header: bytes) -> Shape | None:
    text = header.decode("latin-1").upper()
    return next((shape for name, shape in _SENSORS.items() if name in text), None)


def _version_2(path: Path, data: bytes) -> tuple[Fields, Shape]:
    """Big-endian pairs of a 32-bit address and a 32-bit time in µs, after lines of comment."""
    start = 0
    while data[start : start + 1] == b"#":
        start = data.find(b"\n", start) + 1
        if start == 0:
            raise DataError(f"{path} ends inside its header; copy it again.")
    body = len(data) - start
    if body % 8:
        raise DataError(f"{path} ends inside an event ({body % 8} bytes too many); copy it again.")
    words = np.frombuffer(data, ">u4", offset=start).reshape(-1, 2)
    address, stamp = words[:, 0].astype(np.int64), words[:, 1].astype(np.int64)
    shape = _sensor(data[:start]) or _SENSORS["DVS128"]
    if shape == _SENSORS["DVS128"]:
        own = address & _SPECIAL_DVS128 == 0
        x, y = 127 - ((address >> 1) & 0x7F), 127 - ((address >> 8) & 0x7F)
        on = address & 1 == 0
    else:
        own = address >> 31 == 0
        x, y = shape[2] - 1 - ((address >> 12) & 0x3FF), shape[1] - 1 - ((address >> 22) & 0x1FF)
        on = (address >> 11) & 1 == 1
        own &= (address >> 10) & 1 == 0  # external triggers
    t = _unwrapped(stamp[own])
    return (t, x[own], y[own], on[own].astype(np.int64)), shape


def _unwrapped(stamp: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Times from the first event on; a step back by more than half of 32 bits is a wrap."""
    return np.asarray(unwrapped(stamp, 1 << 32) - stamp[:1].sum())


def _version_3(path: Path, data: bytes) -> tuple[Fields, Shape | None]:
    """Little-endian packets of a 28-byte header and events of one kind."""
    at = data.find(_END_OF_HEADER)
    if at < 0:
        raise DataError(f"{path} has no end of its header; it is cut off or no AEDAT 3.1 file.")
    shape = _sensor(data[:at])
    at += len(_END_OF_HEADER)
    words, times = [], []
    while at < len(data):
        if len(data) - at < _PACKET.itemsize:
            raise DataError(f"{path} ends inside a packet's header; copy it again.")
        packet = np.frombuffer(data, _PACKET, 1, at)[0]
        at += _PACKET.itemsize
        size, number = int(packet["size"]), int(packet["number"])
        if size < 1 or number < 0 or size * number > len(data) - at:
            raise DataError(f"{path} ends inside a packet at byte {at}; copy it again.")
        if packet["kind"] == _POLARITY_EVENTS:
            if size != 8:
                raise DataError(f"{path} has polarity events of {size} bytes, needed are 8.")
            pairs = np.frombuffer(data, "<u4", 2 * number, at).reshape(-1, 2).astype(np.int64)
            pairs = pairs[pairs[:, 0] & 1 == 1]  # the others were found invalid by the recorder
            words.append(pairs[:, 0])
            times.append(pairs[:, 1] + (int(packet["overflow"]) << 31))
        at += size * number
    word, t = (np.concatenate([np.zeros(0, np.int64), *parts]) for parts in (words, times))
    start = t[:1].sum()
    return (t - start, (word >> 17) & 0x7FFF, (word >> 2) & 0x7FFF, (word >> 1) & 1), shape
