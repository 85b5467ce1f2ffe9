"""What biases and the lower clip cost on the chip: each policy, measured on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.adaptation.adapted import AdaptedNetwork
from speck_adacal.chip.deploy import deploy_network
from speck_adacal.chip.policy import ChipPolicy
from speck_adacal.chip.simulate import run_on_twin
from speck_adacal.errors import DesignRuleError, SettingsError
from speck_adacal.events.types import Events


@dataclass(frozen=True)
class PolicyResult:
    """One policy on the twin; every figure is *simulated*.

    Attributes:
        bias: `"initial"`, `"leak"`, or `"none"` where the network has no biases.
        lower_clip: in firing thresholds below zero; None where open.
        accuracy: share of right decisions; None where the policy cannot be had.
        synops: SynOps a sample; None likewise.
        refused: why it cannot be had.
    """

    bias: str
    lower_clip: float | None
    accuracy: float | None = None
    synops: float | None = None
    refused: str = ""


def compare_policies(
    adapted: AdaptedNetwork,
    recordings: Sequence[Events],
    labels: npt.ArrayLike,
    *,
    chip: str,
    cores: Sequence[int] | None = None,
) -> tuple[PolicyResult, ...]:
    """Measure a network with an open lower clip and with one at the threshold (as sinabs has it),
    and with its biases as initial potential and as leak.

    Args:
        adapted: the network.
        recordings: inputs; the leak's clock is made for their median duration.
        labels: int `[n]`.
        chip: `"speck2e"` or `"speck2f"`.
        cores: a placement to keep.
    """
    window_us = int(np.median([recording.duration_us for recording in recordings]))
    policies = [ChipPolicy(), ChipPolicy(lower_clip=1.0)]
    biased = any(layer.folded.bias.any() for layer in deploy_network(adapted, chip=chip).layers)
    if biased:
        policies.append(ChipPolicy(bias="leak", window_us=max(1, window_us)))
    truth = np.asarray(labels)
    found = []
    for policy in policies:
        bias = policy.bias if biased else "none"
        try:
            deployment = deploy_network(adapted, chip=chip, policy=policy, cores=cores)
        except (DesignRuleError, SettingsError) as error:
            found.append(PolicyResult(bias, policy.lower_clip, refused=str(error)))
            continue
        run = run_on_twin(deployment, recordings)
        accuracy, synops = run.accuracy(truth), float(run.synops.mean())
        found.append(PolicyResult(bias, policy.lower_clip, accuracy, synops))
    return tuple(found)
