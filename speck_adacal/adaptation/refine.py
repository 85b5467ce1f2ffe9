"""Measured steps around a network: the few changes of φ or ρ that pay, within what it spends.

Sensitivities around φ_max belong to another network, and few samples are fitted too closely. Here
every layer's neighbours are measured *in* the present network, each with a potential corrected
for it, as paired differences; an integer programme takes the changes whose harm, raised by its
standard error, is least within the caps; all thresholds are then scaled by one factor so that the
corrected network spends what it may; and a step is kept only if samples that proposed nothing
agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.adaptation.both_networks import SideBySide
from speck_adacal.adaptation.changes import KindOfChange
from speck_adacal.adaptation.corrections import corrected_in_place
from speck_adacal.adaptation.measure import Evaluator, Measurement
from speck_adacal.adaptation.plan import Stage
from speck_adacal.adaptation.proposals import Options, proposals
from speck_adacal.adaptation.sensitivity import sensitivity
from speck_adacal.ann.graph import SPIKING, LayerGraph
from speck_adacal.recipe.recipe import LayerRecipe, Recipe
from speck_adacal.snn.network import SpikingNetwork

Array = npt.NDArray[np.float64]

_CLOSE = 0.003  # relative distance below a cap that is near enough


@dataclass(frozen=True)
class Caps:
    """What a network may spend a sample, on average; both hold."""

    spikes: float
    synops: float

    def excess(self, found: Measurement) -> float:
        """By how much, relatively, the dearer of both is above its cap."""
        spikes = found.spikes_per_sample / self.spikes
        return max(spikes, found.synops_per_sample / self.synops) - 1

    def room(self, found: Measurement) -> Array:
        """What is left, `[spikes, SynOps]`; negative where a cap is passed."""
        spent = (found.spikes_per_sample, found.synops_per_sample)
        return np.asarray(np.array([self.spikes, self.synops]) - np.array(spent))

    def of(self, tools: Instruments, stage: Stage) -> float:
        """The excess of `stage` on the search samples."""
        return self.excess(tools.search.measure(stage.recipe, stage.graph))

    def met(self, tools: Instruments, stage: Stage) -> bool:
        """Whether the search samples find `stage` within both caps."""
        return self.of(tools, stage) <= 0


@dataclass(frozen=True)
class Step:
    """One measured proposal.

    Attributes:
        promised: change of KL that the table gave, nats.
        found: change of KL measured on the samples behind the table's network.
        held_out: change of KL on samples that proposed nothing, and its standard error.
        kept: whether the search went on from it.
    """

    promised: float
    found: float
    held_out: tuple[float, float]
    kept: bool

    def values(self) -> dict[str, float]:
        """Plain numbers, for the trace."""
        return {
            "promised": self.promised,
            "found": self.found,
            "held_out": self.held_out[0],
            "held_out_error": self.held_out[1],
        }


@dataclass(frozen=True, eq=False)
class Instruments:
    """What a refinement measures with.

    Attributes:
        graph: the ANN.
        table: samples of the sensitivity tables.
        search: samples that rank proposals.
        held_out: samples that must agree.
        inputs: encoded samples of the candidates' potentials, shown for all steps.
        steps: T of the corrections.
        settle: from a recipe with fresh potentials to a corrected stage.
    """

    graph: LayerGraph
    table: Evaluator
    search: Evaluator
    held_out: Evaluator
    inputs: Sequence[torch.Tensor]
    steps: int
    settle: Callable[[str, Recipe], Stage]


def refine(
    tools: Instruments,
    start: Stage,
    change: KindOfChange,
    caps: Caps,
    rounds: int,
) -> tuple[Stage, tuple[Step, ...]]:
    """Go on from `start` by measured steps that cost no more than `caps`.

    Args:
        tools: samples and the correction.
        start: a corrected network.
        change: what may change.
        caps: what may be spent.
        rounds: tables measured at most; a round that finds nothing ends it.
    """
    steps: list[Step] = []
    for _ in range(rounds):
        best = _round(tools, start, change, caps, steps)
        if best is None:
            break
        start = best
    return start, tuple(steps)


def _round(
    tools: Instruments,
    start: Stage,
    change: KindOfChange,
    caps: Caps,
    steps: list[Step],
) -> Stage | None:
    offered = change.options(start.recipe)
    centred = centre(tools, start, offered)
    table = sensitivity(tools.table, start.recipe, centred, graph=start.graph)
    before, held = (e.measure(start.recipe, start.graph) for e in (tools.search, tools.held_out))
    room = caps.room(before)
    best, least = None, 0.0
    for recipe, promised in proposals(start.recipe, offered, table, room, change):
        stage = fitted(tools, recipe, change, caps)
        gained = paired(before, tools.search.measure(stage.recipe, stage.graph))[0]
        gain, error = paired(held, tools.held_out.measure(stage.recipe, stage.graph))
        good = caps.met(tools, stage) and max(gained, gain + error) < 0 and gain + gained < least
        steps.append(Step(promised, gained, (gain, error), good))
        if good:
            best, least = stage, gain + gained
    return best


def fitted(
    tools: Instruments, recipe: Recipe, change: KindOfChange, caps: Caps, tries: int = 4
) -> Stage:
    """`recipe` corrected, all its thresholds scaled by one factor to spend just what it may.

    Spikes go nearly as one over the threshold. The dearest network within the caps is returned,
    or the nearest to them where none of the tries is within.
    """
    found: list[tuple[float, Stage]] = []
    factor = 1.0
    for _ in range(tries):
        stage = tools.settle(f"thresholds × {factor:.3f}", change.scaled(recipe, factor))
        excess = caps.excess(tools.search.measure(stage.recipe, stage.graph))
        found.append((excess, stage))
        if -_CLOSE <= excess <= 0:
            break
        factor *= 1 + excess + _CLOSE / 2
    within = [f for f in found if f[0] <= 0]
    if within:
        return max(within, key=lambda f: f[0])[1]
    return min(found, key=lambda f: f[0])[1]


def cheapest(
    tools: Instruments, stage: Stage, change: KindOfChange, kl: float, tries: int = 4
) -> Stage:
    """The cheapest network that scaling all thresholds of `stage` up gives at most `kl` nats."""
    low, high, best = 1.0, 1.6, stage
    for _ in range(tries):
        factor = (low + high) / 2
        found = tools.settle(f"thresholds × {factor:.3f}", change.scaled(stage.recipe, factor))
        if found.kl <= kl:
            low = factor
            best = found if found.synops < best.synops else best
        else:
            high = factor
    return best


def paired(before: Measurement, after: Measurement) -> tuple[float, float]:
    """Mean change of KL sample by sample, and its standard error."""
    change = after.sample_kl - before.sample_kl
    return float(change.mean()), float(change.std(ddof=1) / np.sqrt(len(change)))


@torch.no_grad()
def centre(tools: Instruments, stage: Stage, offered: Options) -> dict[str, list[LayerRecipe]]:
    """Candidates, each corrected for the present network."""
    temporal = stage.recipe.has_step_biases
    network = SpikingNetwork(stage.graph, stage.recipe)
    pair = SideBySide(tools.graph, network, tools.inputs, tools.search.batches, tools.steps)
    found: dict[str, list[LayerRecipe]] = {}
    for node in pair:
        if node.kind in SPIKING and offered.get(node.name):
            found[node.name] = [
                corrected_in_place(node, x.uncorrected(), pair, tools.steps, temporal=temporal)
                for x in offered[node.name]
            ]
    return found
