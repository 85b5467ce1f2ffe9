"""What `export`, `flash` and `diff` write and say, and that it can be read back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal import AdaptSettings, adapt, deploy, save
from speck_adacal.bundle import dump_json, read_bundle
from speck_adacal.bundles.bundle_files import stored_configuration
from speck_adacal.bundles.chip_configuration import configuration_of
from speck_adacal.bundles.configuration_json import dump_configuration, read_configuration
from speck_adacal.bundles.diff import diff_bundles, diff_configurations
from speck_adacal.bundles.known_answers import play_on_twin, random_events
from speck_adacal.bundles.nir_export import to_nir, write_nir
from speck_adacal.chip.mapping import run_quantised
from speck_adacal.cli import main
from speck_adacal.errors import BackendError, BundleError, ModelError


@pytest.fixture(scope="module")
def deployment():
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24, 3, bias=False),
    )
    images = torch.rand(8, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network[3].bias.mul_(0.05)
    # A bias that leaks has no NIR node; no neuron of the tests fires more than 8 times in a step.
    settings = AdaptSettings(phi=8, bias="initial")
    return deploy(adapt(network, images, input_shape=(2, 8, 8), settings=settings))


@pytest.fixture(scope="module")
def bundle(deployment, tmp_path_factory):
    return save(deployment, tmp_path_factory.mktemp("export") / "net.bundle")


@pytest.fixture
def configuration(bundle):
    return stored_configuration(read_bundle(bundle))


def run(capsys, *arguments, code=0):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert (stop.value.code or 0) == code, err
    return out, err


def with_core(configuration, core, **fields):
    cores = {**configuration.cores, str(core): {**configuration.cores[str(core)], **fields}}
    return replace(configuration, cores=cores)


def test_the_way_of_biases_that_the_user_named_is_kept(deployment):
    assert not any(layer.leaks for layer in deployment.adapted.recipe.layers)
    assert deployment.slow_clock_hz is None


# NIR


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nir_read_back_by_sinabs_gives_the_same_outputs(deployment, bundle, tmp_path, capsys):
    import nir
    import sinabs.layers as sl
    import sinabs.nir

    path = tmp_path / "net.nir"
    run(capsys, "export", bundle, "--format", "nir", "-o", path)
    graph = nir.read(str(path))
    frames = torch.poisson(
        torch.full((2, 8, 2, 8, 8), 0.7), generator=torch.Generator().manual_seed(5)
    )
    network = sinabs.nir.from_nir(graph, num_timesteps=8)
    neurons = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, sl.IAFSqueeze)
    }
    assert len(neurons) == 3
    for name, module in neurons.items():
        node = graph.nodes[name.split(".")[-1]]
        # sinabs' reader bounds the state at minus the threshold; the file says what the chip does
        module.min_v_mem = nn.Parameter(torch.tensor(float(node.metadata["threshold_low"])))
        module.spike_threshold = torch.as_tensor(module.spike_threshold)
        module.v_mem = torch.tensor(node.metadata["initial"]).float()[None].repeat(2, 1, 1, 1)
    with torch.no_grad():
        found = network(frames.flatten(0, 1))
    found = (found[0] if isinstance(found, tuple) else found).reshape(2, 8, -1)
    wanted = run_quantised(deployment.mapped, deployment.layers, frames)
    assert wanted.sum() > 0
    np.testing.assert_array_equal(found.numpy(), wanted)


def test_nir_names_what_it_cannot_say(configuration):
    first = configuration.order[0]
    with pytest.raises(ModelError, match="return_to_zero"):
        to_nir(with_core(configuration, first, return_to_zero=True))


def test_our_own_reader_takes_the_nir_file(configuration, tmp_path):
    from speck_adacal.ann.nir_import import load_nir

    write_nir(configuration, tmp_path / "net.nir")
    network = load_nir(tmp_path / "net.nir")
    assert network(torch.rand(1, 2, 8, 8)).shape == (1, 3, 1, 1)


# JSON


def test_json_comes_back_the_same_and_runs_the_same(configuration, bundle, tmp_path, capsys):
    run(capsys, "export", bundle, "--format", "json", "-o", tmp_path / "net.json")
    again = read_configuration(tmp_path / "net.json")
    assert diff_configurations(configuration, again) == ()
    assert [again.digest(c) for c in again.order] == [configuration.digest(c) for c in again.order]
    assert dump_configuration(again) == (tmp_path / "net.json").read_bytes()
    events = random_events(again.input_shape, count=500, seed=1)
    one, other = (play_on_twin(c.to_samna(), c, events) for c in (configuration, again))
    assert one.states == other.states
    assert one.synops_per_core.sum() > 0


def test_a_configuration_built_from_data_is_what_sinabs_made(deployment):
    built = configuration_of(deployment).to_samna()
    made = deployment.mapped.configuration
    assert json.loads(built.to_json()) == json.loads(made.to_json())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 2}, "schema 2"),
        ({"schema": True}, "schema True"),
        ({"format": "other"}, "format"),
        ({"chip": "speck9"}, "speck2f, speck2e"),
        ({"order": [0, 0, 1]}, "order"),
        ({"order": [0]}, "order"),
        ({"arrays": []}, "arrays"),
        ({"arrays": {}}, "weights' is missing"),
        ({"layers": []}, "layers"),
        ({"cores": 3}, "malformed"),
    ],
)
def test_a_malformed_json_is_refused(configuration, tmp_path, change, reason):
    data = {**json.loads(dump_configuration(configuration)), **change}
    (tmp_path / "net.json").write_bytes(dump_json(data))
    with pytest.raises(BundleError, match=reason):
        read_configuration(tmp_path / "net.json")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "int32"},
        {"dtype": "O"},
        {"shape": [1 << 40, 1 << 40]},
        {"shape": [0]},
        {"shape": "4"},
        {"zlib_base64": "!!"},
        {"zlib_base64": "AAAA"},
        {"zlib_base64": 3},
    ],
)
def test_a_damaged_array_is_named(configuration, tmp_path, entry):
    data = json.loads(dump_configuration(configuration))
    name = f"core{configuration.order[0]}.weights"
    data["arrays"][name].update(entry)
    (tmp_path / "net.json").write_bytes(dump_json(data))
    with pytest.raises(BundleError, match=name):
        read_configuration(tmp_path / "net.json")


# samna's own


def test_samnas_json_needs_the_vendors_library(bundle, tmp_path, capsys):
    _, err = run(capsys, "export", bundle, "--format", "samna", "-o", tmp_path / "x", code=4)
    assert "vendor's samna" in err
    assert not (tmp_path / "x").exists()
    run(capsys, "export", bundle, "--format", "onnx", "-o", tmp_path / "x", code=1)


def test_with_the_vendors_library_a_bundle_keeps_its_files(deployment, monkeypatch):
    from speck_adacal.bundles import bundle_files
    from speck_adacal.virtual_samna import SamnaBackend, ensure_samna

    if ensure_samna().kind == "real":
        pytest.skip("the vendor's samna library is installed")
    import samna

    assert "samna.json" not in bundle_files.to_files(deployment)
    monkeypatch.setattr(bundle_files, "ensure_samna", lambda: SamnaBackend("real", "0", "test"))
    monkeypatch.setattr(samna.speck2f, "configuration_to_flash_binary", lambda _: [1, 255])
    found = bundle_files.to_files(deployment)
    assert found["flash.bin"] == b"\x01\xff"
    assert json.loads(found["samna.json"]) == json.loads(deployment.mapped.configuration.to_json())


# flash


def test_flash_without_a_board_is_a_dry_run_with_exit_code_4(bundle, configuration, capsys):
    out, err = run(capsys, "flash", bundle, "--host-fed", "--device", "speck2fdevkit:0", code=4)
    assert "What speck2fdevkit:0 (speck2f) would be given" in out
    assert "install" in err
    out, _ = run(capsys, "flash", bundle, "--host-fed", "--dry-run", "--json")
    plan = json.loads(out)
    first = configuration.order[0]
    assert plan["cores"][0]["weights"] == 4 * 2 * 3 * 3
    assert plan["cores"][0]["neurons"] == 4 * 8 * 8
    assert plan["cores"][0]["destinations"] == list(configuration.destinations(first))
    assert plan["valid"]
    assert plan["payload_bytes"] == sum(
        core["weights"] + 2 * core["neurons"] + 2 * core["biases"] for core in plan["cores"]
    )
    assert not list(bundle.parent.glob("*.bin"))


def test_only_a_real_board_can_be_flashed(bundle, capsys):
    run(capsys, "flash", bundle, "--host-fed", "--device", "twin", code=1)
    run(capsys, "flash", bundle, "--host-fed", "--device", "speck2edevkit:0", code=1)


def test_flash_as_it_would_run_with_the_vendors_library(configuration, tmp_path, monkeypatch):
    """The virtual board stands for a real one, and made-up bytes for the image."""
    import speck_adacal.host.devices as devices
    import speck_adacal.host.flash as flashing
    from speck_adacal import parse_device
    from speck_adacal.virtual_samna import SamnaBackend, declare_boards, ensure_samna

    if ensure_samna().kind == "real":
        pytest.skip("the vendor's samna library is installed")
    import samna

    monkeypatch.setattr(devices, "ensure_samna", lambda: SamnaBackend("real", "0", "test"))
    monkeypatch.setattr(flashing, "_SETTLE_S", 0.0)
    declare_boards("speck2fdevkit:1", real_time=False)
    device = parse_device("speck2fdevkit:0")
    with pytest.raises(BackendError, match="flash binary"):
        flashing.flash(configuration, device, tmp_path / "a.bin")  # the virtual samna makes none
    monkeypatch.setattr(samna.speck2f, "configuration_to_flash_binary", lambda _: [1, 2, 255])
    done = flashing.flash(configuration, device, tmp_path / "a.bin")
    assert (tmp_path / "a.bin").read_bytes() == b"\x01\x02\xff"
    assert done.image_bytes == 3
    declare_boards("none")


# diff


def test_a_bundle_equals_itself(bundle, capsys):
    assert diff_bundles(read_bundle(bundle), read_bundle(bundle)) == ()
    out, _ = run(capsys, "diff", bundle, bundle, "--json")
    assert json.loads(out) == {"same": True, "differences": []}


def test_diff_says_what_changed_in_words(configuration):
    first, second = configuration.order[:2]
    changed = with_core(configuration, second, threshold_high=41)
    again = with_core(configuration, second, threshold_high=44)
    assert [str(d) for d in diff_configurations(changed, again)] == [
        f"core {second}: threshold 41 → 44"
    ]
    moved = [dict(entry) for entry in configuration.cores[str(first)]["destinations"]]
    moved[0]["layer"] = 7
    (difference,) = diff_configurations(
        configuration, with_core(configuration, first, destinations=moved)
    )
    assert str(difference) == (
        f"core {first}: destination 0 core {second}, pooling 2 → core 7, pooling 2"
    )
    arrays = dict(configuration.arrays)
    name = f"core{first}.weights"
    arrays[name] = arrays[name].copy()
    arrays[name].reshape(-1)[:2] ^= 3
    (difference,) = diff_configurations(configuration, replace(configuration, arrays=arrays))
    assert difference.changed == 2
    assert f"core {first}: weights, 2 of 72 changed, at most by" in str(difference)


def test_diff_of_two_adaptations(deployment, bundle, tmp_path, capsys):
    recipe = deployment.adapted.recipe
    layers = (replace(recipe.layers[0], threshold=recipe.layers[0].threshold * 2, rho=0.9),)
    settings = replace(recipe.settings, seed=7)
    other = replace(recipe, settings=settings, layers=layers + recipe.layers[1:])
    path = save(deploy(replace(deployment.adapted, recipe=other)), tmp_path / "other")
    out, _ = run(capsys, "diff", bundle, path, "--json", code=1)
    texts = [d["text"] for d in json.loads(out)["differences"]]
    assert "settings: seed 0 → 7" in texts
    name = recipe.layers[0].name
    assert any(text.startswith(f"layer {name}: V_th") for text in texts)
    assert f"layer {name}: ρ 1 → 0.9" in texts
    assert any(text.startswith("core 0: weights") or "threshold" in text for text in texts)
    out, _ = run(capsys, "diff", bundle, path, code=1)
    assert "seed 0 → 7" in out


def test_diff_counts_thresholds_per_channel(deployment, bundle, tmp_path):
    recipe = deployment.adapted.recipe
    tables = [np.linspace(1, 2, 16), np.linspace(1, 2, 16)]
    tables[1][3] += 0.5
    paths = []
    for index, table in enumerate(tables):
        layers = (replace(recipe.layers[0], threshold=table), *recipe.layers[1:])
        adapted = replace(deployment.adapted, recipe=replace(recipe, layers=layers))
        paths.append(save(adapted, tmp_path / str(index)))
    (difference,) = diff_bundles(*(read_bundle(path) for path in paths))
    name = recipe.layers[0].name
    assert str(difference) == f"layer {name}: V_th, 1 of 16 changed, at most by 0.5"
