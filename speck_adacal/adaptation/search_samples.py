"""Which calibration samples a search measures on, and which it never sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from speck_adacal.adaptation.finished_work import FinishedWork
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.plan import AdaptPlan
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.errors import CalibrationError
from speck_adacal.recipe.recipe import AdaptSettings
from speck_adacal.samples.batches import Batches


@dataclass(frozen=True, eq=False)
class SearchSamples:
    """Evaluators of one network at one number of steps and one temperature.

    Attributes:
        search: samples that proposals are ranked on.
        table: the first of them, for sensitivity tables.
        held_out: samples behind them, which propose nothing; None where there are none.
    """

    search: Evaluator
    table: Evaluator
    held_out: Evaluator | None

    def refuse_few(self) -> None:
        """Refuse a search on fewer samples than a standard error takes.

        Raises:
            CalibrationError: fewer than two samples for one of the purposes.
        """
        parts = [self.search, self.table, *([self.held_out] if self.held_out else [])]
        found = [part.samples for part in parts]
        if min(found) < 2:
            raise CalibrationError(
                "A search needs at least 2 calibration samples to measure on, behind its tables, "
                f"and held out to confirm what it finds; found {', '.join(map(str, found))}; give "
                "at least 4 in all, better some hundred."
            )


def search_samples(
    graph: LayerGraph,
    data: Batches,
    settings: AdaptSettings,
    plan: AdaptPlan,
    labels: torch.Tensor | None,
    finished: FinishedWork,
) -> SearchSamples:
    """The first samples of `data`, shown for `plan.search_steps` steps.

    Where there are fewer than the plan asks for, at most half of them are held out.

    Raises:
        CalibrationError: as for `Evaluator`.
    """
    every = torch.cat(list(data.between(0, plan.search_samples + plan.validation_samples)))
    used = min(plan.search_samples, len(every) - min(plan.validation_samples, len(every) // 2))
    steps = min(plan.search_steps or settings.time_steps, settings.time_steps)
    short = replace(settings, time_steps=steps)

    def evaluator(
        chosen: Sequence[torch.Tensor], y: torch.Tensor | None, temperature: float | None
    ) -> Evaluator:
        shown = chosen if data.is_analog else [p[:, :steps] for p in chosen]
        return Evaluator(
            graph, shown, short, y, finished, temperature=temperature, fit_scale=plan.fit_scale
        )

    known, size = None if labels is None else labels[:used], settings.batch_size
    search = evaluator(every[:used].split(size), known, plan.temperature)
    behind = every[: min(plan.table_samples, used)].split(size)
    table = evaluator(behind, None, search.temperature)
    held_out = None
    if used < len(every):
        held_out = evaluator([every[used:]], None, search.temperature)
    return SearchSamples(search, table, held_out)
