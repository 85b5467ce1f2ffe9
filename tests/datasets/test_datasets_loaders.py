"""Loaders: every set's true format, made small, through Tonic's classes.

The recordings here are made by the tests; only N-MNIST and the image sets were tried on real data.
"""

import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from speck_adacal.datasets import catalogue as module
from speck_adacal.datasets.catalogue import load_images, open_recordings, open_tonic, verify
from speck_adacal.datasets.cifar import read_cifar_bin, write_cifar_batches
from speck_adacal.datasets.fetch import Verification
from speck_adacal.datasets.tonic_bridge import TonicRecordings
from speck_adacal.errors import DataError

SETS = [
    ("nmnist", "train", [0, 3], (2, 34, 34)),
    ("dvsgesture", "test", [10, 2], (2, 128, 128)),
    ("pokerdvs", "train", [1, 3], (2, 35, 35)),
    ("ncaltech101", "all", [0, 1], None),
    ("ncars", "test", [0, 1], None),
]


def same_events(events, v):
    np.testing.assert_array_equal(events.t_us, v["t"])
    np.testing.assert_array_equal(events.x, v["x"])
    np.testing.assert_array_equal(events.y, v["y"])
    np.testing.assert_array_equal(events.channel, v["p"])


def moved_to_origin(v):
    """As Tonic moves N-Caltech101."""
    return {**v, "x": v["x"] - v["x"].min(), "y": v["y"] - v["y"].min()}


@pytest.mark.parametrize(("name", "split", "labels", "shape"), SETS)
def test_recordings_in_their_true_format(sets, name, split, labels, shape):
    folder, made = sets
    opened = open_recordings(name, split, folder, complete=False)
    assert opened.labels.tolist() == labels
    assert len(opened) == 2
    for path, (events, label), expected in zip(opened.paths, opened, labels, strict=True):
        v = made[path.relative_to(folder).as_posix()]
        same_events(events, moved_to_origin(v) if name == "ncaltech101" else v)
        assert label == expected
        if shape:
            assert events.shape == shape
    assert len(opened[1:]) == 1
    assert opened[1:][0][1] == labels[1]
    assert opened[1:].paths == opened.paths[1:]


@pytest.mark.parametrize(("name", "split", "labels", "shape"), SETS)
def test_a_tonic_user_finds_transforms_and_caching_as_he_knows_them(
    sets, tmp_path, name, split, labels, shape
):
    import tonic

    folder, _ = sets

    def count(events):
        return np.array([len(events)])

    opened = open_tonic(
        name, split, folder, complete=False, transform=count, target_transform=lambda t: ("t", t)
    )
    assert isinstance(opened, tonic.dataset.Dataset)
    if name != "ncars":  # which Tonic does not have
        assert isinstance(opened, getattr(tonic.datasets, type(opened).__name__))
    counts, target = opened[1]
    assert counts.tolist() == [60]
    assert target == ("t", "wrench" if name == "ncaltech101" else labels[1])
    both = open_tonic(name, split, folder, complete=False, transforms=lambda e, t: (len(e), t))
    assert both[0][0] == 60
    plain = open_tonic(name, split, folder, complete=False)
    assert set(plain[0][0].dtype.names) == {"t", "x", "y", "p"}
    cached = tonic.DiskCachedDataset(plain, cache_path=str(tmp_path / "cache"))
    for _ in range(2):
        values, _ = cached[1]
        np.testing.assert_array_equal(values["t"], plain[1][0]["t"])


@pytest.mark.parametrize(("name", "split", "labels", "shape"), SETS[:3])
def test_the_same_as_tonics_own_objects(sets, monkeypatch, name, split, labels, shape):
    import tonic

    folder, _ = sets
    ours = open_tonic(name, split, folder, complete=False)
    base = getattr(tonic.datasets, type(ours).__name__)
    monkeypatch.setattr(base, "_check_exists", lambda self: True)
    theirs = base(save_to=str(folder), train=split == "train")
    key = lambda pair: (pair[1], pair[0]["t"].tolist())  # noqa: E731
    for (one, label), (other, target) in zip(
        sorted(ours, key=key), sorted(theirs, key=key), strict=True
    ):
        assert label == target
        np.testing.assert_array_equal(one, other)


def test_the_order_is_the_paths_whatever_the_file_system_says(sets, monkeypatch):
    import os

    folder, _ = sets
    walk = os.walk
    before = open_recordings("dvsgesture", "test", folder, complete=False).paths

    def backwards(top):
        for path, folders, files in walk(top):
            folders.reverse()
            yield path, folders, files[::-1]

    monkeypatch.setattr(os, "walk", backwards)
    assert open_recordings("dvsgesture", "test", folder, complete=False).paths == before


def test_class_names(sets):
    folder, _ = sets
    assert open_recordings("ncaltech101", "all", folder, complete=False).classes == (
        "ant",
        "wrench",
    )
    assert open_recordings("ncars", "test", folder, complete=False).classes == (
        "background",
        "cars",
    )


def test_an_incomplete_set_is_refused_and_verify_says_so(sets):
    folder, _ = sets
    with pytest.raises(DataError, match="speck-adacal datasets fetch nmnist"):
        open_recordings("nmnist", "train", folder)
    found = verify("nmnist", folder)
    assert not found.complete
    assert found.found == 2
    assert any("matches 2 recordings, the split train has 60000" in p for p in found.problems)
    assert any("no recordings in" in p for p in found.problems)


def test_a_damaged_recording_is_named_when_read(sets):
    folder, _ = sets
    path = folder / "NMNIST/Train/0/00002.bin"
    path.write_bytes(path.read_bytes()[:-2])
    opened = open_recordings("nmnist", "train", folder, complete=False)
    with pytest.raises(DataError, match=r"00002\.bin .* cut off"):
        opened[0]
    assert any("00002.bin" in p for p in verify("nmnist", folder).problems)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((4, 3), int), "rows need 4 numbers"),
        (np.zeros(4, int), "rows need 4 numbers"),
        (np.zeros((0, 4), int), "no events"),
        (np.array([[1.0, np.nan, 0, 0]]), "y = nan"),
        (np.array([[1, 2, 0, 5], [1, 2, 0, 4]]), "earlier than event 0"),
        (np.array([[128, 2, 0, 5]]), "x = 128"),
        (np.array([[1, 2, 2, 5]]), "channel = 2"),
        (np.array([[1, 2, 0, -5]]), "negative time"),
        (np.array([["a", "b", "c", "d"]]), "rows need 4 numbers"),
    ],
)
def test_damaged_gesture_files(sets, content, message):
    folder, _ = sets
    path = folder / "DVSGesture/ibmGestureTest/user24_led/10.npy"
    np.save(path, content)
    with pytest.raises(DataError, match=message):
        open_recordings("dvsgesture", "test", folder, complete=False)[0]


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY\x01\x00", b"\x80\x04pickle"])
def test_gesture_files_that_are_no_arrays(sets, data):
    folder, _ = sets
    (folder / "DVSGesture/ibmGestureTest/user24_led/10.npy").write_bytes(data)
    with pytest.raises(DataError, match=r"10\.npy .*(cannot be read|no whole|has shape)"):
        open_recordings("dvsgesture", "test", folder, complete=False)[0]


def test_recordings_in_folders_that_are_no_class(sets):
    folder, _ = sets
    (folder / "NMNIST/Train/12").mkdir()
    (folder / "NMNIST/Train/3/00008.bin").rename(folder / "NMNIST/Train/12/00008.bin")
    with pytest.raises(DataError, match="belongs to no class"):
        open_recordings("nmnist", "train", folder, complete=False)


def test_wrong_kind_split_and_folder(tmp_path):
    with pytest.raises(DataError, match="is one of images"):
        open_recordings("mnist", "test", tmp_path)
    with pytest.raises(DataError, match="is one of events"):
        load_images("nmnist", "test", tmp_path)
    with pytest.raises(DataError, match="no split 'validation'; it has train, test"):
        load_images("mnist", "validation", tmp_path)
    with pytest.raises(DataError, match="no recordings"):
        open_recordings("nmnist", "test", tmp_path, complete=False)
    with pytest.raises(DataError, match="fetch mnist"):
        load_images("mnist", "test", tmp_path)


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def all_verified(monkeypatch):
    """Tiny image sets cannot have the real ones' checksums; everything else is as in use."""

    def complete(card, folder=None):
        return Verification(card.name, folder, True, 4, ())

    monkeypatch.setattr(module, "verify_dataset", complete)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_sets(tmp_path, all_verified, name):
    place = tmp_path / name
    place.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28))
    (place / "t10k-images-idx3-ubyte").write_bytes(idx(images))
    (place / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(5)))
    found = load_images(name, "test", tmp_path)
    np.testing.assert_array_equal(found.images[:, 0], images)
    assert found.labels.tolist() == [0, 1, 2, 3, 4]
    assert len(found) == 5
    assert len(found.classes) == 10
    assert found.intensities().max() == images.max() / np.float32(255)
    (place / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(4)))
    with pytest.raises(DataError, match="5 images but 4 labels"):
        load_images(name, "test", tmp_path)


def test_cifar_batches(tmp_path, all_verified):
    place = tmp_path / "cifar10"
    place.mkdir()
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (6, 3, 32, 32)), np.array([6, 9, 9, 4, 1, 1])
    for k in range(5):
        rows = np.concatenate([labels[:, None], images.reshape(6, -1)], axis=1)
        (place / f"data_batch_{k + 1}.bin").write_bytes(rows.astype(np.uint8).tobytes())
    found = load_images("cifar10", "train", tmp_path)
    assert found.images.shape == (30, 3, 32, 32)
    np.testing.assert_array_equal(found.images[6:12], images)
    np.testing.assert_array_equal(found.labels[6:12], labels)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "cut off"), (bytes(3072), "cut off"), (b"\x0a" + bytes(3072), "label 10")],
)
def test_damaged_cifar_batches(tmp_path, data, message):
    (tmp_path / "b.bin").write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_cifar_bin(tmp_path / "b.bin")
    with pytest.raises(DataError, match="cannot be read"):
        read_cifar_bin(tmp_path / "absent.bin")


@pytest.fixture
def cifar_mirror(tmp_path):
    """The mirror's layout: one row of pixels per picture, much smaller sets."""
    rng = np.random.default_rng(0)
    train = rng.integers(0, 10, 50)
    test = rng.integers(0, 10, 6)
    (tmp_path / "train_lables.json").write_text(str(train.tolist()))
    (tmp_path / "test_lables.json").write_text(str(test.tolist()))
    rows = rng.integers(0, 256, (6, 1024, 3), dtype=np.uint8)
    for name, count in [(f"data_batch_{k}", 10) for k in range(1, 6)] + [("test_batch", 6)]:
        picture = np.zeros((count, 1024, 3), dtype=np.uint8)
        picture[:6] = rows
        Image.fromarray(picture).save(tmp_path / f"{name}.png", compress_level=1)
    return tmp_path, rows, train, test


def test_cifar_from_the_mirrors_pictures(cifar_mirror):
    folder, rows, train, test = cifar_mirror
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # also about the size of the pictures
        write_cifar_batches(folder)
    images, labels = read_cifar_bin(folder / "data_batch_2.bin")
    np.testing.assert_array_equal(labels, train[10:20])
    np.testing.assert_array_equal(images[0, 1].ravel(), rows[0, :, 1])
    images, labels = read_cifar_bin(folder / "test_batch.bin")
    np.testing.assert_array_equal(labels, test)
    np.testing.assert_array_equal(images[5].transpose(1, 2, 0).reshape(1024, 3), rows[5])
    (folder / "test_batch.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(DataError, match="missing or damaged"):
        write_cifar_batches(folder)
    (folder / "test_lables.json").write_text("[1, 2, 11]")
    with pytest.raises(DataError, match="numbers from 0 to 9"):
        write_cifar_batches(folder)


class FakeTonic:
    """The shape of any Tonic data set."""

    sensor_size = (8, 6, 2)

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def structured(rows):
    dtype = [("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)]
    return np.array(rows, dtype=dtype)


def test_any_tonic_set_becomes_events():
    found = TonicRecordings(FakeTonic([(structured([(1, 2, 3, True), (7, 5, 9, False)]), "cat")]))
    events, target = found[0]
    assert target == "cat"
    assert events.shape == (2, 6, 8)
    assert events.channel.tolist() == [1, 0]


def test_bad_items_of_a_tonic_set_are_named():
    bad = TonicRecordings(FakeTonic([(structured([(8, 2, 3, True)]), 0), (np.zeros(3), 1)]))
    with pytest.raises(DataError, match="item 0 of FakeTonic: Event 0 has x = 8"):
        bad[0]
    with pytest.raises(DataError, match="without transforms"):
        bad[1]


def test_a_set_that_is_not_there_is_not_downloaded(tmp_path):
    with pytest.raises(DataError, match="datasets fetch nmnist"):
        open_tonic("nmnist", "train", tmp_path)
    with pytest.raises(DataError, match="There are no recordings in"):
        open_tonic("nmnist", "train", tmp_path, complete=False)
    with pytest.raises(DataError, match="no split 'all'"):
        open_tonic("nmnist", "all", tmp_path)


@pytest.mark.parametrize(
    ("name", "split", "stray"),
    [
        ("dvsgesture", "test", "DVSGesture/ibmGestureTest/user24_led/eleven.npy"),
        ("dvsgesture", "test", "DVSGesture/ibmGestureTest/stray/1.npy"),
        ("dvsgesture", "test", "DVSGesture/ibmGestureTest/user24_led/11.npy"),
        ("nmnist", "train", "NMNIST/Train/x/1.bin"),
        ("nmnist", "train", "NMNIST/Train/13/1.bin"),
        ("pokerdvs", "train", "POKERDVS/pips_train/xx/1.npy"),
        ("pokerdvs", "train", "POKERDVS/pips_train/ashe/1.npy"),
        ("ncars", "test", "NCARS/n-cars_test/trucks/a.dat"),
    ],
)
def test_what_is_no_part_of_a_set_is_named(sets, name, split, stray):
    folder, made = sets
    path = folder / stray
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = next(folder / p for p in made if p.split("/")[0] == stray.split("/")[0])
    path.write_bytes(sound.read_bytes())
    with pytest.raises(DataError, match=r"no part of the set|belongs to no class"):
        open_tonic(name, split, folder, complete=False)


def test_real_recordings_in_the_files_of_their_set(tmp_path, shared_data):
    with np.load(shared_data / "nmnist_train1000.npz", allow_pickle=False) as file:
        x, y, p, t, offsets = (file[k].astype(np.int64) for k in ("x", "y", "p", "t", "offsets"))
        labels, ids = file["labels"], file["ids"]
    count = 60
    for k in range(count):
        s = slice(offsets[k], offsets[k + 1])
        columns = [x[s], y[s], p[s] << 7 | t[s] >> 16, t[s] >> 8 & 255, t[s] & 255]
        target = tmp_path / "NMNIST" / "Train" / str(labels[k]) / f"{int(ids[k]):05d}.bin"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(np.stack(columns, axis=1).astype(np.uint8).tobytes())
    opened = open_recordings("nmnist", "train", tmp_path, complete=False)
    assert sorted(opened.labels) == sorted(labels[:count])
    by_name = {path.stem: k for k, path in enumerate(opened.paths)}
    for k in range(count):
        s = slice(offsets[k], offsets[k + 1])
        events, label = opened[by_name[f"{int(ids[k]):05d}"]]
        assert label == labels[k]
        same_events(events, {"t": t[s], "x": x[s], "y": y[s], "p": p[s]})


def test_cifar10dvs_in_its_true_format(tmp_path, write_aedat4):
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 50_000, 60)) + 1_600_000_000_000_000
    v = {"t": t, **{n: rng.integers(0, top, 60) for n, top in (("x", 128), ("y", 128), ("p", 2))}}
    path = tmp_path / "CIFAR10DVS" / "truck" / "cifar10_truck_1.aedat4"
    path.parent.mkdir(parents=True)
    write_aedat4(path, *(v[name] for name in "txyp"))
    opened = open_recordings("cifar10dvs", "all", tmp_path, complete=False)
    events, label = opened[0]
    assert label == 9
    same_events(events, {**v, "t": t - t[0]})
    values, target = open_tonic("cifar10dvs", "all", tmp_path, complete=False)[0]
    assert target == 9
    np.testing.assert_array_equal(values["t"], t)


def test_cifar10dvs_is_listed_by_its_folders(tmp_path):
    for name in ("truck/a.aedat4", "airplane/b.aedat4"):
        (tmp_path / "CIFAR10DVS" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "CIFAR10DVS" / name).write_bytes(b"not AEDAT")
    opened = open_recordings("cifar10dvs", "all", tmp_path, complete=False)
    assert opened.labels.tolist() == [0, 9]
    with pytest.raises(DataError, match=r"b\.aedat4 is no AEDAT 4 file"):
        opened[0]
