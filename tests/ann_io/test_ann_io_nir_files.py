"""NIR files of other versions, damaged and hostile ones, and neurons written with infinities."""

import warnings
from itertools import pairwise

import h5py
import numpy as np
import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import nir

from speck_adacal.ann.checkpoint import load_network
from speck_adacal.ann.nir_import import nir_to_module
from speck_adacal.errors import CheckpointError, ModelError

WEIGHT = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
ONE, INFINITE = np.ones(4), np.full(4, np.inf)


def graph(neurons):
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "l": nir.Linear(WEIGHT),
        "f": neurons,
        "m": nir.Linear(WEIGHT[:3]),
        "output": nir.Output({"output": np.array([3])}),
    }
    return nir.NIRGraph(nodes, list(pairwise(nodes)))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.nir"
    nir.write(path, graph(nir.IF(r=ONE, v_threshold=ONE)))
    return path


def expected(x):
    hidden = torch.relu(x @ torch.from_numpy(WEIGHT).T)
    return hidden @ torch.from_numpy(WEIGHT[:3]).T


@pytest.mark.parametrize(
    ("neurons", "gain"),
    [
        (nir.LIF(tau=INFINITE, r=INFINITE, v_leak=0 * ONE, v_threshold=ONE), 1.0),
        (nir.LIF(tau=INFINITE, r=ONE, v_leak=0 * ONE, v_threshold=ONE), 1.0),
        (nir.LIF(tau=INFINITE, r=INFINITE, v_leak=0 * ONE, v_threshold=2 * ONE), 0.5),
        (nir.IF(r=ONE, v_threshold=4 * ONE), 0.25),
    ],
)
def test_infinite_time_constants_are_integrate_and_fire(neurons, gain):
    x = torch.rand(5, 4)
    torch.testing.assert_close(nir_to_module(graph(neurons))(x), gain * expected(x))


@pytest.mark.parametrize(
    "neurons",
    [
        nir.IF(r=INFINITE, v_threshold=ONE),
        nir.IF(r=ONE, v_threshold=INFINITE),
        nir.IF(r=ONE * np.nan, v_threshold=ONE),
        nir.LIF(tau=ONE, r=INFINITE, v_leak=0 * ONE, v_threshold=ONE),
        nir.LIF(tau=-INFINITE, r=ONE, v_leak=0 * ONE, v_threshold=ONE),
        nir.LIF(tau=ONE * np.nan, r=ONE, v_leak=0 * ONE, v_threshold=ONE),
        nir.LIF(tau=INFINITE, r=-INFINITE, v_leak=0 * ONE, v_threshold=ONE),
    ],
)
def test_what_gives_no_finite_gain_is_refused_by_name(neurons):
    with pytest.raises(ModelError, match="'f'"):
        nir_to_module(graph(neurons))


@pytest.mark.parametrize("threshold", [1.0, 2.0])
def test_neurons_of_another_number_than_their_layer_are_refused(threshold):
    neurons = nir.IF(r=np.ones(7), v_threshold=np.full(7, threshold))
    with pytest.raises(ModelError, match=r"'f' has 7 channels .* has 4 outputs"):
        nir_to_module(graph(neurons))


@pytest.mark.filterwarnings("error")
def test_imaginary_parts_are_not_dropped():
    network = graph(nir.IF(r=ONE, v_threshold=ONE))
    network.nodes["l"].weight = WEIGHT + 1j
    with pytest.raises(ModelError, match="complex64, needed are real numbers"):
        nir_to_module(network)


@pytest.mark.parametrize("reset", [0.0, -0.5])
def test_files_of_later_versions_say_what_a_neuron_is_reset_to(file, reset):
    with h5py.File(file, "a") as opened:
        opened["node/nodes/f"].create_dataset("v_reset", data=np.full(4, reset))
        del opened["version"]
        opened.create_dataset("version", data="1.0.8")
    if reset:
        with pytest.raises(ModelError, match="'f' is reset to a potential other than 0"):
            load_network(file)
    else:
        x = torch.rand(5, 4)
        torch.testing.assert_close(load_network(file)(x), expected(x))


def test_what_a_later_version_added_names_that_version(file):
    with h5py.File(file, "a") as opened:
        opened["node/nodes/f"].create_dataset("novelty", data=1)
        del opened["version"]
        opened.create_dataset("version", data="1.9.0")
    with pytest.raises(CheckpointError, match=r"written by nir 1\.9\.0, cannot be read"):
        load_network(file)


def test_links_and_data_elsewhere_are_not_followed(file, tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    with h5py.File(file, "a") as opened:
        opened["node/nodes/l/extra"] = h5py.ExternalLink("/etc/hostname", "/x")
    with pytest.raises(CheckpointError, match="link 'extra' to another place"):
        load_network(file)
    with h5py.File(file, "a") as opened:
        del opened["node/nodes/l/extra"]
        del opened["node/nodes/l/weight"]
        where = [(str(tmp_path / "secret.bin"), 0, 64)]
        opened["node/nodes/l"].create_dataset("weight", (4, 4), "f4", external=where)
    with pytest.raises(CheckpointError, match="in another file"):
        load_network(file)


@pytest.mark.parametrize("how", ["compressed", "unallocated"])
def test_declared_sizes_are_bounded(file, how):
    more = {"compression": "gzip"} if how == "compressed" else {}
    with h5py.File(file, "a") as opened:
        made = opened["node"].create_dataset(
            "big", (1 << 14, 1 << 14), "f8", chunks=(1, 64), **more
        )
        made[:16, :64] = 0
    with pytest.raises(CheckpointError, match="times as much"):
        load_network(file)


def test_a_group_that_holds_itself_ends(file):
    with h5py.File(file, "a") as opened:
        opened["node/nodes/again"] = opened["node"]
    with pytest.raises(CheckpointError):
        load_network(file)


@pytest.mark.parametrize("names", [("a.b", "a_b"), ("l", "")])
def test_nodes_that_would_share_a_name(names):
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        names[0]: nir.Linear(WEIGHT),
        names[1]: nir.Linear(WEIGHT),
        "output": nir.Output({"output": np.array([4])}),
    }
    with pytest.raises(ModelError, match="same name, or none"):
        nir_to_module(nir.NIRGraph(nodes, list(pairwise(nodes))))
