"""The whole recipe on a small network: order, switches, resuming, and the parts of the error."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal.adaptation import AdaptSettings
from speck_adacal.adaptation.decompose import decompose
from speck_adacal.adaptation.engine import recipe_of
from speck_adacal.adaptation.pipeline import Pipeline, run_plan
from speck_adacal.adaptation.plan import AdaptPlan
from speck_adacal.adaptation.thresholds import observe
from speck_adacal.ann import trace
from speck_adacal.errors import CalibrationError, SettingsError
from speck_adacal.recipe.recipe_files import recipe_from_data, recipe_to_data
from speck_adacal.samples.encoded import encoded_batches

SETTINGS = AdaptSettings(
    time_steps=4, phi=2, input_coding="analog", batch_size=32, per_channel=True, correction="both"
)
PLAN = AdaptPlan(
    phis=(1, 2, 4), rhos=(1.0, 2.0), evaluations=4, search_samples=40, kl_ratio=2.0, refinements=0
)


def make() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(),
        nn.Flatten(), nn.Linear(32, 12), nn.ReLU(), nn.Linear(12, 5),
    )  # fmt: skip


@pytest.fixture(scope="module")
def world():
    graph = trace(make(), (1, 8, 8))
    graph["8"].module.weight.data.mul_(10)
    torch.manual_seed(2)
    data = [torch.rand(40, 1, 8, 8) for _ in range(3)]
    return graph, data


def test_the_whole_recipe(world, tmp_path):
    graph, data = world
    outcome = run_plan(graph, data, SETTINGS, PLAN, folder=tmp_path)
    assert [s.name for s in outcome.stages] == ["uniform φ=2", "phi", "ssc"]
    uniform, phi, ssc = outcome.stages
    assert phi.kl <= uniform.kl
    assert phi.synops <= uniform.synops * (1 + 1e-9)
    assert ssc.kl <= phi.kl * 2 * (1 + 1e-9)
    assert ssc.synops < phi.synops
    assert len(outcome.exit_rule.bars) == 4
    steps = [r.step for r in outcome.trace]
    assert steps[0] == "thresholds"
    assert steps.index("search:phi") < steps.index("phi corrected") < steps.index("search:ssc")
    validated = next(r.values for r in outcome.trace if r.step == "validation:phi")
    assert validated["kept"] == (validated["kl"] < validated["kl_start"])
    if not validated["kept"]:
        assert phi.recipe is uniform.recipe or phi.kl == uniform.kl
    assert steps[-1] == "exit"
    plain, tensors = recipe_to_data(outcome.result.recipe)
    stored = recipe_from_data(json.loads(json.dumps(plain)), tensors)
    assert stored.layers[0].phi == outcome.result.recipe.layers[0].phi
    assert all(np.isfinite(r.seconds) for r in outcome.trace)
    again = run_plan(graph, data, SETTINGS, PLAN, folder=tmp_path)
    assert again.result.kl == ssc.kl
    for a, b in zip(again.result.recipe.layers, ssc.recipe.layers, strict=True):
        assert (a.phi, a.rho) == (b.phi, b.rho)
        assert np.array_equal(a.initial_potential, b.initial_potential)


def test_refinement_is_no_worse_at_no_more_spikes_on_held_out_samples_too(world):
    graph, data = world
    plan = replace(PLAN, frontier=False, refinements=2)
    pipeline = Pipeline(graph, data, SETTINGS, plan)
    start = pipeline.uniform(2)
    found = pipeline.search_phi(start)
    before, after = (pipeline.evaluator.measure(s.recipe, s.graph) for s in (start, found))
    assert after.kl <= before.kl
    assert after.spikes_per_sample <= before.spikes_per_sample
    assert after.synops_per_sample <= before.synops_per_sample
    held = pipeline.samples.held_out
    assert held.measure(found.recipe, found.graph).kl <= held.measure(start.recipe, start.graph).kl
    thin = pipeline.search_rho(found)
    assert thin.kl <= found.kl * plan.kl_ratio * (1 + 1e-9)
    assert thin.synops < found.synops
    record = next(r for r in pipeline.records if r.step == "refine:phi")
    assert record.values["kl"] == found.kl


def test_a_budget_below_the_start_is_met_or_the_nearest_is_reported(world):
    graph, data = world
    pipeline = Pipeline(graph, data, SETTINGS, replace(PLAN, frontier=False, refinements=1))
    start = pipeline.uniform(2)
    found = pipeline.search_phi(start, budget=start.synops / 2)
    assert found.synops <= start.synops / 2
    record = next(r for r in pipeline.records if r.step == "refine:phi")
    assert record.values["feasible"] == 1.0
    hopeless = pipeline.search_phi(start, budget=1e-3)
    record = [r for r in pipeline.records if r.step == "refine:phi"][-1]
    assert record.values["feasible"] == float(hopeless.synops <= 1e-3)


def test_a_killed_run_goes_on(world, tmp_path, monkeypatch):
    graph, data = world
    plan = AdaptPlan(phis=(1, 2, 4), search_rho=False, exit_early=False, evaluations=4,
                     search_samples=40, refinements=1)  # fmt: skip
    whole = run_plan(graph, data, SETTINGS, plan)
    from speck_adacal.adaptation import measure as evaluate

    runs = []
    original = evaluate.Evaluator._run

    def dying(*arguments):
        runs.append(1)
        if len(runs) == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(evaluate.Evaluator, "_run", dying)
    with pytest.raises(KeyboardInterrupt):
        run_plan(graph, data, SETTINGS, plan, folder=tmp_path)
    resumed = run_plan(graph, data, SETTINGS, plan, folder=tmp_path)
    assert resumed.result.kl == whole.result.kl
    fresh = []
    monkeypatch.setattr(evaluate.Evaluator, "_run", lambda *a: fresh.append(1) or original(*a))
    run_plan(graph, data, SETTINGS, plan, folder=tmp_path)
    assert not fresh


def test_steps_can_be_switched_off(world):
    graph, data = world
    plan = AdaptPlan(search_phi=False, search_rho=False, exit_early=False, search_samples=40)
    outcome = run_plan(graph, data, SETTINGS, plan)
    assert len(outcome.stages) == 1
    assert outcome.exit_rule is None


@pytest.mark.parametrize("coding", ["analog", "events"])
def test_searches_may_see_fewer_steps(world, coding):
    graph, data = world
    settings = replace(SETTINGS, input_coding=coding)
    if coding == "events":
        data = [(x.unsqueeze(1).expand(-1, 4, -1, -1, -1) > 0.5).float() for x in data]
    plan = replace(PLAN, search_steps=2, search_phi=False)
    outcome = run_plan(graph, data, settings, plan)
    whole = run_plan(graph, data, settings, replace(plan, search_steps=None))
    assert outcome.stages[0].synops < 0.7 * whole.stages[0].synops
    assert outcome.result.synops < outcome.stages[0].synops
    assert len(outcome.exit_rule.bars) == 4


def test_labels_are_used_and_checked(world):
    graph, data = world
    plan = AdaptPlan(search_phi=False, search_rho=False, search_samples=40)
    pipeline = Pipeline(graph, data, SETTINGS, plan, labels=torch.zeros(120))
    outcome = pipeline.run()
    assert 0 <= outcome.trace[1].values["accuracy"] <= 1
    with pytest.raises(CalibrationError, match="7 labels"):
        Pipeline(graph, data, SETTINGS, plan, labels=torch.zeros(7)).run()


@pytest.mark.parametrize(
    ("asked", "table", "given"),
    [
        ((512, 512), 256, (60, 60, 60)),  # too few for both: half of them confirm
        ((512, 512), 30, (60, 30, 60)),
        ((40, 20), 256, (40, 40, 20)),
        ((40, 100), 16, (40, 16, 80)),
        ((100, 100), 256, (60, 60, 60)),
        ((100, 0), 256, (100, 100, 0)),
        ((512, 0), 256, (120, 120, 0)),
    ],
)
def test_samples_are_shared_out(world, asked, table, given):
    graph, data = world
    plan = AdaptPlan(search_samples=asked[0], validation_samples=asked[1], table_samples=table)
    found = Pipeline(graph, data, SETTINGS, plan).samples
    held = found.held_out.samples if found.held_out else 0
    assert (found.search.samples, found.table.samples, held) == given
    if found.held_out:
        last, every = torch.cat(found.held_out.inputs), torch.cat(data)
        assert torch.equal(last, every[found.search.samples : found.search.samples + held])


def test_a_single_sample_is_not_shared_out(world):
    graph, data = world
    found = Pipeline(graph, [data[0][:1]], SETTINGS).samples
    assert (found.search.samples, found.held_out) == (1, None)


def test_searches_on_next_to_nothing_are_refused(world):
    graph, data = world
    for samples in (1, 2, 3):
        pipeline = Pipeline(graph, [data[0][:samples]], SETTINGS)
        start = pipeline.uniform(2)
        for search in (pipeline.search_phi, pipeline.search_rho, pipeline.search_rho_at):
            with pytest.raises(CalibrationError, match="at least 2 calibration samples"):
                search(start)


@pytest.mark.parametrize(
    "bad",
    [
        {"phis": ()},
        {"phis": (0,)},
        {"rhos": (0.0,)},
        {"kl_ratio": 0.5},
        {"exit_metric": "x"},
        {"search_samples": 0},
        {"table_samples": 0},
        {"validation_samples": -1},
    ],
)
def test_bad_plans_are_refused(bad):
    with pytest.raises(SettingsError, match="AdaptPlan"):
        AdaptPlan(**bad)


def test_parts_of_the_error(world):
    graph, data = world
    settings = AdaptSettings(time_steps=4, phi=1, input_coding="analog", correction="none")
    batches = encoded_batches(data, graph.input_shape, settings)
    statistics = observe(graph, batches)
    by_phi = {}
    for phi in (1, 4):
        found = decompose(graph, recipe_of(statistics, settings, phi), batches, settings)
        assert [e.name for e in found] == ["1", "4", "7"]
        first = found[0]
        assert first.unevenness == pytest.approx(0, abs=1e-3)
        assert first.inherited == pytest.approx(0, abs=1e-3)
        assert found[1].inherited > 0
        by_phi[phi] = found
    assert all(b.quantisation < a.quantisation for a, b in zip(by_phi[1], by_phi[4], strict=True))
    assert by_phi[4][2].unevenness < by_phi[1][2].unevenness
    assert by_phi[1][0].total == pytest.approx(
        np.hypot(first.clipping, by_phi[1][0].quantisation), rel=0.3
    )
