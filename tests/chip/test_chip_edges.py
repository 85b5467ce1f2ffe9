"""Constants at the edge of a map reach the chip as part of the initial potentials there."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from speck_adacal.ann import trace
from speck_adacal.ann.modules import Normalised
from speck_adacal.ann.rewriting import merge_linear_maps
from speck_adacal.chip.fitting import unit_recipe
from speck_adacal.chip.fold import fold


def test_a_window_of_the_edge_is_in_the_initial_potential():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)]
    graph = merge_linear_maps(trace(Normalised(nn.Sequential(*layers), [0.4], [0.5]), (1, 6, 6)))
    recipe = unit_recipe(graph)
    first = fold(graph, recipe)[0]
    edge = graph["network.0"].module.edge.numpy()
    assert edge.any()
    np.testing.assert_allclose(first.initial, 0.5 + recipe.settings.time_steps * edge, rtol=1e-6)
