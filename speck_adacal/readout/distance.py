"""How far a spiking network's decisions are from its ANN's: KL over soft-max outputs (eq. 9)."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

_SCALES = (1 / 16, 16.0)


def kl_divergence(
    target: torch.Tensor, output: torch.Tensor, temperature: float = 1.0
) -> torch.Tensor:
    """KL(ANN ‖ SNN) per sample (eq. 9), in nats; from log-probabilities, so never log 0.

    Args:
        target: the ANN's log-probabilities at the same temperature, `[..., classes]`.
        output: mean outputs of the spiking network, `[..., classes]`.
        temperature: divides `output`.
    """
    return (target.exp() * (target - F.log_softmax(output / temperature, -1))).sum(-1)


def half_uncertain(logits: torch.Tensor) -> float:
    """The temperature at which the mean entropy of the soft-max is half of log C."""
    classes = logits.shape[1]
    if classes < 2:
        return 1.0
    low, high = -12.0, 12.0
    for _ in range(60):
        middle = (low + high) / 2
        log_p = F.log_softmax(logits.double() / math.exp(middle), 1)
        entropy = float(-(log_p.exp() * log_p).sum(1).mean()) / math.log(classes)
        low, high = (middle, high) if entropy < 0.5 else (low, middle)
    return math.exp((low + high) / 2)


def best_scale(target: torch.Tensor, output: torch.Tensor, temperature: float = 1.0) -> float:
    """The factor on `output` at which the mean KL is least, between 1/16 and 16.

    Spiking layers that are late or capped shrink all outputs alike. That changes no decision and
    costs nothing to undo, so a search must not spend spikes on it. The mean KL is convex in the
    factor; its slope is bisected.

    Args:
        target: the ANN's log-probabilities at the same temperature, `[samples, classes]`.
        output: mean outputs of the spiking network, `[samples, classes]`.
        temperature: divides `output`.
    """
    z, wanted = output.double() / temperature, target.double().exp()
    if not bool((z != z[:, :1]).any()):
        return 1.0
    low, high = _SCALES
    for _ in range(50):
        middle = math.sqrt(low * high)
        slope = float(((F.softmax(middle * z, 1) - wanted) * z).sum())
        low, high = (low, middle) if slope > 0 else (middle, high)
    return math.sqrt(low * high)
