"""Accuracy of converted networks on real digits, and early exits and search on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from speck_adacal.adaptation import AdaptSettings, adapt_graph
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.pipeline import run_plan
from speck_adacal.adaptation.plan import AdaptPlan
from speck_adacal.ann import trace
from speck_adacal.ann.architectures import digits_cnn
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.readout.early_exit import apply_rule, calibrate_exit_rule
from speck_adacal.resources import resource_path

ANALOG = {"input_coding": "analog", "batch_size": 64}


@pytest.fixture(scope="module")
def digits():
    with np.load(resource_path("datasets", "mnist_digits.npz"), allow_pickle=False) as data:
        arrays = {k: data[k] for k in data.files}
    as_input = {
        k: torch.from_numpy(arrays[k]).float().unsqueeze(1) / 255
        for k in ("images", "calibration_images")
    }
    return as_input["calibration_images"], as_input["images"], torch.from_numpy(arrays["labels"])


@pytest.fixture(scope="module")
def demo_graph():
    network = load_network(resource_path("datasets", "digits_cnn.safetensors"), "digits_cnn")
    assert type(network) is type(digits_cnn())
    return trace(network, (1, 28, 28))


@pytest.mark.parametrize(("steps", "phi", "most_lost"), [(1, 8, 0.01), (4, 4, 0.005), (8, 1, 0.03)])
def test_light_calibration_keeps_the_demo_networks_accuracy(
    demo_graph, digits, steps, phi, most_lost
):
    calibration, images, labels = digits
    settings = AdaptSettings(time_steps=steps, phi=phi, **ANALOG)
    recipe, corrected = adapt_graph(demo_graph, [calibration], settings)
    found = Evaluator(demo_graph, [images], settings, labels).measure(recipe, corrected)
    with torch.no_grad():
        answers = demo_graph.run(images)[demo_graph.outputs[0]].argmax(1)
    assert found.accuracy >= float((answers == labels).double().mean()) - most_lost


def test_sinabs_own_network_at_two_steps(shared_data, digits):
    """Stock conversion needs about a hundred steps here; two are enough with φ = 2."""
    calibration, images, labels = digits
    network = load_network(shared_data / "mnist_cnn_sinabs.npz", "mnist_cnn_sinabs")
    graph = trace(network, (1, 28, 28))
    for phi, least in ((1, 0.92), (2, 0.96)):
        settings = AdaptSettings(time_steps=2, phi=phi, **ANALOG)
        recipe, corrected = adapt_graph(graph, [calibration], settings)
        found = Evaluator(graph, [images], settings, labels).measure(recipe, corrected)
        assert found.accuracy >= least


def test_the_whole_recipe_saves_energy_on_real_digits(demo_graph, digits):
    calibration, images, labels = digits
    settings = AdaptSettings(time_steps=8, phi=4, per_channel=True, correction="both", **ANALOG)
    plan = AdaptPlan(
        phis=(2, 4, 8), rhos=(1.0, 2.0, 4.0), evaluations=6, search_samples=64, table_samples=16
    )
    outcome = run_plan(demo_graph, [calibration], settings, plan)
    test = Evaluator(demo_graph, [images], settings, labels)
    first, last = (test.measure(s.recipe, s.graph) for s in (outcome.stages[0], outcome.result))
    assert last.synops_per_sample < 0.8 * first.synops_per_sample
    assert last.accuracy >= first.accuracy - 0.01
    exits = apply_rule(outcome.exit_rule, last.outputs, labels.numpy().astype(np.int64))
    assert exits.mean_windows < 5
    assert exits.accuracy >= last.accuracy - 0.015
    targets = labels.numpy().astype(np.int64)
    loose = calibrate_exit_rule(last.outputs, targets, 0.02)
    strict = calibrate_exit_rule(last.outputs, targets, 0.0)
    steps = [apply_rule(r, last.outputs, targets).mean_windows for r in (loose, strict)]
    assert steps[0] <= steps[1]
