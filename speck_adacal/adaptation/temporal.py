"""Biases per channel and time step: every step's mean output is the trained network's.

After forward temporal bias correction (ECCV-24). A layer of spiking neurons is late: its first
steps give too little, and what follows makes up for it, so that a mean over few steps is wrong
even where a mean over many is right. Layer by layer, each on the corrected ones before it, a
channel's bias at a step is what brings its mean output over samples and places to the mean
activation. It costs no spikes: what a layer gives in all stays what it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from speck_adacal.snn._values import broadcastable, by_channel, on_axis
from speck_adacal.snn.adafire import AdaFire

# A few damped steps, which leave a part of the residual: on ResNet-20 (T = 8, φ = 1) biases that
# leave none gave a larger KL on 300 test images, and so did shifted initial potentials beside them.
_ROUNDS = 6
_RATE = 0.7  # of the residual, a round


@torch.no_grad()
def fit_step_biases(
    neurons: AdaFire,
    currents: Sequence[torch.Tensor],
    wanted: torch.Tensor,
    steps: int,
    axis: int = 0,
) -> torch.Tensor:
    """The bias of each channel at each step, float32 `[steps, channels]`.

    Args:
        neurons: thresholds, φ and initial potentials; their state is left alone.
        currents: inputs of all samples, each `[batch, steps or 1, channels, *places]`.
        wanted: mean activation of each channel, `[channels]`.
        steps: T.
        axis: of the channels in a sample.
    """
    axes = currents[0].ndim - 2
    theta = broadcastable(neurons.theta, axes)
    start = broadcastable(neurons.initial_potential, axes)
    low = None if neurons.min_v_mem is None else broadcastable(neurons.min_v_mem, axes)
    potentials = [(torch.zeros_like(c[:, 0]) + start) for c in currents]
    reachable = torch.minimum(wanted, neurons.phi * neurons.theta.reshape(-1).expand(len(wanted)))
    table, least = torch.zeros(steps, len(wanted)), neurons.least

    def fired(potential: torch.Tensor) -> torch.Tensor:
        return (potential / theta).floor().clamp(least, neurons.phi) * theta

    for step in range(steps):
        for potential, current in zip(potentials, currents, strict=True):
            potential += current[:, step if current.shape[1] > 1 else 0]
        for _ in range(_ROUNDS):
            bias = broadcastable(on_axis(table[step], axes, axis), axes)
            mean = channel_means([fired(p + bias) for p in potentials], axis)
            table[step] += _RATE * (reachable - mean)
        bias = broadcastable(on_axis(table[step], axes, axis), axes)
        for potential in potentials:
            potential += bias
            potential -= fired(potential)
            if low is not None:
                torch.maximum(potential, low, out=potential)
    return table


def fit_output_biases(
    outputs: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor], steps: int, axis: int = 0
) -> torch.Tensor:
    """What is missing of each step's mean output, float32 `[steps, channels]`, or with ones for
    the other axes where the channels are not the first.

    Args:
        outputs: of an output layer that does not spike, each `[batch, steps or 1, channels, ...]`.
        wanted: the trained network's, each `[batch, channels, ...]`.
        steps: T.
        axis: of the channels in a sample.
    """
    means = [
        channel_means([o[:, min(step, o.shape[1] - 1)].double() for o in outputs], axis)
        for step in range(steps)
    ]
    table = channel_means([w.double() for w in wanted], axis) - torch.stack(means)
    return on_axis(table.float(), wanted[0].ndim - 1, axis)


def channel_means(values: Sequence[torch.Tensor], axis: int = 0) -> torch.Tensor:
    """Mean over all samples and places of each channel, `[channels]`."""
    parts = [by_channel(v, axis) for v in values]
    sums = sum(part.sum((0, 2)) for part in parts)
    return torch.as_tensor(sums) / sum(len(part) * part.shape[2] for part in parts)
