"""Bars of early exits for a network of the plan."""

from __future__ import annotations

import numpy as np
import torch

from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.plan import AdaptPlan, Stage
from speck_adacal.readout.early_exit import ExitRule, apply_rule, calibrate_exit_rule


def calibrated_exit(
    data: Evaluator, stage: Stage, plan: AdaptPlan
) -> tuple[ExitRule, dict[str, float]]:
    """A rule that loses at most `plan.exit_loss`, and what it does on the same samples.

    Args:
        data: calibration samples; without labels the trained network's decisions are the target.
        stage: the network. Before the first step that counts there is no output, and no exit.
        plan: loss and metric.
    """
    found = data.measure(stage.recipe, stage.graph)
    targets = torch.cat(data.targets).argmax(1).numpy()
    if data.labels is not None:
        targets = data.labels.astype(np.int64)
    rule = calibrate_exit_rule(
        found.outputs,
        targets,
        plan.exit_loss,
        metric=plan.exit_metric,
        seed=data.settings.seed,
        cost=found.sample_energy_nj.mean(0),
    )
    outcome = apply_rule(rule, found.outputs, targets)
    full = found.outputs.sum(1).argmax(1)
    figures = {"mean_steps": outcome.mean_windows, "accuracy": outcome.accuracy}
    figures["full"] = float((full == targets).mean())
    return rule, figures | {f"bar:{t + 1}": bar for t, bar in enumerate(rule.bars)}
