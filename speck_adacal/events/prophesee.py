"""Prophesee's recordings: `.dat`, and `.raw` in the encodings EVT 2.0 and EVT 3.0.

All begin with header lines that start with `%`. The decoders follow the published descriptions of
the formats, and take words of a kind that these do not know for damage.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import DataError

Fields = tuple[npt.NDArray, npt.NDArray, npt.NDArray, npt.NDArray]  # t, x, y, polarity
Shape = tuple[int, int, int]
Ints = npt.NDArray[np.int64]

_EVT2_KINDS = (0x0, 0x1, 0x8, 0xA, 0xE, 0xF)
_EVT3_KINDS = (0x0, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x8, 0xA, 0xE, 0xF)
_EVT2_TIME_BITS, _EVT3_TIME_BITS = 28, 12


def read_dat(path: Path) -> tuple[Fields, Shape | None]:
    """`.dat`: after the header two bytes (type, size of a record), then records of 8 bytes.

    A record is 32 bits of time (µs), then 14 bits of x, 14 of y and the polarity.

    Raises:
        DataError: the records have another size, or the last one is cut off.
    """
    header, data = _parts(path)
    if len(data) < 2 or data[1] != 8:
        raise DataError(f"{path} is no Prophesee .dat file (its records are not of 8 bytes).")
    _check_whole(path, len(data) - 2, 8)
    record = np.frombuffer(data, dtype="<u4", offset=2).reshape(-1, 2).astype(np.int64)
    t, address = record[:, 0], record[:, 1]
    fields = (t, address & 0x3FFF, address >> 14 & 0x3FFF, address >> 28 & 1)
    return fields, _shape(header)


def read_raw(path: Path) -> tuple[Fields, Shape | None]:
    """`.raw`: EVT 2.0 or 3.0, as the header says. Times count from the first event.

    Raises:
        DataError: the header names neither encoding, a word is of no known kind, the last word
            is cut off, or there are no events.
    """
    header, data = _parts(path)
    text = " ".join(header).lower()
    if "evt 3" in text or "evt3" in text:
        _check_whole(path, len(data), 2)
        words = np.frombuffer(data, dtype="<u2").astype(np.int64)
        fields = _decode_evt3(path, words)
    elif "evt 2.0" in text or "evt2;" in text or text.endswith("evt2"):
        _check_whole(path, len(data), 4)
        fields = _decode_evt2(path, np.frombuffer(data, dtype="<u4").astype(np.int64))
    else:
        raise DataError(f"{path} does not say EVT 2.0 or 3.0 in its header; convert it first.")
    if len(fields[0]) == 0:
        raise DataError(f"{path} holds no events; record it again.")
    return (fields[0] - fields[0][0], *fields[1:]), _shape(header)


def _decode_evt2(path: Path, words: Ints) -> Fields:
    """32-bit words: 4 bits of kind; an event has 6 bits of time, 11 of x and 11 of y."""
    kind = words >> 28
    _check_kinds(path, kind, _EVT2_KINDS)
    high = _unwrapped(words & 0xFFFFFFF, kind == 0x8, _EVT2_TIME_BITS)
    event = (kind <= 0x1) & (high >= 0)  # what comes before the first time has none
    chosen = words[event]
    t = high[event] << 6 | chosen >> 22 & 0x3F
    return t, chosen >> 11 & 0x7FF, chosen & 0x7FF, kind[event]


def _decode_evt3(path: Path, words: Ints) -> Fields:
    """16-bit words that each change one thing: y, x, a base for vectors, 12 bits of time."""
    kind = words >> 12
    _check_kinds(path, kind, _EVT3_KINDS)
    value = words & 0x7FF
    y = _held(value, kind == 0x0)
    time_high = _unwrapped(words & 0xFFF, kind == 0x8, _EVT3_TIME_BITS)
    t = _evt3_times(words, kind, time_high)
    known = (time_high >= 0) & (y >= 0)

    single = np.flatnonzero((kind == 0x2) & known)
    width = np.where(kind == 0x4, 12, np.where(kind == 0x5, 8, 0))
    moved = np.cumsum(width) - width  # columns that all vectors before this one have covered
    base = kind == 0x3
    start = _held(value - moved, base, least=None) + moved
    base_on = _held(words >> 11 & 1, base)
    vector = np.flatnonzero((width > 0) & known & (base_on >= 0))
    bits = (words[vector, None] >> np.arange(12) & 1).astype(bool)
    bits &= np.arange(12) < width[vector, None]
    row, column = np.nonzero(bits)

    source = np.concatenate([single, vector[row]])
    x = np.concatenate([value[single], start[vector][row] + column])
    on = np.concatenate([words[single] >> 11 & 1, base_on[vector][row]])
    order = np.argsort(source, kind="stable")  # as they stand in the file
    return t[source][order], x[order], y[source][order], on[order]


def _evt3_times(words: Ints, kind: Ints, time_high: Ints) -> Ints:
    """The time at each word.

    A new high part begins at a low part of 0. Some writers leave out the high part and let the
    low part wrap around instead; each such wrap counts until the next high part.
    """
    new_high = np.diff(time_high, prepend=-1) != 0
    is_low = kind == 0x6
    low = np.where(is_low, words & 0xFFF, 0)
    at = np.flatnonzero(is_low)
    same_high = np.diff(np.cumsum(new_high)[at]) == 0
    back = np.diff(low[at]) < -(1 << _EVT3_TIME_BITS - 1)
    wrapped = np.zeros_like(words)
    wrapped[at[1:]] = same_high & back
    wraps = np.cumsum(wrapped)
    wraps -= np.maximum(_held(wraps, new_high), 0)
    return (time_high + wraps << 12) + np.maximum(_held(low, is_low | new_high), 0)


def _held(values: Ints, sets: npt.NDArray[np.bool_], least: int | None = -1) -> Ints:
    """At each word, the value at the last word that set it; `least` (or 0) before the first."""
    last = np.maximum.accumulate(np.where(sets, np.arange(len(values)), -1))
    found = values[np.maximum(last, 0)] if len(values) else values
    return np.where(last >= 0, found, 0 if least is None else least)


def _unwrapped(values: Ints, sets: npt.NDArray[np.bool_], bits: int) -> Ints:
    """The high part of the time at each word, counted on where it wraps around."""
    own = values[sets]
    wraps = np.concatenate([[0], np.cumsum(np.diff(own) < -(1 << bits - 1))])[: len(own)]
    whole = np.zeros_like(values)
    whole[sets] = own + (wraps << bits)
    return _held(whole, sets)


def _check_kinds(path: Path, kind: Ints, known: tuple[int, ...]) -> None:
    wrong = np.flatnonzero(~np.isin(kind, known))
    if len(wrong):
        raise DataError(
            f"{path} is damaged: word {wrong[0]} is of the unknown kind {kind[wrong[0]]:#x}; "
            "copy it again."
        )


def _check_whole(path: Path, count: int, record: int) -> None:
    if count % record:
        raise DataError(f"{path} ends inside a record; it is cut off, copy it again.")


def _parts(path: Path) -> tuple[list[str], bytes]:
    """The header's lines and the data after them."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}).") from error
    lines, start = [], 0
    while data[start : start + 1] == b"%":
        end = data.find(b"\n", start)
        if end < 0:
            break
        lines.append(data[start:end].decode("latin-1").strip("% \r"))
        start = end + 1
        if lines[-1].lower() == "end":
            break
    return lines, data[start:]


def _shape(lines: list[str]) -> Shape | None:
    words: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(" ")
        words[key.lower()] = value.strip()
    if words.get("height", "").isdigit() and words.get("width", "").isdigit():
        return (2, int(words["height"]), int(words["width"]))
    return None
