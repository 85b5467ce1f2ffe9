"""The autopsy: what it says of layers whose faults are known, and ours against sinabs' own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chip_examples import folded_network
from torch import nn

from speck_adacal.chip.deploy import deploy_network
from speck_adacal.inspection.autopsy import autopsy, sinabs_limits
from speck_adacal.snn.adapted import AdaptedNetwork
from speck_adacal.virtual_samna import ensure_samna


def chain(*, bias: bool = False) -> list[nn.Module]:
    torch.manual_seed(1)
    first, second = nn.Conv2d(1, 4, 3, bias=bias), nn.Conv2d(4, 3, 3, bias=bias)
    return [first, nn.ReLU(), nn.AvgPool2d(2), second]


def deployed(*modules: nn.Module, **options):
    graph, recipe = folded_network(*modules, shape=(1, 10, 10), **options)
    return deploy_network(AdaptedNetwork(graph, graph, recipe))


def outlier_weight() -> list[nn.Module]:
    modules = chain()
    modules[0].weight.data[0, 0, 0, 0] = 20.0
    return modules


def outlier_bias() -> list[nn.Module]:
    modules = chain(bias=True)
    modules[0].bias.data[1] = 30.0
    return modules


NETWORKS = {
    "plain": chain,
    "biases": lambda: chain(bias=True),
    "outlier weight": outlier_weight,
    "outlier bias": outlier_bias,
}


def images(count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).random((count, 1, 10, 10), dtype=np.float32)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("lower_clip", [None, -1.0])
def test_no_layer_is_worse_than_by_sinabs_own_scale(name, lower_clip):
    """The error of sinabs' integers, by running sinabs, against ours."""
    ensure_samna()
    import sinabs.layers as sl
    from sinabs.backend.dynapcnn.discretize import discretize_conv_spike

    deployment = deployed(*NETWORKS[name]())
    for layer, found in zip(deployment.layers, autopsy(deployment).layers, strict=True):
        folded = layer.folded
        conv = nn.Conv2d(folded.in_shape[0], folded.out_shape[0], folded.weight.shape[2])
        conv.weight.data = torch.from_numpy(folded.weight)
        conv.bias.data = torch.from_numpy(folded.bias.copy())
        neuron = sl.IAFSqueeze(spike_threshold=1.0, min_v_mem=lower_clip, batch_size=1)
        theirs, spike = discretize_conv_spike(conv, neuron)
        integers = theirs.weight.detach().numpy()
        scale = max(1.0, float(spike.spike_threshold))
        error = np.sqrt(((integers / scale - folded.weight) ** 2).mean())
        relative = error / np.sqrt((folded.weight**2).mean())
        assert found.weight_error <= relative * (1 + 1e-5)  # sinabs' scale is a float32
        assert found.levels >= len(np.unique(integers))
        if lower_clip is None:
            assert found.sinabs_weight_error == pytest.approx(relative, rel=1e-5)
            assert found.sinabs_limited_by in ("lower clip", "bias", "weights")


def test_terms_that_limit_sinabs_scale_are_named():
    plain = autopsy(deployed(*chain())).layers[0]
    assert plain.sinabs_limited_by == "lower clip"
    assert plain.sinabs_scale == 1.0
    assert plain.limited_by == "weights"
    biased = sinabs_limits(deployed(*outlier_bias()).layers[0])
    assert biased["bias"] == pytest.approx(127 / 60.0)  # 30 at a threshold of 0.5
    assert biased["bias"] < biased["weights"]


def test_one_large_bias_costs_scale_but_no_initial_state():
    found = autopsy(deployed(*outlier_bias())).layers[0]
    assert found.limited_by == "initial"
    assert found.clipped_states == 0
    assert found.scale > 50 * found.sinabs_scale


def test_an_outlier_weight_shows_in_levels_error_and_silenced_weights():
    good, bad = (autopsy(deployed(*make())).layers[0] for make in (chain, outlier_weight))
    assert bad.levels < good.levels
    assert bad.silenced_weights > good.silenced_weights
    assert bad.limits["weights"] == pytest.approx(127 / 40.0)


def test_dead_and_always_on_channels_are_found():
    modules = chain()
    modules[0].weight.data[2] = -1.0
    modules[0].weight.data[3] = 0.5  # a whole threshold with every event
    deployment = deployed(*modules)
    found = autopsy(deployment, images())
    first = found.layers[0]
    assert found.samples == 6
    assert first.mute_channels == (2,)
    assert first.activity is not None
    assert first.activity.dead_channels == (2,)
    assert first.activity.always_on_channels == (3,)


def test_errors_by_hand_for_one_neuron():
    """One pixel at full brightness: T · 4 events, of which each brings half a threshold."""
    conv = nn.Conv2d(1, 1, 1, bias=False)
    conv.weight.data[:] = 1.0
    graph, recipe = folded_network(conv, shape=(1, 1, 1))
    deployment = deploy_network(AdaptedNetwork(graph, graph, recipe))
    activity = autopsy(deployment, np.ones((1, 1, 1, 1), dtype=np.float32)).layers[0].activity
    assert activity is not None
    weight, threshold = int(deployment.layers[0].weight[0, 0, 0, 0]), deployment.layers[0].threshold
    start = int(deployment.layers[0].initial[0, 0, 0])
    events = 4 * 4
    assert activity.spikes == min(events, (events * weight + start) // threshold)
    exact = events * deployment.layers[0].folded.weight.item() + 0.5
    charge = (events * weight + start) / threshold
    assert activity.layer_error == pytest.approx(abs(charge - exact) / exact, abs=1e-12)


def test_errors_grow_along_the_network_and_need_samples():
    deployment = deployed(*chain())
    assert all(layer.activity is None for layer in autopsy(deployment).layers)
    activities = [layer.activity for layer in autopsy(deployment, images()).layers]
    assert all(0 < found.layer_error < 0.05 for found in activities)
    assert all(found.cumulative_error > found.layer_error for found in activities)
