"""Policies chosen by measuring: recorded in the recipe, and the same for all who read it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from speck_adacal import AdaptSettings, ChipPolicy, adapt, deploy, load, save, simulate
from speck_adacal.samples.batches import encode_for
from speck_adacal.samples.held_out import held_out_indices, remaining_indices
from speck_adacal.twin_search.bases import has_biases
from speck_adacal.twin_search.candidate_runs import TwinEvaluator


def network(bias: bool = True) -> nn.Module:
    torch.manual_seed(1)
    found = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 3, bias=bias),
    )
    if bias:
        with torch.no_grad():
            found[0].bias += 0.4
    return found


@pytest.fixture(scope="module")
def images():
    return torch.rand(80, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def adapted(images):
    return adapt(network(), images, input_shape=(1, 8, 8))


def policy_record(adapted):
    (found,) = [r for r in adapted.recipe.trace if r.step.startswith("policy: ")]
    return found


def test_all_ways_are_measured_and_the_choice_is_recorded(adapted):
    record = policy_record(adapted)
    screened = {name for name in record.values if name.startswith("screened:")}
    assert screened == {
        f"screened:bias {way}, clip {clip}"
        for way in ("initial", "leak", "events")
        for clip in ("open", "1")
    }
    by_events = adapted.recipe.constant is not None
    assert record.step.startswith("policy: bias events") == by_events


def test_a_network_without_biases_has_clips_to_choose_from_alone(images):
    found = adapt(network(bias=False), images, input_shape=(1, 8, 8))
    screened = [name for name in policy_record(found).values if name.startswith("screened:")]
    assert screened == ["screened:bias none, clip open", "screened:bias none, clip 1"]
    assert not has_biases(found.graph)


@pytest.mark.parametrize("leaks", [(True, True, True), (False, True, False)])
@pytest.mark.parametrize("clip", [None, 1.0])
def test_the_search_runs_what_is_deployed(images, leaks, clip):
    """Layers kept from one recipe to the next, on the slow clock or not, give what the whole chip
    gives."""
    base = adapt(
        network(),
        images,
        input_shape=(1, 8, 8),
        settings=AdaptSettings(bias="leak", chip_correction=False),
    )
    layers = tuple(
        replace(layer, leaks=leak, lower_clip=clip)
        for layer, leak in zip(base.recipe.layers, leaks, strict=True)
    )
    recipe = replace(base.recipe, layers=layers)
    recordings = encode_for(images[:6], (1, 8, 8), recipe).recordings()
    runner = TwinEvaluator(base, recordings)
    runner.keep(base.recipe)
    runner.keep(recipe, 2)
    found = runner.run(recipe)
    whole = simulate(deploy(replace(base, recipe=recipe)), images[:6])
    np.testing.assert_array_equal(found.counts, whole.class_counts)
    np.testing.assert_array_equal(found.synops.sum(1), whole.synops)


def test_what_a_policy_asks_for_is_part_of_the_deployed_recipe(adapted, images, tmp_path):
    plain = adapt(
        network(),
        images[:20],
        input_shape=(1, 8, 8),
        settings=AdaptSettings(bias="initial", chip_correction=False),
    )
    assert plain.recipe.verdict is not None
    leaking = deploy(plain, policy=ChipPolicy(bias="leak", lower_clip=1.5, window_us=80_000))
    recipe = leaking.adapted.recipe
    assert {layer.leaks for layer in recipe.layers} == {True}
    assert {layer.lower_clip for layer in recipe.layers} == {1.5}
    assert recipe.step_us == 10_000
    assert recipe.verdict is None  # it was another deployment's
    again = load(save(leaking, tmp_path / "bundle"))
    assert again.slow_clock_hz == leaking.slow_clock_hz == 100
    assert deploy(again.adapted).slow_clock_hz == 100
    for ours, theirs in zip(leaking.layers, deploy(again.adapted).layers, strict=True):
        np.testing.assert_array_equal(ours.bias, theirs.bias)
        assert ours.threshold_low == theirs.threshold_low


def test_a_verdict_says_where_it_comes_from(adapted, images, tmp_path):
    verdict = adapted.recipe.verdict
    assert (verdict.held_out, verdict.samples) == (True, 20)
    assert verdict.reference == "trained network"
    assert verdict.trained == 1
    assert verdict.line().startswith("agreement with the trained network: spiking ")
    assert "± " in verdict.line()
    few = adapt(network(), images[:20], input_shape=(1, 8, 8), labels=np.zeros(20, np.int64))
    assert not few.recipe.verdict.held_out
    assert "which calibration had seen" in few.recipe.verdict.line()
    assert few.recipe.verdict.line().startswith("trained ")
    again = load(save(adapted, tmp_path / "bundle"))
    assert again.recipe.verdict == verdict
    deployed = deploy(again)
    held = held_out_indices(80, 0)
    run = simulate(deployed, images[list(held)])
    with torch.no_grad():
        truth = network()(images[list(held)]).argmax(1).numpy()
    assert run.accuracy(truth) == verdict.chip
    assert float(run.synops.mean()) == verdict.synops


@given(st.integers(0, 3000), st.integers(0, 3))
def test_samples_are_held_out_or_calibrate(samples, seed):
    held = held_out_indices(samples, seed)
    kept = remaining_indices(samples, held)
    assert sorted((*held, *kept)) == list(range(samples))
    assert len(held) <= 512
    assert bool(held) == (samples >= 64)
    assert len(held) <= len(kept)
    assert len(kept) >= min(samples, 256) * 3 // 4
