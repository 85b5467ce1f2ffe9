"""The cache: keyed by content and settings, whole entries, damage is repaired."""

import errno

import numpy as np
import pytest

from speck_adacal.errors import DataError
from speck_adacal.events import cache as module
from speck_adacal.events.cache import cached_arrays, content_key
from speck_adacal.events.camera import CameraSettings


class Counter:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"frames": np.arange(6).reshape(2, 3), "labels": np.array([1, 2])}


def test_made_once_and_the_same_afterwards(tmp_path):
    make = Counter()
    for _ in range(3):
        found = cached_arrays("a", content_key(1), make, folder=tmp_path)
        np.testing.assert_array_equal(found["frames"], np.arange(6).reshape(2, 3))
        np.testing.assert_array_equal(found["labels"], [1, 2])
    assert make.calls == 1
    assert [p.name.startswith("a-") for p in tmp_path.iterdir()] == [True]
    with pytest.raises(ValueError, match="read-only"):
        found["frames"][0, 0] = 1


def test_key_tells_content_type_shape_and_settings_apart():
    values = np.arange(6, dtype=np.int32)
    keys = [
        content_key(values),
        content_key(values + 1),
        content_key(values.astype(np.int64)),
        content_key(values.reshape(2, 3)),
        content_key(values, 1),
        content_key(values, "1"),
        content_key(CameraSettings()),
        content_key(CameraSettings(noise_hz=1.0)),
        content_key(b"ab", b"c"),
        content_key(b"a", b"bc"),
    ]
    assert len(set(keys)) == len(keys)
    assert content_key(values) == content_key(values[::-1][::-1])


def test_key_refuses_what_has_no_value():
    with pytest.raises(DataError, match="give its settings"):
        content_key(object())


@pytest.mark.parametrize("damage", ["cut", "gone", "empty entry", "other key", "garbage"])
def test_damaged_entries_are_made_again(tmp_path, damage):
    make, key = Counter(), content_key(1)
    cached_arrays("a", key, make, folder=tmp_path)
    place = next(tmp_path.iterdir())
    array, entry = place / "frames.npy", place / "entry.txt"
    if damage == "cut":
        array.write_bytes(array.read_bytes()[:-1])
    elif damage == "gone":
        array.unlink()
    elif damage == "empty entry":
        entry.write_text("")
    elif damage == "other key":
        entry.write_text("0" * 64 + "\n")
    else:
        array.write_bytes(b"x" * array.stat().st_size)
    found = cached_arrays("a", key, make, folder=tmp_path)
    assert make.calls == 2
    assert found["frames"].sum() == 15


def test_a_failed_making_leaves_nothing(tmp_path):
    def fail():
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        cached_arrays("a", content_key(1), fail, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.np, "save", full)
    with pytest.raises(DataError, match="No space left"):
        cached_arrays("a", content_key(1), Counter(), folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_objects_cannot_be_cached(tmp_path):
    with pytest.raises(DataError, match="cannot be cached"):
        cached_arrays("a", content_key(1), lambda: {"a": np.array([{}])}, folder=tmp_path)


def test_an_entry_made_meanwhile_by_another_process_is_used(tmp_path):
    key = content_key(1)

    def slow():
        cached_arrays("a", key, Counter(), folder=tmp_path)  # the other process
        return Counter()()

    assert cached_arrays("a", key, slow, folder=tmp_path)["frames"].sum() == 15
    assert len(list(tmp_path.iterdir())) == 1
