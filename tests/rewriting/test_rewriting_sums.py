"""Sums before a rectifier: one convolution on channels side by side, exact, on the chip too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from speck_adacal import AdaptSettings, adapt, deploy, load, save
from speck_adacal.ann import trace
from speck_adacal.ann.graph import Kind
from speck_adacal.ann.rewriting import merge_linear_maps
from speck_adacal.chip.deploy import Deployment
from speck_adacal.chip.mapping import run_quantised
from speck_adacal.chip_description import load_chip_description
from speck_adacal.inspection.autopsy_activity import measure_activity
from speck_adacal.rewriting.splitting import split_large_layers
from speck_adacal.rewriting.sums import merge_sums
from speck_adacal.samples.batches import encode_for

LIMITS = load_chip_description().limits


class _Block(nn.Module):
    """A block of a residual network, with one of the usual shortcuts."""

    def __init__(self, ins: int, outs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.first = nn.Conv2d(ins, outs, 3, stride, 1)
        self.second = nn.Conv2d(outs, outs, 3, 1, 1)
        self.project = nn.Conv2d(ins, outs, 1, stride) if shortcut == "project" else None
        self.stride, self.more = stride, outs - ins

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(torch.relu(self.first(x)))
        if self.project is not None:
            return torch.relu(self.project(x) + y)
        short = x[:, :, :: self.stride, :: self.stride]
        before = self.more // 2
        return torch.relu(y + F.pad(short, (0, 0, 0, 0, before, self.more - before)))


class _Residual(nn.Module):
    def __init__(self, stride: int, shortcut: str, more: int = 0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1)
        self.block = _Block(3, 3 + more, stride, shortcut)
        self.head = nn.LazyLinear(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.block(torch.relu(self.stem(x))).flatten(1))


def _network(seed: int, stride: int, shortcut: str, more: int) -> nn.Module:
    torch.manual_seed(seed)
    network = _Residual(stride, shortcut, more).eval()
    with torch.no_grad():
        network(torch.zeros(1, 1, 8, 8))
    return network


@given(
    seed=st.integers(0, 99),
    stride=st.sampled_from((1, 2)),
    shortcut=st.sampled_from(("identity", "project")),
    more=st.integers(0, 3),
)
@settings(max_examples=30)
def test_residual_blocks_become_chains_of_cores_exactly(
    seed: int, stride: int, shortcut: str, more: int
) -> None:
    network = _network(seed, stride, shortcut, more)
    graph = merge_linear_maps(trace(network, (1, 8, 8)), LIMITS)
    found = merge_sums(graph, LIMITS)
    assert not found.of_kind(Kind.ADD)
    # A shortcut that strides is carried by the convolution that strides; others are channels.
    assert len(found.of_kind(Kind.CONCAT)) == (stride == 1)
    x = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        out = found.run(x)[found.outputs[0]]
        torch.testing.assert_close(out, network(x), rtol=1e-4, atol=1e-5)


def test_a_long_way_round_gets_a_layer_of_its_own() -> None:
    """Where no convolution beside the shortcut can carry it, a core passes it on."""

    class Long(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 3, 3, padding=1)
            self.a, self.b = nn.Conv2d(3, 3, 3, 2, 1), nn.Conv2d(3, 3, 3, 1, 1)
            self.c, self.short = nn.Conv2d(3, 5, 3, 1, 1), nn.Conv2d(3, 5, 1, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.stem(x))
            y = self.c(torch.relu(self.b(torch.relu(self.a(x)))))
            return torch.relu(y + self.short(x))

    torch.manual_seed(1)
    network = Long().eval()
    found = merge_sums(trace(network, (1, 8, 8)), LIMITS)
    assert any("shortcut" in name for name in found.names)
    x = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(found.run(x)[found.outputs[0]], network(x), rtol=1e-4, atol=1e-5)


def test_sums_of_rectified_values_stay() -> None:
    class Rectified(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.relu(self.a(x))
            return torch.relu(x + torch.relu(self.b(x)))

    graph = trace(Rectified(), (1, 8, 8))
    assert merge_sums(graph, LIMITS) is graph


@pytest.fixture(scope="module")
def deployed() -> tuple[Deployment, torch.Tensor]:
    x = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    adapted = adapt(
        _network(4, 1, "identity", 0),
        x,
        input_shape=(1, 8, 8),
        settings=AdaptSettings(time_steps=16, chip_correction=False),
    )
    return deploy(adapted), x


def test_destinations_begin_at_the_channels_of_their_map(
    deployed: tuple[Deployment, torch.Tensor],
) -> None:
    deployment, _ = deployed
    joined = next(layer for layer in deployment.layers if len(layer.folded.sources) == 2)
    place = deployment.layers.index(joined)
    configuration = deployment.mapped.configuration
    found = {}
    for source in joined.folded.sources:
        for entry in configuration.cnn_layers[deployment.cores[source]].destinations:
            if entry.enable and entry.layer == deployment.cores[place]:
                found[source] = entry.feature_shift
    assert found == dict(zip(joined.folded.sources, joined.folded.shifts, strict=True))
    assert sorted(found.values())[1] > 0


def test_levels_agree_with_the_rewritten_network(
    deployed: tuple[Deployment, torch.Tensor],
) -> None:
    """Time steps of the quantised network: the mean spikes are near what the network computes."""
    deployment, x = deployed
    adapted = deployment.adapted
    batches = encode_for(x, adapted.ann.input_shape, adapted.recipe)
    counts = torch.cat([torch.round(b / batches.amplitude) for b in batches])
    quantised = run_quantised(deployment.mapped, deployment.layers, counts).sum(1)
    with torch.no_grad():
        wanted = adapted.ann.run(x)[adapted.ann.outputs[0]].numpy()
    related = np.corrcoef(quantised.ravel(), wanted.clip(min=0).ravel())[0, 1]
    assert related > 0.9
    _, activity = measure_activity(deployment, x)
    assert max(layer.layer_error for layer in activity) < 0.1


def test_a_bundle_with_side_by_side_maps_comes_back(
    deployed: tuple[Deployment, torch.Tensor], tmp_path
) -> None:  # type: ignore[no-untyped-def]
    deployment, _ = deployed
    again = load(save(deployment, tmp_path / "bundle"))
    assert isinstance(again, Deployment)
    assert again.cores == deployment.cores


def test_a_layer_too_large_for_a_core_is_shared_out_exactly() -> None:
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(32 * 49, 64), nn.ReLU(), nn.Linear(64, 10),
    ).eval()  # fmt: skip
    graph = trace(network, (1, 14, 14))
    found = split_large_layers(graph, load_chip_description())
    assert [node.shape for node in found.of_kind(Kind.LINEAR)] == [(32,), (32,), (10,)]
    x = torch.rand(3, 1, 14, 14)
    with torch.no_grad():
        out = found.run(x)[found.outputs[0]]
        torch.testing.assert_close(out, network(x), rtol=1e-5, atol=1e-6)
    fitting = trace(
        nn.Sequential(network[0], nn.ReLU(), nn.Flatten(), nn.Linear(32 * 196, 2)), (1, 14, 14)
    )
    assert split_large_layers(fitting, load_chip_description()) is fitting
