"""Merging linear maps changes no output, and leaves what a core can do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sinabs import layers as sl
from torch import nn

from speck_adacal.ann import Kind, LayerGraph, trace
from speck_adacal.ann.modules import Normalised
from speck_adacal.ann.rewriting import merge_linear_maps
from speck_adacal.ann.rewriting.core_convolution import within_core
from speck_adacal.chip_description import load_chip_description
from speck_adacal.errors import SettingsError

LIMITS = load_chip_description("speck2f").limits
_FREE = (Kind.INPUT, Kind.CONV, Kind.LINEAR, Kind.ACTIVATION, Kind.FLATTEN, Kind.AVG_POOL)


def unchanged(model: nn.Module, shape: tuple[int, ...]) -> LayerGraph:
    """The rewritten graph, after its outputs were found equal."""
    graph = trace(model, shape)
    before = [node.module for node in graph.nodes]
    weights = {n.name: n.module.weight.clone() for n in graph.of_kind(Kind.CONV, Kind.LINEAR)}
    new = merge_linear_maps(graph)
    x = torch.randn(3, *shape)
    expected, found = graph.run(x)[graph.outputs[0]], new.run(x)[new.outputs[0]]
    scale = float(expected.abs().max()) + 1e-3
    torch.testing.assert_close(found, expected, atol=2e-5 * scale, rtol=1e-4)
    assert [node.module for node in graph.nodes] == before
    assert all(torch.equal(graph[name].module.weight, w) for name, w in weights.items())
    for node in new.nodes[1:]:
        assert all(new.names.index(i) < new.names.index(node.name) for i in node.inputs)
    values = new.run(x, keep=new.names)
    assert all(tuple(values[n.name].shape[1:]) == n.shape for n in new.nodes)
    return new


def fits(graph: LayerGraph) -> bool:
    """Nothing is left but cores: convolutions in their limits, tiles of 2 or 4 behind neurons."""
    for node in graph.nodes:
        if node.kind not in _FREE:
            return False
        if node.kind is Kind.CONV and not within_core(node.module, LIMITS):
            return False
        source = graph[node.inputs[0]].kind if node.inputs else None
        if node.kind is Kind.AVG_POOL and (
            node.module.kernel_size not in (2, 4, (2, 2), (4, 4)) or source is not Kind.ACTIVATION
        ):
            return False
        if node.kind is Kind.ACTIVATION and source not in (Kind.CONV, Kind.LINEAR):
            return False
    return True


def conv(ins=3, outs=3, kernel=3, **settings) -> nn.Conv2d:
    return nn.Conv2d(ins, outs, kernel, **settings)


def head(*behind: nn.Module, size: int) -> list[nn.Module]:
    return [conv(), nn.ReLU(), *behind, nn.Flatten(), nn.Linear(size, 4)]


MERGES = {
    "global average": (head(nn.AdaptiveAvgPool2d(1), size=3), (3, 16, 16)),
    "global average of 28": (head(nn.AdaptiveAvgPool2d(1), size=3), (3, 30, 30)),
    "global average of 7": (head(nn.AvgPool2d(7), size=3), (3, 9, 9)),
    "adaptive average": (head(nn.AdaptiveAvgPool2d((2, 7)), size=42), (3, 16, 16)),
    "pool of 3": (head(nn.AvgPool2d(3), size=48), (3, 14, 14)),
    "pool of 8": (head(nn.AvgPool2d(8), conv(kernel=1), nn.ReLU(), size=12), (3, 18, 18)),
    "pool of 3 by 2": (
        [conv(), nn.ReLU(), nn.AvgPool2d(3, 2, 1), conv(padding=1), nn.ReLU(),
         nn.Flatten(), nn.Linear(48, 2)],
        (3, 9, 9),
    ),
    "max-pool-like tiles that leave a rest": (head(nn.AvgPool2d(2), size=27), (3, 9, 9)),
    "up": (head(nn.AvgPool2d(2, ceil_mode=True), size=48), (3, 9, 9)),
    "divisor": (head(nn.AvgPool2d(2, divisor_override=3), size=48), (3, 10, 10)),
    "edges not counted": (
        head(nn.AvgPool2d(3, 2, 1, count_include_pad=False), size=48), (3, 10, 10)
    ),
    "sum pool of 3": (head(sl.SumPool2d(3), size=48), (3, 14, 14)),
    "zero padding": (
        [nn.ZeroPad2d((1, 0, 2, 1)), conv(), nn.ReLU(), nn.ZeroPad2d((0, 1, 0, 1)),
         conv(stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 4)],
        (3, 8, 8),
    ),
    "even kernels, same": (
        [conv(kernel=4, padding="same"), nn.ReLU(), conv(kernel=2, padding="same"), nn.ReLU(),
         nn.Flatten(), nn.Linear(108, 4)],
        (3, 6, 6),
    ),
    "not square": (
        [conv(kernel=(1, 5), padding=(0, 2)), nn.ReLU(), conv(kernel=(3, 1), padding=(1, 0)),
         nn.ReLU(), nn.Flatten(), nn.Linear(192, 4)],
        (3, 8, 8),
    ),
    "dilated": (
        [conv(dilation=2, padding=2), nn.ReLU(), conv(dilation=(1, 3)), nn.ReLU(), nn.Flatten(),
         nn.Linear(36, 4)],
        (3, 8, 8),
    ),
    "depthwise and pointwise without a rectifier": (
        [conv(3, 6), nn.ReLU(), conv(6, 6, groups=6, padding=1), conv(6, 4, 1), nn.ReLU(),
         nn.Flatten(), nn.Linear(144, 4)],
        (3, 8, 8),
    ),
    "pool before the rectifier": (
        [conv(), nn.AvgPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 4)], (3, 8, 8)
    ),
    "pool of the input": (
        [nn.AvgPool2d(2), conv(padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)], (3, 8, 8)
    ),
    "rectifier behind flattening": (
        [conv(), nn.Flatten(), nn.ReLU(), nn.Linear(108, 4)], (3, 8, 8)
    ),
    "linear layers without a rectifier": (
        [conv(), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4), nn.Linear(4, 5)], (3, 8, 8)
    ),
    "no layer behind the average": (
        [conv(), nn.ReLU(), conv(3, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()],
        (3, 9, 9),
    ),
    "convolution, then average": (
        [conv(), nn.ReLU(), conv(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()], (3, 9, 9)
    ),
    "one output under a stride of 3": (
        [conv(), nn.ReLU(), conv(stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(3, 4)], (3, 7, 7)
    ),
    "norm behind the rectifier": (
        [conv(), nn.ReLU(), nn.BatchNorm2d(3), nn.AvgPool2d(3, 2), conv(), nn.ReLU(),
         nn.Flatten(), nn.Linear(27, 4)],
        (3, 13, 13),
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", sorted(MERGES))
def test_what_is_linear_merges_exactly(name):
    torch.manual_seed(0)
    layers, shape = MERGES[name]
    assert fits(unchanged(nn.Sequential(*layers), shape))


def test_what_a_core_does_by_itself_stays():
    layers = [conv(padding=1), nn.ReLU(), nn.AvgPool2d(2), conv(padding=1), nn.ReLU(),
              nn.AvgPool2d(2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 4)]  # fmt: skip
    model = nn.Sequential(*layers)
    graph = trace(model, (3, 16, 16))
    new = merge_linear_maps(graph)
    assert new.names == graph.names
    assert all(a.module is b.module for a, b in zip(new.nodes, graph.nodes, strict=True))


def test_a_large_pool_is_split_into_a_free_one_and_the_rest():
    model = nn.Sequential(*head(nn.AvgPool2d(24), size=3))
    new = unchanged(model, (3, 26, 26))
    (pool,) = new.of_kind(Kind.AVG_POOL)
    assert pool.module.kernel_size == 4
    assert new["4"].module.in_features == 3 * 6 * 6


class TwoReaders(nn.Module):
    """One reader pools, the other does not: the pool goes into the convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.fc = conv(), conv(), conv(stride=2, padding=1), conv(3, 2, 4)

    def forward(self, x):
        x = torch.relu(self.a(x))
        y = torch.relu(self.b(nn.functional.avg_pool2d(x, 2)))
        z = torch.relu(self.c(x))
        return self.fc(y + z[:, :, 1:-1, 1:-1]).flatten(1)


def test_a_pool_beside_an_unpooled_reader_merges():
    new = unchanged(TwoReaders(), (3, 14, 14))
    assert not new.of_kind(Kind.AVG_POOL)
    assert new["b"].module.stride == (2, 2)


@pytest.mark.parametrize(
    "layers",
    [
        [conv(), nn.ReLU(), nn.AvgPool2d(3), conv(), nn.ReLU()],  # stride 3
        [conv(), nn.ReLU(), nn.AvgPool2d(3, 2, 1, count_include_pad=False), conv(), nn.ReLU()],
        [conv(), nn.ReLU(), nn.AvgPool2d(9, 1), conv(kernel=9), nn.ReLU()],  # kernel 17
        [conv(), nn.ReLU(), nn.ZeroPad2d(8), conv()],
    ],
)
def test_what_no_core_can_do_stays_and_computes_the_same(layers):
    new = unchanged(nn.Sequential(*layers), (3, 21, 21))
    assert not fits(new)


@st.composite
def networks(draw) -> tuple[nn.Module, tuple[int, ...]]:
    """A random chain: convolutions of all settings, with random maps before and behind neurons."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    size = draw(st.integers(8, 20))
    shape, layers = (2, size, draw(st.sampled_from((size, size + 1)))), []
    x = torch.zeros(1, *shape)

    def add(layer: nn.Module) -> None:
        nonlocal x
        try:
            with torch.no_grad():
                y = layer.eval()(x)
        except RuntimeError:  # the map is too small for it
            return
        if y.numel() and min(y.shape) > 0:
            layers.append(layer)
            x = y

    def random_map() -> None:
        kind = draw(st.sampled_from(("pool", "up", "sum", "pad", "norm", "override", "global")))
        k, s = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        if kind in ("pool", "up", "override"):
            settings = {"ceil_mode": kind == "up", "count_include_pad": draw(st.booleans())}
            if kind == "override":
                settings["divisor_override"] = draw(st.integers(1, 9))
            add(nn.AvgPool2d(k, s, draw(st.integers(0, k // 2)), **settings))
        elif kind == "sum":
            add(sl.SumPool2d(k, s))
        elif kind == "pad":
            add(nn.ZeroPad2d(tuple(draw(st.integers(0, 2)) for _ in range(4))))
        elif kind == "norm":
            add(nn.BatchNorm2d(x.shape[1]))
            layers[-1].running_mean.normal_()
        elif draw(st.integers(0, 3)) == 0:
            add(nn.AdaptiveAvgPool2d(1))

    for _ in range(draw(st.integers(1, 3))):
        for _ in range(draw(st.integers(0, 2))):
            random_map()
        kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
        groups = draw(st.sampled_from((1, 2)))
        add(
            nn.Conv2d(
                x.shape[1],
                draw(st.sampled_from((2, 4))),
                kernel,
                stride=draw(st.integers(1, 3)),
                padding=draw(st.integers(0, 2)),
                dilation=draw(st.integers(1, 2)),
                groups=groups,
                bias=draw(st.booleans()),
            )
        )
        if draw(st.booleans()):
            random_map()
        if draw(st.booleans()):
            add(nn.ReLU())
    if draw(st.booleans()):
        random_map()
    add(nn.Flatten())
    add(nn.Linear(x.shape[1], 3))
    return nn.Sequential(*layers), shape


@settings(max_examples=100)
@given(networks())
def test_random_networks_compute_the_same(network):
    unchanged(*network)


def test_normalised_inputs_merge_with_a_padded_convolution():
    torch.manual_seed(0)
    layers = [conv(padding=1), nn.ReLU(), nn.BatchNorm2d(3), conv(padding=1), nn.ReLU(),
              nn.Flatten(), nn.Linear(192, 4)]  # fmt: skip
    layers[2].running_mean.normal_()
    model = Normalised(nn.Sequential(*layers), [0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    new = unchanged(model, (3, 8, 8))
    assert fits(new)
    for name in ("network.0", "network.3"):
        edge = new[name].module.edge
        assert not edge[:, 1:-1, 1:-1].any()
        assert edge.any()


@pytest.mark.parametrize(("mean", "deviation"), [([0.1], [0.0]), ([0.1], [1, 1]), ([], [])])
def test_a_normalisation_that_is_none_is_refused(mean, deviation):
    with pytest.raises(SettingsError, match="deviation"):
        Normalised(nn.Identity(), mean, deviation)


@pytest.mark.parametrize("pool", [nn.AvgPool2d(4, ceil_mode=True), sl.SumPool2d(4, ceil_mode=True)])
def test_a_pool_whose_last_window_is_not_whole_stays_one_pool(pool):
    layers = (nn.Conv2d(2, 2, 1, bias=False), nn.ReLU(), pool, nn.Flatten(), nn.Linear(18, 3))
    unchanged(nn.Sequential(*layers), (2, 10, 10))
