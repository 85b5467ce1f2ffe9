"""Biases as events: the rewritten network computes the same, and everything sends the constant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from speck_adacal import AdaptSettings, adapt, check, deploy, load, save, simulate
from speck_adacal.ann import trace
from speck_adacal.ann.graph import Kind, LayerGraph
from speck_adacal.ann.modules import Normalised
from speck_adacal.ann.rewriting import merge_linear_maps
from speck_adacal.chip.fitting import fits, target_chip
from speck_adacal.chip_description import DEFAULT_CHIP, load_chip_description
from speck_adacal.errors import SettingsError
from speck_adacal.events import Events
from speck_adacal.events.constant import ConstantChannel
from speck_adacal.host import Session, TwinBackend, windows_of
from speck_adacal.host.sensor import at_sensor
from speck_adacal.readout.readouts import ArgmaxSpikeCount
from speck_adacal.rewriting.bias_events import carry_biases
from speck_adacal.rewriting.coverage import Window, uniform_taps
from speck_adacal.rewriting.rewrite import Target, carry_what_fits
from speck_adacal.samples.batches import encode_for


class _Branched(nn.Module):
    """A shortcut around a convolution, added after its ReLU."""

    def __init__(self, channels: int, pool: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.third = nn.Conv2d(channels, 2, 3, padding=1)
        self.pool = nn.AvgPool2d(pool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.first(x)))
        x = x + torch.relu(self.second(x))
        return torch.relu(self.third(x)).flatten(1)


@st.composite
def _chains(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, int, int]]:
    """Convolutions of any kernel, stride, padding and groups, pooling, and a linear layer."""
    channels, size = draw(st.integers(1, 2)), draw(st.integers(9, 20))
    shape = (channels, size, size)
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 3))):
        kernel = draw(st.integers(1, min(5, size)))
        padding = draw(st.integers(0, kernel - 1))
        stride = draw(st.sampled_from((1, 1, 2)))
        groups = draw(st.sampled_from((1, channels)))
        out = channels * draw(st.integers(1, 2))
        conv = nn.Conv2d(channels, out, kernel, stride, padding, groups=groups)
        channels, size = out, (size + 2 * padding - kernel) // stride + 1
        layers += [conv, nn.ReLU() if draw(st.booleans()) else nn.ReLU6()]
        pool = draw(st.sampled_from((1, 2, 3)))
        if size >= pool > 1:
            layers.append(nn.AvgPool2d(pool))
            size //= pool
        if size < 3:
            break
    layers += [nn.Flatten(), nn.Linear(channels * size * size, 3)]
    return nn.Sequential(*layers), shape


def _same_function(network: nn.Module, graph: LayerGraph, rewritten: LayerGraph, rate: int) -> None:
    found = carry_biases(graph, rate=rate, amplitude=0.25)
    assert found is not None
    x = torch.rand(2, *graph.input_shape)
    constant = torch.from_numpy(found.constant.counts(*graph.input_shape[1:])) * 0.25
    both = torch.cat((x, constant.expand(2, 1, *constant.shape)), 1)
    with torch.no_grad():
        wanted = network.eval()(x)
        out = rewritten.run(both)[rewritten.outputs[0]]
    torch.testing.assert_close(out, wanted, rtol=1e-4, atol=1e-4)


@given(case=_chains(), rate=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_a_rewritten_network_computes_the_same(
    case: tuple[nn.Module, tuple[int, int, int]], rate: int, seed: int
) -> None:
    torch.manual_seed(seed)
    network, shape = case
    graph = trace(network, shape)
    found = carry_biases(graph, rate=rate, amplitude=0.25)
    if found is None:  # one output position a layer, or no tap that all outputs see
        return
    _same_function(network, graph, found.graph, rate)
    for name in found.carried:
        assert getattr(found.graph[name].module, "bias", None) is None


@pytest.mark.parametrize("pool", [1, 2, 4])
def test_where_branches_meet_one_of_them_relays(pool: int) -> None:
    torch.manual_seed(pool)
    network = _Branched(3, pool)
    graph = trace(network, (1, 16, 16))
    found = carry_biases(graph, rate=2, amplitude=0.25)
    assert found is not None
    assert found.carried == ("first", "second", "third")
    _same_function(network, graph, found.graph, 2)
    meeting = [n for n in found.graph.nodes if n.kind is Kind.ADD]
    assert [n.shape[0] for n in meeting] == [4]


def test_a_kernel_of_three_needs_a_ninth_of_the_events() -> None:
    graph = trace(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()), (1, 28, 28))
    found = carry_biases(graph, rate=1, amplitude=1.0)
    assert found is not None
    assert found.constant.events_per_step == 100  # of 784
    weight = found.graph[found.carried[0]].module.weight  # type: ignore[union-attr]
    assert (weight[:, 1] != 0).all()  # under every tap


def test_without_biases_nothing_is_rewritten() -> None:
    graph = trace(nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.ReLU()), (1, 8, 8))
    assert carry_biases(graph, rate=1, amplitude=1.0) is None


@given(
    size=st.integers(1, 6),
    stride=st.integers(1, 3),
    padding=st.integers(0, 5),
    counts=st.lists(st.integers(0, 2), min_size=6, max_size=20),
)
def test_taps_that_serve_all_outputs(
    size: int, stride: int, padding: int, counts: list[int]
) -> None:
    window = Window(size, stride, padding, max(1, (len(counts) + 2 * padding - size) // stride + 1))
    taps = uniform_taps(np.array(counts), window)
    if taps is None:
        return
    for output in range(window.outputs):
        at = [output * stride - padding + tap for tap in range(taps.first, taps.last)]
        assert sum(counts[i] for i in at if 0 <= i < len(counts)) == taps.count > 0


@given(
    duration=st.integers(50, 5000),
    rate=st.integers(1, 4),
    steps=st.integers(1, 9),
    cuts=st.lists(st.integers(0, 5000), max_size=4),
)
def test_a_recording_and_its_pieces_get_the_same_events(
    duration: int, rate: int, steps: int, cuts: list[int]
) -> None:
    constant = ConstantChannel((0, 3), (1, 2, 4), rate)
    rng = np.random.default_rng(duration)
    t = np.sort(rng.integers(0, duration + 1, 40))
    y, x = rng.integers(0, 5, (2, 40))
    own = Events(t, x, y, np.zeros(40, np.int16), (1, 5, 6), duration)
    whole = constant.added_to(own, steps)
    frames = whole.to_frames(steps)
    np.testing.assert_array_equal(frames[:, :1], own.to_frames(steps))
    np.testing.assert_array_equal(frames[:, 1], np.stack([constant.counts(5, 6)] * steps))
    since, pieces = -1, []
    for end in sorted({min(c, duration) for c in cuts} | {duration}):
        keep = (own.t_us > since) & (own.t_us <= end)
        columns = (values[keep] for values in (own.t_us, own.x, own.y, own.channel))
        piece = Events(*columns, own.shape, end)
        pieces.append(constant.added_since(piece, since, (duration + 1) / steps))
        since = end
    for name in ("t_us", "x", "y", "channel"):
        joined = np.concatenate([getattr(piece, name) for piece in pieces])
        np.testing.assert_array_equal(joined, getattr(whole, name))


def test_a_constant_channel_has_places() -> None:
    with pytest.raises(SettingsError, match=r"ConstantChannel\.rows .* one or more"):
        ConstantChannel((), (1,), 1)


def _network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3),
    )  # fmt: skip


def test_everything_sends_the_constant(tmp_path) -> None:  # type: ignore[no-untyped-def]
    x = torch.rand(24, 1, 12, 12)
    adapted = adapt(_network(), x, input_shape=(1, 12, 12), settings=AdaptSettings(time_steps=4))
    constant = adapted.recipe.constant
    assert constant is not None
    assert adapted.ann.input_shape == (1, 12, 12)
    assert adapted.graph.input_shape == (2, 12, 12)
    deployment = deploy(adapted)
    assert deployment.input_shape == (1, 12, 12)
    ran = simulate(deployment, x[:4])
    own = encode_for(x[:4], (1, 12, 12), replace(adapted.recipe, constant=None)).recordings()
    sent = constant.events_per_step * 4
    assert ran.events.tolist() == [len(recording) + sent for recording in own]
    again = load(save(deployment, tmp_path / "bundle"))
    assert again.adapted.recipe.constant == constant  # type: ignore[union-attr]
    np.testing.assert_array_equal(simulate(again, x[:4]).class_counts, ran.class_counts)  # type: ignore[arg-type]
    with Session(TwinBackend(deployment), ArgmaxSpikeCount(3)) as session:
        decided = [session.decide(windows_of(recording, 700)) for recording in own]
    np.testing.assert_array_equal([d.counts for d in decided], ran.class_counts)
    with pytest.raises(SettingsError, match="bias='leak'"):
        at_sensor(deployment)


def test_the_integers_are_those_of_the_rewritten_network() -> None:
    """Rewriting and then deploying is deploying the rewritten network, given by hand."""
    x = torch.rand(24, 1, 12, 12)
    settings = AdaptSettings(time_steps=4, correction="none", chip_correction=False)
    adapted = adapt(_network(), x, input_shape=(1, 12, 12), settings=settings)
    assert adapted.rewritten is not None
    by_hand = replace(adapted, ann=adapted.rewritten, graph=adapted.rewritten, rewritten=None)
    for ours, theirs in zip(deploy(adapted).layers, deploy(by_hand).layers, strict=True):
        np.testing.assert_array_equal(ours.weight, theirs.weight)
        np.testing.assert_array_equal(ours.initial, theirs.initial)
        assert ours.threshold == theirs.threshold
        assert ours.folded.name == "6" or not ours.folded.bias.any()


def test_what_a_normalisation_adds_at_the_edge_is_kept():
    torch.manual_seed(3)
    layers = [nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
              nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)]  # fmt: skip
    network = Normalised(nn.Sequential(*layers), [0.3], [0.4])
    graph = merge_linear_maps(trace(network, (1, 8, 8)))
    found = carry_biases(graph, rate=2, amplitude=0.25)
    _same_function(network, graph, found.graph, 2)


def test_biases_are_carried_as_far_as_there_is_memory() -> None:
    """A relay is one channel more: where powers of two are full, the last layers go without."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((1, 64), (64, 64), (64, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, 10))
    graph = merge_linear_maps(trace(network, (1, 4, 4)), load_chip_description().limits)
    everything = carry_biases(graph, rate=2, amplitude=0.25)
    assert everything is not None
    assert fits(graph)
    assert not fits(everything.graph)
    found = carry_what_fits(graph, 2, 0.25, target_chip(DEFAULT_CHIP))
    assert found is not None
    assert found.carried == everything.carried[: len(found.carried)] != everything.carried
    assert fits(found.graph)
    checked = check(network, input_shape=(1, 4, 4))
    assert not checked.errors
    (planned,) = [plan for plan in checked.rewritings if "constant channel" in plan.what]
    assert planned.where == found.carried
    # Where nothing fits anyhow, networks in time steps have all of them.
    nowhere = Target(load_chip_description(), lambda _: False)
    assert carry_what_fits(graph, 2, 0.25, nowhere) is not None


class _Meeting(nn.Module):
    """Branches of which only one leads to a bias meet, and a linear layer reads the sum."""

    def __init__(self, way: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.biased = nn.Conv2d(2, 2, 3, padding=1)
        self.plain = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.way, self.fc = way, nn.Linear(2 * 36, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        y = torch.relu(self.biased(x))
        z = torch.relu(self.plain(x + y if self.way == 3 else x))
        return self.fc((x + y, x + z, y + z, z + x)[self.way].flatten(1))


@pytest.mark.parametrize("way", range(4))
def test_branches_that_meet_keep_the_same_channels(way: int) -> None:
    torch.manual_seed(way)
    network = _Meeting(way)
    graph = trace(network, (1, 6, 6))
    found = carry_biases(graph, rate=2, amplitude=0.25)
    assert found is not None
    _same_function(network, graph, found.graph, 2)
