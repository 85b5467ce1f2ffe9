"""Train a small network for Speck on a set of images, and write its checkpoint and card.

    OMP_NUM_THREADS=1 python scripts/train_image_cnn.py mnist
    OMP_NUM_THREADS=1 python scripts/train_image_cnn.py fashion_mnist
    OMP_NUM_THREADS=1 python scripts/train_image_cnn.py cifar10

Every second batch sees images as the chip does, rate-coded in a random small number of steps, and a
penalty on activations keeps the number of spikes low; the network itself is an ordinary ANN. The
last weights are kept: the test images choose nothing. Minutes on one core (CIFAR-10: half an hour).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from train_common import (
    ImageBatches,
    Plan,
    accuracy,
    command_line,
    default_device,
    fit,
    write_card,
)

from speck_adacal.ann.architectures import architecture
from speck_adacal.ann.checkpoint import save_checkpoint
from speck_adacal.datasets.catalogue import fetch, load_images
from speck_adacal.events.encode import rate_code_frames


@dataclass(frozen=True)
class Recipe:
    """What differs between the sets."""

    arch: str
    checkpoint: str
    title: str
    shift: int
    flip: bool
    epochs: int
    activity: float


RECIPES = {
    "mnist": Recipe(
        "digits_cnn",
        "digits_cnn",
        "The demo's network: handwritten digits, 28 × 28 grey, ten classes.",
        shift=2,
        flip=False,
        epochs=14,
        activity=0.02,
    ),
    "fashion_mnist": Recipe(
        "digits_cnn",
        "fashion_cnn",
        "Articles of clothing, 28 × 28 grey, ten classes.",
        shift=1,
        flip=True,
        epochs=20,
        activity=0.005,
    ),
    "cifar10": Recipe(
        "cifar10_cnn",
        "cifar10_cnn",
        "Small colour images, 32 × 32, ten classes.",
        shift=3,
        flip=True,
        epochs=20,
        activity=0.002,
    ),
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=sorted(RECIPES))
    parser.add_argument("--data", type=Path, help="data folder; by default the cache")
    parser.add_argument("--out", type=Path, help="checkpoint; by default in datasets/")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--device", default=default_device())
    args = parser.parse_args(argv)
    recipe = RECIPES[args.dataset]
    out = args.out or Path("datasets") / f"{recipe.checkpoint}.safetensors"
    fetch(args.dataset, args.data)
    train = load_images(args.dataset, "train", args.data)
    test = load_images(args.dataset, "test", args.data)

    torch.manual_seed(args.seed)
    net = architecture(recipe.arch).build()
    started = time.perf_counter()
    batches = ImageBatches(
        train.images, train.labels, args.batch, recipe.shift, recipe.flip, args.seed
    )
    epochs = args.epochs or recipe.epochs
    plan = Plan(epochs, len(train) // args.batch, args.lr, recipe.activity, args.device)
    fit(net, batches.epochs(), plan)
    seconds = time.perf_counter() - started

    inputs = test.intensities()
    coded = rate_code_frames(inputs, 8).mean(axis=1)
    metadata = {
        "arch": recipe.arch,
        "dataset": f"{args.dataset}, {len(train)} training images",
        "seed": str(args.seed),
        "epochs": str(epochs),
        "test_accuracy": f"{accuracy(net, inputs, test.labels):.4f}",
        "test_accuracy_rate_coded_T8": f"{accuracy(net, coded, test.labels):.4f}",
        "command": command_line(),
        "torch": torch.__version__.split("+")[0],
        "license": "Apache-2.0",
    }
    save_checkpoint(net, out, metadata)
    weights = sum(p.numel() for p in net.parameters())
    rows = {
        "architecture": f"`{recipe.arch}` of `speck_adacal/ann/architectures.py`, "
        f"{weights:,} weights, no biases",
        "trained on": f"the training images of {args.dataset} (see `{args.dataset}.toml`)",
        "input": f"intensities 0 to 1, shape `{list(test.images.shape[1:])}`",
        "accuracy, 10,000 test images": f"{float(metadata['test_accuracy']):.2%}",
        "the same, input rate-coded in 8 steps and averaged": (
            f"{float(metadata['test_accuracy_rate_coded_T8']):.2%}"
        ),
        "seed": metadata["seed"],
        "command": f"`{metadata['command']}`",
        "torch": f"{metadata['torch']}, {args.device}; training took {seconds:.0f} s",
        "licence of the weights": "Apache-2.0",
    }
    write_card(out, recipe.title, rows)
    print("\n".join(f"{key}: {value}" for key, value in metadata.items()))


if __name__ == "__main__":
    main()
