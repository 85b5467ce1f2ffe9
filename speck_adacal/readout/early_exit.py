"""When the output so far is sure enough to stop: input-aware adaptive time (IAT, eqs. 16 and 17).

One rule serves time steps (of the time-stepped network) and windows of time (on twin and board):
"windows" stands for both. The confidence is that of the *sum* of the output so far, as eq. 16 has
it: twice the output with the same ratios between classes is more evidence. A temperature, fitted on
data, says how much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from scipy.special import entr

from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.events.labels import checked_labels
from speck_adacal.validation import OneOrMore, Positive, checked, one_of

Array = npt.NDArray[np.float64]
METRICS = ("entropy", "top", "margin")
OVER = ("mean", "low")
_LOW = 0.1  # share of the places that may be less confident
NEVER = 2.0
_FOLDS = 5
FEWEST = 50  # recordings
_EACH_FEWEST = 20  # exits whose harm is estimated together, at least


@checked
class ExitRule:
    """At the end of window k (from 0) a sample exits if its confidence reaches `bars[k]`.

    Attributes:
        bars: α_t; above 1 nothing exits.
        metric: of the soft-max of the summed output over `temperature`: `"entropy"`
            (1 − H / log C), `"top"` (largest probability), or `"margin"` (the probability of
            the first class against the second alone, p₁ / (p₁ + p₂)).
        temperature: in units of the output: spikes, or the network's values per step.
        over: of outputs with a class at each place, `"mean"`: their mean confidence counts, or
            `"low"`: that which nine tenths of them reach.

    Raises:
        SettingsError: there is no bar, or the metric or temperature is none.
    """

    bars: OneOrMore[float]
    metric: Annotated[str, one_of(*METRICS)] = "entropy"
    temperature: Positive = 1.0
    over: Annotated[str, one_of(*OVER)] = "mean"

    def confidence(self, sums: npt.ArrayLike) -> Array:
        """Confidence, 0 to 1, of summed output `[..., classes]`; 0 where there is none."""
        values = np.asarray(sums, dtype=np.float64)
        scaled = (values - values.max(-1, keepdims=True)) / self.temperature
        if self.metric == "margin":
            second = np.partition(scaled, -2, axis=-1)[..., -2]
            found: Array = 1 / (1 + np.exp(second))
        else:
            p = np.exp(scaled)
            p /= p.sum(-1, keepdims=True)
            part = entr(p).sum(-1) / np.log(max(p.shape[-1], 2))
            found = p.max(-1) if self.metric == "top" else 1 - part
        return np.where(values.any(-1), found, 0.0)

    def sureness(self, sums: npt.ArrayLike) -> Array:
        """Confidence `[samples, windows]` of sums `[samples, windows, classes]`, or of all places
        together of `[samples, windows, places, classes]`."""
        found = self.confidence(sums)
        if found.ndim < 3:
            return found
        whole = found.mean(2) if self.over == "mean" else np.quantile(found, _LOW, axis=2)
        return np.asarray(whole, dtype=np.float64)

    def exits(self, sums: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The window (from 0) at whose end each sample exits; the last one if it never is sure.

        Args:
            sums: `[samples, windows, classes]` (or with places before the classes), the summed
                output at the end of each window.

        Raises:
            SettingsError: the rule has another number of bars.
        """
        sure = self.sureness(sums)
        if sure.shape[1] != len(self.bars):
            raise SettingsError(
                f"The rule has {len(self.bars)} bars for {sure.shape[1]} windows; calibrate it at "
                "this number."
            )
        return _first_sure(sure, np.asarray(self.bars))


@dataclass(frozen=True, eq=False)
class ExitOutcome:
    """What a rule does to a set of samples.

    Attributes:
        windows: int64 `[samples]`, windows (time steps) run, from 1.
        accuracy: share of decisions that are right.
    """

    windows: npt.NDArray[np.int64]
    accuracy: float

    @property
    def mean_windows(self) -> float:
        """Windows a sample."""
        return float(self.windows.mean())


def apply_rule(
    rule: ExitRule,
    outputs: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    leaders: npt.ArrayLike | None = None,
) -> ExitOutcome:
    """What a rule does, from the output of all windows; arguments as for `calibrate_exit_rule`."""
    sums = _summed(outputs)
    exits = rule.exits(sums)
    right = _right(sums, labels, leaders)[np.arange(len(sums)), exits]
    return ExitOutcome(exits + 1, float(right.mean()))


def calibrate_exit_rule(
    outputs: npt.ArrayLike,
    labels: npt.ArrayLike,
    loss: float,
    *,
    leaders: npt.ArrayLike | None = None,
    metric: str = "margin",
    over: str = "mean",
    cost: npt.ArrayLike | None = None,
    seed: int = 0,
) -> ExitRule:
    """Bars that stop as early as they may, at a stated loss of accuracy.

    Two families of bars, each with one number to choose: the same bar in every window, and in
    every window the lowest one whose exits are wrong more often than the full run by at most ε.
    The number is chosen by five-fold cross-validation, so that the loss is one on recordings that
    the bars have not seen.

    Args:
        outputs: `[recordings, windows, classes]`, output spikes of each window, or the network's
            output of each time step; with a class at each place
            `[recordings, windows, places, classes]`.
        labels: `[recordings]` classes, or the decisions of a reference; `[recordings, places]`, -1
            where a place counts for nothing.
        loss: accuracy that may be lost against all windows, 0.005 for half a point.
        leaders: int64 `[recordings, windows]`, the decision that an exit at the end of each window
            gives; the class with the largest sum (of equals the first) without it.
        metric, over: see `ExitRule`.
        cost: `[windows]` cost of each window, equal by default.
        seed: of the folds.

    Raises:
        CalibrationError: there are fewer than 50 recordings, or labels of another number.
    """
    found = np.asarray(outputs)
    if found.ndim not in (3, 4) or len(found) < FEWEST:
        raise CalibrationError(
            f"Calibrating exits needs outputs [recordings, windows, classes] of at least {FEWEST} "
            f"recordings, found {found.shape}; give more."
        )
    targets = _targets(labels, found)
    sums = _summed(found)
    temperature = _fit_temperature(sums[:, -1], targets)
    windows = found.shape[1]
    sure = ExitRule((NEVER,), metric, temperature, over).sureness(sums)
    right = _right(sums, targets, leaders)
    steps = np.cumsum(np.ones(windows) if cost is None else np.asarray(cost, dtype=np.float64))
    best, least = np.full(windows, NEVER), float(steps[-1])
    folds = np.random.default_rng(seed).permutation(len(targets)) % _FOLDS
    for maker in _families(sure, loss):
        exits = np.zeros(len(targets), dtype=np.int64)
        for fold in range(_FOLDS):
            held = folds == fold
            bars = maker(sure[~held], right[~held])
            exits[held] = _first_sure(sure[held], bars)
        lost = right[:, -1].mean() - right[np.arange(len(right)), exits].mean()
        if lost <= loss and steps[exits].mean() < least:
            best, least = maker(sure, right), float(steps[exits].mean())
    return ExitRule(tuple(float(b) for b in best), metric, temperature, over)


def _targets(labels: npt.ArrayLike, outputs: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    if outputs.ndim == 3:
        return checked_labels(labels, len(outputs), outputs.shape[2])
    found = np.asarray(labels, dtype=np.int64)
    wanted = (len(outputs), outputs.shape[2])
    if found.shape != wanted or found.max() >= outputs.shape[3]:
        raise CalibrationError(
            f"Labels of outputs with a class at each place have shape {found.shape} and go up to "
            f"{found.max()}; give {wanted} of 0 to {outputs.shape[3] - 1}, or -1 for a place that "
            "counts for nothing."
        )
    return found


def _summed(outputs: npt.ArrayLike) -> npt.NDArray[Any]:
    """The output so far, at the end of each window: whole spikes stay whole."""
    found = np.asarray(outputs)
    wide = np.float64 if found.dtype.kind == "f" else np.int64
    return np.asarray(found.cumsum(1, dtype=wide))


def _right(
    sums: npt.NDArray[Any], labels: npt.ArrayLike, leaders: npt.ArrayLike | None
) -> npt.NDArray[Any]:
    """Whether each decision is right, or which share of its places, `[samples, windows]`."""
    decided = sums.argmax(-1) if leaders is None else np.asarray(leaders)
    wanted = np.asarray(labels)[:, None]
    if decided.ndim == 2:
        return np.asarray(decided == wanted)
    asked = wanted >= 0
    return np.asarray(((decided == wanted) & asked).sum(2) / np.maximum(asked.sum(2), 1))


def _first_sure(sure: Array, bars: Array) -> npt.NDArray[np.int64]:
    passed = sure >= bars
    passed[:, -1] = True
    return np.asarray(passed.argmax(1))


class _Constant:
    """The same bar in every window."""

    def __init__(self, bar: float) -> None:
        self._bar = bar

    def __call__(self, sure: Array, right: npt.NDArray[Any]) -> Array:
        return np.full(sure.shape[1], self._bar)


class _Harm:
    """In every window the lowest bar above which exits lose at most a given accuracy."""

    def __init__(self, harm: float) -> None:
        self._harm = harm

    def __call__(self, sure: Array, right: npt.NDArray[Any]) -> Array:
        bars = np.full(sure.shape[1], NEVER)
        left = np.ones(len(sure), dtype=bool)
        for window in range(sure.shape[1] - 1):
            index = np.flatnonzero(left)
            index = index[np.argsort(-sure[index, window], kind="stable")]
            if len(index) < _EACH_FEWEST:
                break
            lost = right[index, -1].astype(float) - right[index, window]
            rate = lost.cumsum() / np.arange(1, len(index) + 1)
            good = np.flatnonzero(rate[_EACH_FEWEST - 1 :] <= self._harm) + _EACH_FEWEST - 1
            if len(good):
                bars[window] = max(sure[index[good[-1]], window], np.finfo(float).tiny)
                left &= sure[:, window] < bars[window]
        return bars


def _families(sure: Array, loss: float) -> Iterator[_Constant | _Harm]:
    positive = sure[sure > 0]
    if len(positive):
        for bar in np.unique(np.quantile(positive, np.linspace(0.02, 0.9999, 120))):
            yield _Constant(float(bar))
    for harm in np.linspace(-0.01, 4 * loss + 0.02, 60):
        yield _Harm(float(harm))


def _fit_temperature(sums: npt.NDArray[Any], targets: npt.NDArray[np.int64]) -> float:
    """The temperature at which the soft-max of the full sums has the least log loss."""
    sums, targets = sums.reshape(-1, sums.shape[-1]), targets.flatten()
    sums, targets = sums[targets >= 0], targets[targets >= 0]
    grid = np.geomspace(0.05, 200.0, 161)
    scaled = sums - sums.max(1, keepdims=True)
    rows = np.arange(len(sums))
    losses = [(np.log(np.exp(scaled / t).sum(1)) - scaled[rows, targets] / t).mean() for t in grid]
    return float(grid[int(np.argmin(losses))])
