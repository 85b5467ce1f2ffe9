"""NIR files as ANNs: chains, branches, folded thresholds, and honest refusals."""

import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import nir
    import sinabs.layers as sl
    import sinabs.nir

from speck_adacal.ann.checkpoint import load_network
from speck_adacal.ann.nir_import import nir_to_module
from speck_adacal.errors import CheckpointError, ModelError


def affine(out, in_, seed=0, bias=True):
    rng = np.random.default_rng(seed)
    b = rng.standard_normal(out) if bias else np.zeros(out)
    return nir.Affine(rng.standard_normal((out, in_)).astype(np.float32), b.astype(np.float32))


def conv(out, in_, **settings):
    values = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, **settings}
    rng = np.random.default_rng(out)
    weight = rng.standard_normal((out, in_ // values["groups"], 3, 3)).astype(np.float32)
    return nir.Conv2d(input_shape=None, weight=weight, bias=np.zeros(out), **values)


def fire(*shape, threshold=1.0, r=1.0):
    return nir.IF(r=np.full(shape, r), v_threshold=np.full(shape, threshold))


def chain(*nodes, inputs=(4,), outputs=(3,)):
    named = {"input": nir.Input({"input": np.array(inputs)})}
    named |= {str(i): node for i, node in enumerate(nodes)}
    named["output"] = nir.Output({"output": np.array(outputs)})
    names = list(named)
    return nir.NIRGraph(nodes=named, edges=list(pairwise(names)), **TYPES)


TYPES = {"type_check": False} if "type_check" in nir.NIRGraph.__init__.__code__.co_varnames else {}


@pytest.mark.filterwarnings("ignore:nirtorch.extract_nir_graph:DeprecationWarning")
def test_file_of_a_sinabs_network_becomes_the_ann(tmp_path):
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False),
        sl.IAFSqueeze(batch_size=1, spike_threshold=torch.tensor(1.0)),
        sl.SumPool2d(2),
        nn.Conv2d(4, 6, 3, bias=True),
        sl.IAFSqueeze(batch_size=1, spike_threshold=torch.tensor(2.0)),
        nn.Flatten(),
        nn.Linear(96, 5, bias=False),
    ]
    graph = sinabs.nir.to_nir(nn.Sequential(*layers), torch.rand(1, 2, 24, 24))
    graph.nodes["0"].input_shape = (24, 24)  # nir cannot write the exporter's None
    graph.nodes["3"].input_shape = (6, 6)
    graph.nodes["5"].input_type = {"input": np.array([6, 4, 4])}
    nir.write(tmp_path / "net.nir", graph)
    network = load_network(tmp_path / "net.nir")
    assert isinstance(network, nn.Sequential)
    assert not network.training
    kinds = [type(m).__name__ for m in network]
    assert kinds == ["Conv2d", "ReLU", "SumPool2d", "Conv2d", "ReLU", "Flatten", "Linear"]
    assert network[0].bias is None
    assert network[3].bias is not None
    x = torch.rand(3, 2, 24, 24)
    with torch.no_grad():
        hidden = layers[2](torch.relu(layers[0](x)))
        hidden = torch.relu(layers[3](hidden)) / 2.0
        expected = layers[6](hidden.flatten(1))
        torch.testing.assert_close(network(x), expected)


def test_rates_are_what_the_spiking_neurons_fire():
    graph = chain(affine(3, 4), fire(3, threshold=2.0, r=0.5), affine(2, 3, seed=1), outputs=(2,))
    network = nir_to_module(graph)
    x = torch.rand(1, 4, generator=torch.Generator().manual_seed(1))
    drive = graph.nodes["0"].weight @ x[0].numpy() + graph.nodes["0"].bias
    v, spikes, steps = np.zeros(3), np.zeros(3), 4000
    for _ in range(steps):
        v += 0.5 * drive
        k = np.maximum(np.floor(v / 2.0), 0)
        v -= k * 2.0
        spikes += k
    with torch.no_grad():
        rates = network[1](network[0](x))[0].numpy()
    np.testing.assert_allclose(spikes / steps, rates, atol=2 / steps)


def test_thresholds_per_channel_go_into_the_weights():
    threshold = np.broadcast_to(np.array([1.0, 4.0])[:, None, None], (2, 4, 4)).copy()
    node = nir.IF(r=np.ones((2, 4, 4)), v_threshold=threshold)
    graph = chain(conv(2, 1), node, nir.Flatten({"input": np.array([2, 4, 4])}, 0), affine(3, 32))
    network = nir_to_module(graph)
    expected = graph.nodes["0"].weight / np.array([1, 4], dtype=np.float32)[:, None, None, None]
    np.testing.assert_array_equal(network[0].weight.detach().numpy(), expected)


def test_readout_neurons_are_left_out():
    network = nir_to_module(chain(affine(3, 4), fire(3)))
    assert [type(m).__name__ for m in network] == ["Linear"]


def test_branches_are_summed():
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "a": affine(4, 4),
        "a.if": fire(4),
        "b": affine(4, 4, seed=1),
        "out": affine(3, 4, seed=2),
        "output": nir.Output({"output": np.array([3])}),
    }
    edges = [
        ("input", "a"),
        ("a", "a.if"),
        ("a.if", "b"),
        ("a.if", "out"),
        ("b", "out"),
        ("out", "output"),
    ]
    network = nir_to_module(nir.NIRGraph(nodes=nodes, edges=edges, **TYPES))
    x = torch.rand(2, 4)
    with torch.no_grad():
        hidden = torch.relu(network.a(x))
        torch.testing.assert_close(network(x), network.out(hidden + network.b(hidden)))
    assert torch.fx.symbolic_trace(network)(x).shape == (2, 3)


def test_grouped_and_padded_convolutions_and_average_pooling():
    pool = nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    graph = chain(
        conv(4, 2, groups=2, stride=(2, 1), padding=(1, 2)),
        pool,
        conv(2, 4, padding="same", dilation=(1, 1)),
        inputs=(2, 8, 8),
        outputs=(2, 2, 5),
    )
    network = nir_to_module(graph)
    assert network[0].groups == 2
    assert network(torch.rand(1, 2, 8, 8)).shape == (1, 2, 2, 5)


def leaky(tau):
    one = np.ones(3)
    return nir.LIF(tau=one * tau, r=one, v_leak=one * 0, v_threshold=one)


def integrator(tau, r=1.0):
    one = np.ones(3)
    return nir.LI(tau=one * tau, r=one * r, v_leak=one * 0)


@pytest.mark.parametrize(
    ("node", "gain"),
    [
        (integrator(np.inf), 1.0),
        (integrator(np.inf, np.inf), 1.0),
        (integrator(np.inf, 0.5), 0.5),
        (nir.I(np.full(3, 2.0)), 2.0),
    ],
)
def test_an_integrator_at_the_output_is_the_layer_before_it(node, gain):
    graph = chain(affine(3, 4, bias=False), node)
    network = nir_to_module(graph)
    assert [type(m).__name__ for m in network] == ["Linear"]
    found = network[0].weight.detach().numpy()
    np.testing.assert_array_equal(found, graph.nodes["0"].weight * np.float32(gain))


def test_lif_without_leak_is_a_relu():
    network = nir_to_module(chain(affine(3, 4), leaky(np.inf), affine(3, 3)))
    assert isinstance(network[1], nn.ReLU)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([affine(3, 4), leaky(20.0), affine(3, 3)], r"'1' is a leaky neuron \(tau = 20\)"),
        ([affine(3, 4), nir.Threshold(np.ones(3)), affine(3, 3)], "'1' is of type Threshold"),
        ([affine(3, 4), nir.I(np.ones(3)), affine(3, 3)], "'1' is of type I, .* do not fire"),
        ([affine(3, 4), integrator(20.0)], r"'1' is a leaky neuron \(tau = 20\)"),
        ([affine(3, 4), nir.I(np.full(3, np.nan))], "'1' needs a positive and finite r"),
        ([affine(3, 4), fire(3, threshold=0.0), affine(3, 3)], "positive v_threshold"),
        ([fire(4, threshold=2.0), affine(3, 4)], "'0' has a threshold or resistance other than 1"),
        ([nir.Affine(np.full((3, 4), np.nan), np.zeros(3))], "weight of the NIR node '0' has NaN"),
        (
            [affine(3, 4), nir.IF(np.ones((1, 3)), np.array([[1.0, 2, 3]])), affine(3, 3)],
            "differ within a channel",
        ),
        (
            [nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([1, 1])), conv(1, 1)],
            "sum pooling with padding",
        ),
        ([], "no layer"),
    ],
)
def test_what_has_no_ann_is_refused_by_name(nodes, message):
    with pytest.raises(ModelError, match=message):
        nir_to_module(chain(*nodes))


def test_loops_are_refused():
    graph = chain(affine(4, 4), affine(4, 4, seed=1), outputs=(4,))
    graph.edges.append(("1", "0"))
    with pytest.raises(ModelError, match="recurrent"):
        nir_to_module(graph)


def test_damaged_files_are_named(tmp_path):
    graph = chain(affine(3, 4))
    nir.write(tmp_path / "net.nir", graph)
    whole = (tmp_path / "net.nir").read_bytes()
    for name, data in (("cut.nir", whole[: len(whole) // 2]), ("text.nir", b"no"), ("e.nir", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CheckpointError, match=f"{name} cannot be read as NIR"):
            load_network(tmp_path / name)
