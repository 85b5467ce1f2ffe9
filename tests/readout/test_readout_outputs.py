"""What an output is: each kind's distance, its linear response, exits, corrections and searches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from speck_adacal.adaptation.engine import adapt_graph
from speck_adacal.adaptation.measure import Evaluator
from speck_adacal.adaptation.pipeline import run_plan
from speck_adacal.adaptation.plan import AdaptPlan
from speck_adacal.adaptation.sensitivity import sensitivity
from speck_adacal.ann import trace
from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.readout.early_exit import ExitRule, calibrate_exit_rule
from speck_adacal.readout.objective import Objective
from speck_adacal.readout.output_terms import OutputTerm
from speck_adacal.recipe.recipe import AdaptSettings
from speck_adacal.recipe.recipe_files import recipe_from_data, recipe_to_data
from speck_adacal.snn import SpikingNetwork


class Net(nn.Module):
    """A small network of maps with the outputs that a test asks for."""

    def __init__(self, heads):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1)
        )
        self.heads = nn.ModuleList(heads)

    def forward(self, x):
        x = torch.relu(self.body(x))
        found = tuple(head(x) for head in self.heads)
        return found if len(found) > 1 else found[0]


class Tokens(nn.Module):
    """A class for each of 16 points, classes last."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(8, 5)

    def forward(self, x):
        return self.out(x.flatten(2).transpose(1, 2))


class Classes(nn.Sequential):
    def __init__(self):
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6))


def head(channels):
    layer = nn.Conv2d(8, channels, 1)
    layer.weight.data *= 2
    return layer


def up():
    return nn.Sequential(head(4), nn.Upsample(scale_factor=2, mode="bilinear"))


NETS = {
    "class_kl": ([Classes], [("class_kl", 1)]),
    "pixel_kl": ([lambda: head(4)], [("pixel_kl", 1)]),
    "pixel_kl, enlarged": ([up], [("pixel_kl", 1)]),
    "point_kl": ([Tokens], [("point_kl", 1)]),
    "mse": ([lambda: head(3)], [("mse", 1)]),
    "box_head in parts": ([lambda: head(8), lambda: head(2), lambda: head(5)], [("box_head", 3)]),
    "box_head in one": ([lambda: head(2 * (5 + 3))], [("box_head", 1)]),
    "two heads and classes": (
        [lambda: head(8), lambda: head(2), lambda: head(5), Classes],
        [("box_head", 3), ("class_kl", 1)],
    ),
}


@pytest.fixture(params=sorted(NETS))
def network(request):
    """Layer graph and terms."""
    makers, kinds = NETS[request.param]
    graph = trace(Net([make() for make in makers]).eval(), (1, 8, 8))
    names, terms = list(graph.outputs), []
    for kind, count in kinds:
        mine, names = tuple(names[:count]), names[count:]
        terms.append(OutputTerm(kind, mine, weight=1.0 + len(terms), anchors=2))
    return graph, tuple(terms)


def images(count=48):
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def settings(terms, **changes):
    return AdaptSettings(
        **({"time_steps": 6, "phi": 1, "input_coding": "analog", "outputs": terms} | changes)
    )


def features(graph, terms, x):
    with torch.no_grad():
        return Objective(graph, terms).read(graph.run(x))


def test_distances_are_zero_at_the_target_and_positive_elsewhere(network):
    graph, terms = network
    objective, known = Objective(graph, terms), features(*network, images(5))
    target = objective.target(known, 1.0)
    moved = known + 0.5 * torch.randn(known.shape, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(objective.distance(target, known), torch.zeros(5), atol=1e-5, rtol=0)
    assert float(objective.distance(target, moved).min()) > 1e-3
    agreement = objective.agreement(target, known)
    assert bool(((agreement - 1).abs() < 1e-5).all()) or terms[0].kind == "mse"


def test_projections_say_the_distance_of_a_small_change(network):
    """½ the mean of (d · δ)² is the distance of δ, for each kind and for sums with weights."""
    graph, terms = network
    objective, known = Objective(graph, terms), features(*network, images(4)).double()
    target = objective.target(known, 2.0)
    change = 1e-3 * torch.randn(known.shape, generator=torch.Generator().manual_seed(2)).double()
    exact = objective.distance(target, known + change, 2.0)
    directions = objective.projections(target, 2.0, 4000, seed=0)
    found = torch.stack([(d * change).sum(1).square() / 2 for d in directions]).mean(0)
    torch.testing.assert_close(found, exact, rtol=0.1, atol=0)


def test_kl_at_places_is_the_mean_of_each_ones():
    graph = trace(Net([head(4)]).eval(), (1, 8, 8))
    objective = Objective(graph, (OutputTerm("pixel_kl", graph.outputs),))
    a, b = torch.randn(2, 3, 4, 4, 4)
    name = graph.outputs[0]
    wanted = F.kl_div(b.log_softmax(1), a.log_softmax(1), log_target=True, reduction="none").sum(1)
    target = objective.target(objective.read({name: a}), 1.0)
    found = objective.distance(target, objective.read({name: b}))
    torch.testing.assert_close(found, wanted.mean((1, 2)))


def test_background_does_not_drown_boxes():
    """A change of the box or class of the one object weighs as much on a map of 16 as of 256."""
    found = []
    for side in (4, 16):
        graph = trace(Net([head(4), head(1), head(3)]).eval(), (1, 2 * side, 2 * side))
        objective = Objective(graph, (OutputTerm("box_head", graph.outputs),))
        boxes, seen, kinds = (torch.zeros(1, n, side, side) for n in (4, 1, 3))
        seen -= 9
        seen[..., 1, 2] = 5
        values = dict(zip(graph.outputs, (boxes, seen, kinds), strict=True))
        target = objective.target(objective.read(values), 1.0)
        other = {**values, graph.outputs[0]: boxes.clone(), graph.outputs[2]: kinds.clone()}
        other[graph.outputs[0]][..., 1, 2] += 0.5
        other[graph.outputs[2]][:, 0, 1, 2] += 3
        found.append(float(objective.distance(target, objective.read(other))))
    assert found[0] == pytest.approx(found[1], rel=0.05)
    assert found[0] > 0.3


def test_everything_that_adapts_takes_every_kind(network):
    """Corrections, the choice between them, both tables, the φ search: all of one run."""
    graph, terms = network
    chosen = settings(terms)
    recipe, corrected = adapt_graph(graph, [images()], chosen)
    plain, _ = adapt_graph(graph, [images()], settings(terms, correction="none"))
    judge = Evaluator(graph, [images(16)], chosen, temperature=None, fit_scale=True)
    after, before = judge.measure(recipe, corrected), judge.measure(plain)
    assert after.kl < before.kl
    assert before.kl > 0
    plain, _ = adapt_graph(graph, [images()], settings(terms, phi=2, correction="none"))
    candidates = {
        layer.name: [layer.with_threshold(layer.threshold * f) for f in (0.5, 2.0)]
        for layer in plain.layers
        if not layer.readout
    }
    for mode in ("in_situ", "isolated"):
        table = sensitivity(judge, plain, candidates, mode=mode)
        assert np.isfinite(table.kl).all()
    exact = sensitivity(judge, plain, candidates, mode="isolated", exact=True)
    assert np.corrcoef(exact.kl.flatten(), table.kl.flatten())[0, 1] > 0.9
    plan = AdaptPlan(
        phis=(1, 2), search_rho=False, exit_early=False, search_samples=16, evaluations=2,
        validation_samples=8, table_samples=16, refinements=1,
    )  # fmt: skip
    outcome = run_plan(graph, [images()], settings(terms, correction="bias"), plan)
    assert np.isfinite(outcome.result.kl)


def test_output_biases_of_maps_are_corrected(network):
    """Each channel's mean comes to the trained network's, at every place together."""
    graph, terms = network
    x = images()
    for kind in ("bias", "temporal"):
        chosen = settings(terms, correction=kind, hold_out=False, first_step=1)
        recipe, corrected = adapt_graph(graph, [x], chosen)
        network = SpikingNetwork(corrected, recipe)
        with torch.no_grad():
            found, wanted = network.run(x.unsqueeze(1), time_steps=6), graph.run(x)
        for name in graph.outputs:
            axis = 1 + graph[name].channel_axis
            gap = found[name].mean(1) - wanted[name]
            gap = gap.movedim(axis, 1).flatten(2).mean((0, 2)) if gap.ndim > 2 else gap.mean(0)
            assert float(gap.abs().max()) < 0.02 * float(wanted[name].abs().mean())


def test_a_recipe_keeps_what_its_outputs_are(network):
    graph, terms = network
    recipe, _ = adapt_graph(graph, [images()], settings(terms, correction="none"))
    assert recipe_from_data(*recipe_to_data(recipe)).settings.outputs == terms


def test_what_is_not_clear_is_asked_for_by_name():
    graph = trace(Net([head(4), Classes()]).eval(), (1, 8, 8))
    with pytest.raises(SettingsError, match="not clear") as asked:
        adapt_graph(graph, [images()], settings(None))
    assert all(repr(name) in str(asked.value) for name in graph.outputs)
    assert "(4, 4, 4)" in str(asked.value)
    first, second = graph.outputs
    for terms, words in [
        ([OutputTerm("pixel_kl", (first,))], f"{second} are in none"),
        ([OutputTerm("pixel_kl", (first,)), OutputTerm("mse", (first,))], second),
        ([OutputTerm("pixel_kl", ("other",))], "No output is named 'other'"),
        ([OutputTerm("class_kl", (first,)), OutputTerm("class_kl", (second,))], "pixel_kl"),
        ([OutputTerm("box_head", (first,)), OutputTerm("class_kl", (second,))], "anchors"),
        ([OutputTerm("point_kl", (first,), class_axis=3), OutputTerm("mse", (second,))], "0 to 2"),
    ]:
        with pytest.raises(SettingsError, match=words):
            Objective(graph, terms)
    with pytest.raises(SettingsError, match="takes 1 or 3 outputs"):
        OutputTerm("box_head", (first, second))
    with pytest.raises(SettingsError, match="kind"):
        OutputTerm("boxes", (first,))


def test_labels_in_a_wrong_layout_are_named():
    graph = trace(Net([head(4)]).eval(), (1, 8, 8))
    objective = Objective(graph, (OutputTerm("pixel_kl", graph.outputs, ignore=11),))
    good = np.zeros((3, 4, 4), np.uint8)
    good[1] = 11
    assert objective.labels(good, 3).shape == (3, 16)
    found = objective.right(torch.zeros(3, 64), objective.labels(good, 3))
    assert found[0] == found[2] == 1
    assert np.isnan(found[1])
    for wrong, words in [
        (np.zeros(3, int), r"\(3, 4, 4\)"),
        (np.zeros((3, 4, 8), int), r"\(3, 4, 4\)"),
        (np.zeros((3, 4, 4)), "whole"),
        (np.full((3, 4, 4), 7), "is 7, allowed are 0 to 3"),
        (np.full((3, 4, 4), -1), "is -1"),
    ]:
        with pytest.raises(CalibrationError, match=words):
            objective.labels(wrong, 3)
    boxes = trace(Net([head(8)]).eval(), (1, 8, 8))
    with pytest.raises(CalibrationError, match="needs one output of classes"):
        Objective(boxes, (OutputTerm("mse", boxes.outputs),)).labels(good, 3)


def test_exits_go_by_all_places():
    """The mean of the places' confidence, or what nine tenths of them reach."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, (80, 20))
    sure = np.eye(3)[labels]
    outputs = np.stack([sure * s + generator.normal(0, 1, sure.shape) for s in (1, 2, 3, 6)], 1)
    for over in ("mean", "low"):
        rule = calibrate_exit_rule(outputs, labels, 0.05, over=over)
        exits = rule.exits(outputs.cumsum(1))
        assert 0 < exits.mean() < 3
        assert rule.over == over
    sums = np.zeros((1, 1, 10, 3))
    sums[..., 0] = 9
    sums[0, 0, :2] = 0
    low, mean = (
        ExitRule((0.5,), "top", 1.0, over).sureness(sums)[0, 0] for over in ("low", "mean")
    )
    assert low == 0
    assert mean == pytest.approx(0.8, abs=0.01)
    with pytest.raises(CalibrationError, match="class at each place"):
        calibrate_exit_rule(outputs, labels[:, :5], 0.05)


def test_exits_of_a_segmenter_in_the_plan_and_of_boxes_refused():
    graph = trace(Net([head(4)]).eval(), (1, 8, 8))
    chosen = settings((OutputTerm("pixel_kl", graph.outputs),), correction="bias")
    plan = AdaptPlan(search_phi=False, search_rho=False, exit_loss=0.05, search_samples=16)
    labels = torch.zeros(64, 4, 4, dtype=torch.long)
    for truth in (None, labels):
        outcome = run_plan(graph, [images(64)], chosen, plan, labels=truth)
        assert len(outcome.exit_rule.bars) == 6
    boxes = settings((OutputTerm("mse", graph.outputs),), correction="bias")
    with pytest.raises(CalibrationError, match="An early exit needs"):
        run_plan(graph, [images(64)], boxes, plan)


def test_many_places_are_measured_at_a_part_of_them():
    graph = trace(Net([head(4)]).eval(), (1, 64, 64))
    objective = Objective(graph, (OutputTerm("pixel_kl", graph.outputs),))
    assert objective.size == 256 * 4
    value = torch.randn(2, 4, 32, 32)
    name = graph.outputs[0]
    picked = objective.read({name: value}).unflatten(1, (256, 4))
    every = value.flatten(2).transpose(1, 2)
    assert all(bool((every[0] == row).all(1).any()) for row in picked[0])
    labels = value.argmax(1).numpy()
    assert (objective.right(objective.read({name: value}), objective.labels(labels, 2)) == 1).all()
