"""Input-aware adaptive time steps: when an answer is sure enough to stop (eqs. 16 and 17)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.validation import OneOrMore, Positive, checked, one_of

Array = npt.NDArray[np.float64]
METRICS = ("entropy", "top", "margin")

_EACH_FEWEST = 20  # exits whose harm is estimated together, at least


@checked
class ExitRule:
    """At step t (from 1) a sample exits if its confidence reaches `bars[t - 1]`.

    Attributes:
        bars: α_t per step; above 1 nothing exits. At the last step everything does.
        metric: "entropy" (1 - H/log C), "top" (largest probability) or "margin" (largest minus
            second), of the soft-max of the mean output so far over `temperature`.
        temperature: divides the mean output before the soft-max.

    Raises:
        SettingsError: there is no bar, or the metric or temperature is none.
    """

    bars: OneOrMore[float]
    metric: Annotated[str, one_of(*METRICS)] = "entropy"
    temperature: Positive = 1.0


@dataclass(frozen=True, eq=False)
class ExitOutcome:
    """What a rule does to a set of samples.

    Attributes:
        steps: int `[samples]`, steps run, from 1.
        accuracy: part of the answers that are right (or that agree with the reference).
    """

    steps: npt.NDArray[np.int64]
    accuracy: float

    @property
    def mean_steps(self) -> float:
        """Steps per sample."""
        return float(self.steps.mean())


def running_mean(outputs: npt.NDArray[np.float32]) -> Array:
    """Mean output up to every step, `[samples, T, classes]`."""
    steps = np.arange(1, outputs.shape[1] + 1)[None, :, None]
    return np.asarray(outputs, dtype=np.float64).cumsum(1) / steps


def confidence(means: Array, metric: str = "entropy", temperature: float = 1.0) -> Array:
    """Confidence in 0..1 of mean outputs `[..., classes]`."""
    scaled = means / temperature
    scaled = scaled - scaled.max(-1, keepdims=True)
    log_sum = np.log(np.exp(scaled).sum(-1, keepdims=True))
    log_p = scaled - log_sum
    p = np.exp(log_p)
    if metric == "entropy":
        return 1.0 + (p * log_p).sum(-1) / np.log(means.shape[-1])
    if metric == "top":
        return p.max(-1)
    two = np.partition(p, -2, axis=-1)[..., -2:]
    return two[..., 1] - two[..., 0]


def fit_temperature(outputs: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]) -> float:
    """The temperature that makes the last step's soft-max fit the targets best (least log loss)."""
    last = running_mean(outputs)[:, -1]
    grid = np.exp(np.linspace(np.log(0.05), np.log(20.0), 121))
    losses = []
    for temperature in grid:
        scaled = last / temperature
        top = scaled.max(1, keepdims=True)
        log_sum = np.log(np.exp(scaled - top).sum(1)) + top[:, 0]
        losses.append((log_sum - scaled[np.arange(len(last)), targets]).mean())
    return float(grid[int(np.argmin(losses))])


def closed_form(
    outputs: npt.NDArray[np.float32],
    *,
    base: float = 0.6,
    beta: float = 0.4,
    delta: float = 1.0,
    sign: int = -1,
    metric: str = "entropy",
    temperature: float = 1.0,
) -> ExitRule:
    """Eq. 17: `α_t = α_base + β · exp(sign · (Ē_t - E_min) / δ)`.

    Ē_t is the mean normalised entropy at step t. With the printed sign (-1) uncertain steps get
    a *lower* bar; the paper's text wants a higher one, which is `sign=1` (bars stop at 1).
    """
    if sign not in (-1, 1):
        raise SettingsError(f"sign must be -1 (as printed) or 1 (as the text says), found {sign}.")
    entropy = 1.0 - confidence(running_mean(outputs), "entropy", temperature).mean(0)
    bars = base + beta * np.exp(sign * (entropy - entropy.min()) / delta)
    return ExitRule(tuple(float(b) for b in np.minimum(bars, 1.0)), metric, temperature)


def apply_rule(
    rule: ExitRule, outputs: npt.NDArray[np.float32], targets: npt.NDArray[np.int64]
) -> ExitOutcome:
    """What the rule would do, from outputs of all steps."""
    means = running_mean(outputs)
    if len(rule.bars) != means.shape[1]:
        raise SettingsError(
            f"The rule has {len(rule.bars)} bars for {means.shape[1]} steps; calibrate it at T."
        )
    sure = confidence(means, rule.metric, rule.temperature) >= np.asarray(rule.bars)
    sure[:, -1] = True
    steps = sure.argmax(1)
    answers = means[np.arange(len(means)), steps].argmax(1)
    return ExitOutcome(steps + 1, float((answers == targets).mean()))


def calibrate_exit(
    outputs: npt.NDArray[np.float32],
    targets: npt.NDArray[np.int64],
    loss: float,
    *,
    metric: str = "entropy",
    seed: int = 0,
    step_cost: Sequence[float] | None = None,
) -> ExitRule:
    """Bars that save most and cost at most `loss` accuracy, on held-out calibration data.

    One half of the samples gives, for every step and every harm ε, the lowest bar above which
    exits are wrong more often than the full run by at most ε; the other half decides which ε: the
    loss there, raised by its standard error, must not be above `loss`. Constant bars are among
    the candidates, so that the result is never worse than those there.

    Args:
        outputs: `[samples, T, classes]`, output of every step.
        targets: labels `[samples]`, or the ANN's decisions where there are no labels.
        loss: accuracy that may be lost, 0.005 for half a point.
        metric: confidence metric.
        seed: of the split.
        step_cost: cost of each step, such as its energy; equal by default.

    Raises:
        CalibrationError: fewer than 20 samples, or targets of another number.
    """
    count = len(outputs)
    if count < _EACH_FEWEST or len(targets) != count:
        raise CalibrationError(
            f"Calibrating exits needs at least {_EACH_FEWEST} samples with one target each, found "
            f"{count} samples and {len(targets)} targets."
        )
    order = np.random.default_rng(seed).permutation(count)
    fit, hold = order[: count // 2], order[count // 2 :]
    temperature = fit_temperature(outputs, targets)
    sure = confidence(running_mean(outputs), metric, temperature)
    right = running_mean(outputs).argmax(2) == targets[:, None]
    costs = np.cumsum(np.ones(outputs.shape[1]) if step_cost is None else np.asarray(step_cost))
    candidates = [_bars(sure[fit], right[fit], e) for e in np.linspace(0, 4 * loss + 0.02, 60)]
    candidates += [np.full(outputs.shape[1], bar) for bar in _constant_bars(sure[fit])]
    best, best_cost = np.full(outputs.shape[1], 2.0), np.inf
    for bars in candidates:
        steps = _first_sure(sure[hold], bars)
        lost = right[hold, -1].astype(float) - right[hold, steps]
        cost = costs[steps].mean()
        if lost.mean() + lost.std() / np.sqrt(len(hold)) <= loss and cost < best_cost:
            best, best_cost = bars, cost
    return ExitRule(tuple(float(b) for b in best), metric, temperature)


def _bars(sure: Array, right: npt.NDArray[np.bool_], harm: float) -> Array:
    """Per step the lowest bar at which the samples that would exit lose at most `harm`."""
    bars = np.full(sure.shape[1], 2.0)
    left = np.ones(len(sure), dtype=bool)
    for step in range(sure.shape[1] - 1):
        index = np.flatnonzero(left)
        index = index[np.argsort(-sure[index, step], kind="stable")]
        if len(index) < _EACH_FEWEST:
            break
        lost = right[index, -1].astype(float) - right[index, step]
        rate = lost.cumsum() / np.arange(1, len(index) + 1)
        good = np.flatnonzero(rate[_EACH_FEWEST - 1 :] <= harm) + _EACH_FEWEST - 1
        if len(good):
            bars[step] = sure[index[good[-1]], step]
            left &= sure[:, step] < bars[step]
    return bars


def _constant_bars(sure: Array) -> Array:
    return np.quantile(sure, np.linspace(0.02, 0.999, 80))


def _first_sure(sure: Array, bars: Array) -> npt.NDArray[np.int64]:
    passed = sure >= bars
    passed[:, -1] = True
    return passed.argmax(1)
