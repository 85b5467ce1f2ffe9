"""A made-up third chip, added by one TOML file and nothing else, goes the whole way."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch
from torch import nn

from speck_adacal import resources
from speck_adacal.ann.graph import Kind
from speck_adacal.chip_description import known_boards, known_chips, load_chip_description

CHANGES = {
    'name = "speck2f"': 'name = "speck9x"',
    "cores = { value = 9": "cores = { value = 7",
    "kernel = { value = [16384, 16384, 16384, 32768, 32768, 65536, 65536, 16384, 16384]": (
        "kernel = { value = [4096, 4096, 16384, 32768, 32768, 65536, 65536]"
    ),
    "neuron = { value = [65536, 65536, 65536, 32768, 32768, 16384, 16384, 16384, 16384]": (
        "neuron = { value = [65536, 65536, 65536, 32768, 32768, 16384, 16384]"
    ),
    "bias = { value = [1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024, 1024]": (
        "bias = { value = [512, 512, 512, 512, 512, 512, 512]"
    ),
    "input_size = { value = 128": "input_size = { value = 96",
    "features = { value = 1024": "features = { value = 512",
    "sensor_size = { value = 128": "sensor_size = { value = 96",
    "padding = { value = 7": "padding = { value = 3",
    "readout_layer = { value = 12": "readout_layer = { value = 20",
    "dvs_layer = { value = 13": "dvs_layer = { value = 21",
    "readout_classes = { value = 15": "readout_classes = { value = 11",
    'names = { value = ["speck2fdevkit", "speck2fmodule"]': 'names = { value = ["speck9xkit"]',
    'types = { value = ["Speck2fDevKit", "Speck2fModuleDevKit"]': (
        'types = { value = ["Speck9xKit"]'
    ),
    "speck2f_event_input_event": "speck9x_event_input_event",
}


@pytest.fixture
def third_chip(tmp_path, monkeypatch, samna_modules):
    """The shipped chips and one file more."""
    folder = tmp_path / "chip_configs"
    folder.mkdir()
    for name in known_chips():
        text = resources.resource_path("chip_configs", f"{name}.toml").read_text("utf-8")
        (folder / f"{name}.toml").write_text(text, "utf-8")
    text = (folder / "speck2f.toml").read_text("utf-8")
    for old, new in CHANGES.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / "speck9x.toml").write_text(text, "utf-8")
    monkeypatch.setattr(resources, "ROOTS", (tmp_path, *resources.ROOTS))
    samna_modules()
    return "speck9x"


@pytest.fixture
def samna_modules(monkeypatch):
    """Installs the virtual samna anew, as a process that starts with the third file would."""
    from speck_adacal.virtual_samna import declare_boards, ensure_samna, samna_modules

    if ensure_samna().kind != "virtual":
        pytest.skip("the vendor's samna library is installed")

    def install():
        for name, module in samna_modules.build().items():
            if name.startswith("samna.speck9x"):
                monkeypatch.setitem(sys.modules, name, module)
            elif name == "samna":
                for key in (k for k in vars(module) if "speck9x" in k):
                    monkeypatch.setattr(sys.modules["samna"], key, vars(module)[key], raising=False)

    yield install
    declare_boards("none")


def small_network():
    from speck_adacal import adapt

    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(6 * 5 * 5, 4),
    )
    rng = np.random.default_rng(0)
    images = rng.random((24, 2, 10, 10), dtype=np.float32)
    return adapt, network, images


def test_its_numbers_are_those_of_the_file(third_chip):
    assert known_chips()[0] == "speck2f"
    assert third_chip in known_chips()
    assert known_boards()["speck9xkit"].chip == third_chip
    chip = load_chip_description(third_chip)
    assert (len(chip.cores), chip.limits.features, chip.dvs_layer) == (7, 512, 21)


def test_its_driver_is_there_with_its_limits(third_chip):
    import importlib

    import samna

    configuration = importlib.import_module("samna.speck9x.configuration")
    config = configuration.SpeckConfiguration()
    assert len(config.cnn_layers) == 7
    assert (config.dvs_layer.cut.x, config.dvs_layer.cut.y) == (95, 95)
    config.dvs_layer.cut.x = 100
    valid, why = importlib.import_module("samna.speck9x").validate_configuration(config)
    assert not valid
    assert "dvs_layer.cut.x is 100, allowed is 0 to 95" in why
    assert samna.BasicSourceNode_speck9x_event_input_event
    with pytest.raises(TypeError):
        config.cnn_layers[0].weights = [[[[200]]]]


def test_adapt_deploy_simulate_and_its_virtual_board(third_chip, tmp_path):
    from speck_adacal import deploy, simulate
    from speck_adacal.host import ArgmaxSpikeCount, BoardBackend, Session, TwinBackend, open_board
    from speck_adacal.virtual_samna import declare_boards

    adapt, network, images = small_network()
    adapted = adapt(network, images, input_shape=images.shape[1:])
    deployment = deploy(adapted, chip=third_chip)
    assert set(deployment.cores) <= set(range(7))
    result = simulate(deployment, images[:4])
    assert result.spikes_per_core.shape == (4, 7)
    declare_boards("speck9xkit", real_time=False)
    board = open_board(third_chip)
    assert re.match(r"<virtual Speck9xKit:0", repr(board))
    recording = encoded(deployment, images[:1])
    labels = []
    for backend in (TwinBackend(deployment), BoardBackend(deployment, board)):
        with Session(backend, ArgmaxSpikeCount(4)) as session:
            labels.append(session.decide([recording]).label)
    assert labels[0] == labels[1]


def test_rewritings_ask_for_the_limits_of_the_chip_chosen(third_chip):
    """A padding of 4 goes into the convolution behind it, where a core can do that."""
    adapt, _, _ = small_network()
    network = nn.Sequential(
        nn.ZeroPad2d(4), nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 10 * 10, 2)
    )
    images = np.random.default_rng(0).random((24, 2, 4, 4), dtype=np.float32)
    found = [adapt(network, images, input_shape=(2, 4, 4), chip=c) for c in ("speck2f", third_chip)]
    pads = [[n for n in a.graph.nodes if n.kind is Kind.PAD] for a in found]
    assert [len(nodes) for nodes in pads] == [0, 1]
    verdicts = [a.recipe.verdict.chip for a in found]
    assert verdicts[0] is not None
    assert verdicts[1] is None  # measured on the chip chosen, which cannot run it


def encoded(deployment, images):
    from speck_adacal.samples.batches import encode_samples

    adapted = deployment.adapted
    batches = encode_samples(images, adapted.ann.input_shape, adapted.recipe.settings)
    return batches.recordings()[0]


def test_the_smallest_board_of_a_chip_refuses_what_does_not_fit(third_chip):
    from speck_adacal import deploy
    from speck_adacal.errors import SpeckAdacalError

    adapt, _, _ = small_network()
    wide = nn.Sequential(nn.Conv2d(2, 600, 1), nn.ReLU(), nn.Flatten(), nn.Linear(600 * 16, 2))
    images = np.random.default_rng(0).random((8, 2, 4, 4), dtype=np.float32)
    adapted = adapt(wide, images, input_shape=images.shape[1:])
    with pytest.raises(SpeckAdacalError, match="512"):
        deploy(adapted, chip=third_chip)


def test_what_the_twin_cannot_be_is_refused_in_one_place(third_chip):
    from dataclasses import replace

    from speck_adacal.errors import ConfigurationError
    from speck_adacal.twin import ChipProgram, Twin

    chip = load_chip_description(third_chip)
    wide = replace(chip, limits=replace(chip.limits, potential_bits=24))
    with pytest.raises(ConfigurationError, match=r"speck9x has bits\.potential = 24"):
        Twin(ChipProgram(wide, {}))
    many = replace(chip, cores=chip.cores * 5)
    with pytest.raises(ConfigurationError, match=r"chip\.cores = 35"):
        Twin(ChipProgram(many, {}))
