"""Which correction, and from which time step on outputs count: what held-out samples say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from speck_adacal.adaptation.corrections import TEMPORAL, Corrected, correct
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.recipe.recipe import AdaptSettings, Recipe
from speck_adacal.samples.batches import Batches

_LEAST_HELD_OUT = 8  # samples; with fewer nothing can be chosen by them


@dataclass(frozen=True, eq=False)
class Choice:
    """A correction that was chosen.

    Attributes:
        kind: its name.
        corrected: what it gave, the recipe with the first step that counts.
        kl: of each correction that was tried, by name, on the held-out samples; nats.
    """

    kind: str
    corrected: Corrected
    kl: dict[str, float]


def kinds(settings: AdaptSettings) -> tuple[str, ...]:
    """The corrections that the settings leave to choose from."""
    if settings.correction != "auto":
        return (settings.correction,)
    if settings.input_coding == "events":
        return ("potential",)
    return ("both", "temporal", "temporal_weights") if settings.time_steps > 1 else ("both",)


def choose_correction(
    graph: LayerGraph,
    recipe: Recipe,
    batches: Batches,
    settings: AdaptSettings,
    judge: Evaluator | None,
    reference: LayerGraph | None = None,
) -> Choice:
    """Correct in every way that the settings leave, and take the one that a judge finds best.

    Args:
        graph, recipe, batches, settings, reference: as for `correct`.
        judge: samples that no correction is fitted on; without it the first way is taken, and
            all steps count (or those that the settings say).
    """
    best, least, found = None, float("inf"), {}
    for kind in kinds(settings):
        fixed = replace(settings, correction=kind)
        corrected = correct(graph, recipe, batches, fixed, reference)
        at = replace(corrected.recipe, first_step=settings.first_step or 1)
        if judge is not None:
            at, found[kind] = _best_window(judge, at, corrected.graph, settings)
        if best is None or found[kind] < least:
            best, least = Choice(kind, replace(corrected, recipe=at), found), found.get(kind, least)
        if judge is None:
            break
    assert best is not None  # noqa: S101  (there is always a kind)
    return best


def _best_window(
    judge: Evaluator, recipe: Recipe, graph: LayerGraph, settings: AdaptSettings
) -> tuple[Recipe, float]:
    """The recipe with the first step that counts, and its KL."""
    if settings.first_step is not None or not recipe.has_step_biases:
        return recipe, judge.measure(recipe, graph).kl
    kl = [measured.kl for measured in judge.measure_windows(recipe, graph)]
    least = min(range(len(kl)), key=kl.__getitem__)
    return replace(recipe, first_step=least + 1), kl[least]


def held_out_split(
    graph: LayerGraph, batches: Batches, settings: AdaptSettings
) -> tuple[Batches, Evaluator | None]:
    """Samples to fit on, and a judge on others; None where nothing is to be chosen.

    The first `settings.correction_samples` are for fitting, or three quarters where there are
    fewer than that and a third more; as many after them judge.
    """
    if not TEMPORAL.intersection(kinds(settings)):
        return batches, None
    fit = min(settings.correction_samples, batches.samples - batches.samples // 4)
    others = batches.between(fit, fit + settings.correction_samples)
    if others.samples < _LEAST_HELD_OUT:
        return batches, None
    return batches.between(0, fit), Evaluator(
        graph, others, settings, temperature=None, fit_scale=True
    )
