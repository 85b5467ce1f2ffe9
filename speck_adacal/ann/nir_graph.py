"""A NIR graph's nodes in order, and modules for them put together; for every reader of NIR."""

from __future__ import annotations

import keyword
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from speck_adacal.ann.nir_file import read_nir_graph
from speck_adacal.ann.nir_layers import INTEGRATORS, NEURONS, integrator_gain, weighted_or_pooling
from speck_adacal.errors import ModelError

Edges = list[tuple[str, str]]
Neurons = Callable[[str, Any], tuple[nn.Module, npt.NDArray[np.float64]]]
Found = TypeVar("Found")
_MALFORMED = (
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError),
    *(RuntimeError, AssertionError, MemoryError),
)


@dataclass(frozen=True, eq=False)
class NirParts:
    """What a NIR graph consists of.

    Attributes:
        nodes: by name.
        edges: `(from, to)`.
        order: names without input and output, each after all that feed it.
        source, sink: the names of the one input and the one output.
    """

    nodes: Mapping[str, Any]
    edges: Edges
    order: tuple[str, ...]
    source: str
    sink: str

    @classmethod
    def of(cls, graph: Any) -> NirParts:
        """The parts of an `nir.NIRGraph`.

        Raises:
            ModelError: it has a loop, several inputs or outputs, edges from or to nowhere, or
                names that modules cannot tell apart.
        """
        edges = [(str(a), str(b)) for a, b in graph.edges]
        nodes = {str(name): node for name, node in graph.nodes.items()}
        _refuse_alike(nodes)
        order = _topological(nodes, edges)
        source, sink = _only("Input", nodes), _only("Output", nodes)
        between = tuple(name for name in order if name not in (source, sink))
        return cls(nodes, edges, between, source, sink)

    def before(self, name: str) -> list[str]:
        """The nodes that feed `name`."""
        return [a for a, b in self.edges if b == name]

    def ends(self, name: str) -> bool:
        """Whether `name` feeds the output and nothing else."""
        return [b for a, b in self.edges if a == name] == [self.sink]

    def without(self, name: str) -> NirParts:
        """The parts without a node; what fed it feeds its readers."""
        after = [b for a, b in self.edges if a == name]
        bypass = [(a, b) for a in self.before(name) for b in after]
        edges = [edge for edge in self.edges if name not in edge] + bypass
        return replace(self, edges=edges, order=tuple(n for n in self.order if n != name))

    def network(self, modules: Mapping[str, nn.Module]) -> nn.Module:
        """The modules of the nodes, by the nodes' names, as one network in evaluation mode.

        Returns:
            `nn.Sequential` for a chain, otherwise a `torch.fx.GraphModule`; several edges into a
            node are summed, as NIR says.

        Raises:
            ModelError: there is no layer, or a node is not fed from the input.
        """
        order = self.order
        if not order:
            raise ModelError("The NIR graph has no layer between its input and its output.")
        if sorted(self.edges) == sorted(pairwise([self.source, *order, self.sink])):
            named = OrderedDict((module_name(name), modules[name]) for name in order)
            return nn.Sequential(named).eval()
        return self._branched(modules).eval()

    def _branched(self, modules: Mapping[str, nn.Module]) -> nn.Module:
        graph = fx.Graph()
        values = {self.source: graph.placeholder("x")}

        def summed(name: str) -> fx.Node:
            inputs = [values[a] for a in self.before(name) if a in values]
            if not inputs:
                raise ModelError(f"The NIR node {name!r} is not fed from the input.")
            total = inputs[0]
            for value in inputs[1:]:
                total = graph.call_function(torch.add, (total, value))
            return total

        for name in self.order:
            values[name] = graph.call_module(module_name(name), (summed(name),))
        graph.output(summed(self.sink))
        root = {module_name(name): modules[name] for name in self.order}
        return fx.GraphModule(root, graph, class_name="NirNetwork")


def read_with(path: Path, build: Callable[[Any], Found]) -> Found:
    """What `build` makes of the graph in a NIR file.

    Raises:
        CheckpointError: the file is damaged or is not NIR.
        ModelError: `build` refused the graph, or it is malformed.
    """
    graph = read_nir_graph(path)
    try:
        return build(graph)
    except _MALFORMED as error:
        raise ModelError(
            f"The NIR graph in {path} is malformed ({type(error).__name__}: {error}); export it "
            "again."
        ) from error


def module_name(node: str) -> str:
    """The name of a node's module: without dots, and none that modules have for themselves."""
    name = node.replace(".", "_")
    taken = hasattr(nn.Sequential, name) or hasattr(fx.GraphModule, name) or name == "training"
    return f"{name}_" if taken or keyword.iskeyword(name) else name


def _refuse_alike(nodes: Mapping[str, Any]) -> None:
    taken: dict[str, str] = {}
    for name in nodes:
        other = taken.setdefault(module_name(name), name)
        if other != name or not name:
            raise ModelError(
                f"The NIR nodes {other!r} and {name!r} would get the same name, or none; rename "
                "one."
            )


def _only(kind: str, nodes: Mapping[str, Any]) -> str:
    found = [name for name, node in nodes.items() if type(node).__name__ == kind]
    if len(found) != 1:
        raise ModelError(
            f"The NIR graph has {len(found)} {kind} nodes {found}, supported is exactly one."
        )
    return found[0]


def _topological(nodes: Mapping[str, Any], edges: Edges) -> list[str]:
    """Names in an order in which every node follows all that feed it."""
    unknown = [name for edge in edges for name in edge if name not in nodes]
    if unknown:
        raise ModelError(f"The NIR graph has an edge to {unknown[0]!r}, which is no node.")
    waiting = {name: sum(b == name for _, b in edges) for name in nodes}
    order: list[str] = []
    ready = [name for name, count in waiting.items() if count == 0]
    while ready:
        name = ready.pop(0)
        order.append(name)
        for a, b in edges:
            if a == name:
                waiting[b] -= 1
                if waiting[b] == 0:
                    ready.append(b)
    if len(order) < len(nodes):
        loop = sorted(name for name, count in waiting.items() if count)
        raise ModelError(
            f"The NIR graph is recurrent (a loop through {', '.join(loop[:4])}); only "
            "feed-forward networks can be converted."
        )
    return order


def nir_modules(graph: Any, neurons: Neurons) -> tuple[NirParts, dict[str, nn.Module]]:
    """The parts of a graph with a module for each node.

    An integrator that feeds the output alone is left out: it does not fire, and what it sums up
    are the outputs of the layer before it.

    Args:
        graph: an `nir.NIRGraph`.
        neurons: takes name and node of neurons that fire; the module in their place, and what
            the weights before them are multiplied by, `[channels]` or `[1]`.

    Raises:
        ModelError: a node has no counterpart (named), or the graph is none of a feed-forward
            network with one input and one output.
    """
    parts = NirParts.of(graph)
    modules: dict[str, nn.Module] = {}
    for name in parts.order:
        node = parts.nodes[name]
        kind = type(node).__name__
        if kind in NEURONS:
            module, gain = neurons(name, node)
            _fold_gain(name, gain, parts, modules)
            modules[name] = module
        elif kind in INTEGRATORS:
            gain = integrator_gain(name, node, last=parts.ends(name))
            _fold_gain(name, gain, parts, modules)
            parts = parts.without(name)
        else:
            modules[name] = weighted_or_pooling(name, node)
    return parts, modules


def _fold_gain(
    name: str,
    gain: npt.NDArray[np.float64],
    parts: NirParts,
    modules: Mapping[str, nn.Module],
) -> None:
    """Multiply the weights that feed neurons `name` by their gain, `[channels]` or `[1]`."""
    before = parts.before(name)
    module = modules.get(before[0]) if len(before) == 1 else None
    weighted = module if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear) else None
    if weighted is not None and len(gain) not in (1, len(weighted.weight)):
        raise ModelError(
            f"The NIR node {name!r} has {len(gain)} channels of thresholds, the layer "
            f"before it has {len(weighted.weight)} outputs; export the network again."
        )
    if np.all(gain == 1.0):
        return
    shared = sum(a == before[0] for a, _ in parts.edges) > 1 if before else True
    if weighted is None or shared:
        raise ModelError(
            f"The NIR node {name!r} has a threshold or resistance other than 1, which would go "
            "into the layer before it, but that is not one weighted layer of its own; rescale "
            "the weights and set v_threshold and r to 1."
        )
    with torch.no_grad():
        factor = torch.from_numpy(gain)
        rows = factor.reshape(-1, *[1] * (weighted.weight.ndim - 1))
        weighted.weight.copy_((weighted.weight.double() * rows).float())
        if weighted.bias is not None:
            weighted.bias.copy_((weighted.bias.double() * factor).float())
