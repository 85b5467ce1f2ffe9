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
