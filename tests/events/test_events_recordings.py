"""Recording readers: files in their true formats, equal to other readers, and damaged ones."""

import struct

import numpy as np
import pytest

from speck_adacal.errors import DataError, SpeckAdacalError
from speck_adacal.events.recordings import read_recording

FIELDS = ("t_us", "x", "y", "channel")


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    n = 500
    return {
        "t": np.sort(rng.integers(0, 60_000, n)),
        "x": rng.integers(0, 34, n),
        "y": rng.integers(0, 34, n),
        "p": rng.integers(0, 2, n),
    }


def nmnist_bytes(v):
    """40-bit records, with the overflow records that times above 2^23 µs need."""
    rows, base = [], 0
    for t, x, y, p in zip(v["t"], v["x"], v["y"], v["p"], strict=True):
        while t - base >= 1 << 23:
            rows.append(bytes([0, 240, 0, 0, 0]))
            base += 1 << 13
        left = int(t - base)
        rows.append(bytes([x, y, p << 7 | left >> 16, left >> 8 & 255, left & 255]))
    return b"".join(rows)


def dat_bytes(
    v, header=b"% Data file containing CD events\n% Version 2\n% Width 34\n% Height 34\n"
):
    rows = np.empty((len(v["t"]), 2), dtype="<u4")
    rows[:, 0] = v["t"]
    rows[:, 1] = v["x"] | v["y"] << 14 | v["p"] << 28
    return header + b"\x00\x08" + rows.tobytes()


def raw_file(path, v, encoding):
    from expelliarmus import Wizard

    dtype = [("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.uint8)]
    events = np.zeros(len(v["t"]), dtype=dtype)
    for name in "txyp":
        events[name] = v[name]
    Wizard(encoding=encoding).save(path, events)


def assert_events(events, v, *, from_zero=False, shape=None):
    t = v["t"] - v["t"][0] if from_zero else v["t"]
    np.testing.assert_array_equal(events.t_us, t)
    np.testing.assert_array_equal(events.x, v["x"])
    np.testing.assert_array_equal(events.y, v["y"])
    np.testing.assert_array_equal(events.channel, v["p"])
    if shape:
        assert events.shape == shape


def test_nmnist_bin_as_tonic_reads_it(tmp_path, values):
    from tonic.io import read_mnist_file

    path = tmp_path / "00001.bin"
    path.write_bytes(nmnist_bytes(values))
    dtype = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    tonic = read_mnist_file(str(path), dtype)
    events = read_recording(path, (2, 34, 34))
    assert_events(events, {k: tonic[k] for k in "txyp"}, shape=(2, 34, 34))
    assert_events(events, values)


def test_nmnist_time_overflow(tmp_path, values):
    values["t"] = values["t"] + (1 << 23) - 30_000
    path = tmp_path / "a.bin"
    path.write_bytes(nmnist_bytes(values))
    assert_events(read_recording(path), values)


def test_dat_as_expelliarmus_reads_it(tmp_path, values):
    from expelliarmus import Wizard

    path = tmp_path / "obj_td.dat"
    path.write_bytes(dat_bytes(values))
    assert_events(read_recording(path), values, shape=(2, 34, 34))
    theirs = Wizard(encoding="dat").read(path)
    assert_events(read_recording(path), {k: theirs[k] for k in "txyp"})


@pytest.mark.parametrize("encoding", ["evt2", "evt3"])
def test_prophesee_raw(tmp_path, values, encoding):
    from expelliarmus import Wizard

    path = tmp_path / "a.raw"
    raw_file(path, values, encoding)
    assert_events(read_recording(path), values, from_zero=True)
    theirs = Wizard(encoding=encoding).read(path)
    assert_events(read_recording(path), {k: theirs[k] for k in "txyp"}, from_zero=True)


def evt3(words, header=b"% evt 3.0\n% end\n"):
    return header + np.array(words, dtype="<u2").tobytes()


def test_evt3_vectors_single_events_and_time(tmp_path):
    path = tmp_path / "a.raw"
    words = [
        0x2000 | 5,  # an event before any time: dropped
        0x8001,  # time high 1
        0x6010,  # time low 16
        0x0003,  # y = 3
        0x2800 | 7,  # ON at x = 7
        0x3000 | 20,  # vectors of OFF from x = 20
        0x4000 | 0b100000000001,  # x = 20 and 31
        0x5000 | 0b10000010,  # x = 33 and 39
        0x8002,  # time high 2, low 0
        0x0004,  # y = 4
        0x2000 | 1,  # OFF at x = 1
        0xE000,
        0x7000,  # others, continued: no events
    ]
    path.write_bytes(evt3(words))
    events = read_recording(path)
    assert events.t_us.tolist() == [0, 0, 0, 0, 0, 4096 - 16]
    assert events.x.tolist() == [7, 20, 31, 33, 39, 1]
    assert events.y.tolist() == [3, 3, 3, 3, 3, 4]
    assert events.channel.tolist() == [1, 0, 0, 0, 0, 0]


def camera_words(times):
    """EVT 3.0 as cameras write it: the high part whenever it changes, then the low part."""
    words, high = [], -1
    for k, t in enumerate(times):
        if t >> 12 != high:
            high = t >> 12
            words.append(0x8000 | high & 0xFFF)
        words += [0x6000 | t & 0xFFF, 0x0000 | k % 30, 0x2000 | k % 34]
    return words


@pytest.mark.parametrize("start", [0, 5000, (1 << 24) - 7000])
@pytest.mark.parametrize("step", [1, 700, 4095, 4096, 9001])
def test_times_of_a_camera_in_evt3(tmp_path, start, step):
    times = [start + step * k for k in range(300)]
    path = tmp_path / "a.raw"
    path.write_bytes(evt3(camera_words(times)))
    events = read_recording(path)
    np.testing.assert_array_equal(events.t_us, np.array(times) - start)
    np.testing.assert_array_equal(events.x, np.arange(300) % 34)


@pytest.mark.parametrize("kind", [0x7, 0xA, 0xE, 0xF])
def test_words_of_evt3_that_hold_no_event(tmp_path, kind):
    words = camera_words(range(0, 900, 3))
    path = tmp_path / "a.raw"
    path.write_bytes(evt3(words))
    expected = read_recording(path)
    path.write_bytes(evt3([w for word in words for w in (kind << 12 | 0x123, word)]))
    found = read_recording(path)
    assert_events(found, {k: getattr(expected, n) for k, n in zip("txyp", FIELDS, strict=True)})


@pytest.mark.parametrize("kind", [0xA, 0xE, 0xF])
def test_words_of_evt2_that_hold_no_event(tmp_path, kind):
    words = [8 << 28, kind << 28 | 5, 1 << 28 | 3 << 22 | 4 << 11 | 3]
    path = tmp_path / "a.raw"
    path.write_bytes(b"% evt 2.0\n% end\n" + np.array(words, dtype="<u4").tobytes())
    events = read_recording(path)
    assert (events.x.tolist(), events.y.tolist(), events.channel.tolist()) == ([4], [3], [1])


@pytest.mark.parametrize(("encoding", "idle"), [("evt 3.0", "<u2"), ("evt 2.0", "<u4")])
def test_an_event_that_begins_with_a_percent_sign_is_no_header(tmp_path, encoding, idle):
    if idle == "<u2":
        words = [0x8025, 0x6001, 0x0003, 0x2004]
    else:
        words = [8 << 28 | 0x25, 1 << 28 | 3 << 22 | 4 << 11 | 3]
    path = tmp_path / "a.raw"
    header = f"% {encoding}\n% end\n".encode()
    path.write_bytes(header + np.array(words, dtype=idle).tobytes())
    events = read_recording(path)
    assert (events.x.tolist(), events.y.tolist()) == ([4], [3])


@pytest.mark.parametrize(
    ("lines", "shape"),
    [
        ("% evt 3.0\n% format EVT3;height=720;width=1280\n% geometry 1280x720\n", (2, 720, 1280)),
        ("% evt 3.0\n% geometry 640x480\n", (2, 480, 640)),
        ("% format EVT3;height=320;width=320\n", (2, 320, 320)),
        ("% evt 3.0\n% Height 240\n% Width 304\n", (2, 240, 304)),
    ],
)
def test_the_sensors_size_is_the_headers(tmp_path, lines, shape):
    path = tmp_path / "a.raw"
    path.write_bytes(evt3(camera_words([0, 10]), lines.encode() + b"% end\n"))
    assert read_recording(path).shape == shape


@pytest.mark.parametrize("size", ["99999x480", "-1x5", "0x0", "ax5", "²x5", "5x"])
def test_a_header_of_an_impossible_size_is_damage(tmp_path, size):
    path = tmp_path / "a.raw"
    header = f"% evt 3.0\n% geometry {size}\n".encode()
    path.write_bytes(evt3(camera_words([0, 10]), header))
    with pytest.raises(DataError, match=r"gives the sensor the size"):
        read_recording(path)


@pytest.mark.parametrize("name", ["n.dat", "n.npz"])
def test_times_of_32_bits_go_on_where_they_wrap(tmp_path, name):
    t = (2**32 - 500 + np.arange(200) * 10) % 2**32
    v = {"t": t.astype(np.uint32), "x": np.arange(200) % 34, "y": np.arange(200) % 34}
    v["p"] = np.arange(200) % 2
    if name == "n.npz":
        np.savez(tmp_path / name, **v)
    else:
        (tmp_path / name).write_bytes(dat_bytes(v))
    events = read_recording(tmp_path / name)
    assert np.diff(events.t_us).tolist() == [10] * 199


def test_advice_for_a_clock_that_started_again_is_not_to_sort(tmp_path, values):
    values["t"] = np.concatenate([values["t"][:250] + (1 << 31), values["t"][250:]])
    np.savez(tmp_path / "a.npz", **values)
    with pytest.raises(DataError, match="counter started again") as caught:
        read_recording(tmp_path / "a.npz")
    assert "sort" not in str(caught.value)


def test_time_goes_on_where_its_counter_wraps(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(evt3([0x8FFF, 0x6FFF, 0x0000, 0x2001, 0x8000, 0x6001, 0x2002]))
    assert read_recording(path).t_us.tolist() == [0, 2]
    high = (1 << 28) - 1
    words = [8 << 28 | high, 63 << 22 | 1 << 11, 8 << 28, 1 << 28 | 2 << 11]
    path.write_bytes(b"% evt 2.0\n" + np.array(words, dtype="<u4").tobytes())
    events = read_recording(path)
    assert events.t_us.tolist() == [0, 1]
    assert events.channel.tolist() == [0, 1]


@pytest.mark.parametrize(
    "data",
    [evt3([0x8001, 0x6000, 0x9000]), b"% evt 2.0\n" + struct.pack("<II", 8 << 28, 7 << 28)],
)
def test_words_of_no_known_kind_are_damage(tmp_path, data):
    (tmp_path / "a.raw").write_bytes(data)
    with pytest.raises(DataError, match="of the unknown kind 0x"):
        read_recording(tmp_path / "a.raw")


def test_aedat4(tmp_path, values, write_aedat4):
    pytest.importorskip("aedat", reason="the optional package aedat is not installed")
    path = tmp_path / "a.aedat4"
    values["t"] = values["t"] + 1_600_000_000_000_000
    write_aedat4(path, *(values[k] for k in "txyp"), width=40, height=36)
    assert_events(read_recording(path), values, from_zero=True, shape=(2, 36, 40))


def test_damaged_aedat4(tmp_path, values, write_aedat4):
    pytest.importorskip("aedat", reason="the optional package aedat is not installed")
    path = tmp_path / "a.aedat4"
    write_aedat4(path, *(values[k] for k in "txyp"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(DataError, match=r"a\.aedat4 is damaged"):
        read_recording(path)
    write_aedat4(path, *(values[k] for k in "txyp"), kind="FRME")
    with pytest.raises(DataError, match="do not match"):
        read_recording(path)
    write_aedat4(path, [], [], [], [], kind="FRME")
    with pytest.raises(DataError, match="no stream of events"):
        read_recording(path)
    path.write_bytes(whole.replace(b"</attr>", "</ättr>".encode(), 1))
    with pytest.raises(DataError, match="damaged"):
        read_recording(path)
    write_aedat4(path, [], [], [], [])
    with pytest.raises(DataError, match="no events"):
        read_recording(path)


def test_aedat4_without_the_package_says_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "aedat", None)
    (tmp_path / "a.aedat4").write_bytes(b"#!AER-DAT4.0\r\n")
    with pytest.raises(DataError, match="pip install aedat"):
        read_recording(tmp_path / "a.aedat4")


def test_npz_with_and_without_sensor_size(tmp_path, values):
    np.savez(tmp_path / "a.npz", **values, sensor_size=[40, 36, 2])
    assert_events(read_recording(tmp_path / "a.npz"), values, shape=(2, 36, 40))
    np.savez(tmp_path / "b.npz", **values)
    largest = (2, values["y"].max() + 1, values["x"].max() + 1)
    assert_events(read_recording(tmp_path / "b.npz"), values, shape=largest)


@pytest.mark.parametrize("name", ["a.npz", "a.bin", "a.dat", "a.raw", "a.aedat4"])
@pytest.mark.parametrize("data", [b"", b"\0", b"this is something else altogether", b"\xff" * 37])
def test_what_is_no_recording(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read_recording(tmp_path / name)


def test_every_cut_inside_a_record_is_found(tmp_path, values):
    short = {k: v[:20] for k, v in values.items()}
    whole = {".bin": (nmnist_bytes(short), 5), ".dat": (dat_bytes(short), 8)}
    for suffix, (data, record) in whole.items():
        path = tmp_path / f"a{suffix}"
        for cut in range(1, record):
            path.write_bytes(data[:-cut])
            with pytest.raises(DataError, match="cut off"):
                read_recording(path)
        path.write_bytes(data[:-record])
        assert len(read_recording(path)) == 19


@pytest.mark.parametrize(("encoding", "cuts"), [("evt2", (1, 2, 3)), ("evt3", (1,))])
def test_cut_raw_files(tmp_path, values, encoding, cuts):
    path = tmp_path / "a.raw"
    raw_file(path, values, encoding)
    whole = path.read_bytes()
    for cut in cuts:
        path.write_bytes(whole[:-cut])
        with pytest.raises(DataError, match="inside a record"):
            read_recording(path)


def test_raw_without_events_or_encoding(tmp_path):
    (tmp_path / "a.raw").write_bytes(b"% evt 3.0\n")
    with pytest.raises(DataError, match="no events"):
        read_recording(tmp_path / "a.raw")
    (tmp_path / "a.raw").write_bytes(b"% something\n\0\0\0\0")
    with pytest.raises(DataError, match=r"EVT 2\.0 or 3\.0"):
        read_recording(tmp_path / "a.raw")


def test_backward_times_name_the_file_and_the_event(tmp_path, values):
    values["t"][100] = values["t"][99] - 1
    (tmp_path / "a.dat").write_bytes(dat_bytes(values))
    with pytest.raises(DataError, match=r"a\.dat: Event 100 is at .* earlier than event 99"):
        read_recording(tmp_path / "a.dat")


def test_addresses_off_the_sensor_are_found(tmp_path, values):
    values["x"][7] = 255
    (tmp_path / "a.bin").write_bytes(nmnist_bytes(values))
    with pytest.raises(DataError, match="Event 7 has x = 255"):
        read_recording(tmp_path / "a.bin", (2, 34, 34))


def test_only_overflow_records_are_no_events(tmp_path):
    (tmp_path / "a.bin").write_bytes(bytes([0, 240, 0, 0, 0]) * 3)
    with pytest.raises(DataError, match="no events"):
        read_recording(tmp_path / "a.bin")


def test_npz_of_the_wrong_content(tmp_path, values):
    np.savez(tmp_path / "a.npz", t=values["t"], x=values["x"])
    with pytest.raises(DataError, match="lacks the arrays p, y"):
        read_recording(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", **{**values, "t": values["t"] + 0.5})
    with pytest.raises(DataError, match=r"t_us = .* multiply seconds by 1,000,000"):
        read_recording(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", **{**values, "t": np.array([object()])})
    with pytest.raises(DataError, match="pickled objects"):
        read_recording(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", **values, offsets=[0, 3, 5])
    with pytest.raises(DataError, match="holds 2 recordings"):
        read_recording(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", **{**values, "x": values["x"][:-1]})
    with pytest.raises(DataError, match="same length"):
        read_recording(tmp_path / "a.npz")


def test_dat_with_other_record_sizes(tmp_path):
    header = b"% Version 2\n" + struct.pack("<BB", 0, 16)
    (tmp_path / "a.dat").write_bytes(header + bytes(16))
    with pytest.raises(DataError, match="not of 8 bytes"):
        read_recording(tmp_path / "a.dat")


def test_a_structured_array_as_event_libraries_save_it(tmp_path, values):
    array = np.zeros(500, dtype=[("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?")])
    for name in "txyp":
        array[name] = values[name]
    np.save(tmp_path / "a.npy", array)
    assert_events(read_recording(tmp_path / "a.npy"), values)
    np.save(tmp_path / "a.npy", array[["t", "x"]])
    with pytest.raises(DataError, match=r"fields t .* rename"):
        read_recording(tmp_path / "a.npy")


def test_unknown_ending_and_missing_file(tmp_path):
    with pytest.raises(DataError, match="unknown ending"):
        read_recording(tmp_path / "a.mp4")
    with pytest.raises(DataError, match="no recording"):
        read_recording(tmp_path / "a.npz")


def test_polarities_of_minus_one_are_told_how_to_become_channels(tmp_path):
    p = np.array([1, -1, 1, -1])
    np.savez(tmp_path / "a.npz", t=np.arange(4), x=np.zeros(4), y=np.zeros(4), p=p)
    with pytest.raises(SpeckAdacalError, match=r"channel = -1, .*by \(p > 0\)"):
        read_recording(tmp_path / "a.npz")
