"""The quantiser: one scale, half to even, against sinabs' own and a plain reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from chip_examples import folded_network
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from speck_adacal.chip.fold import fold
from speck_adacal.chip.quantise import quantise
from speck_adacal.core_layers import STATE_LOW, FoldedLayer
from speck_adacal.errors import DesignRuleError
from speck_adacal.recipe.recipe import LayerRecipe
from speck_adacal.virtual_samna import ensure_samna


def layer_of(weight: np.ndarray, bias: float = 0.0) -> FoldedLayer:
    out, channels = weight.shape[:2]
    return FoldedLayer(
        name="layer",
        recipe=LayerRecipe("layer", 1, 1.0, np.array(1.0), np.array(0.5)),
        weight=weight,
        bias=np.full(out, bias),
        initial=np.full((out, 4, 4), 0.5),
        in_shape=(channels, 6, 6),
        out_shape=(out, 4, 4),
        stride=(1, 1),
        padding=(0, 0),
    )


weights = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=4, max_dims=4, max_side=4),
    elements=st.floats(-50, 50, width=32),
).filter(lambda w: np.abs(w).max() > 1e-3)


@given(weights)
def test_rounding_is_within_half_a_step_and_uses_the_whole_range(weight):
    result = quantise(layer_of(weight), window_steps=1)
    error = np.abs(result.weight - weight * result.scale)
    assert error.max() <= 0.5 + 1e-9
    used_up = result.weight.max() == 127 or result.weight.min() == -128 or result.scale == 32767
    assert used_up or (result.scale < 32 and result.scale == result.threshold)
    assert 1 <= result.threshold <= 32767
    assert result.threshold == max(1, round(result.scale))
    assert result.threshold_low == STATE_LOW


@given(weights, st.floats(-2, 2), st.integers(1, 16))
def test_bias_becomes_charge_in_the_initial_state(weight, bias, steps):
    result = quantise(layer_of(weight, bias), window_steps=steps)
    wanted = np.clip((0.5 + steps * bias) * result.scale, -32768, 32767)
    assert np.abs(result.initial - wanted).max() <= 0.5 + 1e-6


def test_half_goes_to_even():
    weight = np.array([1.0, 0.5 / 127, 1.5 / 127, 2.5 / 127, -0.5 / 127]).reshape(1, 5, 1, 1)
    assert quantise(layer_of(weight), window_steps=1).weight.ravel().tolist() == [127, 0, 2, 2, 0]


def test_weights_that_all_round_to_zero_are_refused():
    weight = np.full((1, 1, 1, 1), 1e-6)
    with pytest.raises(DesignRuleError, match="round to zero"):
        quantise(layer_of(weight), window_steps=1)


def test_equal_to_sinabs_own_discretisation():
    """In the plain case (no bias, open state) sinabs' joint scale gives the same integers."""
    ensure_samna()
    import sinabs.layers as sl
    from sinabs.backend.dynapcnn.discretize import discretize_conv_spike

    torch.manual_seed(0)
    graph, recipe = folded_network(
        nn.Conv2d(2, 4, 3, bias=False), nn.ReLU(), nn.Conv2d(4, 3, 3, bias=False), shape=(2, 9, 9)
    )
    for layer in fold(graph, recipe):
        ours = quantise(layer, window_steps=1)
        conv = nn.Conv2d(layer.in_shape[0], layer.out_shape[0], 3, bias=False)
        conv.weight.data = torch.from_numpy(layer.weight)
        neuron = sl.IAFSqueeze(spike_threshold=1.0, min_v_mem=-1.0, batch_size=1)
        theirs, spike = discretize_conv_spike(conv, neuron)
        np.testing.assert_array_equal(ours.weight, theirs.weight.detach().numpy())
        assert ours.threshold == int(spike.spike_threshold)
