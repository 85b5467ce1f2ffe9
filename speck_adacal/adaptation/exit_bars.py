"""Bars of early exits for a network of the plan."""

from __future__ import annotations

import numpy as np
import torch

from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.plan import AdaptPlan, Stage
from speck_adacal.readout.early_exit import NEVER, ExitRule, apply_rule, calibrate_exit_rule


def calibrated_exit(
    data: Evaluator, stage: Stage, plan: AdaptPlan
) -> tuple[ExitRule, dict[str, float]]:
    """A rule that loses at most `plan.exit_loss`, and what it does on the same samples.

    Args:
        data: calibration samples; without labels the trained network's decisions are the target.
        stage: the network. Before the first step that counts there is no output, and no exit.
        plan: loss and metric.
    """
    reader = data.objective.deciding("An early exit")
    found = data.measure(stage.recipe, stage.graph)
    apart = (reader.places, reader.classes)
    targets = torch.cat(data.targets).unflatten(1, apart).argmax(2).squeeze(1).numpy()
    if data.labels is not None:
        targets = data.labels.astype(np.int64)
    outputs = found.outputs
    if reader.places > 1:
        outputs = outputs.reshape(*outputs.shape[:2], *apart)
    rule = calibrate_exit_rule(
        outputs,
        targets,
        plan.exit_loss,
        metric=plan.exit_metric,
        over=plan.exit_over,
        seed=data.settings.seed,
        cost=found.sample_energy_nj.mean(0),
    )
    outcome = apply_rule(rule, outputs, targets)
    figures = {"mean_steps": outcome.mean_windows, "accuracy": outcome.accuracy}
    never = ExitRule((NEVER,) * len(rule.bars), rule.metric, rule.temperature, rule.over)
    figures["full"] = apply_rule(never, outputs, targets).accuracy
    return rule, figures | {f"bar:{t + 1}": bar for t, bar in enumerate(rule.bars)}
