"""What the training scripts share: the loop, the penalty on activity, accuracy, model cards.

Networks are trained as ordinary ANNs, seeded, on a GPU where there is one (`--device`).
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from speck_adacal.events.encode import rate_code_frames

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train; `activity` weighs the mean activations in the loss."""

    epochs: int
    batches: int
    lr: float
    activity: float
    device: str = "cpu"


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def command_line() -> str:
    return shlex.join(["python", f"scripts/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def forward_with_activity(net: nn.Sequential, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits, and the mean activation summed over the hidden layers."""
    activity = x.new_zeros(())
    for module in net:
        x = module(x)
        if isinstance(module, nn.ReLU):
            activity = activity + x.mean()
    return x, activity


def fit(net: nn.Sequential, epoch_batches: Callable[[], Iterator[Batch]], plan: Plan) -> None:
    """Train in place and leave the network on the CPU, in evaluation mode."""
    net.to(plan.device).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=plan.lr, weight_decay=1e-2)
    steps = plan.epochs * plan.batches
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.lr, total_steps=steps)
    for epoch in range(plan.epochs):
        started, total = time.perf_counter(), 0.0
        for x, y in epoch_batches():
            logits, activity = forward_with_activity(net, x.to(plan.device))
            loss = functional.cross_entropy(logits, y.to(plan.device), label_smoothing=0.02)
            total += float(loss.detach())
            optimizer.zero_grad()
            (loss + plan.activity * activity).backward()
            optimizer.step()
            schedule.step()
        print(
            f"epoch {epoch + 1}/{plan.epochs}: loss {total / plan.batches:.4f}, "
            f"{time.perf_counter() - started:.0f} s",
            flush=True,
        )
    net.cpu().eval()


def shifted(images: torch.Tensor, by: int, generator: torch.Generator) -> torch.Tensor:
    """Each image moved by up to `by` pixels along both axes, dark pixels coming in."""
    height, width = images.shape[-2:]
    padded = functional.pad(images, (by,) * 4)
    offsets = torch.randint(0, 2 * by + 1, (len(images), 2), generator=generator)
    rows = offsets[:, :1] + torch.arange(height)
    columns = offsets[:, 1:] + torch.arange(width)
    image = torch.arange(len(images))[:, None, None, None]
    channel = torch.arange(images.shape[1])[None, :, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def rate_coded(images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The mean over time of the images' rate code in 4, 6 or 8 steps."""
    steps = int(rng.choice([4, 6, 8]))
    frames = rate_code_frames(images.numpy(), steps, seed=int(rng.integers(1 << 16)))
    return torch.from_numpy(frames.mean(axis=1))


@dataclass(frozen=True, eq=False)
class ImageBatches:
    """Batches of an image set, moved, mirrored, and every second one as the chip sees it.

    Attributes:
        images: uint8 `[n, channels, height, width]`.
        labels: `[n]`.
        batch: size of a batch; what is left over waits for the next epoch's order.
        shift: pixels that images are moved by at most.
        flip: mirror half of the images.
        seed: of order, movement and codes.
        coded: whether every second batch is rate-coded.
    """

    images: np.ndarray
    labels: np.ndarray
    batch: int
    shift: int
    flip: bool
    seed: int
    coded: bool = True

    def epochs(self) -> Callable[[], Iterator[Batch]]:
        """A function that gives each epoch's batches."""
        generator = torch.Generator().manual_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        labels = torch.from_numpy(self.labels.astype(np.int64))
        pixels = torch.from_numpy(self.images)

        def epoch() -> Iterator[Batch]:
            order = torch.randperm(len(pixels), generator=generator)
            whole = order[: len(order) // self.batch * self.batch]
            for step, index in enumerate(whole.split(self.batch)):
                x = shifted(pixels[index].float().div(255), self.shift, generator)
                if self.flip:
                    mirror = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
                    x = torch.where(mirror, x.flip(-1), x)
                if self.coded and step % 2:
                    x = rate_coded(x, rng)
                yield x, labels[index]

        return epoch


@torch.no_grad()
def accuracy(net: nn.Module, inputs: np.ndarray, labels: np.ndarray) -> float:
    """Share of right decisions on float32 inputs."""
    correct = 0
    for start in range(0, len(inputs), 1000):
        x = torch.from_numpy(inputs[start : start + 1000])
        correct += int((net(x).argmax(1).numpy() == labels[start : start + 1000]).sum())
    return correct / len(inputs)


def write_card(checkpoint: Path, title: str, rows: dict[str, str]) -> None:
    """Write the model card beside a checkpoint."""
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    text = f"# {checkpoint.name}\n\n{title}\n\n| | |\n|---|---|\n{table}\n"
    text += "\nAccuracies are of the float network (the `ann` level), computed by its script.\n"
    checkpoint.with_suffix(".md").write_text(text, encoding="utf-8")
