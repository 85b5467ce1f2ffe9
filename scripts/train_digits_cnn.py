"""Train the demo's network (`digits_cnn`) on MNIST and write its checkpoint and card.

    OMP_NUM_THREADS=1 python scripts/train_digits_cnn.py

Takes a few minutes on one core. Every second batch sees images as the chip does, rate-coded in a
random small number of steps, and a penalty on activations keeps the number of spikes low; the
network itself is an ordinary ANN. The last weights are kept: the test digits choose nothing.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch
from demo_common import mnist_arrays, write_digits_card
from torch import nn
from torch.nn import functional

from speck_adacal.ann.architectures import digits_cnn
from speck_adacal.ann.checkpoint import save_checkpoint
from speck_adacal.events.encode import rate_code_frames

_SHIFT = 2


def shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image moved by up to 2 pixels along both axes."""
    size = images.shape[-1]
    padded = functional.pad(images, (_SHIFT,) * 4)
    offsets = torch.randint(0, 2 * _SHIFT + 1, (len(images), 2), generator=generator)
    rows = offsets[:, :1] + torch.arange(size)
    columns = offsets[:, 1:] + torch.arange(size)
    index = torch.arange(len(images))[:, None, None]
    return padded[index, 0, rows[:, :, None], columns[:, None, :]][:, None]


def rate_coded(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The mean over time of the images' rate code in 4, 6 or 8 steps."""
    steps = int(rng.choice([4, 6, 8]))
    frames = rate_code_frames(images.numpy(), steps, seed=int(rng.integers(1 << 16)))
    return torch.from_numpy(frames.mean(axis=1))


def forward_with_activity(net: nn.Sequential, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the mean activation summed over the hidden layers."""
    activity = x.new_zeros(())
    for module in net:
        x = module(x)
        if isinstance(module, nn.ReLU):
            activity = activity + x.mean()
    return x, activity


def train(images: np.ndarray, labels: np.ndarray, args: argparse.Namespace) -> nn.Sequential:
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    net = digits_cnn()
    x_all = torch.from_numpy(images).float().div(255)[:, None]
    y_all = torch.from_numpy(labels.astype(np.int64))
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=1e-2)
    steps = args.epochs * (len(x_all) // args.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps)
    for epoch in range(args.epochs):
        started, total = time.perf_counter(), 0.0
        order = torch.randperm(len(x_all), generator=generator)
        batches = order[: len(order) // args.batch * args.batch].split(args.batch)
        for step, index in enumerate(batches):
            x = shifted(x_all[index], generator)
            if step % 2:
                x = rate_coded(x, rng)
            logits, activity = forward_with_activity(net, x)
            loss = functional.cross_entropy(logits, y_all[index], label_smoothing=0.02)
            total += float(loss.detach())
            optimizer.zero_grad()
            (loss + args.activity * activity).backward()
            optimizer.step()
            schedule.step()
        print(
            f"epoch {epoch + 1}/{args.epochs}: loss {total / len(batches):.4f}, "
            f"{time.perf_counter() - started:.0f} s",
            flush=True,
        )
    return net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, images: np.ndarray, labels: np.ndarray) -> float:
    correct = 0
    for start in range(0, len(images), 1000):
        x = torch.from_numpy(images[start : start + 1000])
        correct += int((net(x).argmax(1).numpy() == labels[start : start + 1000]).sum())
    return correct / len(images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with MNIST's four IDX files")
    parser.add_argument("--out", type=Path, default=Path("datasets/digits_cnn.safetensors"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--activity", type=float, default=0.02)
    args = parser.parse_args()
    data = mnist_arrays(args.data)
    started = time.perf_counter()
    net = train(data.train_images, data.train_labels, args)
    seconds = time.perf_counter() - started
    test = data.test_images[:, None].astype(np.float32) / 255
    metadata = {
        "arch": "digits_cnn",
        "dataset": "MNIST, 60,000 training digits",
        "seed": str(args.seed),
        "epochs": str(args.epochs),
        "test_accuracy": f"{accuracy(net, test, data.test_labels):.4f}",
        "test_accuracy_rate_coded_T8": (
            f"{accuracy(net, rate_code_frames(test, 8).mean(axis=1), data.test_labels):.4f}"
        ),
        "command": shlex.join(["python", f"scripts/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "torch": torch.__version__.split("+")[0],
        "license": "Apache-2.0",
    }
    save_checkpoint(net, args.out, metadata)
    write_digits_card(args.out, metadata, seconds)
    print("\n".join(f"{key}: {value}" for key, value in metadata.items()))


if __name__ == "__main__":
    main()
