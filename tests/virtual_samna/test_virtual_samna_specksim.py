"""specksim: layers against a slow reference in plain Python, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speck_adacal.errors import BackendError, EventError
from speck_adacal.virtual_samna.specksim.layers import (
    Convolution2d,
    IntegrateAndFire,
    Spike,
    SumPooling,
    WeightedEvent,
)
from speck_adacal.virtual_samna.specksim.specksim_nodes import SpecksimIAFFilterNode


def slow_convolution(events, weights, out_shape, stride, padding):
    out_features, _, kernel_y, kernel_x = weights.shape
    found = []
    for e in events:
        for f in range(out_features):
            for ky in range(kernel_y):
                for kx in range(kernel_x):
                    y, x = e.y + padding[0] - ky, e.x + padding[1] - kx
                    if y % stride[0] or x % stride[1]:
                        continue
                    y, x = y // stride[0], x // stride[1]
                    if 0 <= y < out_shape[0] and 0 <= x < out_shape[1]:
                        weight = float(weights[f, e.feature, ky, kx])
                        found.append(WeightedEvent(f, y, x, e.timestamp, weight))
    return found


def slow_neurons(events, shape, threshold, lowest):
    state = np.zeros(shape, np.float32)
    spikes = []
    for e in events:
        place = e.feature, e.y, e.x
        state[place] = max(np.float32(state[place] + np.float32(e.weight)), np.float32(lowest))
        if state[place] >= np.float32(threshold):
            spikes.append(Spike(*place, e.timestamp))
            state[place] -= np.float32(threshold)
    return spikes, state


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_layers_equal_the_slow_reference(seed):
    rng = np.random.default_rng(seed)
    kernel, stride = tuple(rng.integers(1, 5, 2)), tuple(rng.integers(1, 4, 2))
    padding, shape = tuple(rng.integers(0, 3, 2)), tuple(rng.integers(5, 9, 2))
    features = tuple(rng.integers(1, 4, 2))
    conv = Convolution2d(features[0], features[1], kernel, shape, stride, padding)
    weights = rng.normal(size=(features[1], features[0], *kernel)).astype(np.float32)
    conv.set_weights(weights.tolist())
    assert np.array_equal(np.array(conv.get_weights(), np.float32), weights)
    events = [
        Spike(int(rng.integers(features[0])), *(int(rng.integers(n)) for n in shape), t)
        for t in range(30)
    ]
    out = conv.forward(events)
    out_shape = conv.get_output_shape()
    assert out == slow_convolution(events, weights, out_shape, stride, padding)
    neurons = IntegrateAndFire(features[1], out_shape, 0.7, -0.5)
    spikes, state = slow_neurons(out, (features[1], *out_shape), 0.7, -0.5)
    assert neurons.forward(out[:20]) + neurons.forward(out[20:]) == spikes
    assert np.array_equal(np.array(neurons.get_v_mem(), np.float32), state)
    neurons.reset_states()
    assert not np.any(neurons.get_v_mem())


def test_five_fifths_make_one_spike_exactly():
    neurons = IntegrateAndFire(1, (1, 1), 1.0, 0.0)
    assert len(neurons.forward([WeightedEvent(0, 0, 0, 0, 0.2)] * 5)) == 1


def test_one_spike_per_event_and_the_residue_waits():
    neurons = IntegrateAndFire(1, (1, 1), 1.0, -1.0)
    assert len(neurons.forward([WeightedEvent(0, 0, 0, 0, 3.5)])) == 1
    assert neurons.get_v_mem() == [[[2.5]]]
    assert len(neurons.forward([WeightedEvent(0, 0, 0, 0, -0.5)])) == 1
    assert neurons.get_spike_threshold() == 1.0
    assert neurons.get_min_v_mem() == -1.0


def test_pooling_drops_the_incomplete_window():
    pool = SumPooling((2, 3), (5, 7))
    assert pool.get_output_shape() == (2, 2)
    out = pool.forward([Spike(1, 3, 5, 9), Spike(1, 4, 0, 9), Spike(1, 0, 6, 9)])
    assert out == [Spike(1, 1, 1, 9)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Convolution2d(0, 1, (3, 3), (5, 5), (1, 1), (0, 0)), "in_channels must be"),
        (lambda: Convolution2d(1, 1, (7, 7), (5, 5), (1, 1), (0, 0)), "does not fit a map"),
        (lambda: Convolution2d(1, 1, 3, (5, 5), (1, 1), (0, 0)), r"takes a pair \(y, x\)"),
        (lambda: IntegrateAndFire(1, (5, 5), "high", 0.0), "threshold takes a number"),
        (lambda: SumPooling((0, 2), (4, 4)), "must be at least 1"),
    ],
)
def test_bad_parameters_are_named(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_bad_events_and_weights_are_named():
    conv = Convolution2d(1, 2, (3, 3), (5, 5), (1, 1), (0, 0))
    with pytest.raises(TypeError, match=r"takes shape \(2, 1, 3, 3\)"):
        conv.set_weights([[[[1.0]]]])
    with pytest.raises(EventError, match="event 1 has x = 5, allowed is 0 to 4"):
        conv.forward([Spike(0, 0, 0, 0), Spike(0, 0, 5, 0)])
    with pytest.raises(TypeError, match="takes specksim::events::Spike"):
        conv.forward([WeightedEvent(0, 0, 0, 0, 1.0)])
    with pytest.raises(BackendError, match="call set_parameters first"):
        SpecksimIAFFilterNode().get_layer()


def test_pieces_of_a_large_batch_give_the_same(monkeypatch):
    from speck_adacal.virtual_samna.specksim import layers

    monkeypatch.setattr(layers, "LARGEST_RESULT", 1 << 13)
    conv = Convolution2d(1, 64, (8, 8), (16, 16), (1, 1), (0, 0))
    conv.set_weights(np.random.default_rng(0).normal(size=(64, 1, 8, 8)))
    events = [Spike(0, i % 16, i // 16 % 16, i) for i in range(20)]
    parts = conv.parts(events)
    assert len(parts) == -(-20 // (layers.LARGEST_RESULT // (64 * 64)))
    joined = [event for part in parts for event in conv.forward(part)]
    assert joined == conv.forward(events)
