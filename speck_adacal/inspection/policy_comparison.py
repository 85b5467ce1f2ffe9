"""What biases and the lower clip cost on the chip: each policy, measured on the same samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import deploy_network
from speck_adacal.chip.policy import ChipPolicy
from speck_adacal.chip.simulation import run_on_twin
from speck_adacal.errors import DesignRuleError, SettingsError
from speck_adacal.events.labels import checked_labels
from speck_adacal.events.types import Events
from speck_adacal.snn.adapted import AdaptedNetwork


@dataclass(frozen=True)
class PolicyResult:
    """One policy on the twin; every figure is *simulated*.

    Attributes:
        bias: `"initial"`, `"leak"`, `"by layer"`, or `"none"` where the network has no biases left.
        lower_clip: `"open"`, `"1 threshold"` below zero, or `"by layer"`, as the recipe has it.
        accuracy: share of right decisions; None where the policy cannot be had.
        synops: SynOps a sample; None likewise.
        refused: why it cannot be had.
    """

    bias: str
    lower_clip: str
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
    with the clips of its recipe, where it has any, and with its biases as initial potential and
    as leak.

    Args:
        adapted: the network.
        recordings: inputs; the leak's clock is made for their median duration.
        labels: int `[n]`.
        chip: a name of `chip_description.known_chips()`.
        cores: a placement to keep.
    """
    window_us = max(1, int(np.median([recording.duration_us for recording in recordings])))
    layers = deploy_network(adapted, chip=chip).layers
    biased = [layer.folded.recipe.leaks for layer in layers if layer.folded.bias.any()]
    own_bias = _way(biased)
    clipped = any(layer.lower_clip is not None for layer in adapted.recipe.layers)
    own = "by layer" if clipped else "open"
    rows = [(own_bias, own, ChipPolicy())] if clipped else []
    rows.append((own_bias, "open", ChipPolicy(lower_clip=math.inf)))
    rows.append((own_bias, "1 threshold", ChipPolicy(lower_clip=1.0)))
    others = [way for way in ("initial", "leak") if biased and way != own_bias]
    rows += [(way, own, ChipPolicy(bias=way, window_us=window_us)) for way in others]
    truth = checked_labels(labels, len(recordings))
    found = []
    for bias, clip, policy in rows:
        try:
            deployment = deploy_network(adapted, chip=chip, policy=policy, cores=cores)
        except (DesignRuleError, SettingsError) as error:
            found.append(PolicyResult(bias, clip, refused=str(error)))
            continue
        run = run_on_twin(deployment, recordings)
        accuracy, synops = run.accuracy(truth), float(run.synops.mean())
        found.append(PolicyResult(bias, clip, accuracy, synops))
    return tuple(found)


def _way(leaks: Sequence[bool]) -> str:
    """The way of the biases that are left, of layers that have one."""
    if not leaks:
        return "none"
    return "by layer" if len(set(leaks)) > 1 else "leak" if leaks[0] else "initial"
