"""Running the recipe: thresholds, φ, corrections, ρ, corrections again, exits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from speck_adacal.adaptation.candidates import phi_candidates, rho_candidates
from speck_adacal.adaptation.changes import PHI, RHO, KindOfChange
from speck_adacal.adaptation.correction_choice import choose_correction
from speck_adacal.adaptation.engine import recipe_of, refuse_silence
from speck_adacal.adaptation.exit_bars import calibrated_exit
from speck_adacal.adaptation.finished_work import FinishedWork
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.plan import AdaptPlan, PlanOutcome, Stage
from speck_adacal.adaptation.refine import Caps, Instruments, cheapest, fitted, refine
from speck_adacal.adaptation.search import Limit, Search
from speck_adacal.adaptation.search_samples import search_samples
from speck_adacal.adaptation.step_records import recorded
from speck_adacal.adaptation.thresholds import observe, thresholds
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.errors import CalibrationError
from speck_adacal.readout.early_exit import ExitRule
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe, StepRecord
from speck_adacal.samples.encoded import encoded_batches


class Pipeline:
    """One network and its calibration data; stages can be run one by one or all in order.

    Args:
        graph: the traced network; never changed.
        batches: as for `adapt_graph`.
        settings: T, φ, thresholds, corrections.
        plan: the steps.
        labels: `[samples]`; exits are calibrated to the ANN's decisions without them.
        folder: where finished work is kept, so that a killed run goes on; None keeps nothing.
    """

    def __init__(
        self,
        graph: LayerGraph,
        batches: Iterable[torch.Tensor],
        settings: AdaptSettings,
        plan: AdaptPlan | None = None,
        labels: torch.Tensor | None = None,
        folder: Path | None = None,
    ) -> None:
        refuse_silence(graph)
        self.graph, self.settings, self.plan = graph, settings, plan or AdaptPlan()
        self.records: list[StepRecord] = []
        self._finished = FinishedWork(folder)
        self._data = encoded_batches(batches, graph.input_shape, settings)
        with recorded(self.records, "thresholds") as values:
            self._statistics = observe(graph, self._data)
            values["layers"] = float(len(self._statistics))
        self.samples = search_samples(
            graph, self._data, settings, self.plan, labels, self._finished
        )
        self.evaluator = self.samples.search
        self._labels = labels

    def _validated(self, start: Stage, found: Stage) -> Stage:
        """`found`, if it is better than `start` on held-out samples too; else `start`."""
        held_out = self.samples.held_out
        if held_out is None:
            return found
        with recorded(self.records, f"validation:{found.name}") as values:
            before = held_out.measure(start.recipe, start.graph)
            after = held_out.measure(found.recipe, found.graph)
            values |= {"kl_start": before.kl, "kl": after.kl, "kept": float(after.kl < before.kl)}
            if after.kl < before.kl:
                return found
            return replace(start, name=found.name, search=found.search)

    def uniform(self, phi: int, rho: float = 1.0) -> Stage:
        """The same φ and ρ in all layers, corrected."""
        recipe = recipe_of(self._statistics, self.settings, phi)
        layers = tuple(
            x if x.readout else x.with_threshold(x.threshold, rho=rho) for x in recipe.layers
        )
        name = f"uniform φ={phi}" + (f" ρ={rho:g}" if rho != 1 else "")
        return self.corrected(name, replace(recipe, layers=layers), self.graph)

    def uncorrected(self, phi: int) -> Recipe:
        """The same φ in all layers, each at half a threshold."""
        return recipe_of(self._statistics, self.settings, phi)

    def corrected(
        self, name: str, recipe: Recipe, graph: LayerGraph, like: Stage | None = None
    ) -> Stage:
        """Correct and measure; what was there is kept where the correction does not help.

        Args:
            name: of the stage.
            recipe, graph: what is corrected.
            like: a stage whose way of correcting is taken over, with the first step that counts;
                without it held-out samples choose.
        """
        settings, judge = self.settings, self.samples.held_out or self.evaluator
        if like is not None:
            first, kind = like.recipe.first_step, like.correction
            recipe = replace(recipe, first_step=first)
            settings = replace(settings, correction=kind, first_step=first)
        with recorded(self.records, name) as values:
            before = self.evaluator.measure(recipe, graph)
            stage = Stage(name, recipe, graph, before.kl, before.synops_per_sample)
            if settings.correction != "none":
                choice = choose_correction(graph, recipe, self._data, settings, judge, self.graph)
                found = choice.corrected
                after = self.evaluator.measure(found.recipe, found.graph)
                values |= {"kl_uncorrected": before.kl, "first_step": found.recipe.first_step}
                values |= {f"kl:{kind}": kl for kind, kl in choice.kl.items()}
                if after.kl < before.kl:
                    synops = after.synops_per_sample
                    stage = Stage(name, found.recipe, found.graph, after.kl, synops)
                    before = after
                stage = replace(stage, correction=choice.kind)
            values |= before.figures()
        return stage

    def search_phi(self, start: Stage, budget: float | None = None) -> Stage:
        """φ and V_th per layer at what `start` spends, or at `budget` SynOps; corrected."""
        self.samples.refuse_few()
        limit = Limit(synops=start.synops if budget is None else budget)
        found = start
        if self.plan.frontier:
            phis = sorted({*self.plan.phis, *(x.phi for x in start.recipe.layers)})
            tables = {phi: thresholds(self._statistics, self.settings, phi) for phi in phis}
            candidates = phi_candidates(start.recipe, tables, phis)
            at = tuple(phis.index(x.phi) for x in start.recipe.layers if not x.readout)
            found = self._searched("phi", start, candidates, at, limit)
            if start.synops <= (limit.synops or 0):
                found = self._validated(start, found)
        if not self.plan.refinements:
            return found
        caps = self._caps(start) if budget is None else Caps(np.inf, budget)
        phi = max(x.phi for x in start.recipe.layers)
        others = [recipe_of(self._statistics, self.settings, k) for k in (phi + 1, 2 * phi)]
        return self._refined(PHI, found, caps, others)

    def search_rho(self, start: Stage, limit: Limit | None = None) -> Stage:
        """ρ per layer, from the best uniform ρ that keeps the limit; then corrections again."""
        self.samples.refuse_few()
        limit = limit or Limit(kl=start.kl * self.plan.kl_ratio)
        begin = found = self.best_uniform_rho(start, limit)
        if self.plan.frontier:
            base = next(x.rho for x in begin.recipe.layers if not x.readout)
            rhos = [base * f for f in (0.5, 0.6, 0.7, 0.84, 1.0, 1.2, 1.4, 1.7, 2.0)]
            candidates = rho_candidates(begin.recipe, rhos)
            at = (rhos.index(base),) * len(candidates)
            found = self._searched("ssc", begin, candidates, at, limit)
        if not self.plan.refinements:
            return found
        caps = self._caps(found) if limit.synops is None else Caps(np.inf, limit.synops)
        found = self._refined(RHO, found, caps, [])
        return found if limit.kl is None else cheapest(self._tools(found), found, RHO, limit.kl)

    def search_rho_at(self, start: Stage) -> Stage:
        """ρ per layer at what `start`, a network of uniform ρ, spends."""
        self.samples.refuse_few()
        return self._refined(RHO, start, self._caps(start), [])

    def _caps(self, stage: Stage) -> Caps:
        found = self.evaluator.measure(stage.recipe, stage.graph)
        return Caps(found.spikes_per_sample, found.synops_per_sample)

    def _tools(self, like: Stage) -> Instruments:
        samples = min(self.settings.correction_samples, self.evaluator.samples)
        return Instruments(
            self.graph,
            self.samples.table,
            self.evaluator,
            self.samples.held_out or self.evaluator,
            list(self._data.between(0, samples)),
            self.settings.time_steps,
            lambda name, recipe: self.corrected(name, recipe, self.graph, like),
        )

    def _refined(
        self, change: KindOfChange, start: Stage, caps: Caps, others: Sequence[Recipe]
    ) -> Stage:
        """Measured steps from the best of `start` and `others`, these scaled to the caps."""
        with recorded(self.records, f"refine:{change.name}") as values:
            tools = self._tools(start)
            begins = [start, *(fitted(tools, r, change, caps) for r in others)]
            if not caps.met(tools, start):
                begins.append(fitted(tools, start.recipe, change, caps))
            best = min(begins, key=lambda b: (max(caps.of(tools, b), 0.0), b.kl))
            if caps.met(tools, start) and best is not start:
                best = self._validated(start, best)
            found, steps = refine(tools, best, change, caps, self.plan.refinements)
            values |= {"kl_start": start.kl, "kl_scaled": best.kl, "kl": found.kl}
            values["feasible"] = float(caps.met(tools, found))
            values |= {"synops": found.synops, "kept": float(sum(s.kept for s in steps))}
            for at, step in enumerate(steps):
                values |= {f"{k}:{at}": v for k, v in step.values().items()}
        return replace(found, name=change.name, search=start.search)

    def best_uniform_rho(self, start: Stage, limit: Limit) -> Stage:
        """The largest uniform ratio within a limit on KL, or the least within one on SynOps."""
        best = start
        for rho in sorted(self.plan.rhos):
            layers = tuple(
                x if x.readout else x.with_threshold(x.threshold, rho=rho * x.rho)
                for x in start.recipe.layers
            )
            recipe = replace(start.recipe, layers=layers)
            stage = self.corrected(f"ρ={rho:g}", recipe, start.graph, start)
            if limit.synops is not None and stage.synops <= limit.synops:
                return stage
            if limit.kl is not None:
                if stage.kl > limit.kl:
                    break
                best = stage
        return best

    def calibrate_exit(self, stage: Stage) -> ExitRule:
        """Bars that lose at most `plan.exit_loss`, from all calibration samples."""
        with recorded(self.records, "exit") as values:
            data = Evaluator(self.graph, self._data, self.settings, self._labels, self._finished)
            rule, figures = calibrated_exit(data, stage, self.plan)
            values |= figures
        return rule

    def run(self) -> PlanOutcome:
        """All switched-on steps in the order of the design."""
        stages = [self.uniform(self.settings.phi)]
        if self.plan.search_phi:
            stages.append(self.search_phi(stages[-1]))
        if self.plan.search_rho:
            stages.append(self.search_rho(stages[-1]))
        rule = self.calibrate_exit(stages[-1]) if self.plan.exit_early else None
        trace = tuple(self.records)
        stages = [replace(s, recipe=replace(s.recipe, trace=trace)) for s in stages]
        return PlanOutcome(tuple(stages), rule, trace)

    def _searched(
        self,
        name: str,
        start: Stage,
        candidates: Mapping[str, Sequence[LayerRecipe]],
        at: tuple[int, ...],
        limit: Limit,
    ) -> Stage:
        with recorded(self.records, f"search:{name}") as values:
            search = Search(
                self.evaluator,
                start.recipe,
                candidates,
                graph=start.graph,
                mode=self.plan.mode,
                epsilon=self.plan.epsilon,
                table_evaluator=self.samples.table,
            )
            result = search.run(limit, [at], self.plan.evaluations)
            values |= {
                "kl_start": start.kl,
                "synops_start": start.synops,
                "kl": result.best.kl,
                "synops": result.best.synops,
                "kl_gap": result.gap,
                "feasible": float(result.feasible),
                "measured": float(len(result.trials)),
                "front": float(len(result.front.cost)),
            }
        again = self.corrected(f"{name} corrected", result.recipe, start.graph, start)
        best, fits = result.best, limit.synops is None or again.synops <= limit.synops
        if again.kl <= best.kl and fits:
            return replace(again, name=name, search=result, correction=start.correction)
        found = replace(start, name=name, recipe=result.recipe, search=result)
        return replace(found, kl=best.kl, synops=best.synops)


def run_plan(
    graph: LayerGraph,
    batches: Iterable[torch.Tensor],
    settings: AdaptSettings,
    plan: AdaptPlan | None = None,
    *,
    labels: torch.Tensor | None = None,
    folder: Path | None = None,
) -> PlanOutcome:
    """Run the whole recipe; see `Pipeline` for the arguments.

    Raises:
        CalibrationError: as for `adapt_graph`; labels of another number than the samples.
    """
    if labels is not None and len(labels) == 0:
        raise CalibrationError("There are no labels; give one per sample, or None.")
    return Pipeline(graph, batches, settings, plan, labels, folder).run()
