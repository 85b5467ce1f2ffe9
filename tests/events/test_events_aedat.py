"""AEDAT 2.0 and 3.1: events come back as written, and damage is named."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speck_adacal.errors import DataError
from speck_adacal.events.recordings import read_recording

HEADER_2 = b"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# AEChip: DVS128\r\n"
HEADER_3 = b"#!AER-DAT3.1\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n"
ROWS = [(1_000_000, 3, 5, 1), (1_000_007, 127, 0, 0), (1_000_007, 0, 127, 1)]  # t, x, y, p


def version_2(rows, header=HEADER_2, special=()):
    words = [
        struct.pack(">II", ((127 - y) << 8) | ((127 - x) << 1) | (0 if p else 1), t & 0xFFFFFFFF)
        for t, x, y, p in rows
    ]
    return header + b"".join([*special, *words])


def version_3(rows, header=HEADER_3, kind=1, size=8, extra=0):
    events = b"".join(
        struct.pack("<II", (x << 17) | (y << 2) | (p << 1) | 1, t & 0x7FFFFFFF)
        for t, x, y, p in rows
    )
    overflow = rows[0][0] >> 31 if rows else 0
    packet = struct.pack("<hhiiiiii", kind, 1, size, 4, overflow, len(rows), len(rows) + extra, 0)
    return header + packet + events


def read(tmp_path, data):
    path = tmp_path / "recording.aedat"
    path.write_bytes(data)
    return read_recording(path)


def rows_of(events):
    columns = (events.t_us, events.x, events.y, events.channel)
    return list(zip(*(c.tolist() for c in columns), strict=True))


@pytest.mark.parametrize("write", [version_2, version_3])
def test_events_come_back_from_the_first_one_on(tmp_path, write):
    events = read(tmp_path, write(ROWS))
    assert events.shape == (2, 128, 128)
    assert rows_of(events) == [(t - ROWS[0][0], x, y, p) for t, x, y, p in ROWS]


def test_special_events_of_jaer_and_other_packets_are_left_out(tmp_path):
    special = struct.pack(">II", 0x8000, 999_999)
    assert len(read(tmp_path, version_2(ROWS, special=[special]))) == 3
    frames = version_3([(0, 1, 1, 1)], kind=2)[len(HEADER_3) :]
    assert len(read(tmp_path, version_3(ROWS) + frames)) == 3


def test_times_go_on_where_the_counter_wraps(tmp_path):
    late = [((1 << 32) - 5, 1, 1, 1), ((1 << 32) + 5, 2, 2, 0)]
    assert read(tmp_path, version_2(late)).t_us.tolist() == [0, 10]
    two = (
        version_3([((1 << 31) - 5, 1, 1, 1)])
        + version_3([((1 << 31) + 5, 2, 2, 0)])[len(HEADER_3) :]
    )
    assert read(tmp_path, two).t_us.tolist() == [0, 10]


def test_davis_addresses(tmp_path):
    header = HEADER_2.replace(b"DVS128", b"eu.seebetter.ini.chips.davis.DAVIS240C")
    address = ((179 - 9) << 22) | ((239 - 200) << 12) | (1 << 11)
    events = read(tmp_path, header + struct.pack(">II", address, 5))
    assert events.shape == (2, 180, 240)
    assert rows_of(events) == [(0, 200, 9, 1)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"#!AER-DAT1.0\r\n", "version 1.0, known are 2.0 and 3.1"),
        (b"nothing", "version none"),
        (HEADER_2[:-2], "ends inside its header"),
        (version_2(ROWS)[:-3], "ends inside an event"),
        (HEADER_2, "holds no events"),
        (HEADER_3[:-4], "no end of its header"),
        (HEADER_3 + b"1234", "inside a packet's header"),
        (version_3(ROWS)[:-1], "ends inside a packet"),
        (version_3(ROWS, extra=1 << 30), "ends inside a packet"),
        (version_3(ROWS, size=4), "of 4 bytes"),
        (version_3(ROWS, size=0), "ends inside a packet"),
        (HEADER_3, "holds no events"),
        (version_2([ROWS[1], ROWS[0]]), "event"),
    ],
)
def test_damage_is_named(tmp_path, data, message):
    with pytest.raises(DataError, match=message.replace(".", r"\.")):
        read(tmp_path, data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([HEADER_2, HEADER_3, b""]))
def test_any_bytes_are_events_or_a_data_error(tmp_path_factory, data, header):
    path = tmp_path_factory.getbasetemp() / "any.aedat"
    path.write_bytes(header + data)
    try:
        events = read_recording(path)
    except DataError as error:
        events = None
        said = str(error)
    assert str(path) in said if events is None else np.all(np.diff(events.t_us) >= 0)
