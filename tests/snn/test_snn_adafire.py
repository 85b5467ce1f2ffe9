"""The AdaFire neuron against a plain NumPy one, bit for bit, and inside sinabs."""

from __future__ import annotations

import copy

import nir
import numba
import numpy as np
import pytest
import sinabs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sinabs import layers as sl
from sinabs.activation import MaxSpike
from sinabs.nir import to_nir
from torch import nn

from speck_adacal.errors import ModelError, SettingsError
from speck_adacal.snn import AdaFire, AdaFireSqueeze
from speck_adacal.snn._kernel import BLOCK


def reference(x, theta, phi, start, low=None, counts=False):
    """One neuron after the other, one step after the other, in float32."""
    out = np.zeros_like(x)
    v = np.zeros(x[:, 0].shape, np.float32)
    v[...] = start
    theta = np.broadcast_to(np.asarray(theta, np.float32), v.shape)
    for index in np.ndindex(v.shape):
        u = v[index]
        for t in range(x.shape[1]):
            at = (index[0], t, *index[1:])
            u = np.float32(u + x[at])
            k = np.float32(min(max(np.floor(u / theta[index]), 0), phi))
            u = np.float32(u - np.float32(k * theta[index]))
            if low is not None:
                u = max(u, np.float32(low))
            out[at] = k if counts else np.float32(k * theta[index])
        v[index] = u
    return out, v


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    phi=st.integers(1, 9),
    rho=st.sampled_from([1.0, 1.5, 0.37]),
    per_channel=st.booleans(),
    low=st.sampled_from([None, -0.4]),
    counts=st.booleans(),
    shape=st.sampled_from([(3,), (2, 4, 3), (5, 2)]),
)
def test_fused_plain_and_reference_are_equal_bit_for_bit(
    seed, phi, rho, per_channel, low, counts, shape
):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 5, *shape, generator=generator) * 1.5
    size = (shape[0],) if per_channel else ()
    threshold = torch.rand(size, generator=generator) + 0.1
    fused = AdaFire(threshold, phi, rho, min_v_mem=low, emit_counts=counts)
    plain = copy.deepcopy(fused)
    found = fused(x)
    needs = x.clone().requires_grad_()
    slow = plain(needs).detach()
    theta = fused.theta.numpy()
    theta = theta.reshape(-1, *(1,) * (len(shape) - 1)) if theta.ndim else theta
    expected, state = reference(x.numpy(), theta, phi, np.float32(theta / 2), low, counts)
    np.testing.assert_array_equal(found.numpy(), expected)
    np.testing.assert_array_equal(fused.v_mem.numpy(), state)
    assert torch.equal(found, slow)
    fused.reset_states()
    other = x.clone()
    assert fused.run(other, 5, out=other) is other
    assert torch.equal(other, found)
    assert torch.equal(fused.v_mem, plain.v_mem.detach())


@pytest.mark.parametrize("threshold", [0.7, torch.rand(3, 50, 60) + 0.1])
def test_more_neurons_than_a_block_holds(threshold):
    x = torch.randn(2, 3, 3, 50, 60)
    assert x[0, 0].numel() > BLOCK
    fused, plain = AdaFire(threshold, 3), AdaFire(threshold, 3)
    assert torch.equal(fused(x), plain(x.clone().requires_grad_()).detach())
    assert torch.equal(fused.v_mem, plain.v_mem.detach())


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_is_pytorchs(threads):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        AdaFire(0.7, 2)(torch.randn(2, 3, 4))
        assert torch.get_num_threads() == threads
        assert numba.get_num_threads() == min(threads, numba.config.NUMBA_NUM_THREADS)
    finally:
        torch.set_num_threads(before)


def test_the_papers_example_of_unevenness():
    """Fig. 3c: inputs 1.5, 1.5 and 1 at threshold 1: φ = 1 emits 3, φ = 2 emits 4."""
    x = torch.tensor([1.5, 1.5, 1.0]).view(1, 3, 1)
    totals = [float(AdaFire(1.0, phi, initial_potential=0.0)(x).sum()) for phi in (1, 2)]
    assert totals == [3.0, 4.0]


def test_equal_to_sinabs_where_sinabs_has_the_same_neuron():
    x = torch.randn(3, 6, 4, 5, 5)
    theirs = sl.IAF(spike_threshold=torch.tensor(1.0), spike_fn=MaxSpike(3))
    ours = AdaFire(1.0, 3, initial_potential=0.0, emit_counts=True)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.v_mem, theirs.v_mem)


def test_state_carries_over_and_resets():
    x = torch.rand(2, 8, 3)
    layer = AdaFire(0.7, 2)
    whole = layer(x)
    sinabs.reset_states(nn.Sequential(layer))
    assert torch.equal(layer.v_mem, torch.full((2, 3), 0.35))
    halves = torch.cat((layer(x[:, :3]), layer(x[:, 3:])), 1)
    assert torch.equal(halves, whole)


def test_held_input_equals_repeated_input():
    x = torch.rand(2, 1, 3, 4)
    a, b = AdaFire(torch.rand(3) + 0.1, 2), AdaFire(0.3, 2)
    for layer in (a, b):
        held = layer.run(x, 5)
        layer.reset_states()
        assert torch.equal(held, layer(x.repeat(1, 5, 1, 1)))


@pytest.mark.parametrize("threshold", [0.3, torch.rand(6) + 0.1, torch.rand(6, 4, 5) + 0.1])
def test_channels_last_is_equal_bit_for_bit(threshold):
    x = torch.randn(2, 3, 6, 4, 5)
    last = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (2, 3))
    one, other = AdaFire(threshold, 2), AdaFire(threshold, 2)
    for _ in range(2):
        assert torch.equal(one(x), other(last))
        assert torch.equal(one.v_mem, other.v_mem)
    assert torch.equal(one(last), other(x))


def test_squeezed_form():
    x = torch.randn(6, 3, 4)
    squeezed, plain = AdaFireSqueeze(num_timesteps=3, phi=2), AdaFire(phi=2)
    assert torch.equal(squeezed(x), plain(x.unflatten(0, (2, 3))).flatten(0, 1))
    assert copy.deepcopy(squeezed).num_timesteps == 3


def test_state_dict_is_complete():
    layer = AdaFire(torch.rand(4) + 0.5, 3, 1.5, torch.rand(4, 2), min_v_mem=-1.0)
    layer(torch.randn(2, 3, 4, 2))
    other = AdaFire(1.0, 1, min_v_mem=0.0)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3, 4, 2)
    assert torch.equal(layer(x), other(x))
    layer.reset_states()
    other.reset_states()
    assert torch.equal(layer(x), other(x))
    assert int(other.phi) == 3
    assert float(other.rho) == 1.5


def test_gradients_pass_straight_through():
    x = torch.full((1, 2, 1), 0.8, requires_grad=True)
    AdaFire(0.5, 4)(x).sum().backward()
    assert bool((x.grad != 0).all())


def test_works_inside_a_sinabs_network():
    net = nn.Sequential(nn.Linear(3, 4), AdaFireSqueeze(num_timesteps=5), nn.Linear(4, 2))
    network = sinabs.network.Network(spiking_model=net)
    with torch.no_grad():
        first = network(torch.rand(10, 3))
        network.reset_states()
        assert first.shape == (10, 2)


@pytest.mark.parametrize("threshold", [0.6, torch.tensor([0.4, 0.9])])
def test_counterpart_in_sinabs(threshold):
    layer = AdaFireSqueeze(num_timesteps=4, spike_threshold=threshold, phi=3, emit_counts=True)
    x = torch.randn(8, 2, 3, 3)
    first = layer(x)
    layer.reset_states()
    theirs = layer.as_iaf()
    assert torch.equal(theirs(x), first)
    with pytest.raises(ModelError, match="emits counts"):
        AdaFire().as_iaf()


@pytest.mark.filterwarnings("ignore:nirtorch.extract_nir_graph:DeprecationWarning")
def test_exports_through_sinabs_nir():
    layer = AdaFireSqueeze(num_timesteps=4, spike_threshold=0.6, phi=3, emit_counts=True)
    layer(torch.zeros(4, 5))
    model = nn.Sequential(nn.Linear(3, 5), layer.as_iaf(), nn.Linear(5, 2))
    graph = to_nir(model, torch.randn(4, 3))
    (neurons,) = [n for n in graph.nodes.values() if isinstance(n, nir.IF)]
    np.testing.assert_allclose(neurons.v_threshold, np.full(5, 0.6), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"phi": 0}, "phi"),
        ({"rho": 0.0}, "rho"),
        ({"spike_threshold": 0.0}, "threshold"),
        ({"spike_threshold": torch.tensor([1.0, -1.0])}, "threshold"),
        ({"spike_threshold": float("nan")}, "threshold"),
    ],
)
def test_bad_settings_are_refused(arguments, word):
    with pytest.raises(SettingsError, match=word):
        AdaFire(**arguments)
    with pytest.raises(ModelError, match="time"):
        AdaFire()(torch.zeros(3, 2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("threshold", [0.7, torch.tensor([0.5, 0.7, 0.9])])
def test_on_a_gpu_it_is_equal_to_the_cpu(threshold):
    x = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(1))
    here, there = AdaFire(threshold, 4), AdaFire(threshold, 4).cuda()
    with torch.no_grad():
        torch.testing.assert_close(there(x.cuda()).cpu(), here(x), rtol=0, atol=1e-6)
        torch.testing.assert_close(there.v_mem.cpu(), here.v_mem, rtol=0, atol=1e-6)


def test_a_lower_clip_for_each_channel_is_that_of_each_channel_alone():
    current = torch.randn(3, 5, 2, 4)
    low = torch.tensor([-0.25, -2.0])
    both = AdaFire(1.0, 2, min_v_mem=low)(current)
    for channel in range(2):
        alone = AdaFire(1.0, 2, min_v_mem=float(low[channel]))(current[:, :, channel : channel + 1])
        torch.testing.assert_close(both[:, :, channel : channel + 1], alone, rtol=0, atol=0)


@pytest.mark.parametrize("threshold", [0.5, torch.tensor([0.3, 0.7])])
def test_a_changed_threshold_counts_at_once(threshold):
    """The kernel's thresholds are kept between calls; whatever changes them must be seen."""
    x = torch.rand(2, 3, 2, 4, 4)
    layer = AdaFire(threshold, 3)

    def same_as(other):
        for neurons in (layer, other):
            neurons.init_state_with_shape((2, 2, 4, 4))
            neurons.v_mem.zero_()
        assert torch.equal(layer(x), other(x))

    layer(x)
    with torch.no_grad():
        layer.spike_threshold.mul_(2)
    same_as(AdaFire(torch.as_tensor(threshold) * 2, 3))
    with torch.no_grad():
        layer.rho.fill_(1.5)
    same_as(AdaFire(torch.as_tensor(threshold) * 2, 3, rho=1.5))
    layer.spike_threshold.data = torch.full((2,), 0.9)
    same_as(AdaFire(torch.full((2,), 0.9), 3, rho=1.5))
    layer.load_state_dict(AdaFire(torch.full((2,), 0.4), 3).state_dict())
    same_as(AdaFire(torch.full((2,), 0.4), 3))
    frames = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (2, 3))
    expected = AdaFire(torch.full((2,), 0.4), 3)(x)
    layer.reset_states()
    assert torch.equal(layer(frames), expected)


@pytest.mark.parametrize("shape", [(2, 3, 4, 6, 5), (1, 3, 4, 5, 6)])
def test_a_place_that_does_not_suit_the_result_is_left_alone(shape):
    """Another shape, order in memory or precision: the result then is a tensor of its own."""
    x = torch.rand(2, 3, 4, 5, 6)
    frames = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (2, 3))
    expected = AdaFire(0.3, 3)(x)
    place = torch.full(shape, 7.0)
    assert torch.equal(AdaFire(0.3, 3).run(frames, 3, out=place), expected)
    assert torch.equal(place, torch.full(shape, 7.0))
    assert torch.equal(AdaFire(0.3, 3).run(x, 3, out=place.double()), expected)
    turned = x.transpose(3, 4).contiguous().transpose(3, 4)  # dense in neither order
    kept = turned.clone()
    assert torch.equal(AdaFire(0.3, 3).run(turned, 3, out=turned), expected)
    assert torch.equal(turned, kept)
