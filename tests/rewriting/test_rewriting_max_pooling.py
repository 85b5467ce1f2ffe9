"""Max pooling replaced: fitted layers come near the trained network, and limits are kept."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal import AdaptSettings, adapt
from speck_adacal.ann import trace
from speck_adacal.ann.graph import Kind
from speck_adacal.errors import CalibrationError, ModelError
from speck_adacal.rewriting.least_squares import RidgeFit
from speck_adacal.rewriting.max_pooling import without_max_pooling
from speck_adacal.samples.held_out import held_out_indices, samples_to_give


def _network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 16, 5),
    ).eval()  # fmt: skip


def _images(count: int) -> torch.Tensor:
    """Smooth random images: neighbouring pixels are alike, as in pictures."""
    small = torch.rand(count, 1, 5, 5, generator=torch.Generator().manual_seed(count))
    return nn.functional.interpolate(small, (16, 16), mode="bilinear").clamp(0, 1)


def test_fitted_layers_come_nearer_to_the_trained_network() -> None:
    network, x, unseen = _network(), _images(256), _images(100)
    graph = trace(network, (1, 16, 16))
    found = without_max_pooling(graph, [x], most_changed=1.0)
    assert not found.graph.of_kind(Kind.MAX_POOL)
    assert found.fitted == ("3", "7")
    layers = (nn.AvgPool2d(2) if isinstance(m, nn.MaxPool2d) else m for m in network)
    averaged = nn.Sequential(*layers)
    with torch.no_grad():
        wanted = network(unseen)
        plain = (averaged(unseen) - wanted).square().mean()
        fitted = (found.graph.run(unseen)[found.graph.outputs[0]] - wanted).square().mean()
        assert fitted < plain / 4
        torch.testing.assert_close(graph.run(unseen)[graph.outputs[0]], wanted)  # left as it was


def test_the_number_it_takes_is_enough_beside_those_held_out() -> None:
    for wanted in (1, 48, 63, 64, 192, 193, 256, 257, 512, 513, 3000):
        given = samples_to_give(wanted)
        assert given - len(held_out_indices(given, 0)) >= wanted
        assert given - 1 - len(held_out_indices(given - 1, 0)) < wanted


def test_too_few_samples_are_refused_with_the_number_it_takes() -> None:
    graph = trace(_network(), (1, 16, 16))
    with pytest.raises(CalibrationError, match=r"takes 64 calibration samples, found 30; give 85"):
        without_max_pooling(graph, [_images(30)], most_changed=1.0)


def test_a_loss_beyond_the_limit_is_refused() -> None:
    graph = trace(_network(), (1, 16, 16))
    with pytest.raises(ModelError, match="max_pooling_loss"):
        without_max_pooling(graph, [torch.rand(128, 1, 16, 16)], most_changed=0.0)


def test_it_is_said_and_can_be_switched_off() -> None:
    x = _images(128)
    settings = AdaptSettings(time_steps=4, max_pooling_loss=1.0, chip_correction=False)
    adapted = adapt(_network(), x, input_shape=(1, 16, 16), settings=settings)
    assert any("calibrated in closed form" in record.step for record in adapted.recipe.trace)
    assert adapted.ann.of_kind(Kind.MAX_POOL)  # still the trained network
    assert not adapted.graph.of_kind(Kind.MAX_POOL)
    kept = AdaptSettings(time_steps=4, max_pooling="keep", chip_correction=False)
    assert adapt(_network(), x, input_shape=(1, 16, 16), settings=kept).graph.of_kind(Kind.MAX_POOL)


@given(
    size=st.integers(2, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 1),
    ceil_mode=st.booleans(),
    length=st.integers(6, 13),
)
@settings(max_examples=40)
def test_average_pooling_of_any_geometry_keeps_the_shapes(
    size: int, stride: int, padding: int, ceil_mode: bool, length: int
) -> None:
    pool = nn.MaxPool2d(size, stride, padding, ceil_mode=ceil_mode)
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), pool, nn.Conv2d(2, 2, 1))
    graph = trace(network, (1, length, length))
    found = without_max_pooling(graph, [torch.rand(64, 1, length, length)], most_changed=1.0).graph
    assert [node.shape for node in found.nodes] == [node.shape for node in graph.nodes]
    ran = found.run(torch.rand(1, 1, length, length), keep=found.names)
    assert all(tuple(ran[n.name].shape[1:]) == n.shape for n in found.nodes if n.name in ran)


@pytest.mark.parametrize("groups", [1, 2])
def test_the_fit_is_ordinary_least_squares_without_a_prior(groups: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=groups).requires_grad_(False)
    wanted = nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=groups).requires_grad_(False)
    x = torch.randn(32, 2, 9, 9)
    fit = RidgeFit(layer)
    fit.add(x[:20], wanted(x[:20]))
    fit.add(x[20:], wanted(x[20:]))
    weight, bias = fit.solve(1e-9)
    torch.testing.assert_close(weight, wanted.weight, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(bias, wanted.bias, rtol=1e-4, atol=1e-4)
    fit.fit(1e6)  # the prior alone
    assert float((layer.weight - weight).abs().max()) > 0.01
