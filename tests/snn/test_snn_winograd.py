"""Winograd's convolutions beside direct ones in float64, and what they leave to PyTorch."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from speck_adacal.ann import Kind, trace
from speck_adacal.recipe.recipe import LayerRecipe
from speck_adacal.snn import SpikingNetwork, winograd
from speck_adacal.snn.winograd import Convolutions, Winograd

UNITS = 256 * torch.finfo(torch.float32).eps  # as the docstring of Winograd has it


class Recorder(Convolutions):
    """Counts what is run by Winograd's method."""

    @property
    def known(self) -> int:
        return len(self._known)


def layer_and_images(seed, channels, features, frames, height, width, padding, bias):
    torch.manual_seed(seed)
    layer = nn.Conv2d(channels, features, 3, padding=padding, bias=bias)
    images = torch.randn(frames, channels, height, width)
    return layer, images.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def check(layer, images, found) -> None:
    """Within the stated rounding of a direct convolution in float64."""
    bias = None if layer.bias is None else layer.bias.double()
    weight, x = layer.weight.double(), images.double()
    expected = F.conv2d(x, weight, bias, padding=layer.padding)
    size = F.conv2d(
        x.abs(), weight.abs(), None if bias is None else bias.abs(), padding=layer.padding
    )
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert float((found - expected).abs().max()) <= UNITS * float(size.max())


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    channels=st.sampled_from([16, 32, 48]),
    features=st.sampled_from([16, 32, 48, 80]),
    frames=st.integers(1, 30),
    height=st.integers(1, 19),
    width=st.integers(1, 19),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    bias=st.booleans(),
)
def test_any_size_is_convolved(seed, channels, features, frames, height, width, padding, bias):
    """Whole and cut tiles, any padding, blocks that end within a frame."""
    size = (height + 2 * padding[0], width + 2 * padding[1])
    if min(size) < 3:
        return
    layer, images = layer_and_images(seed, channels, features, frames, height, width, padding, bias)
    before = images.clone()
    assert Winograd.suits(layer)
    with torch.no_grad():
        check(layer, images, Winograd(layer).run(layer, images))
    assert torch.equal(images, before)


def test_the_number_of_threads_changes_nothing():
    layer, images = layer_and_images(0, 32, 16, 7, 13, 10, 1, True)
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            with torch.no_grad():
                found.append(Winograd(layer).run(layer, images))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(16, 16, 3, stride=2),
        nn.Conv2d(16, 16, 3, dilation=2),
        nn.Conv2d(32, 32, 3, groups=2),
        nn.Conv2d(16, 16, 5),
        nn.Conv2d(16, 16, (3, 1)),
        nn.Conv2d(16, 16, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(16, 16, 3, padding="same"),
        nn.Conv2d(3, 16, 3),
        nn.Conv2d(16, 10, 3),
        nn.Conv2d(16, 16, 3).double(),
        nn.ReLU(),
    ],
    ids=repr,
)
def test_other_layers_are_left_to_pytorch(layer):
    convolutions = Recorder()
    x = torch.randn(2, getattr(layer, "in_channels", 3), 12, 12)
    x = x.to(layer.weight.dtype if isinstance(layer, nn.Conv2d) else x.dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.equal(convolutions.run(layer, [x]), layer(x))
    assert not Winograd.suits(layer)
    assert convolutions.known == 0


def test_inputs_that_do_not_suit_are_left_to_pytorch():
    layer = nn.Conv2d(16, 16, 3, padding=1)
    fine = torch.randn(2, 16, 12, 12).contiguous(memory_format=torch.channels_last)
    tiny = torch.randn(2, 16, 5, 5).contiguous(memory_format=torch.channels_last)
    convolutions = Recorder()
    with torch.no_grad():
        for x in (fine.contiguous(), fine[:0], fine[0], tiny, fine[:, :, ::2, ::2]):
            assert torch.equal(convolutions.run(layer, [x]), layer(x))
    assert convolutions.run(layer, [fine]).requires_grad  # a gradient is wanted
    assert convolutions.known == 0
    with torch.no_grad():
        check(layer, fine, convolutions.run(layer, [fine]))
    assert convolutions.known == 1


def test_changed_weights_and_biases_count_at_once():
    """However they were changed: `.data` leaves no version behind."""
    layer, images = layer_and_images(1, 16, 32, 2, 8, 8, 1, True)
    convolutions = Convolutions()
    with torch.no_grad():
        for change in (
            lambda: None,
            lambda: layer.weight.data.mul_(-3),
            lambda: layer.bias.add_(5),
        ):
            change()
            check(layer, images, convolutions.run(layer, [images]))
        layer.weight = nn.Parameter(torch.randn_like(layer.weight))
        check(layer, images, convolutions.run(layer, [images]))


def test_a_kernel_from_other_sources_is_compiled_afresh(monkeypatch):
    """Numba's disk cache overlooks changes in neighbouring files; the stamp does not."""
    asked, convolve = [], winograd.convolve

    def pretend(stamp, *arguments):
        return convolve(stamp if asked else stamp + 1, *arguments)

    pretend.recompile = lambda: asked.append(True)
    monkeypatch.setattr(winograd, "convolve", pretend)
    layer, images = layer_and_images(3, 16, 16, 2, 8, 8, 1, True)
    with torch.no_grad():
        check(layer, images, Winograd(layer).run(layer, images))
    assert asked == [True]


def test_layers_that_are_gone_are_forgotten_and_copies_know_nothing():
    convolutions = Recorder()
    layer, images = layer_and_images(2, 16, 16, 1, 8, 8, 1, False)
    with torch.no_grad():
        convolutions.run(layer, [images])
    assert convolutions.known == 1
    assert len(pickle.loads(pickle.dumps(convolutions))._known) == 0
    assert len(copy.deepcopy(convolutions)._known) == 0
    del layer
    assert convolutions.known == 0


def test_a_spiking_network_uses_them_where_the_channels_are_last():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 64, 3),
    )  # fmt: skip
    graph, x = trace(model, (1, 8, 8)), torch.rand(4, 1, 8, 8)
    layers = {}
    for node in graph.of_kind(Kind.ACTIVATION):
        threshold = torch.tensor(0.25).double().numpy()
        layers[node.name] = LayerRecipe(node.name, 4, 1.0, threshold, threshold / 2)
    means = []
    for channels_last in (False, True):
        network = SpikingNetwork(graph, layers)
        network.convolutions = recorder = Recorder()
        network.channels_last = channels_last
        with torch.no_grad():
            means.append(network.forward_analog(x, 8).mean(1))
        assert recorder.known == channels_last
    torch.testing.assert_close(*means, rtol=0, atol=0.05)  # single spikes may differ
