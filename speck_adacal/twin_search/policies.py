"""What becomes of biases and of the lower clip on the chip, chosen by measuring on the twin.

Candidates are ways for the biases (bases, each adapted for itself) and lower clips. They are
screened as they come out of adaptation; the best, and a second that is not surely worse, are
corrected on the twin and measured again; from the best of these single layers may go another way.
The simplest is kept unless another is better by more than a standard error, SynOps at their price
included.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from speck_adacal.chip.deploy import deploy_network
from speck_adacal.chip.simulation import run_on_twin
from speck_adacal.errors import DesignRuleError, ModelError, SettingsError
from speck_adacal.recipe.recipe import LayerRecipe, Recipe, StepRecord
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.twin_search.bases import Base, Change, with_layers
from speck_adacal.twin_search.candidate_runs import TwinEvaluator
from speck_adacal.twin_search.correction import correct_on_twin
from speck_adacal.twin_search.descent import Descent, Steps
from speck_adacal.twin_search.log_loss import log_losses, one_hot
from speck_adacal.twin_search.progress import Counter, Progress
from speck_adacal.twin_search.targets import reference_decisions

CLIPS = (None, 1.0)  # open, and at minus the firing threshold as sinabs has it
_SCREENED = 128  # samples that all candidates are run on
_FINALISTS = 2
# One round over thresholds, starts and clips of layers, by what surely lowers the log loss
# by more than its SynOps are worth.
_TUNING = Steps(1, 1.25, 0.25, None, errors_to_keep=1.0)
_TUNING_PRICE = 0.06  # log loss that a doubling of the SynOps may cost in that round
_WRONG_ENOUGH = 0.02  # share of the calibration samples
_PRICE = 0.02  # log loss that a doubling of the SynOps may cost

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Trial:
    """A candidate, and what the twin made of it."""

    name: str
    base: Base
    adapted: AdaptedNetwork
    losses: Floats
    synops: float
    decisions: npt.NDArray[np.int64]

    def share_wrong(self, wanted: npt.NDArray[Any]) -> float:
        return float(np.mean(self.decisions != wanted))

    def surely_better(self, other: _Trial) -> bool:
        """By more than a standard error of the paired difference."""
        gain = other.losses - self.losses
        doublings = np.log2(max(self.synops, 1.0) / max(other.synops, 1.0))
        error = float(gain.std() / np.sqrt(len(gain)))
        return float(gain.mean()) - _PRICE * float(doublings) > error

    @property
    def score(self) -> float:
        return float(self.losses.mean()) + _PRICE * float(np.log2(max(self.synops, 1.0)))


def choose_policy(
    bases: Sequence[Base],
    labels: npt.ArrayLike | None = None,
    *,
    chip: str = "speck2f",
    progress: Progress | None = None,
) -> AdaptedNetwork:
    """The network under the policy that measured best, corrected for it.

    Args:
        bases: the network adapted for each way of its biases, the simplest first; one where it
            has none.
        labels: int `[n]`, the decisions to come closer to; the trained network's without them.
        chip: the chip to deploy to.
        progress: told of every step.

    Returns:
        A network whose recipe holds the choice, with a record of all that was measured; the
        first base, with a record that says why, where none can be deployed.
    """
    started = time.perf_counter()
    settings = bases[0].adapted.recipe.settings
    bases = [_shortened(base, settings.correction_samples) for base in bases]
    wanted = _wanted(bases[0], labels)
    values: dict[str, float] = {}
    layers = len(bases[0].adapted.recipe.layers)
    counter = Counter(len(bases) * len(CLIPS) + _FINALISTS + 2 * layers + 1, progress)
    trials, refused = _screened(bases, wanted, chip, values, counter)
    if not trials:
        record = StepRecord(f"chip correction left out: {refused}", 0.0)
        return _recorded(bases[0].adapted, record)
    first = trials[0].name
    ranked = sorted(trials, key=lambda trial: (trial.score, trial.name != first))[:_FINALISTS]
    # A correction lowers the loss of all alike: what is surely behind before it stays behind.
    finalists = [trial for trial in ranked if not ranked[0].surely_better(trial)]
    found = []
    for trial in sorted(finalists, key=trials.index):  # the simplest first
        counter.begin(f"correcting: {trial.name}")
        network = correct_on_twin(trial.adapted, trial.base.batches, wanted, chip=chip)
        found.append(_tried(trial.name, trial.base, network, wanted, len(wanted), chip))
        values[f"log loss:{trial.name}"] = float(found[-1].losses.mean())
        values[f"SynOps:{trial.name}"] = found[-1].synops
    best = found[0]
    for trial in found[1:]:
        best = trial if trial.surely_better(best) else best
    mixed = _mixed(best, wanted, chip, values, counter)
    record = StepRecord(f"policy: {best.name}", time.perf_counter() - started, values)
    return _recorded(mixed, record)


def _shortened(base: Base, samples: int) -> Base:
    if base.batches.samples <= samples:
        return base
    return replace(base, batches=base.batches.part(range(samples)))


def _wanted(base: Base, labels: npt.ArrayLike | None) -> npt.NDArray[np.int64]:
    if labels is None:
        return reference_decisions(base.adapted, base.batches)
    return np.asarray(labels, dtype=np.int64)[: base.batches.samples]


def _screened(
    bases: Sequence[Base],
    wanted: npt.NDArray[Any],
    chip: str,
    values: dict[str, float],
    counter: Counter,
) -> tuple[list[_Trial], str]:
    """All candidates that can be deployed, uncorrected; and why the others cannot."""
    trials, refused = [], ""
    for base in bases:
        for clip in CLIPS:
            name = f"bias {base.bias}, clip {'open' if clip is None else f'{clip:g}'}"
            counter.begin(f"measuring: {name}")
            network = with_layers(base.adapted, _clipped_at(clip))
            try:
                trial = _tried(name, base, network, wanted, _SCREENED, chip)
            except (ModelError, DesignRuleError, SettingsError) as error:
                refused = str(error)
                continue
            values[f"screened:{name}"] = float(trial.losses.mean())
            trials.append(trial)
    return trials, refused


def _tried(
    name: str,
    base: Base,
    network: AdaptedNetwork,
    wanted: npt.NDArray[Any],
    samples: int,
    chip: str,
) -> _Trial:
    deployment = deploy_network(network, chip=chip)
    samples = min(samples, base.batches.samples)
    run = run_on_twin(deployment, base.batches.part(range(samples)).recordings())
    losses = log_losses(run.class_counts, one_hot(wanted[:samples], deployment.classes))
    return _Trial(name, base, network, losses, float(run.synops.mean()), run.decisions)


def _mixed(
    best: _Trial,
    wanted: npt.NDArray[Any],
    chip: str,
    values: dict[str, float],
    counter: Counter,
) -> AdaptedNetwork:
    """Single layers under another clip or bias, from the last to the first, where that helps."""
    runner = TwinEvaluator(best.adapted, best.base.batches.recordings(), chip=chip)
    targets = one_hot(wanted, runner.classes)
    recipe = best.adapted.recipe

    def measured(candidate: Recipe) -> _Trial:
        outcome = runner.run(candidate)
        losses = log_losses(outcome.counts, targets)
        network = replace(best.adapted, recipe=candidate)
        decided = outcome.counts.argmax(axis=1)
        return _Trial(best.name, best.base, network, losses, outcome.mean_synops, decided)

    runner.keep(recipe)
    kept = measured(recipe)
    for index, kind, change in _changes(best):
        layers = list(kept.adapted.recipe.layers)
        counter.begin(f"measuring: {kind} of {layers[index].name}")
        layers[index] = change(layers[index])
        found = measured(replace(kept.adapted.recipe, layers=tuple(layers)))
        if found.surely_better(kept):
            values[f"{kind} changed:{layers[index].name}"] = float(found.losses.mean())
            kept = found
            runner.keep(kept.adapted.recipe, index)
    # Layers are tuned where there are mistakes to learn from: on a network that makes none, moves
    # would only buy certainty with SynOps.
    if kept.share_wrong(wanted) < _WRONG_ENOUGH:
        return kept.adapted
    descent = Descent(kept.adapted.recipe, runner, wanted, _TUNING)
    counter.begin("measuring: thresholds and starts of layers")
    tuned = descent.descend(descent.start(), _TUNING_PRICE)
    values["log loss:tuned"] = descent.loss(tuned)
    values["SynOps:tuned"] = descent.tried[tuned].mean_synops
    return replace(kept.adapted, recipe=tuned.apply(kept.adapted.recipe))


def _changes(trial: _Trial) -> Iterator[tuple[int, str, Change]]:
    biased = trial.base.measured and trial.base.bias in ("initial", "leak")
    for index in reversed(range(len(trial.adapted.recipe.layers))):
        yield index, "clip", _other_clip
        if biased and trial.adapted.recipe.step_us is not None:
            yield index, "bias", lambda layer: replace(layer, leaks=not layer.leaks)


def _other_clip(layer: LayerRecipe) -> LayerRecipe:
    return replace(layer, lower_clip=CLIPS[1] if layer.lower_clip is None else None)


def _clipped_at(clip: float | None) -> Change:
    return lambda layer: replace(layer, lower_clip=clip)


def _recorded(adapted: AdaptedNetwork, record: StepRecord) -> AdaptedNetwork:
    recipe = replace(adapted.recipe, trace=(*adapted.recipe.trace, record))
    return replace(adapted, recipe=recipe)
