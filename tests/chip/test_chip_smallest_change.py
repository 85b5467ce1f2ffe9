"""The smallest change that fits: it does fit, by our rules and by sinabs' mapping."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal import adapt, deploy
from speck_adacal.ann import trace
from speck_adacal.chip.check import check_network
from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import DesignRuleError
from speck_adacal.recipe.recipe import AdaptSettings
from speck_adacal.rules.rules import check_layers
from speck_adacal.rules.shapes import LayerShape
from speck_adacal.rules.smallest_change import smallest_change

CHIP = load_chip_description("speck2f")


def classifier(channels: int) -> nn.Module:
    """A linear layer on a 16 × 16 map is too large for any core but for few channels."""
    return nn.Sequential(
        nn.Conv2d(2, channels, 3, padding=1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(channels * 256, 11, bias=False),
    )


def deployed(network: nn.Module, shape: tuple[int, ...]) -> Deployment:
    """Through sinabs and samna's validation."""
    samples = torch.rand(4, *shape, generator=torch.Generator().manual_seed(0))
    plain = AdaptSettings(time_steps=2, correction="none", chip_correction=False)
    return deploy(adapt(network, samples, input_shape=shape, settings=plain))


def test_the_named_number_of_channels_fits_and_one_more_does_not():
    torch.manual_seed(0)
    shape = (2, 16, 16)
    result = check_network(trace(classifier(32), shape))
    assert result.violations
    assert result.change is not None
    fits = result.change.layers[0].out_shape[0]
    assert result.change.text == f"use {fits} output channels in 0 (now 32)"
    assert 0 < result.change.kept < 1
    assert len(deployed(classifier(fits), shape).cores) == 2
    with pytest.raises(DesignRuleError, match=f"Smallest change that fits: use {fits} output"):
        deployed(classifier(fits + 1), shape)


def test_a_network_that_fits_needs_no_change():
    result = check_network(trace(classifier(2), (2, 16, 16)))
    assert result.violations == ()
    assert result.change is None


def chain(sizes: list[int], *, kernel: int, size: int, pools: list[int]) -> list[LayerShape]:
    layers, in_shape = [], (2, size, size)
    for index, (channels, pool) in enumerate(zip(sizes, pools, strict=True)):
        height = in_shape[1]
        if height % pool or height == pool:
            pool = 1
        out = (channels, height, height)
        pad = kernel // 2
        layers.append(
            LayerShape(f"l{index}", in_shape, out, (kernel, kernel), (1, 1), (pad, pad), pool)
        )
        in_shape = (channels, height // pool, height // pool)
    last = in_shape[1]
    layers.append(LayerShape("fc", in_shape, (10, 1, 1), (last, last), (1, 1), (0, 0), 1))
    return layers


chains = st.integers(1, 6).flatmap(
    lambda n: st.builds(
        chain,
        st.lists(st.sampled_from([2, 16, 40, 128, 300]), min_size=n, max_size=n),
        kernel=st.sampled_from([1, 3, 5]),
        size=st.sampled_from([4, 16, 32, 64]),
        pools=st.lists(st.sampled_from([1, 2, 4]), min_size=n, max_size=n),
    )
)


@settings(max_examples=80, deadline=None)
@given(chains)
def test_what_is_proposed_fits_and_keeps_the_chain(layers):
    change = smallest_change(layers, CHIP)
    if change is None:
        return
    assert check_layers(change.layers, CHIP) == ()
    assert change.layers[-1].out_shape == layers[-1].out_shape
    for before, after in zip(change.layers, change.layers[1:], strict=False):
        channels, height, width = before.out_shape
        assert after.in_shape == (channels, height // before.pool, width // before.pool)
    if check_layers(layers, CHIP):
        assert change.kept < 1 or change.layers != tuple(layers)


@settings(max_examples=80, deadline=None)
@given(chains)
def test_something_is_found_wherever_one_channel_a_layer_would_fit(layers):
    thin = [
        replace(
            layer,
            in_shape=(2 if i == 0 else 1, *layer.in_shape[1:]),
            out_shape=(layer.out_shape[0] if i == len(layers) - 1 else 1, *layer.out_shape[1:]),
        )
        for i, layer in enumerate(layers)
    ]
    if check_layers(layers, CHIP) and not check_layers(thin, CHIP):
        assert smallest_change(layers, CHIP) is not None


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            [LayerShape(f"c{i}", (2, 8, 8), (2, 8, 8), (3, 3), (1, 1), (1, 1), 1) for i in range(9)]
            + [LayerShape("fc", (2, 8, 8), (2, 1, 1), (8, 8), (1, 1), (0, 0), 1)],
            "leave out c",
        ),
        (
            [
                LayerShape("c", (2, 32, 32), (128, 32, 32), (4, 4), (1, 1), (3, 3), 2),
                LayerShape("fc", (128, 16, 16), (1, 1, 1), (16, 16), (1, 1), (0, 0), 1),
            ],
            "output channels in c",
        ),
        (
            [
                LayerShape("c", (2, 64, 64), (32, 64, 64), (2, 2), (1, 1), (0, 0), 2),
                LayerShape("d", (32, 32, 32), (64, 32, 32), (1, 1), (1, 1), (0, 0), 1),
            ],
            "use stride 2 in c in place of its pooling by 2",
        ),
    ],
)
def test_kinds_of_changes(layers, said):
    change = smallest_change(layers, CHIP)
    assert change is not None
    assert said in change.text


def test_a_smaller_kernel_is_proposed_where_it_takes_least_away():
    layers = [
        LayerShape("c", (16, 8, 8), (512, 8, 8), (5, 5), (1, 1), (2, 2), 1),
        LayerShape("d", (512, 8, 8), (2, 8, 8), (1, 1), (1, 1), (0, 0), 1),
    ]
    change = smallest_change(layers, CHIP)
    assert change is not None
    assert check_layers(change.layers, CHIP) == ()
