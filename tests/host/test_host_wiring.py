"""Sensor and read-out layer as parts of a deployment: the twin, the bundle and the virtual kit."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal import (
    AdaptSettings,
    ChipPolicy,
    ChipReadout,
    Events,
    SensorWiring,
    Wiring,
    adapt,
    calibrated_readout,
    check,
    deploy,
    load_deployment,
    parse_device,
    save,
    show_scene,
    simulate,
    verify,
)
from speck_adacal.bundles.chip_configuration import checked_configuration, configuration_of
from speck_adacal.chip.check import check_network
from speck_adacal.cli import main
from speck_adacal.errors import BundleError, DesignRuleError, SettingsError
from speck_adacal.inspection.core_load import core_loads, load_changes

ALONE = Wiring(sensor=SensorWiring(), readout=ChipReadout(), slow_clock_hz=100.0)
SENSOR = (2, 128, 128)


@pytest.fixture(scope="module")
def adapted(deployment):
    return deployment.adapted


@pytest.fixture(scope="module")
def alone(adapted):
    return deploy(adapted, wiring=ALONE)


def shown(seed=0, count=4000, duration_us=100_000):
    """Events of the whole sensor; most lie in its middle, which the network sees."""
    rng = np.random.default_rng(seed)
    x, y = (np.clip(rng.normal(64, 12, count), 0, 127).astype(int) for _ in "xy")
    t = np.sort(rng.integers(0, duration_us, count))
    return Events(t, x, y, rng.integers(0, 2, count), SENSOR, duration_us)


def seen_by(wiring, scene, shape=(2, 8, 8)):
    """What a network of this shape sees of a scene, one event after another."""
    _, height, width = shape
    rows, columns = (width, height) if wiring.diagonal else (height, width)
    kept = []
    for t, x, y, c in zip(scene.t_us, scene.x, scene.y, scene.channel, strict=True):
        x, y = x // wiring.pooling - wiring.left, y // wiring.pooling - wiring.top
        if not (0 <= x < columns and 0 <= y < rows):
            continue
        if wiring.polarities in ("on", "off") and c != (wiring.polarities == "on"):
            continue
        x = columns - 1 - x if wiring.mirror_x else x
        y = rows - 1 - y if wiring.mirror_y else y
        x, y = (y, x) if wiring.diagonal else (x, y)
        kept.append((t, x, y, c if shape[0] > 1 else 0))
    t, x, y, c = np.array(kept).T
    return Events(t, x, y, c, shape, scene.duration_us)


def test_sensible_values_are_computed(alone):
    sensor = alone.wiring.sensor
    assert (sensor.pooling, sensor.left, sensor.top, sensor.polarities) == (4, 12, 12, "both")


@pytest.mark.parametrize(
    "sensor",
    [
        SensorWiring(),
        SensorWiring(left=27, top=30, pooling=2, mirror_x=True),
        SensorWiring(mirror_y=True, diagonal=True, left=11),
        SensorWiring(polarities="off"),
        SensorWiring(pooling=1, left=60, top=58, polarities="on"),
    ],
)
def test_a_recording_of_the_sensor_goes_through_its_stage(adapted, sensor):
    wired = deploy(adapted, wiring=Wiring(sensor=sensor))
    scene = shown()
    by_sensor = simulate(wired, scene)
    by_host = simulate(wired, seen_by(wired.wiring.sensor, scene))
    assert by_sensor.synops[0] > 0
    np.testing.assert_array_equal(by_sensor.class_counts, by_host.class_counts)
    np.testing.assert_array_equal(by_sensor.synops_per_core, by_host.synops_per_core)
    on_end = simulate(wired, [scene], continuous=True)
    np.testing.assert_array_equal(on_end.class_counts, by_sensor.class_counts)


@pytest.mark.parametrize("window", [1, 16, 32])
def test_the_read_out_layer_decides_as_the_host_does_on_the_same_windows(adapted, window):
    rate = 100.0 * window
    readout = ChipReadout(window=window, threshold=2 if window == 1 else 0)
    chip = deploy(adapted, wiring=Wiring(readout=readout, slow_clock_hz=rate))
    scene = seen_by(deploy(adapted, wiring=ALONE).wiring.sensor, shown(count=40_000))
    found = simulate(chip, scene)
    said, output, classes = found.chip_decisions[0], found.output[0], found.output_class[0]
    assert len(said) == scene.duration_us * rate / 1e6
    period = 1e6 / rate
    for k, (t_us, label) in enumerate(zip(said.t_us, said.label, strict=True)):
        assert t_us == int((k + 1) * period)
        since = 0 if k < window else int((k + 1 - window) * period)
        inside = (output.t_us >= since) & (output.t_us < t_us)
        counts = np.bincount(classes[inside], minlength=3) // window
        assert label == (counts.argmax() if counts.max() > readout.threshold else -1)
    assert -1 in said.label or window == 1
    assert {0, 1, 2} & set(said.label)


def test_host_and_chip_read_the_same_network(adapted, alone, recording):
    with_host = simulate(deploy(adapted), [recording()])
    with_chip = simulate(alone, [recording()])
    np.testing.assert_array_equal(with_host.class_counts, with_chip.class_counts)
    np.testing.assert_array_equal(with_host.decisions, with_chip.decisions)


def test_a_bundle_keeps_its_wiring_and_its_known_answers_go_through_it(alone, tmp_path):
    path = save(alone, tmp_path / "alone.bundle")
    loaded = load_deployment(path)
    assert loaded.wiring == alone.wiring
    assert loaded.slow_clock_hz == 100.0
    assert verify(path).same
    assert verify(path, device="virtual").same
    stored = json.loads((path / "chip.json").read_text())
    assert stored["wiring"]["sensor"]["pooling"] == 4
    recorded = np.load(path / "known_answers.npz")
    assert recorded["x"].max() > 64  # of the sensor, not of the network


def test_the_threshold_keeps_to_a_rate_of_wrong_alarms(alone):
    recordings = [shown(seed, count=8000) for seed in range(8)]
    labels = [0, 1, 2, 0, 1, 2, 0, 1]
    _, often = calibrated_readout(alone, recordings, labels, wrong_alarms=1.0)
    strict, seldom = calibrated_readout(alone, recordings, labels, wrong_alarms=0.05)
    assert often.threshold == 0
    assert seldom.threshold > 0
    assert seldom.wrong <= 0.05 < often.wrong
    assert seldom.nothing > often.nothing
    assert seldom.right + seldom.wrong + seldom.nothing == pytest.approx(1)
    assert strict.wiring.readout.threshold == seldom.threshold
    stream = simulate(strict, recordings, continuous=True)
    looks = wrong = 0
    for place, index in enumerate(stream.order):
        said = stream.chip_decisions[index]
        for t_us, label in zip(said.t_us, said.label, strict=True):
            looks += 1
            # A window is one cycle of 10 ms: at the start of a scene it reaches into the last one.
            shown_in_it = [labels[index]]
            if place and t_us < 10_000:
                shown_in_it.append(labels[stream.order[place - 1]])
            wrong += label >= 0 and label not in shown_in_it
    assert looks == seldom.looks
    assert wrong / looks == seldom.wrong


def test_a_wrong_alarm_rate_needs_a_read_out_layer(deployment, recording):
    with pytest.raises(SettingsError, match="read-out layer"):
        calibrated_readout(deployment, [recording()], [0])


PLAIN = """
import json, sys, time
import samna
import sinabs.backend.dynapcnn
from safetensors.numpy import load_file

folder, out = sys.argv[1:]
chip = json.load(open(folder + "/chip.json"))
arrays = load_file(folder + "/chip.safetensors")
config = samna.speck2f.configuration.SpeckConfiguration()

def put(target, fields):
    for name, value in fields.items():
        if isinstance(value, list):
            for entry, found in zip(getattr(target, name), value):
                put(entry, found)
        elif name == "cnn_layers":
            for core, found in value.items():
                put(target.cnn_layers[int(core)], found)
        elif isinstance(value, dict) and set(value) != {"x", "y"}:
            put(getattr(target, name), value)
        else:
            setattr(target, name, value)

for core, fields in chip["cores"].items():
    layer, size = config.cnn_layers[int(core)], fields.pop("dimensions")
    shape = lambda v: {"feature_count": v[0], "size": {"x": v[2], "y": v[1]}}
    pair = lambda v: {"x": v[1], "y": v[0]}
    layer.dimensions = {"kernel_size": size["kernel_size"], "stride": pair(size["stride"]),
        "padding": pair(size["padding"]), "input_shape": shape(size["input_shape"]),
        "output_shape": shape(size["output_shape"])}
    put(layer, fields)
    for name in ("weights", "biases", "neurons_initial_value"):
        setattr(layer, name, arrays[f"core{core}.{name}"].tolist())
put(config, chip["samna"])
assert samna.speck2f.validate_configuration(config)[0]

board = samna.device.open_device("Speck2fDevKit:0")
graph = samna.graph.EventFilterGraph()
_, sink = graph.sequential([board.get_model_source_node(),
    samna.BasicSinkNode_speck2f_event_output_event()])
graph.start()
watch, io = board.get_stop_watch(), board.get_io_module()
watch.start(); watch.reset()
io.set_slow_clk_rate(chip["slow_clock_hz"]); io.set_slow_clk(True)
board.get_model().apply_configuration(config)
time.sleep(2.0)
said = [(e.timestamp, e.index) for e in sink.get_events() if type(e).__name__ == "ReadoutPinValue"]
json.dump(said, open(out, "w"))
graph.stop()
samna.device.close_device(board)
"""


def ours(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "speck_adacal", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_plain_samna_script_gets_the_decisions_that_simulate_gave(alone, tmp_path):
    save(alone, tmp_path / "alone.bundle")
    scene = shown(3, count=20_000, duration_us=500_000)
    np.savez(tmp_path / "scene.npz", x=scene.x, y=scene.y, p=scene.channel, t=scene.t_us)
    (tmp_path / "plain.py").write_text(PLAIN)
    scene_file, bundle, said_file = (
        tmp_path / n for n in ("scene.npz", "alone.bundle", "said.json")
    )
    options = ("--fast", "--boards", "speck2fdevkit", "--scene", scene_file, "--scene-once")
    done = ours("virtual", "run", *options, tmp_path / "plain.py", bundle, said_file)
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "said.json").read_text())
    wanted = simulate(alone, scene).chip_decisions[0]
    meant = (wanted.label >= 0) & (wanted.t_us <= scene.t_us[-1])
    assert meant.sum() > 20
    assert [t for t, _ in said] == wanted.t_us[meant].tolist()
    assert [index - 1 for _, index in said] == wanted.label[meant].tolist()


def test_a_scene_before_a_virtual_board_gives_the_decisions_that_simulate_gave(alone, tmp_path):
    path = save(alone, tmp_path / "alone.bundle")
    scene = shown(4)
    np.savez(
        tmp_path / "scene.npz",
        x=[*scene.x, 0, 127],
        y=[*scene.y, 0, 127],
        p=[*scene.channel, 0, 1],
        t=[*scene.t_us, 100_000, 100_000],
    )
    options = ("--device", "virtual:speck2fdevkit:0", "--scene", tmp_path / "scene.npz", "--json")
    refused = ours("flash", path, *options)
    assert refused.returncode == 1
    assert "nobody resets a flashed chip" in " ".join(refused.stderr.split())
    done = ours("flash", path, "--reset-each", *options)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["scene"]["decisions"]
    wanted = simulate(alone, scene).chip_decisions[0]
    meant = wanted.label >= 0
    assert [one["class"] for one in said] == wanted.label[meant].tolist()
    assert [one["t_us"] for one in said] == wanted.t_us[meant].tolist()
    assert len(said) > 5


def test_verify_says_what_the_bundle_was_made_for(alone, tmp_path):
    found = verify(save(alone, tmp_path / "resets.bundle"))
    assert found.same
    assert found.made_for == "a reset before each sample"
    assert "a network made for a reset before each sample" in found.warnings[0]
    recipe = alone.adapted.recipe
    stream = replace(recipe, settings=replace(recipe.settings, reset_each=False))
    streaming = deploy(replace(alone.adapted, recipe=stream), wiring=ALONE)
    path = save(streaming, tmp_path / "stream.bundle")
    assert verify(path).made_for == "a stream that is never reset"
    assert not verify(path).warnings
    said = ours("verify", path)
    assert "made for a stream that is never reset" in " ".join(said.stdout.split())


def test_ticks_of_the_internal_clock_are_counted_in_sensor_events(adapted):
    wiring = Wiring(sensor=SensorWiring(), readout=ChipReadout(), clock_divider=14)
    chip, scene = deploy(adapted, wiring=wiring), shown(6, count=100_000)
    found = simulate(chip, scene)
    said, t_us, classes = found.chip_decisions[0], found.output[0].t_us, found.output_class[0]
    assert said.t_us.tolist() == scene.t_us[2**14 - 1 :: 2**14].tolist()
    edges = np.searchsorted(t_us, said.t_us, side="left")
    for begin, end, label in zip([0, *edges], edges, said.label, strict=False):
        counts = np.bincount(classes[begin:end], minlength=3)
        assert label == (counts.argmax() if counts.max() > 0 else -1)
    board = show_scene(configuration_of(chip), parse_device("virtual"), scene)
    meant = said.label >= 0
    assert meant.sum() > 3
    assert board.label.tolist() == said.label[meant].tolist()
    assert board.t_us.tolist() == said.t_us[meant].tolist()


@pytest.mark.parametrize("rate", [160.0, 300.0, 1000.0])
def test_events_at_the_very_time_of_a_tick_count_alike_on_twin_and_board(adapted, rate):
    sensor = SensorWiring(noise_filter="background", filter_ticks=2)
    wiring = Wiring(sensor=sensor, readout=ChipReadout(), slow_clock_hz=rate)
    chip, scene = deploy(adapted, wiring=wiring), shown(5, count=12_000)
    ticks = (1e6 / rate * np.arange(1, rate / 10)).astype(np.int64)
    t_us = ticks[np.minimum(np.searchsorted(ticks, scene.t_us), len(ticks) - 1)]
    t_us = np.sort(np.where(np.arange(len(t_us)) % 2, t_us, scene.t_us))
    scene = Events(t_us, scene.x, scene.y, scene.channel, SENSOR, scene.duration_us)
    said = simulate(chip, scene).chip_decisions[0]
    board = show_scene(configuration_of(chip), parse_device("virtual"), scene)
    meant = said.label >= 0
    assert meant.sum() > 5
    assert board.label.tolist() == said.label[meant].tolist()
    assert board.t_us.tolist() == said.t_us[meant].tolist()


def test_flash_refuses_what_waits_for_a_host(deployment, tmp_path):
    path = save(deployment, tmp_path / "host.bundle")
    refused = ours("flash", path, "--dry-run")
    assert refused.returncode == 1
    for part in (
        "waits for a host",
        "--input sensor --readout chip",
        "--host-fed",
        "speck-adacal flash",
    ):
        assert part in " ".join(refused.stderr.split())
    assert ours("flash", path, "--dry-run", "--host-fed").returncode == 0


@pytest.mark.parametrize(
    ("wiring", "rule"),
    [
        (Wiring(sensor=SensorWiring(left=121, pooling=1)), "sensor-region"),
        (Wiring(sensor=SensorWiring(top=57, pooling=2)), "sensor-region"),
        (Wiring(sensor=SensorWiring(pooling=3)), "sensor-pooling"),
        (Wiring(sensor=SensorWiring(polarities="merge")), "sensor-polarities"),
        (Wiring(sensor=SensorWiring(filter_size=16)), "sensor-filter"),
        (Wiring(readout=ChipReadout(window=8)), "readout-window"),
        (Wiring(readout=ChipReadout(threshold=70_000)), "readout-threshold"),
    ],
)
def test_what_the_chip_cannot_do_breaks_a_rule(adapted, wiring, rule):
    with pytest.raises(DesignRuleError) as error:
        deploy(adapted, wiring=wiring)
    assert [violation.rule for violation in error.value.violations] == [rule]
    assert error_rules(check_network(adapted.ann, wiring=wiring)) == [rule]


@pytest.mark.parametrize(
    ("end", "rule"),
    [
        ((nn.Flatten(), nn.Linear(256, 16, bias=False)), "readout-classes"),
        ((nn.Conv2d(4, 3, 3, bias=False), nn.ReLU(), nn.AvgPool2d(6)), "readout-map"),
    ],
)
def test_a_network_that_the_read_out_layer_cannot_count_breaks_a_rule(end, rule):
    network = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.ReLU(), *end)
    images = torch.rand(4, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    one = adapt(network, images, input_shape=(2, 8, 8), settings=AdaptSettings(time_steps=2))
    with pytest.raises(DesignRuleError) as error:
        deploy(one, wiring=Wiring(readout=ChipReadout()))
    assert [violation.rule for violation in error.value.violations] == [rule]
    before = check(network, input_shape=(2, 8, 8), wiring=Wiring(readout=ChipReadout()))
    assert rule in error_rules(before)
    assert rule not in error_rules(check(network, input_shape=(2, 8, 8)))


def test_check_takes_the_sensor_as_deploy_does(capsys):
    call = ["check", "--arch", "nmnist_cnn_nir_paper", "--input-shape", "2,34,34", "--json"]
    for options, rules in (
        (["--input", "sensor", "--readout", "chip"], []),
        (["--input", "sensor", "--origin", "100,0", "--pooling", "1"], ["sensor-region"]),
        (["--input", "sensor", "--pooling", "3"], ["sensor-pooling"]),
        (["--readout", "chip", "--readout-window", "5"], ["readout-window"]),
    ):
        with pytest.raises(SystemExit) as end:
            main([*call, *options])
        assert (end.value.code or 0) == (3 if rules else 0)
        found = json.loads(capsys.readouterr().out)["violations"]
        assert [v["rule"] for v in found if v["severity"] == "error"] == rules
    with pytest.raises(SystemExit) as end:
        main([*call, "--input", "moon"])
    assert end.value.code == 1
    assert "--input must be one of host, sensor" in capsys.readouterr().err


def error_rules(found):
    return [violation.rule for violation in found.errors]


def test_the_read_out_keeps_to_the_clock_of_the_leak():
    network = nn.Sequential(nn.Flatten(), nn.Linear(128, 6, bias=False), nn.ReLU(), nn.Linear(6, 3))
    images = torch.rand(4, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    one = adapt(network, images, input_shape=(2, 8, 8), settings=AdaptSettings(time_steps=2))
    leaking = ChipPolicy(bias="leak", window_us=20_000)
    alone = deploy(one, policy=leaking, wiring=Wiring(readout=ChipReadout()))
    assert alone.slow_clock_hz == alone.wiring.slow_clock_hz == 100.0
    with pytest.raises(SettingsError, match="one slow clock"):
        deploy(one, policy=leaking, wiring=Wiring(readout=ChipReadout(), slow_clock_hz=50.0))
    with pytest.raises(SettingsError, match="slow clock of"):
        deploy(one, policy=ChipPolicy(bias="leak", window_us=20), wiring=ALONE)


def test_a_sensor_warns_of_a_network_that_counts_on_resets(alone, adapted):
    assert [v.rule for v in alone.violations if v.severity == "warning"] == ["never-reset"]
    settings = replace(adapted.recipe.settings, reset_each=False)
    stream = replace(adapted, recipe=replace(adapted.recipe, settings=settings))
    assert deploy(stream, wiring=ALONE).violations == ()


def test_load_by_core_on_a_recording_of_the_sensor(alone, adapted):
    scene = shown(count=3000)
    loads = core_loads(alone, [scene])
    run = simulate(alone, scene)
    for load in loads:
        assert load.mean_synops_per_s == pytest.approx(run.synops_per_core[0, load.core] / 0.1)
        assert load.worst_synops_per_s >= load.longer_synops_per_s >= load.mean_synops_per_s > 0
        assert load.worst_events_per_s >= load.longer_events_per_s >= load.mean_events_per_s > 0
    seen = len(seen_by(alone.wiring.sensor, scene))
    assert loads[0].mean_events_per_s == pytest.approx(seen / 0.1)
    helps = {change.change: change for change in load_changes(alone, [scene])}
    assert set(helps) == {
        "noise filter background",
        "noise filter hot_pixel",
        "pooling 2, a smaller region",
    }
    smaller = deploy(adapted, wiring=Wiring(sensor=SensorWiring(pooling=2)))
    found = helps["pooling 2, a smaller region"].input_events_per_s
    assert found == pytest.approx(len(seen_by(smaller.wiring.sensor, scene)) / 0.1)
    assert found < loads[0].mean_events_per_s
    assert helps["noise filter background"].input_events_per_s < loads[0].mean_events_per_s
    assert load_changes(deploy(adapted), [scene]) == ()


def test_a_background_filter_lets_company_through(adapted):
    filtered = deploy(adapted, wiring=Wiring(sensor=SensorWiring(noise_filter="background")))
    assert filtered.slow_clock_hz == 100.0
    assert filtered.wiring.sensor.filter_ticks == 1
    lonely = Events([1000, 41_000], [50, 70], [50, 70], [1, 1], SENSOR, 100_000)
    company = Events([1000, 1100], [50, 51], [50, 50], [1, 1], SENSOR, 100_000)
    synops = simulate(filtered, [lonely, company]).synops
    assert synops[0] == 0 < synops[1]


@pytest.mark.parametrize(
    ("wiring", "said"),
    [
        (Wiring(readout=ChipReadout(), slow_clock_hz=20_000.0), "10 to 10000 Hz"),
        (Wiring(readout=ChipReadout(), clock_divider=13), "14 to 17"),
        (Wiring(readout=ChipReadout(), clock_divider=15, slow_clock_hz=50.0), "one of them"),
    ],
)
def test_a_clock_that_the_chip_does_not_have_is_refused(adapted, wiring, said):
    with pytest.raises(SettingsError, match=said):
        deploy(adapted, wiring=wiring)


def test_a_wiring_that_was_tampered_with_is_refused(alone, tmp_path):
    path = save(alone, tmp_path / "alone.bundle")
    data = json.loads((path / "chip.json").read_text())
    data["wiring"]["sensor"]["left"] = 200
    configuration = configuration_of(alone)
    with pytest.raises(BundleError, match="sensor-region"):
        checked_configuration(data, configuration.arrays, "chip.json")
    data["wiring"]["sensor"]["left"] = 13
    with pytest.raises(BundleError, match="samna does not say"):
        checked_configuration(data, configuration.arrays, "chip.json")


def test_deploy_says_what_it_wired_and_what_would_help(adapted, tmp_path, capsys):
    source = save(adapted, tmp_path / "a.adapted")
    scenes = [shown(seed, count=2000) for seed in range(3)]
    columns = {"x": "x", "y": "y", "p": "channel", "t": "t_us"}
    arrays = {k: np.concatenate([getattr(s, v) for s in scenes]) for k, v in columns.items()}
    labels, offsets = np.arange(3), [0, 2000, 4000, 6000]
    np.savez(tmp_path / "s.npz", **arrays, offsets=offsets, labels=labels)
    line = ["deploy", source, "--out", tmp_path / "b.bundle", "--recordings", tmp_path / "s.npz"]
    line += [
        "--input",
        "sensor",
        "--origin",
        "11,12",
        "--mirror",
        "x,diagonal",
        "--readout",
        "chip",
    ]
    line += ["--wrong-alarms", "0.1", "--synops-limit", "1000", "--slow-clock-hz", "100", "--json"]
    with pytest.raises(SystemExit, match="0"):
        main([str(argument) for argument in line])
    told = json.loads(capsys.readouterr().out)
    sensor = told["wiring"]["sensor"]
    assert (sensor["left"], sensor["top"], sensor["pooling"]) == (11, 12, 4)
    assert sensor["mirror_x"] and sensor["diagonal"] and not sensor["mirror_y"]  # noqa: PT018
    assert told["alarms"]["wrong"] <= 0.1
    assert told["wiring"]["readout"]["threshold"] == told["alarms"]["threshold"]
    assert told["over_limit"] == [load["core"] for load in told["loads"]]
    assert len(told["load_changes"]) == 3
    assert load_deployment(tmp_path / "b.bundle").wiring.sensor.left == 11


@pytest.mark.parametrize(
    "options",
    [("--input", "camera"), ("--readout", "board"), ("--origin", "3"), ("--mirror", "z")],
)
def test_options_that_are_none_are_refused(options, tmp_path, capsys):
    sensor = () if "--input" in options else ("--input", "sensor")
    with pytest.raises(SystemExit, match="1"):
        main(["deploy", "none", "--out", str(tmp_path / "b"), *sensor, *options])
    said = capsys.readouterr().err
    assert options[0] in said
    assert options[1] in said
