"""Measuring a spiking network: distance to the ANN, accuracy, spikes and SynOps."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.adaptation.energy import EnergyConstants, count_macs, macs_of_step
from speck_adacal.adaptation.finished_work import FinishedWork, digest
from speck_adacal.ann.graph import LayerGraph
from speck_adacal.errors import CalibrationError
from speck_adacal.readout.objective import Objective
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe
from speck_adacal.samples.encoded import encoded_batches
from speck_adacal.snn.network import SpikingNetwork
from speck_adacal.snn.synops import fan_out
from speck_adacal.spread import in_pieces, is_spread

Array = npt.NDArray[np.float64]

_CACHE_FLOATS = 1 << 21  # values of the largest layer that are worked on at once: 8 MiB


@dataclass(frozen=True, eq=False)
class Measurement:
    """One spiking network on one set of samples. All figures are simulated, per sample.

    Attributes:
        kl: mean KL(ANN ‖ SNN) over soft-max outputs (eq. 9), in nats, or what else the settings'
            outputs say.
        output_scale: factor on the outputs in that KL; 1 unless the evaluator fits it.
        kl_error: its standard error.
        sample_kl: KL of every sample, `[samples]`.
        accuracy: part of the samples (of their places) classified right; NaN without labels.
        agreement: part on which SNN and ANN decide alike; NaN where nothing is decided.
        spikes: per layer and step, `[layers, T]`, mean over the samples.
        synops: the same for SynOps (the input's first, if it is made of events).
        energy_of_network: `energy_nj` as a part of one pass of the trained network's, estimated by
            the same constants.
        energy_nj: estimated: MACs at every step of layers that read no spikes, and SynOps, at the
            constants' prices.
        outputs: features of the outputs per step, float32 `[samples, T, features]` (the classes, of
            one class vector); 0 in the steps before the first
            that counts, so that sums over them decide.
        sample_energy_nj: energy of every sample and step, `[samples, T]`.
    """

    kl: float
    output_scale: float
    kl_error: float
    sample_kl: Array
    accuracy: float
    agreement: float
    spikes: Array
    synops: Array
    energy_nj: float
    energy_of_network: float
    outputs: npt.NDArray[np.float32]
    sample_energy_nj: Array

    @property
    def spikes_per_sample(self) -> float:
        """All spikes of all layers, a mean over the samples."""
        return float(self.spikes.sum())

    def figures(self) -> dict[str, float]:
        """Plain numbers, for a trace."""
        return {
            "kl": self.kl,
            "synops": self.synops_per_sample,
            "spikes": self.spikes_per_sample,
            "energy_nj": self.energy_nj,
            "energy_of_network": self.energy_of_network,
            "accuracy": self.accuracy,
            "agreement": self.agreement,
        }

    @property
    def synops_per_sample(self) -> float:
        """All SynOps, a mean over the samples."""
        return float(self.synops.sum())


class Evaluator:
    """Measures recipes on a fixed set of samples; each recipe once where a finished is kept.

    Args:
        graph: the ANN, the reference of the KL.
        inputs: tensors as for `adapt_graph`.
        settings: T and the input coding.
        labels: `[samples]`, of maps and clouds `[samples, *places]`, or None.
        finished: where results are kept.
        constants: prices of MACs and SynOps.
        temperature: outputs are divided by it before the soft-max of the KL: 1 is eq. 9 as it
            stands; None chooses the one at which the ANN's soft-max is half as uncertain as can
            be on these samples. On images that a network was trained on it is so sure that at
            temperature 1 hardly any change of its outputs is seen.
        fit_scale: whether each network's outputs are scaled by the one factor that brings its
            mean KL down most, which changes no decision (see `best_scale`).

    Raises:
        CalibrationError: as for `adapt_graph`; labels of another number than the samples.
    """

    def __init__(
        self,
        graph: LayerGraph,
        inputs: Iterable[torch.Tensor],
        settings: AdaptSettings,
        labels: torch.Tensor | None = None,
        finished: FinishedWork | None = None,
        constants: EnergyConstants | None = None,
        temperature: float | None = 1.0,
        fit_scale: bool = False,
    ) -> None:
        self.graph, self.settings = graph, settings
        self.fit_scale, self.output_scale = fit_scale, 1.0
        self.constants = constants or EnergyConstants()
        largest = graph.largest_layer * settings.time_steps
        size = max(1, min(settings.batch_size, _CACHE_FLOATS // largest))
        self.batches = encoded_batches(
            inputs, graph.input_shape, replace(settings, batch_size=size)
        )
        self.inputs = list(self.batches)
        self.samples = sum(len(p) for p in self.inputs)
        if labels is not None and len(labels) != self.samples:
            raise CalibrationError(
                f"There are {len(labels)} labels for {self.samples} samples; give one each."
            )
        self.objective = Objective(graph, settings.outputs)
        self.labels = None if labels is None else self.objective.labels(labels, self.samples)
        self.finished = finished or FinishedWork()
        self.fan_out = fan_out(graph)
        self.step_macs = macs_of_step(graph, analog_input=self.batches.is_analog)
        self.network_energy_nj = sum(count_macs(graph).values()) * self.constants.mac_pj / 1000
        with torch.no_grad():
            known = [self.trained_features(p) for p in self.inputs]
        self.temperature = temperature or self.objective.temperature(torch.cat(known))
        self.targets = [self.objective.target(x, self.temperature) for x in known]
        coding = (settings.time_steps, settings.input_coding)
        self._data_key = digest(self.inputs, graph, coding)

    def measure(self, recipe: Recipe, graph: LayerGraph | None = None) -> Measurement:
        """Run `recipe` (on the corrected `graph`, if any) on all samples."""
        return self._summary(self._figures(recipe, graph or self.graph), recipe)

    def measure_windows(self, recipe: Recipe, graph: LayerGraph) -> list[Measurement]:
        """The same for each time step, from the first on, as the first that counts; one run."""
        found = self._figures(recipe, graph)
        steps = range(1, self.settings.time_steps + 1)
        return [self._summary(found, replace(recipe, first_step=s)) for s in steps]

    def _figures(self, recipe: Recipe, graph: LayerGraph) -> dict[str, np.ndarray]:
        key = digest("measure", self._data_key, graph, layer_values(recipe.layers))
        found = self.finished.get(key)
        if found is None:
            found = self._run(recipe, graph)
            self.finished.put(key, found)
        return found

    def network(self, graph: LayerGraph, recipe: Recipe) -> SpikingNetwork:
        """The spiking network of a recipe, with SynOps counted."""
        network = SpikingNetwork(graph, recipe)
        network.fan_out = self.fan_out
        return network

    def without_data(self) -> Evaluator:
        """A light copy for other processes: everything but the samples."""
        light = copy.copy(self)
        light.inputs, light.targets, light.batches = [], [], self.batches.between(0, 0)
        return light

    def with_output_scale(self, scale: float) -> Evaluator:
        """The same samples, with this factor on the outputs of every network."""
        scaled = copy.copy(self)
        scaled.fit_scale, scaled.output_scale = False, scale
        return scaled

    def distance(self, target: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """KL(ANN ‖ SNN) of each sample, or what else the outputs' terms say.

        Args:
            target: of the ANN (of `targets`), `[batch, features]`; log-probabilities of classes.
            output: mean features of the spiking network, `[batch, features]`.
        """
        return self.objective.distance(target, output, self.temperature / self.output_scale)

    def _run(self, recipe: Recipe, graph: LayerGraph) -> dict[str, np.ndarray]:
        run = partial(_run_batches, self.without_data(), recipe, graph)
        found = list(in_pieces(run, self.inputs)) if is_spread() else run(self.inputs)
        outputs, spikes, synops = zip(*found, strict=True)
        return {
            "outputs": torch.cat(outputs).numpy(),
            "spikes": torch.cat(spikes, 1).numpy(),
            "synops": torch.cat(synops, 1).numpy(),
        }

    def run_batch(self, network: SpikingNetwork, batch: torch.Tensor) -> torch.Tensor:
        """Features of the outputs per step, `[batch, T, features]`."""
        steps = self.settings.time_steps
        if self.batches.is_analog:
            values = network.run(batch.unsqueeze(1), time_steps=steps)
        else:
            values = network.run(batch)
        return self.objective.read(values, before=2)

    def trained_features(self, batch: torch.Tensor) -> torch.Tensor:
        """Features of the trained network's outputs, `[batch, features]`."""
        return self.objective.read(self.graph.run(self.batches.ann_input(batch)))

    def _summary(self, found: dict[str, np.ndarray], recipe: Recipe) -> Measurement:
        outputs, target = found["outputs"].copy(), torch.cat(self.targets)
        mean = recipe.decision_output(torch.from_numpy(outputs))
        outputs[:, : recipe.first_step - 1] = 0
        scale = self.output_scale
        if self.fit_scale:
            scale = self.objective.scale(target, mean, self.temperature)
        kl = self.with_output_scale(scale).distance(target, mean).double().numpy()
        synops = self._with_input(found["synops"])
        energy = synops.sum(0) * self.constants.ac_pj / 1000
        energy = energy + self.step_macs * self.constants.mac_pj / 1000
        accuracy = np.nan
        if self.labels is not None:
            accuracy = float(np.nanmean(self.objective.right(mean, self.labels)))
        return Measurement(
            kl=float(kl.mean()),
            output_scale=scale,
            kl_error=float(kl.std(ddof=1) / np.sqrt(len(kl))) if len(kl) > 1 else float("nan"),
            sample_kl=kl,
            accuracy=float(accuracy),
            agreement=float(self.objective.agreement(target, mean).mean()),
            spikes=found["spikes"].mean(1),
            synops=synops.mean(1),
            energy_nj=float(energy.sum(1).mean()),
            energy_of_network=float(energy.sum(1).mean()) / self.network_energy_nj,
            outputs=outputs,
            sample_energy_nj=energy,
        )

    def _with_input(self, synops: np.ndarray) -> np.ndarray:
        if self.batches.is_analog:
            return synops
        fans = self.fan_out[self.graph.nodes[0].name].flatten()
        first = torch.cat([p.flatten(2).abs() @ fans for p in self.inputs]).double().numpy()
        return np.concatenate((first[None], synops))


@torch.no_grad()
def _run_batches(
    evaluator: Evaluator, recipe: Recipe, graph: LayerGraph, batches: Sequence[torch.Tensor]
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Outputs, spikes and SynOps of each batch."""
    network, found = evaluator.network(graph, recipe), []
    for batch in batches:
        outputs = evaluator.run_batch(network, batch)
        layers = list(network.activity().values())
        spikes = torch.stack([a.spikes for a in layers])
        synops = torch.stack([a.synops for a in layers if a.synops is not None])
        found.append((outputs, spikes, synops))
    return found


def same_layer(a: LayerRecipe, b: LayerRecipe) -> bool:
    """Do the same neurons come of both?"""
    return digest(layer_values([a])) == digest(layer_values([b]))


def layer_values(layers: Sequence[LayerRecipe]) -> list[object]:
    """Everything of the layers that decides what a network does, for hashing."""
    return [
        [
            [x.name, x.phi, x.rho, x.lower_clip, x.signed],
            *map(np.asarray, (x.threshold, x.initial_potential)),
            [] if x.step_bias is None else x.step_bias,
        ]
        for x in layers
        if not x.readout or x.step_bias is not None
    ]
