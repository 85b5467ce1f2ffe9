"""Running a spiking network that stops, sample by sample, as soon as it is sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.errors import SettingsError
from speck_adacal.readout.step_exit import ExitRule, confidence
from speck_adacal.snn.network import SpikingNetwork


@dataclass(frozen=True, eq=False)
class ExitRun:
    """Result of a batch that stopped early.

    Attributes:
        outputs: mean output at exit, float32 `[batch, classes]`.
        steps: steps run, int `[batch]`, from 1.
        spikes: spikes of each sample until its exit, float64 `[batch]`.
        synops: SynOps until its exit; NaN unless the network counts them.
    """

    outputs: npt.NDArray[np.float32]
    steps: npt.NDArray[np.int64]
    spikes: npt.NDArray[np.float64]
    synops: npt.NDArray[np.float64]


@torch.no_grad()
def run_until_sure(
    network: SpikingNetwork, x: torch.Tensor, rule: ExitRule, *, analog: bool = False
) -> ExitRun:
    """Show `x` step by step; a sample that is sure leaves the batch, and costs nothing more.

    Args:
        network: the spiking network; it is reset first.
        x: `[batch, T, *input_shape]`, or `[batch, *input_shape]` with `analog`.
        rule: bars for every step.
        analog: whether `x` is shown unchanged at every step.

    Raises:
        SettingsError: the rule has another number of steps than `x`.
    """
    if not analog and x.shape[1] != len(rule.bars):
        raise SettingsError(
            f"The rule has {len(rule.bars)} bars for {x.shape[1]} steps; calibrate it at T."
        )
    batch, steps = len(x), len(rule.bars)
    result = ExitRun(
        np.zeros((batch, 0), np.float32),
        np.zeros(batch, np.int64),
        np.zeros(batch),
        np.zeros(batch),
    )
    outputs = np.zeros((batch, 0), np.float32)
    active = torch.arange(batch)
    total: torch.Tensor | None = None
    network.reset()
    for step in range(steps):
        frame = x.unsqueeze(1) if analog else x[:, step : step + 1]
        values = network.run(frame, time_steps=1 if analog else None, reset=False)
        value = values[network.graph.outputs[0]][:, 0]
        total = value if total is None else total + value
        _count(result, network, active)
        mean = (total / (step + 1)).double().numpy()
        sure = confidence(mean, rule.metric, rule.temperature) >= rule.bars[step]
        done = torch.from_numpy(sure) if step + 1 < steps else torch.ones(len(active)).bool()
        if outputs.shape[1] == 0:
            outputs = np.zeros((batch, mean.shape[1]), np.float32)
        outputs[active[done].numpy()] = mean[done.numpy()]
        result.steps[active[done].numpy()] = step + 1
        if bool(done.all()):
            break
        stay = ~done
        active, x, total = active[stay], x[stay], total[stay]
        network.drop_finished(stay)
    return ExitRun(outputs, result.steps, result.spikes, result.synops)


def _count(result: ExitRun, network: SpikingNetwork, active: torch.Tensor) -> None:
    index = active.numpy()
    for layer in network.activity().values():
        result.spikes[index] += layer.spikes.sum(1).numpy()
        if layer.synops is None:
            result.synops[index] = np.nan
        else:
            result.synops[index] += layer.synops.sum(1).numpy()
