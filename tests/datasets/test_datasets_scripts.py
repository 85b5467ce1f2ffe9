"""The scripts that make the shipped files and train networks, run small on made-up digits."""

import importlib
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from speck_adacal.ann.checkpoint import load_network, read_metadata
from speck_adacal.datasets.catalogue import ImageSet

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
MODULES = ("mnist_data", "train_common", "train_image_cnn", "train_nmnist_cnn", "make_demo_digits")


@pytest.fixture
def scripts(monkeypatch):
    """Import a script of the checkout by name."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for such small networks, more only wait for each other
    yield importlib.import_module
    torch.set_num_threads(threads)
    for name in MODULES:
        sys.modules.pop(name, None)


def blobs(count, seed):
    """Bright blobs whose place tells the class, uint8 `[count, 28, 28]`, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    images = np.zeros((count, 28, 28), dtype=np.uint8)
    for k, label in enumerate(labels):
        y, x = 4 + label // 5 * 10, 2 + label % 5 * 5
        images[k, y : y + 8, x : x + 4] = rng.integers(150, 256)
    return images, labels


@pytest.fixture
def folder(tmp_path):
    """MNIST's four files, with blobs for digits."""
    for prefix, count in (("train", 1300), ("t10k", 400)):
        images, labels = blobs(count, count)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            data = header + array.astype(np.uint8).tobytes()
            (tmp_path / f"{prefix}-{kind}-ubyte").write_bytes(data)
    return tmp_path


def test_demo_digits_are_balanced_and_reproducible(scripts, folder, monkeypatch, capsys):
    make = scripts("make_demo_digits")
    written = []
    for name in ("a.npz", "b.npz"):
        out = folder / name
        monkeypatch.setattr(sys, "argv", ["x", "--data", str(folder), "--out", str(out)])
        make.main()
        written.append(out.read_bytes())
    assert written[0] == written[1]
    with np.load(folder / "a.npz", allow_pickle=False) as file:
        assert np.bincount(file["labels"]).tolist() == [40] * 10
        np.testing.assert_array_equal(file["labels"], file["indices"] % 10)
        assert len(file["calibration_images"]) == 256
    assert "a.npz" in capsys.readouterr().out


@pytest.mark.slow
def test_nmnist_recipe_trains_on_simulated_events(scripts, folder, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    train = scripts("train_nmnist_cnn")
    out = folder / "net.safetensors"
    arguments = ["--data", str(folder), "--out", str(out), "--digits", "64", "--epochs", "2"]
    monkeypatch.setattr(sys, "argv", ["train_nmnist_cnn.py", *arguments, "--batch", "32"])
    train.main()
    first = load_network(out)
    assert read_metadata(out)["arch"] == "nmnist_cnn"
    assert "simulated events of 64" in out.with_suffix(".md").read_text()
    train.main()  # from the cache
    for key, value in load_network(out).state_dict().items():
        assert torch.equal(value, first.state_dict()[key])
    assert "epoch 2/2" in capsys.readouterr().out


def test_nmnist_recipe_trains_on_recordings_on_disk(scripts, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for split, count in (("Train", 32), ("Test", 10)):
        for k in range(count):
            rows = np.zeros((40, 5), dtype=np.uint8)
            rows[:, :2] = rng.integers(0, 4, (40, 2)) + 3 * (k % 10)
            rows[:, 3] = np.arange(40)
            path = tmp_path / "NMNIST" / split / str(k % 10) / f"{k:05d}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rows.tobytes())
    train = scripts("train_nmnist_cnn")
    out = tmp_path / "net.safetensors"
    arguments = ["--recorded", "--partial", "--folder", str(tmp_path), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["x", *arguments, "--epochs", "2", "--batch", "8"])
    train.main()
    assert read_metadata(out)["dataset"] == "32 recordings of N-MNIST"
    assert read_metadata(out)["test_accuracy"].endswith("of 10")
    assert "epoch 2/2" in capsys.readouterr().out


@pytest.mark.slow
def test_image_recipe_learns_and_is_reproducible(scripts, folder, monkeypatch, capsys):
    train = scripts("train_image_cnn")

    def load(name, split, _folder):
        images, labels = blobs(320 if split == "train" else 100, 1)
        return ImageSet(images[:, None], labels.astype(np.int64), tuple("0123456789"), name, split)

    monkeypatch.setattr(train, "fetch", lambda *_args: None)
    monkeypatch.setattr(train, "load_images", load)
    states = []
    for name in ("a", "b"):
        out = folder / f"{name}.safetensors"
        train.main(["mnist", "--out", str(out), "--epochs", "5", "--batch", "32"])
        states.append(load_network(out).state_dict())
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key])
    metadata = read_metadata(folder / "a.safetensors")
    assert float(metadata["test_accuracy"]) > 0.9
    assert float(metadata["test_accuracy_rate_coded_T8"]) > 0.9
    assert "14,924 weights" in (folder / "a.md").read_text()
    assert "loss" in capsys.readouterr().out


def test_moved_images_keep_their_content(scripts):
    common = scripts("train_common")
    images = torch.zeros(50, 2, 9, 9)
    images[:, :, 4, 4] = 1.0
    generator = torch.Generator().manual_seed(0)
    moved = common.shifted(images, 2, generator)
    assert moved.shape == images.shape
    assert moved.sum() == images.sum()
    places = {tuple(i.nonzero()[0].tolist()) for i in moved[:, 0]}
    assert len(places) > 10
    assert all(2 <= y <= 6 and 2 <= x <= 6 for y, x in places)
