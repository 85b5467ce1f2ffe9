"""`adapt_graph`: thresholds, then corrections, on one set of calibration data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch

from speck_adacal.adaptation.correction_choice import choose_correction, held_out_split
from speck_adacal.adaptation.thresholds import LayerStatistics, observe, thresholds
from speck_adacal.ann.graph import SPIKING, LayerGraph
from speck_adacal.errors import ModelError
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe, StepRecord
from speck_adacal.samples.encoded import encoded_batches


def adapt_graph(
    graph: LayerGraph, batches: Iterable[torch.Tensor], settings: AdaptSettings
) -> tuple[Recipe, LayerGraph]:
    """Light (or advanced) calibration of a traced network at `settings.phi`.

    Args:
        graph: the traced network; never changed.
        batches: a re-iterable of float32 tensors: `[batch, T, *input_shape]` event counts per
            step, or `[batch, *input_shape]` where `settings.input_coding` is "analog".
        settings: T, φ, how thresholds are found, and which correction.

    Returns:
        The recipe, with a readout layer for each output that does not spike, and the graph with
        corrected biases and weights (the same graph where only potentials are corrected).

    Raises:
        CalibrationError: no data, other shapes than traced, NaN inputs or activations.
        ModelError: the network has no rectifier, so that nothing would spike.
    """
    refuse_silence(graph)
    data = encoded_batches(batches, graph.input_shape, settings)
    started = time.perf_counter()
    statistics = observe(graph, data)
    recipe = recipe_of(statistics, settings, settings.phi)
    trace = [_threshold_record(statistics, time.perf_counter() - started)]
    corrected_graph = graph
    if settings.correction != "none":
        started = time.perf_counter()
        fitted_on, judge = held_out_split(graph, data, settings)
        choice = choose_correction(graph, recipe, fitted_on, settings, judge)
        recipe, corrected_graph = choice.corrected.recipe, choice.corrected.graph
        values = {f"mse:{name}": error for name, error in choice.corrected.errors.items()}
        if choice.corrected.fewest < min(fitted_on.samples, settings.correction_samples):
            values["samples of the first layer"] = float(choice.corrected.fewest)
        values |= {f"kl:{kind}": kl for kind, kl in choice.kl.items()}
        seconds = time.perf_counter() - started
        trace.append(StepRecord(f"correction:{choice.kind}", seconds, values))
    return replace(recipe, trace=tuple(trace)), corrected_graph


def recipe_of(
    statistics: Mapping[str, LayerStatistics], settings: AdaptSettings, phi: Mapping[str, int] | int
) -> Recipe:
    """Thresholds at the given φ (one, or per layer), potentials at half a threshold, ρ = 1."""
    found = thresholds(statistics, settings, phi)
    layers = []
    for name, layer in statistics.items():
        cap = phi if isinstance(phi, int) else phi.get(name, settings.phi)
        threshold = np.asarray(found[name], dtype=np.float64)
        layers.append(
            LayerRecipe(
                name, cap, 1.0, threshold, threshold / 2, layer.readout, signed=layer.signed
            )
        )
    return Recipe(settings, tuple(layers), first_step=settings.first_step or 1)


def refuse_silence(graph: LayerGraph) -> None:
    """Refuse a network in which nothing would become a spiking neuron."""
    if not graph.of_kind(*SPIKING):
        found = [f"{node.name} ({node.module or node.kind.value})" for node in graph.nodes[1:]]
        raise ModelError(
            "The network has no ReLU, ReLU6, Hardtanh or clamp, so no layer would spike; its "
            f"operations are {', '.join(found)}: rectify its layers and train it so."
        )


def _threshold_record(statistics: Mapping[str, LayerStatistics], seconds: float) -> StepRecord:
    dead = {f"dead:{n}": float(s.dead_channels) for n, s in statistics.items() if s.dead_channels}
    return StepRecord("thresholds", seconds, {"layers": float(len(statistics)), **dead})
