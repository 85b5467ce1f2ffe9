"""Spiking networks from files: NIR with its thresholds, and weights with an architecture."""

from __future__ import annotations

import json
import warnings
from itertools import pairwise
from pathlib import Path

import nir
import numpy as np
import pytest
import sinabs
import sinabs.layers as sl
import sinabs.nir
import torch
from torch import nn

from speck_adacal import deploy, from_sinabs, load
from speck_adacal.ann.checkpoint import load_network
from speck_adacal.ann.spiking.files import load_spiking
from speck_adacal.cli import main
from speck_adacal.errors import CheckpointError, ModelError, SettingsError

SHAPE = (2, 10, 10)


def weights() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=s).astype("f4") for s in ((4, 2, 3, 3), (3, 4, 3, 3), (5, 48))]


def integrate(shape, threshold=1.0, **more) -> nir.IF:
    full = np.full(shape, threshold, dtype="f4")
    return nir.IF(r=more.pop("r", np.ones(shape, dtype="f4")), v_threshold=full, **more)


def convolution(weight, shape) -> nir.Conv2d:
    bias = np.zeros(len(weight), dtype="f4")
    return nir.Conv2d(shape, weight, (1, 1), (1, 1), (1, 1), 1, bias)


def graph(thresholds=(1.0, 1.0, 1.0), **more) -> nir.NIRGraph:
    """Two convolutions with a sum pool between them, and a linear layer."""
    first, second, third = weights()
    two = np.array([2, 2])
    nodes = {
        "input": nir.Input({"input": np.array(SHAPE)}),
        "conv.1": convolution(first, (10, 10)),
        "if.1": integrate((4, 10, 10), thresholds[0], **more),
        "pool": nir.SumPool2d(two, two, np.array([0, 0])),
        "conv.2": convolution(second, (5, 5)),
        "if.2": integrate((3, 5, 5), thresholds[1]),
        "pool.2": nir.SumPool2d(np.array([1, 1]), np.array([1, 1]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([3, 5, 5])}, 0, -1),
        "fc": nir.Affine(np.tile(third, 2)[:, :75], np.zeros(5, dtype="f4")),
        "if.3": integrate((5,), thresholds[2]),
        "output": nir.Output({"output": np.array([5])}),
    }
    return nir.NIRGraph(nodes, list(pairwise(nodes)))


def written(tmp_path: Path, made: nir.NIRGraph) -> Path:
    nir.write(str(tmp_path / "snn.nir"), made)
    return tmp_path / "snn.nir"


def plain(thresholds=(1.0, 1.0, 1.0)) -> nn.Module:
    """The same network as a user of sinabs would write it."""
    a, b, c = (
        sl.IAFSqueeze(batch_size=1, spike_threshold=torch.tensor(t), min_v_mem=-t)
        for t in thresholds
    )
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), a, sl.SumPool2d(2),
        nn.Conv2d(4, 3, 3, padding=1, bias=False), b, nn.Flatten(),
        nn.Linear(75, 5, bias=False), c,
    )  # fmt: skip
    first, second, third = weights()
    for layer, weight in ((0, first), (3, second), (6, np.tile(third, 2)[:, :75])):
        network[layer].weight.data = torch.from_numpy(weight.copy())
    return network


def same(one, other) -> None:
    for a, b in zip(one.layers, other.layers, strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)
        assert (a.threshold, a.threshold_low) == (b.threshold, b.threshold_low)
        np.testing.assert_array_equal(a.initial, b.initial)


@pytest.mark.parametrize("thresholds", [(1.0, 1.0, 1.0), (0.5, 2.0, 4.0), (0.7, 1.3, 2.9)])
def test_a_nir_graph_keeps_its_thresholds(tmp_path, thresholds):
    network, shape = load_spiking(written(tmp_path, graph(thresholds)), None, None)
    assert shape == SHAPE
    same(deploy(from_sinabs(network, shape)), deploy(from_sinabs(plain(thresholds), SHAPE)))


def test_what_our_own_exports_say_of_potentials_is_kept(tmp_path):
    initial = np.arange(400).reshape(4, 10, 10) % 3 / 4.0
    made = graph(metadata={"threshold_low": -3.0, "initial": initial})
    network, shape = load_spiking(written(tmp_path, made), None, None)
    layer = deploy(from_sinabs(network, shape)).layers[0]
    assert layer.threshold_low == -3 * layer.threshold
    np.testing.assert_array_equal(layer.initial, np.rint(initial * layer.scale))


def test_a_resistance_goes_into_the_weights(tmp_path):
    made = graph(r=np.full((4, 10, 10), 2.0, dtype="f4"))
    network, shape = load_spiking(written(tmp_path, made), None, None)
    doubled = plain()
    doubled[0].weight.data *= 2
    same(deploy(from_sinabs(network, shape)), deploy(from_sinabs(doubled, SHAPE)))


def renamed(made: nir.NIRGraph, names: dict[str, str]) -> nir.NIRGraph:
    nodes = {names.get(name, name): node for name, node in made.nodes.items()}
    edges = [(names.get(a, a), names.get(b, b)) for a, b in made.edges]
    return nir.NIRGraph(nodes, edges)


@pytest.mark.parametrize(
    "names",
    [
        {"conv.1": "block.0.conv", "if.1": "block.0.neurons"},
        {"conv.1": "forward", "if.1": "training", "pool": "class", "conv.2": "parameters"},
        {"conv.1": "weight", "if.1": "modules", "flat": "graph", "fc": "0", "if.3": "a b"},
    ],
)
def test_nodes_may_have_any_names(tmp_path, names):
    network, shape = load_spiking(written(tmp_path, renamed(graph(), names)), None, None)
    same(deploy(from_sinabs(network, shape)), deploy(from_sinabs(plain(), SHAPE)))


def test_names_that_modules_cannot_tell_apart_are_refused(tmp_path):
    made = renamed(graph(), {"conv.1": "a.b", "if.1": "a_b"})
    with pytest.raises(ModelError, match=r"'a\.b' and 'a_b' would get the same name"):
        load_spiking(written(tmp_path, made), None, None)


def test_reserved_names_in_branches(tmp_path):
    """A graph that is no chain becomes a module of torch.fx, which writes code from names."""
    weight = weights()[0]
    nodes = {
        "input": nir.Input({"input": np.array(SHAPE)}),
        "forward": convolution(weight, (10, 10)),
        "class": integrate((4, 10, 10)),
        "lambda": convolution(weight, (10, 10)),
        "code": integrate((4, 10, 10)),
        "training": convolution(np.tile(weight, (1, 2, 1, 1)), (10, 10)),
        "if": integrate((4, 10, 10)),
        "output": nir.Output({"output": np.array([4, 10, 10])}),
    }
    edges = [("input", "forward"), ("forward", "class"), ("input", "lambda"), ("lambda", "code")]
    edges += [("class", "training"), ("code", "training"), ("training", "if"), ("if", "output")]
    network, shape = load_spiking(written(tmp_path, nir.NIRGraph(nodes, edges)), None, None)
    assert shape == SHAPE
    assert network(torch.ones(1, *SHAPE)).shape == (1, 4, 10, 10)


def without_leak(made: nir.NIRGraph) -> nir.NIRGraph:
    """The same with LIF in the place of IF: time constants and resistances are infinite."""
    for name in ("if.1", "if.2", "if.3"):
        threshold = made.nodes[name].v_threshold
        endless = np.full(threshold.shape, np.inf, dtype="f4")
        made.nodes[name] = nir.LIF(endless, np.ones_like(threshold), 0 * threshold, threshold)
    return made


def by_sinabs_reader(made: nir.NIRGraph) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of nirtorch, which sinabs uses
        return sinabs.nir.from_nir(made, batch_size=1)


def by_hand(made: nir.NIRGraph) -> nn.Module:
    """What sinabs' reader makes of LIF nodes; it stops at those with a value for each neuron."""
    thresholds = [float(made.nodes[name].v_threshold.flat[0]) for name in ("if.1", "if.2", "if.3")]
    network = plain()
    for index, threshold in zip((1, 4, 7), thresholds, strict=True):
        network[index] = sl.LIFSqueeze(
            tau_mem=float("inf"), spike_threshold=torch.tensor(threshold), min_v_mem=None,
            norm_input=False, batch_size=1,
        )  # fmt: skip
    return network


@pytest.mark.parametrize(
    ("change", "reader"), [(lambda made: made, by_sinabs_reader), (without_leak, by_hand)]
)
def test_numbers_are_those_of_sinabs_on_random_input(tmp_path, change, reader):
    """Spike for spike, as a module and as what `from_sinabs` runs in time steps."""
    made = change(graph((0.5, 1.5, 2.0)))
    ours, shape = load_spiking(written(tmp_path, made), None, None)
    theirs = reader(made)
    generator = torch.Generator().manual_seed(0)
    frames = torch.poisson(torch.full((20, *shape), 0.5), generator)
    with torch.no_grad():
        found, wanted = ours(frames), theirs(frames)
    wanted = wanted[0] if isinstance(wanted, tuple) else wanted
    assert found.sum() > 50
    torch.testing.assert_close(found, wanted.to(found), rtol=0, atol=0)
    adapted = from_sinabs(ours, shape, time_steps=20)
    hidden = adapted.network.run(frames[None], keep=("if_2",))["if_2"][0]
    sinabs.reset_states(ours)
    with torch.no_grad():
        for module in list(ours)[:5]:
            frames = module(frames)
    torch.testing.assert_close(hidden / 1.5, frames, rtol=0, atol=1e-3)


def test_adapt_on_a_spiking_file_says_what_it_takes_it_for(tmp_path, caplog):
    load_network(written(tmp_path, graph()))
    assert "taken here for the rectifiers" in caplog.text
    assert "speck-adacal import" in caplog.text
    caplog.clear()
    made = graph()
    without = [n for n in made.nodes if not n.startswith("if.")]
    nodes = {name: made.nodes[name] for name in without}
    load_network(written(tmp_path, nir.NIRGraph(nodes, list(pairwise(without)))))
    assert not caplog.text


def leaky() -> nir.NIRGraph:
    made = graph()
    ones = np.ones((4, 10, 10), dtype="f4")
    made.nodes["if.1"] = nir.LIF(tau=20 * ones, r=ones, v_leak=0 * ones, v_threshold=ones)
    return made


def test_a_leaky_node_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"'if\.1'"):
        load_spiking(written(tmp_path, leaky()), None, None)


def run(capsys, *arguments: str, code: int = 0) -> str:
    try:
        main([str(argument) for argument in arguments])
        ended = 0
    except SystemExit as stop:
        ended = int(stop.code or 0)
    found = capsys.readouterr()
    assert ended == code, found.err
    return found.err if code else found.out


def test_import_and_what_follows_on_the_command_line(capsys, tmp_path):
    path = written(tmp_path, graph((0.5, 1.0, 2.0)))
    said = json.loads(run(capsys, "import", path, "--out", tmp_path / "snn.adapted", "--json"))
    assert [row["threshold"] for row in said["layers"]] == [0.5, 1.0, 2.0]
    assert [row["lower_clip_thresholds"] for row in said["layers"]] == [1.0, 1.0, 1.0]
    run(capsys, "deploy", tmp_path / "snn.adapted", "--out", tmp_path / "snn.bundle")
    same(load(tmp_path / "snn.bundle"), deploy(from_sinabs(plain((0.5, 1.0, 2.0)), SHAPE)))
    run(capsys, "verify", tmp_path / "snn.bundle")


def test_weights_with_an_architecture(capsys, tmp_path, monkeypatch):
    source = Path(__file__).read_text().split("def same(")[0]
    (tmp_path / "spiking_architecture.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    network = plain()
    with torch.no_grad():
        network(torch.ones(3, *SHAPE))  # leaves states behind, which are no weights
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    options = ("--arch", "spiking_architecture:plain", "--out", tmp_path / "snn.adapted")
    said = run(capsys, "import", tmp_path / "weights.pt", *options, code=1)
    assert "--input-shape" in said
    run(capsys, "import", tmp_path / "weights.pt", *options, "--input-shape", "2,10,10")
    same(deploy(load(tmp_path / "snn.adapted")), deploy(from_sinabs(network, SHAPE)))


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no model file"):
        load_spiking(tmp_path / "none.nir", None, None)
    made = graph()
    made.nodes["input"] = nir.Input({"input": np.array([])})
    with pytest.raises((SettingsError, ModelError)):
        load_spiking(written(tmp_path, made), None, None)
