"""The demo's digits and trained network, which are shipped with the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from speck_adacal.bundle import read_arrays
from speck_adacal.errors import DataError
from speck_adacal.resources import resource_path


@dataclass(frozen=True, eq=False)
class DemoDigits:
    """Real MNIST digits: 400 of the test set to measure on, 256 of the training set to calibrate.

    Attributes:
        images: float32 `[400, 1, 28, 28]`, 0 to 1; 40 of each class.
        labels: int64 `[400]`.
        calibration_images: float32 `[256, 1, 28, 28]`, 0 to 1.
        calibration_labels: int64 `[256]`.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    calibration_images: npt.NDArray[np.float32]
    calibration_labels: npt.NDArray[np.int64]


def load_demo_digits() -> DemoDigits:
    """Load the shipped digits (`datasets/mnist_digits.npz`, licence in `datasets/mnist.toml`).

    Raises:
        DataError: the file is missing or damaged.
    """
    path = resource_path("datasets", "mnist_digits.npz")
    try:
        arrays = read_arrays(path)
        return DemoDigits(
            images=_images(arrays["images"]),
            labels=arrays["labels"].astype(np.int64),
            calibration_images=_images(arrays["calibration_images"]),
            calibration_labels=arrays["calibration_labels"].astype(np.int64),
        )
    except (DataError, KeyError) as error:
        raise DataError(f"The shipped file {path} is damaged ({error}); reinstall it.") from error


def demo_checkpoint_path(name: str = "digits_cnn") -> Path:
    """Path of a trained network that is shipped: a safetensors file, for `load_network`.

    Args:
        name: `"digits_cnn"` (the demo's), `"nmnist_cnn"`, `"fashion_cnn"` or `"cifar10_cnn"`.

    Raises:
        DataError: there is no such file.
    """
    return resource_path("datasets", f"{name}.safetensors")


def _images(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return pixels.astype(np.float32)[:, None] / np.float32(255)
