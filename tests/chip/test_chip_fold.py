"""Folding keeps what the network computes: thresholds, pooling and linear layers in the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chip_examples import folded_network
from torch import nn
from torch.nn import functional

from speck_adacal.chip.fold import fold
from speck_adacal.errors import ModelError


def replay(layers, x: torch.Tensor) -> torch.Tensor:
    """Run folded layers as a float network: ReLU for the neurons, readout linear."""
    for layer in layers:
        weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
        x = functional.conv2d(x, weight, bias, stride=layer.stride, padding=layer.padding)
        assert tuple(x.shape[1:]) == layer.out_shape
        if not layer.recipe.readout:
            x = x.relu()
        x = functional.lp_pool2d(x, 1, layer.pool) if layer.pool > 1 else x
    return x.flatten(1)


@pytest.mark.parametrize("threshold", [0.5, 2.0])
def test_folding_computes_the_same_function(threshold):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, padding=1, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 4 * 4, 5),
    )
    graph, recipe = folded_network(network, shape=(2, 16, 16), threshold=threshold)
    layers = fold(graph, recipe)
    x = torch.rand(3, 2, 16, 16)
    unit = float(layers[-1].recipe.threshold)  # the readout counts in its own thresholds
    expected = network.double()(x.double()) / unit
    torch.testing.assert_close(replay(layers, x.double()), expected, rtol=1e-5, atol=1e-6)


def test_per_channel_thresholds_fold_into_both_sides():
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False), nn.ReLU(), nn.Conv2d(3, 3, 3, bias=False)
    )
    thresholds = np.array([0.8, 1.0, 1.25])
    graph, recipe = folded_network(network, shape=(1, 8, 8), threshold=thresholds)
    first, second = fold(graph, recipe)
    original = network[0].weight.detach().double().numpy()
    np.testing.assert_allclose(first.weight, original / thresholds[:, None, None, None])
    np.testing.assert_allclose(first.initial, 0.5)
    x = torch.rand(2, 1, 8, 8)
    expected = network.double()(x.double()) / float(second.recipe.threshold)
    torch.testing.assert_close(
        replay((first, second), x.double()), expected.flatten(1), rtol=1e-5, atol=1e-6
    )


def test_the_readout_fires_as_finely_as_it_can_drain():
    torch.manual_seed(2)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 4))
    graph, recipe = folded_network(network, shape=(1, 8, 8), threshold=np.array(50.0))
    _, readout = fold(graph, recipe)
    assert readout.recipe.threshold.ndim == 0  # one for all classes, so that counts compare
    assert readout.weight.max() == pytest.approx(1.0)
    np.testing.assert_allclose(readout.initial, 0.5)


def test_a_channel_with_a_tiny_threshold_does_not_take_the_bits_of_the_others():
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 3))
    thresholds = np.array([1e-6, 1.0, 1.0, 1.0, 1.0])
    graph, recipe = folded_network(network, shape=(1, 8, 8), threshold=thresholds)
    first, second = fold(graph, recipe)
    largest = np.abs(first.weight).max(axis=(1, 2, 3))
    assert largest[0] <= 4.001 * np.median(largest)
    np.testing.assert_allclose(first.recipe.threshold[1:], 1.0)
    x = torch.rand(2, 1, 8, 8).double()
    expected = network.double()(x) / float(second.recipe.threshold)
    torch.testing.assert_close(
        replay((first, second), x), expected.flatten(1), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("modules", "shape", "words"),
    [
        (
            [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3)],
            (1, 12, 12),
            ["'2'", "max_pool", "average pooling"],
        ),
        ([nn.AvgPool2d(2), nn.Conv2d(1, 2, 3)], (1, 12, 12), ["'0'", "pools the network's input"]),
        ([nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)], (1, 12, 12), ["'0'", "put a ReLU"]),
        ([nn.ReLU(), nn.Conv2d(1, 2, 3)], (1, 12, 12), ["'0'", "activation"]),
        ([nn.Conv2d(1, 2, 3, dilation=2)], (1, 12, 12), ["'0'", "dilation"]),
        (
            [nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AvgPool2d(3, stride=2), nn.Conv2d(2, 2, 3)],
            (1, 12, 12),
            ["'2'", "stride 2", "size and stride equal"],
        ),
        ([nn.Conv1d(1, 2, 3)], (1, 12), ["channels, height, width"]),
    ],
)
def test_what_no_core_can_do_is_named(modules, shape, words):
    graph, recipe = folded_network(*modules, shape=shape)
    with pytest.raises(ModelError) as caught:
        fold(graph, recipe)
    for word in words:
        assert word in str(caught.value)
