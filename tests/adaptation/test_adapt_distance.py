"""The scale of a network's outputs: free, convex, and no matter for what is decided."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speck_adacal.adaptation import AdaptSettings
from speck_adacal.adaptation.engine import adapt_graph
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.sensitivity import sensitivity
from speck_adacal.ann import trace
from speck_adacal.readout.distance import best_scale, kl_divergence


def outputs(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(20, 5, generator=generator)
    noisy = logits + torch.randn(20, 5, generator=generator)
    return torch.log_softmax(logits, 1), noisy


@given(seed=st.integers(0, 10_000), shrunk=st.floats(0.3, 3.0), temperature=st.floats(0.5, 8.0))
def test_no_scale_of_a_grid_is_better(seed, shrunk, temperature):
    target, noisy = outputs(seed)
    target = torch.log_softmax(target / temperature, 1)
    found = best_scale(target, shrunk * noisy, temperature)
    tried = [float(found), *np.geomspace(1 / 16, 16, 200)]
    kl = [float(kl_divergence(target, s * shrunk * noisy, temperature).mean()) for s in tried]
    assert kl[0] <= min(kl) + 1e-6


@given(seed=st.integers(0, 10_000), shrunk=st.floats(0.5, 2.0))
def test_a_scale_is_found_whatever_the_outputs_were_scaled_by(seed, shrunk):
    target, noisy = outputs(seed)
    assert best_scale(target, shrunk * noisy) * shrunk == pytest.approx(
        best_scale(target, noisy), rel=1e-4
    )


def test_silent_outputs_keep_their_scale():
    target, noisy = outputs(0)
    assert best_scale(target, torch.zeros_like(noisy)) == 1.0


@pytest.fixture(scope="module")
def world():
    torch.manual_seed(3)
    layers = [torch.nn.Linear(6, 12), torch.nn.ReLU(), torch.nn.Linear(12, 8), torch.nn.ReLU()]
    graph = trace(torch.nn.Sequential(*layers, torch.nn.Linear(8, 4)).eval(), (6,))
    data = [torch.rand(40, 6)]
    settings = AdaptSettings(time_steps=4, phi=2, input_coding="analog", correction="none")
    recipe, _ = adapt_graph(graph, data, settings)
    return graph, data, settings, recipe


def test_an_evaluator_fits_the_scale_of_each_network(world):
    graph, data, settings, recipe = world
    plain = Evaluator(graph, data, settings).measure(recipe)
    fitted = Evaluator(graph, data, settings, fit_scale=True)
    found = fitted.measure(recipe)
    assert plain.output_scale == 1.0
    assert found.kl <= plain.kl
    assert found.output_scale != 1.0
    again = fitted.with_output_scale(found.output_scale).measure(recipe)
    assert np.array_equal(again.sample_kl, found.sample_kl)
    assert np.array_equal(found.outputs, plain.outputs)


def test_a_table_is_taken_at_the_scale_of_its_reference(world):
    graph, data, settings, recipe = world
    fitted = Evaluator(graph, data, settings, fit_scale=True)
    candidates = {x.name: [x] for x in recipe.layers if not x.readout}
    table = sensitivity(fitted, recipe, candidates)
    assert table.reference_kl == pytest.approx(fitted.measure(recipe).kl, rel=1e-6)
    assert table.kl == pytest.approx(np.full_like(table.kl, table.reference_kl), rel=1e-6)
