"""`verify` on the twin and on the virtual kit: every tampering is caught at the right core."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import nn

from speck_adacal import AdaptSettings, adapt, deploy, load, save
from speck_adacal.bundle import dump_json, read_bundle
from speck_adacal.bundles.bundle_files import stored_configuration
from speck_adacal.bundles.known_answers import play_on_twin, read_known_answers
from speck_adacal.bundles.verify import first_difference, verify_bundle
from speck_adacal.chip_description import parse_device
from speck_adacal.cli import main
from speck_adacal.errors import BundleError, HardwareMissingError, SettingsError
from speck_adacal.host.devices import open_real, player_on


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Four cores; the second and third take maps of one shape, so a destination can be swapped."""
    torch.manual_seed(0)
    modules = [nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.ReLU()]
    for _ in range(2):
        modules += [nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.ReLU()]
    network = nn.Sequential(*modules, nn.Flatten(), nn.Linear(256, 3, bias=False))
    images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("verify") / "bundle"
    return save(deploy(adapt(network, images, input_shape=(1, 8, 8))), path)


@pytest.fixture(params=["twin", "virtual"])
def device(request):
    from speck_adacal.virtual_samna import declare_boards, ensure_samna

    if request.param == "virtual" and ensure_samna().kind != "virtual":
        pytest.skip("the vendor's samna library is installed")
    with player_on(parse_device(request.param), "speck2f") as (play, _):
        yield play
    declare_boards("none")


def flip_weight_bit(configuration, core, bit):
    weights = np.asarray(configuration.cnn_layers[core].weights).astype(np.int8)
    used = np.unravel_index(np.argmax(np.abs(weights.astype(int))), weights.shape)
    weights[used] ^= np.int8(1 << bit)
    configuration.cnn_layers[core].weights = weights.tolist()


def change_threshold(configuration, core):
    configuration.cnn_layers[core].threshold_high += 1


def swap_destination(configuration, core, to):
    configuration.cnn_layers[core].destinations[0].layer = to


TAMPERINGS = {
    "the least weight bit of the first core": (lambda c, o: flip_weight_bit(c, o[0], 0), 0),
    "a weight bit of the third core": (lambda c, o: flip_weight_bit(c, o[2], 5), 2),
    "a threshold": (lambda c, o: change_threshold(c, o[1]), 1),
    "the readout's threshold": (lambda c, o: change_threshold(c, o[3]), 3),
    "a destination": (lambda c, o: swap_destination(c, o[0], o[2]), 0),
}


def test_what_is_unchanged_is_the_same(bundle, device):
    outcome = verify_bundle(read_bundle(bundle), play=device)
    assert outcome.same, outcome.difference
    assert "final membrane potentials" in outcome.compared


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_device_that_was_told_something_else_is_caught(bundle, device, name):
    tamper, place = TAMPERINGS[name]
    described = stored_configuration(read_bundle(bundle))
    configuration = described.to_samna()
    tamper(configuration, described.order)
    outcome = verify_bundle(read_bundle(bundle), play=device, configuration=configuration)
    assert not outcome.same
    assert outcome.core == described.order[place]
    assert outcome.difference.startswith(described.label(outcome.core))


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_device_that_only_behaves_otherwise_is_caught(bundle, device, name):
    """As a fault of the chip's memory would: what it was told is taken out of the comparison."""
    tamper, place = TAMPERINGS[name]
    read = read_bundle(bundle)
    described = stored_configuration(read)
    configuration = described.to_samna()
    tamper(configuration, described.order)
    events, recorded = read_known_answers(read, described)
    found = replace(device(configuration, described, events), configuration=None)
    core, said = first_difference(described, recorded, found)
    if name == "a destination" and device is not play_on_twin:
        place = 1  # a board does not show what a core receives: the first silent core is named
    assert core == described.order[place], said


def tampered(path, out, *, weight=None, fields=None):
    """A copy with changed chip files and a manifest made to fit."""
    out.mkdir()
    for file in path.iterdir():
        (out / file.name).write_bytes(file.read_bytes())
    if weight is not None:
        arrays = {
            k: v.copy() for k, v in load_arrays((out / "chip.safetensors").read_bytes()).items()
        }
        arrays[weight].reshape(-1)[0] ^= 1
        (out / "chip.safetensors").write_bytes(save_arrays(arrays))
    if fields is not None:
        data = json.loads((out / "chip.json").read_bytes())
        fields(data)
        (out / "chip.json").write_bytes(dump_json(data))
    manifest = json.loads((out / "manifest.json").read_bytes())
    for name in manifest["files"]:
        manifest["files"][name] = hashlib.sha256((out / name).read_bytes()).hexdigest()
    (out / "manifest.json").write_bytes(dump_json(manifest))
    return out


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("what", ["weight", "threshold", "destination"])
def test_a_bundle_changed_together_with_its_hashes_is_caught(bundle, tmp_path, capsys, what, place):
    core = stored_configuration(read_bundle(bundle)).order[place]

    def change(data):
        fields = data["cores"][str(core)]
        if what == "threshold":
            fields["threshold_high"] += 1
        else:
            fields["destinations"][1]["layer"] = 7

    changes = {"weight": f"core{core}.weights"} if what == "weight" else {"fields": change}
    changed = tampered(bundle, tmp_path / "changed", **changes)
    outcome = verify_bundle(read_bundle(changed))
    assert outcome.core == core
    with pytest.raises(SystemExit) as stop:
        main(["verify", str(changed), "--json"])
    assert stop.value.code == 1
    assert json.loads(capsys.readouterr().out)["core"] == core


def test_the_command_on_the_virtual_kit(bundle, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["verify", str(bundle), "--device", "virtual:speck2fdevkit", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert not stop.value.code
    assert found["same"]
    assert (found["device"], found["grade"]) == ("virtual:speck2fdevkit", "simulated")


def test_a_real_board_that_is_not_there_says_what_to_install(bundle, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["verify", str(bundle), "--device", "speck2fdevkit:0"])
    assert stop.value.code == 4
    assert "samna" in capsys.readouterr().err


def test_names_of_devices():
    assert str(parse_device("Speck2fDevKit:1")) == "speck2fdevkit:1"
    assert parse_device("virtual").kind == "virtual"
    for wrong in ("fpga", "twin:1", "virtual:0", "speck2fdevkit:x"):
        with pytest.raises(SettingsError, match="speck2fdevkit"):
            parse_device(wrong)
    with pytest.raises(HardwareMissingError):
        open_real(parse_device("speck2fdevkit:0"))


def test_a_board_with_another_chip_is_refused(bundle, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["verify", str(bundle), "--device", "virtual:speck2edevkit"])
    assert stop.value.code == 1
    assert "speck2e" in capsys.readouterr().err


def test_a_speck2e_on_its_virtual_kit(bundle, tmp_path, capsys):
    path = save(deploy(load(bundle).adapted, chip="speck2e"), tmp_path / "speck2e")
    with pytest.raises(SystemExit) as stop:
        main(["verify", str(path), "--device", "virtual", "--json"])
    assert not stop.value.code
    assert json.loads(capsys.readouterr().out)["device"] == "virtual"


def test_an_adapted_bundle_has_nothing_to_verify(tmp_path):
    images = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    network = nn.Sequential(
        nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2, bias=False)
    )
    path = save(adapt(network, images, input_shape=(1, 4, 4)), tmp_path / "adapted")
    with pytest.raises(BundleError, match="deploy"):
        verify_bundle(read_bundle(path))


class Shortcut(nn.Module):
    """An identity shortcut: the sum is where two cores send to one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.ReLU())
        self.inner = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.ReLU())
        self.after = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.ReLU())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(256, 3, bias=False))

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.after(x + self.inner(x)))


@pytest.fixture(scope="module")
def branched(tmp_path_factory):
    torch.manual_seed(0)
    images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    plain = AdaptSettings(chip_correction=False)
    deployment = deploy(adapt(Shortcut(), images, input_shape=(1, 8, 8), settings=plain))
    return save(deployment, tmp_path_factory.mktemp("branched") / "bundle")


def test_a_network_with_a_shortcut_replays_on_every_device(branched, device):
    outcome = verify_bundle(read_bundle(branched), play=device)
    assert outcome.same, outcome.difference
    assert outcome.events > 0


@pytest.mark.parametrize("place", range(4))
def test_tampering_with_a_branched_network_is_caught_at_its_core(branched, device, place):
    described = stored_configuration(read_bundle(branched))
    configuration = described.to_samna()
    change_threshold(configuration, described.order[place])
    outcome = verify_bundle(read_bundle(branched), play=device, configuration=configuration)
    assert outcome.core == described.order[place]
