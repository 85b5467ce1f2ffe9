"""The shipped digits and network: balanced, real, disjoint, and the network knows them."""

import numpy as np
import pytest
import torch

from speck_adacal.ann.checkpoint import load_network, read_metadata
from speck_adacal.datasets import demo
from speck_adacal.errors import DataError
from speck_adacal.events.encode import rate_code_frames


def test_digits_are_balanced_and_in_range():
    digits = demo.load_demo_digits()
    assert digits.images.shape == (400, 1, 28, 28)
    assert digits.calibration_images.shape == (256, 1, 28, 28)
    assert digits.images.dtype == digits.calibration_images.dtype == np.float32
    assert np.bincount(digits.labels).tolist() == [40] * 10
    assert np.bincount(digits.calibration_labels).min() == 25
    assert digits.images.min() == 0
    assert digits.images.max() == 1


def test_indices_are_distinct_and_within_the_sets():
    with np.load(demo.resource_path("datasets", "mnist_digits.npz"), allow_pickle=False) as file:
        test, calibration = file["indices"], file["calibration_indices"]
    assert len(set(test.tolist())) == 400
    assert len(set(calibration.tolist())) == 256
    assert test.max() < 10_000
    assert calibration.max() < 60_000


def test_network_recognises_the_digits_plain_and_rate_coded():
    digits = demo.load_demo_digits()
    network = load_network(demo.demo_checkpoint_path())
    with torch.no_grad():
        plain = network(torch.from_numpy(digits.images)).argmax(1).numpy()
        coded = network(torch.from_numpy(rate_code_frames(digits.images, 8).mean(1))).argmax(1)
    assert np.mean(plain == digits.labels) >= 0.985
    assert np.mean(coded.numpy() == digits.labels) >= 0.98


def test_checkpoint_says_how_it_was_made():
    metadata = read_metadata(demo.demo_checkpoint_path())
    assert metadata["arch"] == "digits_cnn"
    assert float(metadata["test_accuracy"]) >= 0.985
    assert metadata["command"].startswith("python scripts/train_digits_cnn.py")


def test_a_damaged_digits_file_is_named(tmp_path, monkeypatch):
    broken = tmp_path / "mnist_digits.npz"
    broken.write_bytes(b"PK\x03\x04 not a zip")
    monkeypatch.setattr(demo, "resource_path", lambda folder, name: broken)
    with pytest.raises(DataError, match="damaged"):
        demo.load_demo_digits()
