"""How much each layer's φ or ρ matters: S_i(k) of eq. 9, with what before layer i is run once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from joblib import Parallel, delayed

from speck_adacal.adaptation.evaluate import Evaluator, layer_values
from speck_adacal.adaptation.journal import digest
from speck_adacal.adaptation.progress import track
from speck_adacal.adaptation.recipe import LayerRecipe, Recipe
from speck_adacal.ann.graph import LayerGraph, Node
from speck_adacal.errors import SettingsError
from speck_adacal.snn.network import SpikingNetwork, Value, run_nodes, spiking_neuron

Array = npt.NDArray[np.float64]
Variants = Mapping[str, Sequence[LayerRecipe]]
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
    variants: Variants,
    *,
    graph: LayerGraph | None = None,
    mode: str = "in_situ",
    jobs: int = 1,
) -> SensitivityTable:
    """Measure every candidate of every layer.

    Pieces of data go through the network once; at each spiking layer every candidate is run from
    the values that are there, through the layers after it only. Pieces are independent jobs for
    `joblib`, whose back end (threads, processes, Dask, Ray) the caller may choose with
    `joblib.parallel_config`; each finished piece is kept in the evaluator's journal.

    Args:
        evaluator: samples and targets.
        recipe: the reference configuration.
        variants: candidates of each layer, each with the threshold that belongs to it.
        graph: the corrected graph, if it is not the evaluator's.
        mode: "in_situ": all layers spike as in `recipe` but for layer i; "isolated": only layer
            i spikes, on the ANN's values, and the layers after it see its mean.
        jobs: how many pieces run at once.
    """
    if mode not in MODES:
        raise SettingsError(f"mode must be one of {', '.join(MODES)}, found {mode!r}.")
    graph = graph or evaluator.graph
    names = [n for n in SpikingNetwork(graph, recipe).spiking_names if variants.get(n)]
    width = max(len(variants[n]) for n in names)
    described = [layer_values(variants[n]) for n in names]
    if evaluator.fit_scale:  # the reference's; around it, a candidate's own is no better
        scale = evaluator.measure(recipe, graph).output_scale if mode == "in_situ" else 1.0
        evaluator = evaluator.with_output_scale(scale)
    steps = evaluator.settings.time_steps
    scales = (evaluator.temperature, evaluator.output_scale)
    reference = (layer_values(recipe.layers), steps, *scales)
    order = "cells 2" if evaluator.channels_last else "cells 2, channels first"
    setting = digest(order, graph, reference, described, mode)
    kept: dict[int, dict[str, np.ndarray]] = {}
    todo = []
    for index, piece in enumerate(evaluator.pieces):
        found = evaluator.journal.get(digest(setting, piece))
        if found is None:
            todo.append(index)
        else:
            kept[index] = found
    cells = _Cells(evaluator.without_data(), graph, recipe, variants, tuple(names), width, mode)
    calls = (
        delayed(_keeping)(cells, evaluator.pieces[i], evaluator.targets[i], setting)
        for i in track(todo, f"sensitivity ({mode})")
    )
    for index, result in zip(todo, Parallel(n_jobs=jobs)(calls), strict=True):
        kept[index] = result
    return _table(kept, tuple(names), mode)


def _keeping(
    cells: _Cells, piece: torch.Tensor, target: torch.Tensor, setting: str
) -> dict[str, np.ndarray]:
    result = cells.of_piece(piece, target)
    cells.evaluator.journal.put(digest(setting, piece), result)
    return result


@dataclass(frozen=True, eq=False)
class _Cells:
    """The work on one piece of data; can be sent to another process."""

    evaluator: Evaluator
    graph: LayerGraph
    recipe: Recipe
    variants: Variants
    names: tuple[str, ...]
    width: int
    mode: str

    def of_piece(self, piece: torch.Tensor, target: torch.Tensor) -> dict[str, np.ndarray]:
        """KL `[layers, candidates, batch]`, spikes and SynOps `[layers, candidates]` (sums)."""
        with torch.no_grad():
            shape = (len(self.names), self.width)
            result = {
                "kl": np.full((*shape, len(piece)), np.inf),
                "spikes": np.zeros(shape),
                "synops": np.zeros(shape),
            }
            run = self._in_situ if self.mode == "in_situ" else self._isolated
            run(piece, target, result)
            return result

    def _in_situ(
        self, piece: torch.Tensor, target: torch.Tensor, result: dict[str, np.ndarray]
    ) -> None:
        network = SpikingNetwork(self.graph, self.recipe)
        network.fan_out = self.evaluator.fan_out
        network.channels_last = self.evaluator.channels_last
        batches, steps = self.evaluator.batches, self.evaluator.settings.time_steps
        nodes, output = self.graph.nodes[1:], self.graph.outputs[0]
        values: dict[str, Value] = {
            self.graph.nodes[0].name: (network.prepared(batches.snn_input(piece)), batches.analog)
        }
        for at, node in enumerate(nodes):
            if node.name in self.names:
                row = self.names.index(node.name)
                before = dict(network._activity)
                own = network.layer(node.name)
                for column, layer in enumerate(self.variants[node.name]):
                    network.layers[node.name.replace(".", "/")] = spiking_neuron(layer)
                    ahead = dict(values)
                    network.reset()
                    run_nodes(network, nodes[at:], ahead, steps, {output})
                    self._note(result, row, column, ahead[output][0].mean(1), target, network)
                    network._activity = dict(before)
                network.layers[node.name.replace(".", "/")] = own
                network.reset()
            self._advance(network, node, at, values, steps)
        last = values[output][0].mean(1)
        result["reference_kl"] = self.evaluator.distance(target, last).numpy()
        total = sum(
            float(a.synops.sum()) for a in network._activity.values() if a.synops is not None
        )
        result["reference_synops"] = np.array(total)
        result["reference_spikes"] = np.array(
            sum(float(a.spikes.sum()) for a in network._activity.values())
        )

    def _advance(
        self, network: SpikingNetwork, node: Node, at: int, values: dict[str, Value], steps: int
    ) -> None:
        """Run one node of the reference; forget what only it read."""
        run_nodes(network, (node,), values, steps, values.keys())
        later = {name for n in self.graph.nodes[at + 2 :] for name in n.inputs}
        for name in set(values) - later - {self.graph.outputs[0]}:
            del values[name]

    def _isolated(
        self, piece: torch.Tensor, target: torch.Tensor, result: dict[str, np.ndarray]
    ) -> None:
        batches, output = self.evaluator.batches, self.graph.outputs[0]
        nodes = self.graph.nodes[1:]
        x = batches.ann_input(piece)
        x = _channels_last(x) if self.evaluator.channels_last else x
        values = {self.graph.nodes[0].name: x}
        for at, node in enumerate(nodes):
            if node.name in self.names:
                row, layers = self.names.index(node.name), self.variants[node.name]
                current = values[node.inputs[0]].unsqueeze(1)
                means = [self._one_layer(result, row, k, x, current) for k, x in enumerate(layers)]
                ahead = {n: v.repeat(len(layers), *(1,) * (v.ndim - 1)) for n, v in values.items()}
                ahead[node.name] = torch.cat(means)
                found = _run_ann(nodes[at + 1 :], ahead, output)
                kl = self.evaluator.distance(target.repeat(len(layers), 1), found)
                result["kl"][row, : len(layers)] = kl.view(len(layers), -1).numpy()
            values[node.name] = node.module(*(values[n] for n in node.inputs))  # type: ignore[misc]
            later = {name for n in nodes[at + 1 :] for name in n.inputs} | {output}
            values = {name: v for name, v in values.items() if name in later}
        result["reference_kl"] = self.evaluator.distance(target, values[output]).numpy()
        result["reference_synops"] = result["reference_spikes"] = np.array(0.0)

    def _one_layer(
        self,
        result: dict[str, np.ndarray],
        row: int,
        column: int,
        layer: LayerRecipe,
        current: torch.Tensor,
    ) -> torch.Tensor:
        """Mean output of one layer on a constant input; its spikes and SynOps are noted."""
        neuron = spiking_neuron(layer)
        steps = self.evaluator.settings.time_steps
        mean = neuron.run(current, steps).mean(1)
        counts = mean * (steps / _shaped(neuron.theta, mean.ndim - 1))
        fans = self.evaluator.fan_out[self.names[row]]
        result["spikes"][row, column] = float(counts.sum(dtype=torch.float64))
        result["synops"][row, column] = float((counts * fans).sum(dtype=torch.float64))
        return mean

    def _note(
        self,
        result: dict[str, np.ndarray],
        row: int,
        column: int,
        mean: torch.Tensor,
        target: torch.Tensor,
        network: SpikingNetwork,
    ) -> None:
        activity = network._activity.values()
        result["kl"][row, column] = self.evaluator.distance(target, mean).numpy()
        result["spikes"][row, column] = sum(float(a.spikes.sum()) for a in activity)
        result["synops"][row, column] = sum(
            float(a.synops.sum()) for a in activity if a.synops is not None
        )


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _run_ann(nodes: Sequence[Node], values: dict[str, torch.Tensor], output: str) -> torch.Tensor:
    """The rest of the ANN from `values` (changed)."""
    last = {name: n.name for n in nodes for name in n.inputs}
    for node in nodes:
        values[node.name] = node.module(*(values[n] for n in node.inputs))  # type: ignore[misc]
        for name in set(node.inputs):
            if last[name] == node.name and name != output:
                values.pop(name, None)
    return values[output]


def _shaped(theta: torch.Tensor, parts: int) -> torch.Tensor:
    return theta if theta.ndim != 1 else theta.view(-1, *(1,) * (parts - 1))


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
