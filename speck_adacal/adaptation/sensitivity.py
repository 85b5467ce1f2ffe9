"""How much each layer's φ or ρ matters: S_i(k) of eq. 9, with what before layer i is run once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from joblib import Parallel, delayed

from speck_adacal.adaptation.finished_work import digest
from speck_adacal.adaptation.linear_response import images_at_once
from speck_adacal.adaptation.measure import Evaluator, layer_values
from speck_adacal.adaptation.progress_bar import progress
from speck_adacal.adaptation.table_in_situ import TableWork
from speck_adacal.adaptation.table_isolated import Candidates
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.errors import SettingsError
from speck_adacal.recipe.recipe import Recipe
from speck_adacal.snn.network import SpikingNetwork

Array = npt.NDArray[np.float64]
MODES = ("in_situ", "isolated")


@dataclass(frozen=True, eq=False)
class SensitivityTable:
    """What a network would be with layer i in configuration k.

    Attributes:
        layers: names, in order.
        kl: `[layers, candidates]`, mean KL(ANN ‖ SNN) in nats; infinite where a layer has fewer
            candidates.
        kl_error: standard error of the *difference* to the reference (paired by sample).
        spikes: `[layers, candidates]`, spikes a sample, of the whole network in mode "in_situ",
            of layer i alone in mode "isolated".
        synops: the same for SynOps.
        reference_kl: KL of the reference: all spiking as in the recipe ("in_situ"), or the ANN
            itself, 0 ("isolated").
        reference_spikes, reference_synops: of the reference; 0 in mode "isolated".
        mode: "in_situ" or "isolated".
        samples: number of samples behind every cell.
    """

    layers: tuple[str, ...]
    kl: Array
    kl_error: Array
    spikes: Array
    synops: Array
    reference_kl: float
    reference_spikes: float
    reference_synops: float
    mode: str
    samples: int

    @property
    def harm(self) -> Array:
        """KL above the reference's, not below zero."""
        return np.maximum(self.kl - self.reference_kl, 0.0)


@torch.no_grad()
def sensitivity(
    evaluator: Evaluator,
    recipe: Recipe,
    candidates: Candidates,
    *,
    graph: LayerGraph | None = None,
    mode: str = "in_situ",
    exact: bool = False,
) -> SensitivityTable:
    """Measure every candidate of every layer.

    Batches go through the network once; at each spiking layer every candidate is run from
    the values that are there, through the layers after it only. Batches are independent jobs
    (`spread_over`); each finished batch is kept in the evaluator's folder, if any.

    Args:
        evaluator: samples and targets.
        recipe: the reference configuration.
        candidates: candidates of each layer, each with the threshold that belongs to it.
        graph: the corrected graph, if it is not the evaluator's.
        mode: "in_situ": all layers spike as in `recipe` but for layer i; "isolated": only layer
            i spikes, on the ANN's values, and the layers after it see its mean.
        exact: in mode "isolated", run the layers after layer i for every candidate, instead of
            taking them as linear (`linear_response`).
    """
    if mode not in MODES:
        raise SettingsError(f"mode must be one of {', '.join(MODES)}, found {mode!r}.")
    graph, classes = graph or evaluator.graph, evaluator.targets[0].shape[1]
    one = evaluator.objective.of_one_class
    exact = exact or (one is not None and classes == 1)  # the soft-max of one class says nothing
    names = [n for n in SpikingNetwork(graph, recipe).spiking_names if candidates.get(n)]
    width = max(len(candidates[n]) for n in names)
    described = [layer_values(candidates[n]) for n in names]
    if evaluator.fit_scale:  # the reference's; around it, a candidate's own is no better
        scale = evaluator.measure(recipe, graph).output_scale if mode == "in_situ" else 1.0
        evaluator = evaluator.with_output_scale(scale)
    steps = evaluator.settings.time_steps
    scales = (evaluator.temperature, evaluator.output_scale)
    reference = (layer_values(recipe.layers), steps, *scales)
    setting = digest("table 6", graph, reference, described, mode, exact)
    together = 1
    if mode == "isolated":  # only one layer has a time axis
        size = images_at_once(graph, classes)
        together = steps if exact else max(1, size // len(evaluator.inputs[0]))
    inputs, targets = (_joined(x, together) for x in (evaluator.inputs, evaluator.targets))
    kept: dict[int, dict[str, np.ndarray]] = {}
    todo = []
    for index, batch in enumerate(inputs):
        found = evaluator.finished.get(digest(setting, batch))
        if found is None:
            todo.append(index)
        else:
            kept[index] = found
    work = TableWork(
        evaluator.without_data(), graph, recipe, candidates, tuple(names), width, mode, exact
    )
    calls = [delayed(_keeping)(work, inputs[i], targets[i], setting) for i in todo]
    results = Parallel(return_as="generator")(calls)
    with progress() as bar:
        done = bar.track(results, total=len(todo), description=f"sensitivity ({mode})")
        for index, result in zip(todo, done, strict=True):
            kept[index] = result
    return _table(kept, tuple(names), mode)


def _joined(parts: Sequence[torch.Tensor], together: int) -> list[torch.Tensor]:
    """Batches on end, so many in one."""
    if together == 1:
        return list(parts)
    return [torch.cat(list(parts[i : i + together])) for i in range(0, len(parts), together)]


def _keeping(
    work: TableWork, batch: torch.Tensor, target: torch.Tensor, setting: str
) -> dict[str, np.ndarray]:
    result = work.of_batch(batch, target)
    work.evaluator.finished.put(digest(setting, batch), result)
    return result


def _table(
    kept: Mapping[int, dict[str, np.ndarray]], names: tuple[str, ...], mode: str
) -> SensitivityTable:
    parts = [kept[i] for i in sorted(kept)]
    kl = np.concatenate([p["kl"] for p in parts], axis=2)
    reference = np.concatenate([p["reference_kl"] for p in parts])
    samples = len(reference)
    with np.errstate(invalid="ignore"):
        spread = np.std(kl - reference, axis=2, ddof=1 if samples > 1 else 0)
    return SensitivityTable(
        layers=names,
        kl=kl.mean(2),
        kl_error=spread / np.sqrt(samples),
        spikes=np.sum([p["spikes"] for p in parts], axis=0) / samples,
        synops=np.sum([p["synops"] for p in parts], axis=0) / samples,
        reference_kl=float(reference.mean()),
        reference_spikes=float(sum(p["reference_spikes"] for p in parts)) / samples,
        reference_synops=float(sum(p["reference_synops"] for p in parts)) / samples,
        mode=mode,
        samples=samples,
    )
