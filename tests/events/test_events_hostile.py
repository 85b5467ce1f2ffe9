"""Recordings of every format with bytes changed, cut and added: events that keep the rules, or a
`DataError`, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from speck_adacal.errors import DataError, EventError
from speck_adacal.events.recordings import read_recording
from speck_adacal.events.sample_files import load_samples

FORMATS = ("npz", "bin", "dat", "evt2.raw", "evt3.raw", "aedat4")


def fields(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "t": np.sort(rng.integers(0, 60_000, n)),
        "x": rng.integers(0, 34, n),
        "y": rng.integers(0, 34, n),
        "p": rng.integers(0, 2, n),
    }


def write(path, name, v, write_aedat4):
    if name == "npz":
        np.savez(path, **v)
    elif name == "bin":
        t, rows = v["t"], np.zeros((len(v["t"]), 5), np.uint8)
        rows[:, 0], rows[:, 1] = v["x"], v["y"]
        rows[:, 2], rows[:, 3], rows[:, 4] = v["p"] << 7 | t >> 16, t >> 8 & 255, t & 255
        path.write_bytes(rows.tobytes())
    elif name == "dat":
        rows = np.empty((len(v["t"]), 2), dtype="<u4")
        rows[:, 0], rows[:, 1] = v["t"], v["x"] | v["y"] << 14 | v["p"] << 28
        path.write_bytes(b"% Width 34\n% Height 34\n\x00\x08" + rows.tobytes())
    elif name == "aedat4":
        write_aedat4(path, *(v[key] for key in "txyp"))
    else:
        from expelliarmus import Wizard

        dtype = [("t", np.int64), ("x", np.int16), ("y", np.int16), ("p", np.uint8)]
        events = np.zeros(len(v["t"]), dtype=dtype)
        for key in "txyp":
            events[key] = v[key]
        Wizard(encoding=name.split(".")[0]).save(path, events)


def read_or_refuse(path):
    try:
        events = read_recording(path)
    except DataError:
        return None
    assert np.all(np.diff(events.t_us) >= 0)
    for values, limit in zip((events.channel, events.y, events.x), events.shape, strict=True):
        assert values.min() >= 0
        assert values.max() < limit
    return events


@pytest.mark.parametrize("name", FORMATS)
def test_changed_cut_and_longer_files(tmp_path, name, write_aedat4):
    path = tmp_path / f"a.{name}"
    write(path, name, fields(), write_aedat4)
    sound = path.read_bytes()
    assert len(read_or_refuse(path)) == 300
    rng = np.random.default_rng(1)
    for _ in range(60):
        data = bytearray(sound)
        for place in rng.integers(0, len(data), rng.integers(1, 8)):
            data[place] = rng.integers(0, 256)
        cut = int(rng.integers(0, len(data))) if rng.random() < 0.3 else len(data)
        more = bytes(rng.integers(0, 256, rng.integers(0, 9), dtype=np.uint8))
        path.write_bytes(bytes(data[:cut]) + more)
        read_or_refuse(path)


@pytest.mark.parametrize("name", ["npz", "bin", "dat", "aedat4"])
@pytest.mark.parametrize("how", ["backwards", "beyond", "empty"])
def test_formats_that_can_say_something_impossible(tmp_path, name, how, write_aedat4):
    v = fields()
    if how == "backwards":
        v["t"] = v["t"][::-1].copy()
    elif how == "empty":
        v = {key: values[:0] for key, values in v.items()}
    path = tmp_path / f"a.{name}"
    write(path, name, v, write_aedat4)
    shape = (2, 20, 20) if how == "beyond" else None
    with pytest.raises(DataError, match=path.name):
        read_recording(path, shape)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"t": [5, 4, 3]}, "earlier"),
        ({"x": [0, 1, 34]}, "x = 34"),
        ({"offsets": [0, 9]}, "offsets"),
        ({"offsets": [0, 2, 1, 3]}, "offsets"),
        ({"offsets": [0]}, "offsets|no samples"),
        ({"labels": [1, 2]}, "labels"),
    ],
)
def test_files_of_many_recordings(tmp_path, change, what):
    sound = {
        "t": [1, 2, 3], "x": [0, 1, 2], "y": [0, 1, 2], "p": [0, 1, 0],
        "offsets": [0, 3], "labels": [4], "sensor_size": [34, 34, 2],
    }  # fmt: skip
    np.savez(tmp_path / "a.npz", **{k: np.array(v) for k, v in {**sound, **change}.items()})
    with pytest.raises((DataError, EventError), match=what):
        load_samples(tmp_path / "a.npz")
