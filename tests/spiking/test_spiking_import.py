"""Spiking networks in: weights, thresholds and clips are kept, and the integers are sinabs'."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import sinabs.layers as sl
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sinabs.activation import MaxSpike, MembraneReset, MembraneSubtract, SingleSpike
from torch import nn

from speck_adacal import check, deploy, ensure_samna, from_sinabs, load, save, simulate
from speck_adacal.ann import trace
from speck_adacal.ann.graph import Kind
from speck_adacal.chip.joint_scale import joint_scale
from speck_adacal.core_layers import STATE_LOW
from speck_adacal.errors import ModelError
from speck_adacal.events import Events
from speck_adacal.snn.stock import ASSUMED, CAME, UNBOUNDED

SHAPE = (2, 10, 10)


def iaf(threshold: float = 1.0, lowest: float | None = -1.0, **more) -> nn.Module:
    return sl.IAFSqueeze(
        batch_size=1, spike_threshold=torch.tensor(threshold), min_v_mem=lowest, **more
    )


def chain(thresholds=(1.0, 1.0, 1.0), clips=(-1.0, -1.0, -1.0), seed=0, bias=False) -> nn.Module:
    torch.manual_seed(seed)
    first, second, third = (iaf(t, c) for t, c in zip(thresholds, clips, strict=True))
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, 1, 1, bias=bias), first, sl.SumPool2d(2),
        nn.Conv2d(4, 6, 3, 2, 1, bias=bias), second, nn.Dropout(0.5), nn.Flatten(),
        nn.Linear(54, 5, bias=bias), third,
    )  # fmt: skip


def by_sinabs(network: nn.Module, shape=SHAPE):
    """sinabs' own integers: weights, threshold and lower threshold of each core."""
    ensure_samna()
    from sinabs.backend.dynapcnn import DynapcnnNetwork

    made = DynapcnnNetwork(copy.deepcopy(network), input_shape=shape, discretize=True)
    return made, [
        (
            layer.conv_layer.weight.detach().numpy(),
            float(layer.spk_layer.spike_threshold),
            float(layer.spk_layer.min_v_mem),
        )
        for _, layer in sorted(made.dynapcnn_layers.items())
    ]


def same_integers(layers, expected) -> None:
    assert len(layers) == len(expected)
    for layer, (weight, threshold, lowest) in zip(layers, expected, strict=True):
        np.testing.assert_array_equal(layer.weight, weight.reshape(layer.weight.shape))
        assert (layer.threshold, layer.threshold_low) == (threshold, lowest)
        assert not layer.initial.any()


@settings(max_examples=25)
@given(
    thresholds=st.tuples(*[st.sampled_from((0.25, 0.5, 1.0, 2.0, 8.0))] * 3),
    clips=st.tuples(*[st.sampled_from((0.5, 1.0, 3.0))] * 3),
    seed=st.integers(0, 2**31),
)
def test_integers_are_those_of_sinabs(thresholds, clips, seed):
    lowest = tuple(-c * t for c, t in zip(clips, thresholds, strict=True))
    network = chain(thresholds, lowest, seed)
    same_integers(deploy(from_sinabs(network, SHAPE)).layers, by_sinabs(network)[1])


@pytest.mark.parametrize("thresholds", [(0.7, 1.3, 2.1), (0.37, 5.9, 0.11)])
def test_integers_are_those_of_sinabs_for_any_threshold(thresholds):
    network = chain(thresholds, tuple(-t for t in thresholds))
    same_integers(deploy(from_sinabs(network, SHAPE)).layers, by_sinabs(network)[1])


def test_a_dynapcnn_network_is_taken_as_it_is():
    made, expected = by_sinabs(chain())
    same_integers(deploy(from_sinabs(made, SHAPE)).layers, expected)


def test_a_network_of_sinabs_is_taken():
    import sinabs.network

    wrapped = sinabs.network.Network(analog_model=nn.ReLU(), spiking_model=chain())
    same_integers(deploy(from_sinabs(wrapped, SHAPE)).layers, by_sinabs(chain())[1])


class Branched(nn.Module):
    """Spikes of two layers meet: they count one each, whatever the thresholds."""

    def __init__(self, thresholds=(1.0, 1.0)) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.s0 = nn.Conv2d(2, 4, 3, 1, 1, bias=False), iaf()
        self.left, self.s1 = nn.Conv2d(4, 4, 3, 1, 1, bias=False), iaf(thresholds[0])
        self.right, self.s2 = nn.Conv2d(4, 4, 1, bias=False), iaf(thresholds[1])
        self.merge, self.fc, self.s3 = sl.Merge(), nn.Conv2d(4, 3, 10, bias=False), iaf()

    def forward(self, x):
        x = self.s0(self.stem(x))
        return self.s3(self.fc(self.merge(self.s1(self.left(x)), self.s2(self.right(x)))))


@pytest.mark.parametrize("thresholds", [(1.0, 1.0), (0.5, 2.0)])
def test_merged_branches_count_their_spikes_alike(thresholds):
    network = Branched(thresholds)
    deployed = deploy(from_sinabs(network, SHAPE))
    by_name = {layer.folded.name: layer for layer in deployed.layers}
    for name in ("stem", "left", "right", "fc"):
        weight = network.get_submodule(name).weight.detach().numpy()
        low, high = weight.min(), weight.max()
        scale = min(np.float32(127) / high, np.float32(-128) / low)
        np.testing.assert_array_equal(by_name[name].weight, np.rint(weight * scale))
    assert by_name["left"].threshold != by_name["right"].threshold or thresholds[0] == thresholds[1]


def test_an_open_lower_bound_stays_open_and_the_weights_alive():
    """sinabs' joint scale takes -32768 for an absent bound, and all weights become zero."""
    layers = deploy(from_sinabs(chain(clips=(None,) * 3), SHAPE)).layers
    expected = [weight for weight, _, _ in by_sinabs(chain())[1]]
    for layer, weight in zip(layers, expected, strict=True):
        np.testing.assert_array_equal(layer.weight, weight.reshape(layer.weight.shape))
        assert layer.threshold_low == STATE_LOW


def test_time_steps_give_what_sinabs_gives():
    """The float network of the kit against sinabs, on event counts, step by step."""
    network = chain((0.7, 1.3, 1.0), (-0.7, -1.3, -1.0))
    adapted = from_sinabs(network, SHAPE, time_steps=12)
    frames = torch.from_numpy(np.random.default_rng(0).poisson(0.4, (12, *SHAPE)).astype("f4"))
    spikes = []
    for module in network.eval():
        frames_out = module(frames if not spikes else spikes[-1])
        spikes.append(frames_out)
    found = adapted.network.run(frames[None], keep=("1", "4"))
    recipe = adapted.recipe
    for name, index in (("1", 1), ("4", 4)):
        counts = found[name][0] / float(recipe[name].threshold)
        found_spikes = counts.reshape(spikes[index].shape)
        torch.testing.assert_close(found_spikes, spikes[index], atol=1e-3, rtol=0)


def test_spike_rules_clips_and_names_are_in_the_recipe():
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False), iaf(2.0, -3.0, spike_fn=SingleSpike),
        nn.Conv2d(3, 3, 3, bias=False), iaf(0.5, None, spike_fn=MaxSpike(4)),
        nn.Flatten(), nn.Linear(108, 2, bias=False),
    )  # fmt: skip
    recipe = from_sinabs(network, SHAPE).recipe
    assert recipe.came_spiking
    assert [(x.name, x.phi, float(x.threshold), x.lower_clip) for x in recipe.layers] == [
        ("1", 1, 2.0, 1.5), ("3", 4, 0.5, None), ("5", 1, 1.0, 1.0),
    ]  # fmt: skip
    assert [record.step for record in recipe.trace] == [CAME, UNBOUNDED, ASSUMED]


def test_a_bundle_keeps_that_it_came_spiking(tmp_path):
    adapted = from_sinabs(chain(), SHAPE)
    read = load(save(deploy(adapted), tmp_path / "snn.bundle"))
    assert read.adapted.recipe.came_spiking
    same_integers(read.layers, by_sinabs(chain())[1])
    read = load(save(adapted, tmp_path / "snn.adapted"))
    same_integers(deploy(read).layers, by_sinabs(chain())[1])


def test_pools_that_no_core_has_merge_with_the_next_layer():
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, bias=False), iaf(), sl.SumPool2d(5), nn.Flatten(),
        nn.Linear(12, 2, bias=False), iaf(),
    )  # fmt: skip
    adapted = from_sinabs(network, SHAPE)
    assert not adapted.graph.of_kind(Kind.SUM_POOL)
    assert deploy(adapted).layers[1].weight.shape == (2, 3, 10, 10)


def test_initial_potentials_lower_the_scale_where_they_must():
    layer = deploy(from_sinabs(chain(), SHAPE)).layers[0].folded
    high = joint_scale(layer, 1e9, "initial")
    low = joint_scale(layer, high.scale / 2, "initial")
    assert (high.limited_by, low.limited_by) == ("weights", "initial")
    assert low.threshold == round(high.scale / 2)


def recording(seed: int = 0) -> Events:
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, 50_000, 400))
    x, y, c = (rng.integers(0, n, 400).astype(np.int16) for n in (10, 10, 2))
    return Events(t, x, y, c, SHAPE)


def test_without_labels_the_networks_own_decisions_are_the_target():
    from speck_adacal.samples.batches import encode_for
    from speck_adacal.twin_search.targets import reference_decisions

    adapted = from_sinabs(chain(), SHAPE)
    batches = encode_for([recording(i) for i in range(5)], SHAPE, adapted.recipe)
    found = reference_decisions(adapted, batches)
    counts = simulate(deploy(adapted), [recording(i) for i in range(5)]).class_counts
    np.testing.assert_array_equal(found, counts.argmax(1))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.s = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1), iaf()

    def forward(self, x):
        return self.s(self.b(self.s(self.a(x))))


def with_layer(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 3, 3), layer, nn.Flatten(), nn.Linear(192, 2), iaf())


REFUSED = {
    "leak": (with_layer(sl.LIFSqueeze(tau_mem=20.0, batch_size=1)), ["'1'", "20 steps", "bias"]),
    "synapse": (with_layer(iaf(tau_syn=5.0)), ["'1'", "5 steps", "tau_syn=None"]),
    "no number": (with_layer(iaf(tau_syn=float("nan"))), ["'1'", "tau_syn = nan", "above zero"]),
    "no time": (
        with_layer(sl.LIFSqueeze(tau_mem=0.0, batch_size=1)),
        ["'1'", "tau_mem = 0", "above zero"],
    ),
    "learnt decay": (
        with_layer(sl.LIFSqueeze(tau_mem=20.0, train_alphas=True, batch_size=1)),
        ["'1'", "leaks", "20 steps"],
    ),
    "synapse that never decays": (
        with_layer(iaf(tau_syn=float("inf"))), ["'1'", "inf steps", "tau_syn=None"]
    ),
    "input of nothing": (
        with_layer(sl.LIFSqueeze(tau_mem=float("inf"), batch_size=1)),
        ["'1'", "norm_input=False", "never fires"],
    ),
    "integrator without leak inside": (
        with_layer(sl.ExpLeakSqueeze(tau_mem=float("inf"), batch_size=1)),
        ["'1'", "does not fire", "IAFSqueeze"],
    ),
    "integrator": (with_layer(sl.ExpLeakSqueeze(tau_mem=9.0, batch_size=1)), ["'1'", "IAFSqueeze"]),
    "adaptive": (with_layer(sl.ALIF(tau_mem=9.0, tau_adapt=9.0)), ["'1'", "ALIF"]),
    "recurrent": (
        with_layer(sl.IAFRecurrent(rec_connect=nn.Linear(2, 2))), ["'1'", "recurrent"]
    ),
    "reset to zero": (with_layer(iaf(reset_fn=MembraneReset())), ["'1'", "MembraneSubtract"]),
    "another value": (with_layer(iaf(reset_fn=MembraneSubtract(0.5))), ["'1'", "subtracts 0.5"]),
    "threshold 0": (with_layer(iaf(0.0)), ["'1'", "above 0"]),
    "threshold NaN": (with_layer(iaf(float("nan"))), ["'1'", "finite"]),
    "lower bound above 0": (with_layer(iaf(1.0, 0.5)), ["'1'", "min_v_mem"]),
    "no spikes": (nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()), ["`adapt`"]),
    "mixed": (with_layer(nn.ReLU()), ["'1'", "rectifier"]),
    "shared": (Twice(), ["'s'", "two places"]),
    "pool at the end": (
        nn.Sequential(nn.Conv2d(2, 3, 3), iaf(), sl.SumPool2d(2)), ["ends in '2'", "sum_pool"]
    ),
    "no module": (3, ["int"]),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_no_core_can_have_is_refused_with_its_place(name):
    network, words = REFUSED[name]
    with pytest.raises(ModelError) as caught:
        from_sinabs(network, SHAPE)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def without_leak(**more) -> nn.Module:
    return sl.LIFSqueeze(
        tau_mem=float("inf"), norm_input=False, batch_size=1, min_v_mem=-1.0, **more
    )


def test_lif_without_a_leak_is_taken_as_iaf():
    network = chain()
    for index in (1, 4, 8):
        network[index] = without_leak()
    same_integers(deploy(from_sinabs(network, SHAPE)).layers, by_sinabs(chain())[1])


def test_an_integrator_at_the_output_gets_a_threshold_as_an_output_without_neurons_does():
    bare, summing = chain()[:8], chain()
    summing[8] = sl.ExpLeakSqueeze(tau_mem=float("inf"), batch_size=1)
    found, expected = (from_sinabs(network, SHAPE) for network in (summing, bare))
    assert ASSUMED in [record.step for record in found.recipe.trace]
    for one, other in zip(deploy(found).layers, deploy(expected).layers, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
        assert one.threshold == other.threshold


def rows_of_neurons() -> nn.Module:
    """Neurons at the input, behind neurons, behind a pool and at the output behind neurons."""
    torch.manual_seed(0)
    network = nn.Sequential(
        iaf(2.0, -2.0), nn.Conv2d(2, 4, 3, 1, 1, bias=False), iaf(), iaf(3.0, -3.0),
        sl.SumPool2d(2), iaf(2.0, -2.0), nn.Flatten(), nn.Linear(100, 5, bias=False), iaf(),
        iaf(2.0, -2.0),
    )  # fmt: skip
    with torch.no_grad():
        for index in (1, 7):
            network[index].weight.abs_().mul_(3.0)
    return network


def test_neurons_in_a_row_get_identities_between_them():
    """In time steps the spikes are those of sinabs, and each identity takes a core."""
    network = rows_of_neurons()
    adapted = from_sinabs(network, SHAPE, time_steps=12)
    assert len(deploy(adapted).cores) == 6
    frames = torch.from_numpy(np.random.default_rng(0).poisson(0.6, (12, *SHAPE)).astype("f4"))
    spikes = [frames]
    for module in network.eval():
        spikes.append(module(spikes[-1]))
    names = ("0", "2", "3", "5", "8")
    found = adapted.network.run(frames[None], keep=names)
    for name in names:
        counts = found[name][0] / float(adapted.recipe[name].threshold)
        wanted = spikes[int(name) + 1]
        assert wanted.any()
        torch.testing.assert_close(counts.reshape(wanted.shape), wanted, atol=1e-3, rtol=0)


def test_sensor_layers_that_change_nothing_are_left_out():
    ensure_samna()
    from sinabs.backend.dynapcnn.dvs_layer import DVSLayer

    network = nn.Sequential(DVSLayer((10, 10)), *chain())
    same_integers(deploy(from_sinabs(network, SHAPE)).layers, by_sinabs(chain())[1])
    for changing in (DVSLayer((20, 20), pool=(2, 2)), DVSLayer((10, 10), flip_x=True)):
        with pytest.raises(ModelError, match="recordings alike"):
            from_sinabs(nn.Sequential(changing, *chain()), changing.input_shape)


def test_the_network_given_stays_as_it_is():
    network = chain()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    adapted = from_sinabs(network, SHAPE)
    assert isinstance(network[1], sl.IAFSqueeze)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert replace(adapted.recipe.layers[0]).as_is


def gesture_network() -> nn.Module:
    """Nine cores for 128 × 128 events, as in sinabs' example for DVS Gesture; random weights."""
    layers = [nn.Conv2d(2, 16, 2, 2, bias=False), iaf(), sl.SumPool2d(2)]
    channels = 16
    for out in (16, 32, 32):
        layers += [nn.Dropout(0.1), nn.Conv2d(channels, out, 3, 1, 1, bias=False), iaf()]
        layers.append(sl.SumPool2d(2))
        channels = out
    for _ in range(2):
        layers += [nn.Conv2d(32, 32, 3, 1, 1, bias=False), iaf()]
    layers += [sl.SumPool2d(2), nn.Flatten(), nn.Dropout(0.5)]
    for ins, outs in ((128, 128), (128, 128), (128, 11)):
        layers += [nn.Linear(ins, outs, bias=False), iaf()]
    return nn.Sequential(*layers)


@pytest.mark.slow
def test_nine_cores_for_a_whole_sensor():
    torch.manual_seed(0)
    network = gesture_network()
    result = check(network, input_shape=(2, 128, 128))
    assert len(result.layers) == 9
    assert not result.errors
    deployed = deploy(from_sinabs(network, (2, 128, 128)))
    same_integers(deployed.layers, by_sinabs(network, (2, 128, 128))[1])
    rng = np.random.default_rng(0)
    x, y = (rng.integers(0, 128, 300).astype(np.int16) for _ in range(2))
    t, c = np.sort(rng.integers(0, 50_000, 300)), rng.integers(0, 2, 300).astype(np.int16)
    found = simulate(deployed, [Events(t, x, y, c, (2, 128, 128))])
    assert found.synops_per_core[0, deployed.cores[0]] == 300 * 16


def test_adapt_says_where_a_spiking_network_comes_in():
    with pytest.raises(ModelError, match="from_sinabs"):
        trace(chain(), SHAPE)
