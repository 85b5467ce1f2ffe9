"""Layer graphs and recipes for the tests of `chip`, made without calibration."""

from __future__ import annotations

import numpy as np
from torch import nn

from speck_adacal.ann import trace
from speck_adacal.ann.graph import Kind, LayerGraph
from speck_adacal.recipe.recipe import AdaptSettings, LayerRecipe, Recipe


def plain_recipe(graph: LayerGraph, *, threshold=0.5, phi=4, time_steps=4) -> Recipe:
    """The same threshold everywhere, the state starting at half of it."""

    def layer(name: str, *, readout: bool = False) -> LayerRecipe:
        value = np.asarray(threshold, dtype=np.float64)
        value = np.asarray(value.mean()) if readout else value
        return LayerRecipe(name, phi, 1.0, value, value / 2, readout)

    layers = [layer(node.name) for node in graph.of_kind(Kind.ACTIVATION)]
    return Recipe(
        AdaptSettings(time_steps=time_steps), (*layers, layer(graph.outputs[0], readout=True))
    )


def folded_network(*modules: nn.Module, shape: tuple[int, ...], **options):
    """Trace a chain and give it a plain recipe."""
    graph = trace(nn.Sequential(*modules), shape)
    return graph, plain_recipe(graph, **options)
