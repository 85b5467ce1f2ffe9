"""What the scripts for the demo's files share: MNIST's arrays and the card of the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speck_adacal.events.datasets import fetch
from speck_adacal.events.idx import read_idx

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


def write_digits_card(checkpoint: Path, metadata: dict[str, str], seconds: float) -> None:
    """Write the model card beside the checkpoint."""
    text = f"""# digits_cnn.safetensors

The demo's network: handwritten digits, 28 × 28 grey, ten classes.

| | |
|---|---|
| architecture | `digits_cnn` of `speck_adacal/ann/architectures.py`, 14,924 weights, no biases |
| trained on | MNIST's 60,000 training digits (see `mnist.toml`), moved by up to 2 pixels |
| input | intensities 0 to 1, shape `[1, 28, 28]` |
| accuracy, 10,000 test digits | {float(metadata["test_accuracy"]):.2%} |
| the same, input rate-coded in 8 steps and averaged | \
{float(metadata["test_accuracy_rate_coded_T8"]):.2%} |
| seed | {metadata["seed"]} |
| command | `{metadata["command"]}` |
| torch | {metadata["torch"]}, CPU; training took {seconds:.0f} s |
| licence of the weights | Apache-2.0 |

Accuracies are of the float network (the `ann` level), computed by the training script.
"""
    checkpoint.with_suffix(".md").write_text(text, encoding="utf-8")
