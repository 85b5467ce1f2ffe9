"""Policies for biases and the lower clip: their integers, their replay, and what is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal import AdaptSettings, adapt, deploy, load, save, simulate
from speck_adacal.bundle import read_bundle
from speck_adacal.bundles.verify import verify_bundle
from speck_adacal.chip.policy import ChipPolicy
from speck_adacal.chip_description import parse_device
from speck_adacal.cli import main
from speck_adacal.core_layers import STATE_LOW
from speck_adacal.errors import BundleError, DesignRuleError, SettingsError
from speck_adacal.events.types import Events
from speck_adacal.host.devices import player_on
from speck_adacal.host.twin_backend import TwinBackend
from speck_adacal.inspection.autopsy_activity import measure_activity
from speck_adacal.inspection.core_load import core_loads
from speck_adacal.inspection.policy_comparison import compare_policies
from speck_adacal.reporting.summary import layer_rows
from speck_adacal.twin import Twin
from speck_adacal.virtual_samna import declare_boards, ensure_samna

WINDOW_US = 80_000


def network(bias: bool = True) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=bias),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 3, bias=bias),
    )


@pytest.fixture(scope="module")
def images():
    return torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def adapted(images):
    settings = AdaptSettings(chip_correction=False, bias="initial")
    return adapt(network(), images, input_shape=(1, 8, 8), settings=settings)


@pytest.fixture(scope="module")
def leaking(adapted):
    return deploy(adapted, policy=ChipPolicy(bias="leak", window_us=WINDOW_US))


def test_a_leak_is_the_bias_of_one_step_at_each_tick(adapted, leaking):
    assert leaking.slow_clock_hz == 8 * 1e6 / WINDOW_US == 100
    for layer, core in zip(leaking.layers, leaking.cores, strict=True):
        told = leaking.mapped.configuration.cnn_layers[core]
        np.testing.assert_array_equal(np.asarray(told.biases), layer.bias)
        np.testing.assert_array_equal(layer.bias, np.rint(layer.folded.bias * layer.scale))
        assert told.leak_enable
        assert layer.bias.any()
        assert layer.window_steps == 0
    plain = deploy(adapted)
    assert plain.slow_clock_hz is None
    for layer, core in zip(plain.layers, plain.cores, strict=True):
        assert not plain.mapped.configuration.cnn_layers[core].leak_enable
        assert layer.window_steps == 8


def test_the_charge_of_a_window_is_the_same_by_leak_and_by_initial_potential(adapted, leaking):
    """With no events the potentials of both end at initial + T · bias, to rounding."""
    nothing = np.zeros(0, np.int64)
    silent = Events(nothing, nothing, nothing, nothing, (1, 8, 8), WINDOW_US)
    plain = deploy(adapted)
    backend = TwinBackend(leaking)
    backend.reset()
    backend.feed(silent)
    charged = backend.charge() + leaking.layers[-1].initial.reshape(-1)
    wanted = plain.layers[-1].initial.reshape(-1) / plain.layers[-1].threshold
    steps, threshold = 8, leaking.layers[-1].threshold
    assert np.abs(charged / threshold - wanted).max() <= (steps + 1) / threshold


def test_a_leaking_bundle_comes_back_and_replays(leaking, images, tmp_path):
    path = save(leaking, tmp_path / "leak.bundle")
    again = load(path)
    assert again.slow_clock_hz == leaking.slow_clock_hz
    for before, after in zip(leaking.layers, again.layers, strict=True):
        np.testing.assert_array_equal(before.bias, after.bias)
        np.testing.assert_array_equal(before.start, after.start)
    recordings = images[:4]
    np.testing.assert_array_equal(
        simulate(leaking, recordings).class_counts, simulate(again, recordings).class_counts
    )
    assert verify_bundle(read_bundle(path)).same
    stored = path / "chip.json"
    stored.write_text(stored.read_text().replace('"slow_clock_hz": 100.0', '"slow_clock_hz": "x"'))
    with pytest.raises(BundleError):
        load(path)


def test_a_leaking_bundle_replays_on_the_virtual_kit(leaking, tmp_path):
    if ensure_samna().kind != "virtual":
        pytest.skip("the vendor's samna library is installed")
    path = save(leaking, tmp_path / "leak.bundle")
    with player_on(parse_device("virtual"), "speck2f") as (play, _):
        result = verify_bundle(read_bundle(path), play=play)
    declare_boards("none")
    # The board's clock ticks on its own: potentials differ by the ticks, what was told does not.
    assert "configuration" not in result.difference


def test_the_lower_clip_reaches_chip_and_time_steps(adapted):
    for clip in (1.0, 2.5):
        deployment = deploy(adapted, policy=ChipPolicy(lower_clip=clip))
        for position, layer in enumerate(deployment.layers):
            assert layer.threshold_low == -round(clip * layer.scale)
            core = deployment.cores[position]
            told = deployment.mapped.configuration.cnn_layers[core]
            assert told.threshold_low == layer.threshold_low
    assert {layer.threshold_low for layer in deploy(adapted).layers} == {STATE_LOW}


def test_policies_are_compared_on_the_same_samples(adapted, images):
    labels = np.zeros(12, np.int64)
    recordings = _recordings(adapted, images)
    found = compare_policies(adapted, recordings, labels, chip="speck2f")
    assert [(row.bias, row.lower_clip) for row in found] == [
        ("initial", "open"),
        ("initial", "1 threshold"),
        ("leak", "open"),
    ]
    assert all(row.accuracy is not None and row.synops > 0 for row in found if not row.refused)
    assert found[0].accuracy == simulate(deploy(adapted), recordings).accuracy(labels)
    bare = adapt(network(bias=False), images, input_shape=(1, 8, 8))
    kinds = compare_policies(bare, recordings, labels, chip="speck2f")
    assert [row.bias for row in kinds] == ["none", "none"]


def test_the_clips_of_a_recipe_are_compared_too(adapted, images):
    layers = tuple(replace(layer, lower_clip=0.5) for layer in adapted.recipe.layers)
    clipped = replace(adapted, recipe=replace(adapted.recipe, layers=layers))
    labels, recordings = np.zeros(12, np.int64), _recordings(adapted, images)
    found = compare_policies(clipped, recordings, labels, chip="speck2f")
    assert [row.lower_clip for row in found] == ["by layer", "open", "1 threshold", "by layer"]
    assert found[0].synops == simulate(deploy(clipped), recordings).synops.mean()
    opened = deploy(clipped, policy=ChipPolicy(lower_clip=math.inf))
    assert {layer.threshold_low for layer in opened.layers} == {STATE_LOW}
    assert found[1].synops == simulate(opened, recordings).synops.mean()


def _recordings(adapted, images):
    from speck_adacal.samples.batches import encode_samples

    return encode_samples(images, (1, 8, 8), adapted.recipe.settings).recordings()


def test_the_autopsy_counts_the_leaks_charge(leaking, adapted, images):
    _, by_leak = measure_activity(leaking, images)
    _, by_start = measure_activity(deploy(adapted), images)
    for leak, start in zip(by_leak, by_start, strict=True):
        assert leak.layer_error < 0.1
        assert start.layer_error < 0.1


def test_refusing_names_every_layer_with_biases(adapted, images):
    with pytest.raises(DesignRuleError) as error:
        deploy(adapted, policy=ChipPolicy(bias="refuse"))
    assert [v.rule for v in error.value.violations] == ["bias", "bias"]
    bare = adapt(network(bias=False), images, input_shape=(1, 8, 8))
    deploy(bare, policy=ChipPolicy(bias="refuse"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"bias": "drop"}, "initial, leak, refuse"),
        ({"lower_clip": 0.0}, "above 0"),
        ({"lower_clip": float("nan")}, "above 0"),
        ({"window_us": 0}, "at least 1"),
    ],
)
def test_wrong_policies_are_refused(options, said):
    with pytest.raises(SettingsError, match=said):
        ChipPolicy(**options)


def test_a_leak_needs_the_duration_of_a_sample(adapted):
    unknown = replace(adapted, recipe=replace(adapted.recipe, step_us=None))
    with pytest.raises(SettingsError, match="window_us"):
        deploy(unknown, policy=ChipPolicy(bias="leak"))


def test_a_clock_the_chip_has_not_is_refused(adapted):
    with pytest.raises(SettingsError, match="slow clock"):
        deploy(adapted, policy=ChipPolicy(bias="leak", window_us=10_000_000))


def said_by(capsys, arguments, code=0):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == code
    captured = capsys.readouterr()
    return " ".join((captured.out if code == 0 else captured.err).split())


def test_every_memory_and_the_load_are_shown(adapted, leaking, images, tmp_path, capsys):
    recordings = _recordings(adapted, images)
    loads = core_loads(leaking, recordings, window_us=2000)
    run = simulate(leaking, recordings)
    seconds = sum(r.duration_us for r in recordings) / 1e6
    for found in loads:
        spent = run.synops_per_core[:, found.core].sum()
        assert found.mean_synops_per_s == pytest.approx(spent / seconds)
        assert found.mean_synops_per_s <= found.worst_synops_per_s
        twin = Twin.from_configuration(
            leaking.mapped.configuration, chip="speck2f", slow_clock_hz=leaking.slow_clock_hz
        )
        trace = twin.run(recordings[found.recording], record_load=True).load
        assert trace.worst(found.core, 2000).per_s == found.worst_synops_per_s
    assert [row.bias_used for row in layer_rows(leaking)] == [4, 3]
    assert [row.bias_used for row in layer_rows(deploy(adapted))] == [0, 0]
    source = save(adapted, tmp_path / "a.adapted")
    np.savez(tmp_path / "i.npz", images=images.numpy())
    line = ["deploy", source, "--out", tmp_path / "b", "--recordings", tmp_path / "i.npz", "--json"]
    with pytest.raises(SystemExit, match="0"):
        main([str(argument) for argument in line])
    result = json.loads(capsys.readouterr().out)
    assert [row["core"] for row in result["loads"]] == [row["core"] for row in result["layers"]]
    assert all(row["worst_synops_per_s"] > 0 for row in result["loads"])


def test_deploy_says_what_became_of_the_biases(adapted, tmp_path, capsys):
    source = save(adapted, tmp_path / "a.adapted")
    said = said_by(capsys, ["deploy", source, "--out", tmp_path / "b"])
    assert "part of the initial potentials" in said
    line = ["deploy", source, "--out", tmp_path / "c", "--bias", "leak"]
    assert "slow clock (1000 Hz)" in said_by(capsys, line)  # images have steps of a millisecond
    line.append("--force")
    assert "how many firing thresholds" in said_by(capsys, [*line, "--lower-clip", "low"], code=1)
    line += ["--window-us", 80_000, "--lower-clip", "threshold"]
    assert "slow clock (100 Hz)" in said_by(capsys, line)


def test_a_leaking_sample_is_the_same_through_a_session(leaking, images):
    recording = _recordings(leaking.adapted, images[:1])[0]
    whole = simulate(leaking, [recording]).class_counts[0]
    backend = TwinBackend(leaking)
    backend.reset()
    answer = backend.feed(recording)
    np.testing.assert_array_equal(np.bincount(answer.output, minlength=3), whole)
