"""Which layers carry the constant: those whose biases it carries, and all on its way there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.rewriting.coverage import Coverage, Step, Window, cover

_KNOWN = (
    Kind.INPUT,
    Kind.CONV,
    Kind.LINEAR,
    Kind.ACTIVATION,
    Kind.AVG_POOL,
    Kind.SUM_POOL,
    Kind.FLATTEN,
    Kind.ADD,
    Kind.CONCAT,
)


@dataclass(frozen=True, eq=False)
class Carriers:
    """The way of the constant through a network.

    Attributes:
        biased: convolutions whose biases it carries, in order.
        live: by node with the constant in its output, the node that it comes from; the input's is
            empty.
        silent: convolutions that get a channel that is never active, because their spikes meet
            the constant at an addition; with the threshold of that channel as a multiple of the
            constant's value.
        rows, columns: where the input sends, and what taps get.
    """

    biased: tuple[str, ...]
    live: Mapping[str, str]
    silent: Mapping[str, float]
    rows: Coverage
    columns: Coverage


def find_carriers(graph: LayerGraph, most: int | None = None) -> Carriers | None:
    """The carriers of a network's biases; None where there is nothing to carry, or no way.

    Args:
        graph: the network.
        most: carry the biases of so many layers only, the first ones.
    """
    wanted = [node for node in graph.nodes if has_spatial_bias(node)][:most]
    if not wanted or not _is_known(graph):
        return None
    while wanted:
        way, reached = _Way(graph), []
        for node in wanted:
            found = way.copy()
            if found.reach(node.inputs[0]):
                way = found
                reached.append(node.name)
        covers = [_cover(graph, way, reached, axis) for axis in (0, 1)] if reached else [None]
        if covers[0] is not None and covers[-1] is not None:
            return Carriers(tuple(reached), way.live, way.silent, covers[0], covers[-1])
        wanted = wanted[:-1]
    return None


def has_spatial_bias(node: Node) -> bool:
    """Whether a convolution has a bias and more than one output position."""
    bias: Any = getattr(node.module, "bias", None)
    if node.kind is not Kind.CONV or bias is None or not bool((bias != 0).any()):
        return False
    return len(node.shape) == 3 and max(node.shape[1:]) > 1


def _is_known(graph: LayerGraph) -> bool:
    """Whether nodes are such as a chip runs, and the input is one map."""
    plain = all(node.kind in _KNOWN for node in graph.nodes) and len(graph.input_shape) == 3
    modules: list[Any] = [node.module for node in graph.of_kind(Kind.CONV)]
    return plain and all(
        isinstance(module.padding, tuple) and set(module.dilation) == {1} for module in modules
    )


@dataclass
class _Way:
    """What is live so far, on the way to one layer after the other."""

    graph: LayerGraph
    live: dict[str, str] = field(default_factory=dict)
    silent: dict[str, float] = field(default_factory=dict)

    def copy(self) -> _Way:
        return _Way(self.graph, dict(self.live), dict(self.silent))

    def reach(self, name: str) -> bool:
        """Make the output of node `name` carry the constant; False where it cannot."""
        if name in self.live:
            return True
        node = self.graph[name]
        if node.kind is Kind.INPUT:
            self.live[name] = ""
            return True
        if node.kind is Kind.ADD:
            return self._reach_sum(node)
        if node.kind is Kind.CONCAT:
            return self._through(node, next((n for n in node.inputs if n in self.live), None))
        if node.kind in (Kind.AVG_POOL, Kind.SUM_POOL) and not _is_plain_pool(node):
            return False
        if node.kind is Kind.CONV and (name in self.silent or len(node.shape) != 3):
            return False
        if node.kind in (Kind.CONV, Kind.ACTIVATION, Kind.AVG_POOL, Kind.SUM_POOL):
            return self._through(node, node.inputs[0])
        return False

    def _through(self, node: Node, source: str | None) -> bool:
        source = node.inputs[0] if source is None else source
        if not self.reach(source):
            return False
        self.live[node.name] = source
        return True

    def _reach_sum(self, node: Node) -> bool:
        """One branch relays; the others get a channel that is never active, so that maps match."""
        chosen = next((name for name in node.inputs if name in self.live), node.inputs[0])
        if not self._through(node, chosen):
            return False
        share = self._share(chosen)
        return all(self._silence(name, share) for name in node.inputs if name != chosen) and not (
            self.live.keys() & self.silent.keys()
        )

    def _silence(self, name: str, share: float) -> bool:
        node = self.graph[name]
        if node.kind is Kind.CONV:
            self.silent[name] = share
            return True
        if node.kind in (Kind.AVG_POOL, Kind.SUM_POOL):
            return self._silence(node.inputs[0], share * _area(node))
        if node.kind is Kind.ADD:
            return all(self._silence(source, share) for source in node.inputs)
        return node.kind is Kind.ACTIVATION and self._silence(node.inputs[0], share)

    def _share(self, name: str) -> float:
        """What average pooling leaves of the live relay's spike on its way to `name`."""
        share = 1.0
        while name:
            node = self.graph[name]
            if node.kind is Kind.ACTIVATION and self.graph[node.inputs[0]].kind is Kind.CONV:
                return share
            share /= _area(node)
            name = self.live[name]
        return share


def _area(node: Node) -> float:
    if node.kind is not Kind.AVG_POOL:
        return 1.0
    size = _pair(node.module, "kernel_size")
    return float(size[0] * size[1])


def _is_plain_pool(node: Node) -> bool:
    """Whether every output is the same multiple of the sum over its window."""
    module: Any = node.module
    padded = any(_pair(module, "padding"))
    plain = getattr(module, "norm_type", 1) == 1 and not getattr(module, "ceil_mode", False)
    divisor = getattr(module, "divisor_override", None) is None
    return plain and divisor and (not padded or getattr(module, "count_include_pad", True))


def _cover(graph: LayerGraph, way: _Way, biased: Sequence[str], axis: int) -> Coverage | None:
    steps: list[Step] = []
    for node in graph.nodes[1:]:
        if node.name in biased:
            steps.append(Step(node.name, node.inputs[0], _window(node, axis), "bias"))
        if node.name in way.live:
            kind = "relay" if node.kind is Kind.CONV else "pool"
            steps.append(Step(node.name, way.live[node.name], _window(node, axis), kind))
    return cover(graph.nodes[0].name, graph.input_shape[1 + axis], steps)


def _window(node: Node, axis: int) -> Window:
    outputs = node.shape[1 + axis]
    if node.kind not in (Kind.CONV, Kind.AVG_POOL, Kind.SUM_POOL):
        return Window(1, 1, 0, outputs)
    size = _pair(node.module, "kernel_size")
    stride = _pair(node.module, "stride", size)
    return Window(size[axis], stride[axis], _pair(node.module, "padding")[axis], outputs)


def _pair(module: Any, name: str, default: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    value = getattr(module, name, None)
    if value is None:
        return default
    if isinstance(value, tuple | list):
        return (int(value[0]), int(value[-1]))
    return (int(value), int(value))
