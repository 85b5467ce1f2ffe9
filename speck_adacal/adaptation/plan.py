"""The whole recipe: what to do, in which order, and what each step did (design, section 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from speck_adacal.adaptation.search import SearchResult
from speck_adacal.adaptation.sensitivity import MODES
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.errors import SettingsError
from speck_adacal.readout.early_exit import METRICS, OVER, ExitRule
from speck_adacal.recipe.recipe import Recipe, StepRecord
from speck_adacal.validation import (
    Count,
    CountOrZero,
    OneOrMore,
    Positive,
    PositiveOrZero,
    checked,
    one_of,
)

_Samples = Annotated[int, Field(ge=2)]  # fewer have no standard error


@checked
class AdaptPlan:
    """Which steps of the recipe are taken; each can be switched off.

    Attributes:
        search_phi: choose φ per layer (AdaFire) at the SynOps of uniform φ = `settings.phi`.
        phis: candidates of φ.
        search_rho: choose ρ per layer (SSC): fewest SynOps at a KL of at most `kl_ratio` times
            that before.
        rhos: uniform ratios tried first, and the range of candidates around the best of them.
        kl_ratio: how much further from the ANN the network may go to save energy.
        exit_early: calibrate bars for early exits (IAT).
        exit_loss: accuracy that early exits may cost on calibration data, 0.003 for 0.3 points.
        exit_metric: "entropy", "top" or "margin".
        exit_over: where there is a class at each place, whether their "mean" confidence counts, or
            the "low" one that nine tenths of them reach.
        search_samples: calibration samples that searches measure on. With few of them it hangs on
            single spikes what a search finds; where it matters, give some thousand.
        validation_samples: further calibration samples, on which what a search found must be
            better than what it started from (or the start is kept); 0 trusts the search. Where
            there are fewer samples than for both, at most half of them are held out.
        table_samples: those of `search_samples` behind sensitivity tables.
        search_steps: time steps shown while searching; T by default. With early exits most
            samples see few steps, and what counts is how good the first ones are.
        evaluations: measurements that each measured descent may take.
        frontier: whether the Pareto frontier and a descent over the candidates come first.
        refinements: rounds of measured steps around what was found (see `refine`); 0 leaves it.
        mode: sensitivities "in_situ" or "isolated".
        temperature: of the soft-max in the KL; 1 is eq. 9, None chooses one (see `Evaluator`).
        fit_scale: whether KL is taken at the scale of the outputs that suits each network. Which
            class is largest does not depend on it, so nothing is spent on bringing it back.
        epsilon: thinning of the frontier, as a part of the reference KL; 0 is exact.

    Raises:
        SettingsError: naming the field, the value found and what is allowed.
    """

    search_phi: bool = True
    phis: OneOrMore[Count] = (1, 2, 3, 4, 5, 6, 7, 8)
    search_rho: bool = True
    rhos: OneOrMore[Positive] = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    kl_ratio: Annotated[float, Field(ge=1)] = 3.0
    exit_early: bool = True
    exit_loss: PositiveOrZero = 0.003
    exit_metric: Annotated[str, one_of(*METRICS)] = "entropy"
    exit_over: Annotated[str, one_of(*OVER)] = "mean"
    search_samples: _Samples = 512
    validation_samples: CountOrZero = 512
    table_samples: _Samples = 256
    search_steps: Count | None = None
    evaluations: CountOrZero = 30
    frontier: bool = True
    refinements: CountOrZero = 2
    mode: Annotated[str, one_of(*MODES)] = "in_situ"
    temperature: Positive | None = None
    fit_scale: bool = True
    epsilon: PositiveOrZero = 0.0

    def __post_init__(self) -> None:
        if self.validation_samples == 1:
            raise SettingsError(
                "AdaptPlan.validation_samples must be 0 or at least 2, found 1: one sample has no "
                "standard error."
            )


@dataclass(frozen=True, eq=False)
class Stage:
    """A network after one stage of the recipe.

    Attributes:
        name: "adafire", "phi" or "ssc".
        recipe: values per layer.
        graph: with corrected biases and weights.
        kl: measured on the search samples, nats.
        synops: SynOps a sample, measured on them.
        search: how it was found, where it was searched.
        correction: how it was corrected.
    """

    name: str
    recipe: Recipe
    graph: LayerGraph
    kl: float
    synops: float
    search: SearchResult | None = None
    correction: str = "none"


@dataclass(frozen=True, eq=False)
class PlanOutcome:
    """All stages, the last of them the result; the exit rule if one was calibrated; the trace."""

    stages: tuple[Stage, ...]
    exit_rule: ExitRule | None
    trace: tuple[StepRecord, ...]

    @property
    def result(self) -> Stage:
        """The network to use."""
        return self.stages[-1]
