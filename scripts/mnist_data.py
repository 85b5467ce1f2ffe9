"""MNIST's arrays, for the scripts that need them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speck_adacal.datasets.catalogue import fetch
from speck_adacal.datasets.idx import read_idx

_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True, eq=False)
class Mnist:
    """uint8 images `[n, 28, 28]` and labels `[n]`."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def mnist_arrays(folder: Path | None) -> Mnist:
    """MNIST from a folder of IDX files; by default it is fetched as its card says."""
    folder = fetch("mnist") if folder is None else folder
    return Mnist(*(read_idx(folder / name) for name in _FILES))
