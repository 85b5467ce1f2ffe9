"""Networks from NIR files, as the ANN whose rates the spiking network stands for.

An integrate-and-fire node that subtracts its threshold fires at the rate `ReLU(r·z) / θ` per time
step for a steady input z. So each such node becomes a ReLU, and `r / θ` goes into the weights of
the layer before it; conversion to spikes then finds thresholds anew. Leaky neurons have no such
ANN and are refused.

Source of the nodes' equations: NIR (Pedersen et al. 2024), the docstrings of its primitives.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from speck_adacal.ann.nir_layers import NEURONS, neuron_gain, weighted_or_pooling
from speck_adacal.errors import ModelError

Edges = list[tuple[str, str]]
_MALFORMED = (
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError),
    *(RuntimeError, AssertionError, MemoryError),
)


def load_nir(path: str | Path) -> nn.Module:
    """Read a NIR file as a network in evaluation mode.

    Args:
        path: an HDF5 file that `nir.write` made (of nir 1.0.4 or a later 1.0).

    Returns:
        `nn.Sequential` for a chain, otherwise a `torch.fx.GraphModule`. Neurons on the way to
        the output only (the readout) are left out: the network's outputs are their inputs.

    Raises:
        CheckpointError: the file is damaged or is not NIR.
        ModelError: a node has no counterpart (named, with what is supported), the graph has a
            loop, or it has several inputs or outputs.
    """
    from speck_adacal.ann.nir_file import read_nir_graph

    graph = read_nir_graph(Path(path))
    try:
        return nir_to_module(graph)
    except _MALFORMED as error:
        raise ModelError(
            f"The NIR graph in {path} is malformed ({type(error).__name__}: {error}); export it "
            "again."
        ) from error


def nir_to_module(graph: Any) -> nn.Module:
    """Turn an `nir.NIRGraph` into a network; see `load_nir`."""
    edges = [(str(a), str(b)) for a, b in graph.edges]
    nodes = {str(name): node for name, node in graph.nodes.items()}
    _refuse_names(nodes)
    order = _topological(nodes, edges)
    source = _only("Input", nodes)
    sink = _only("Output", nodes)
    modules: dict[str, nn.Module] = {}
    for name in order:
        if name in (source, sink):
            continue
        node = nodes[name]
        if type(node).__name__ in NEURONS:
            _fold_gain(name, neuron_gain(name, node), modules, edges)
            modules[name] = nn.ReLU()
        else:
            modules[name] = weighted_or_pooling(name, node)
    edges = _without_readout_neurons(modules, edges, sink)
    order = [name for name in order if name in modules]
    if not order:
        raise ModelError("The NIR graph has no layer between its input and its output.")
    if _chain(order, edges, source, sink):
        return _sequential(modules, order).eval()
    return _graph(modules, order, edges, source, sink).eval()


def _refuse_names(nodes: Mapping[str, Any]) -> None:
    """Modules are named after nodes, without dots."""
    taken: dict[str, str] = {}
    for name in nodes:
        other = taken.setdefault(name.replace(".", "_"), name)
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


def _fold_gain(
    name: str, gain: npt.NDArray[np.float64], modules: Mapping[str, nn.Module], edges: Edges
) -> None:
    """Multiply the weights that feed neurons `name` by their gain, per output channel."""
    before = [a for a, b in edges if b == name]
    module = modules.get(before[0]) if len(before) == 1 else None
    weighted = module if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear) else None
    if weighted is not None and len(gain) not in (1, len(weighted.weight)):
        raise ModelError(
            f"The NIR node {name!r} has {len(gain)} channels of thresholds, the layer "
            f"before it has {len(weighted.weight)} outputs; export the network again."
        )
    if np.all(gain == 1.0):
        return
    shared = sum(a == before[0] for a, _ in edges) > 1 if before else True
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


def _without_readout_neurons(modules: dict[str, nn.Module], edges: Edges, sink: str) -> Edges:
    """Leave out the ReLU that feeds the output and nothing else."""
    last = [a for a, b in edges if b == sink]
    if len(last) != 1 or not isinstance(modules.get(last[0]), nn.ReLU):
        return edges
    name = last[0]
    if any(a == name and b != sink for a, b in edges):
        return edges
    before = [a for a, b in edges if b == name]
    del modules[name]
    return [e for e in edges if name not in e] + [(a, sink) for a in before]


def _chain(order: list[str], edges: Edges, source: str, sink: str) -> bool:
    path = [source, *order, sink]
    return sorted(edges) == sorted(pairwise(path))


def _sequential(modules: Mapping[str, nn.Module], order: list[str]) -> nn.Module:
    return nn.Sequential(OrderedDict((name.replace(".", "_"), modules[name]) for name in order))


def _graph(
    modules: Mapping[str, nn.Module], order: list[str], edges: Edges, source: str, sink: str
) -> nn.Module:
    """A module for a branched graph; several edges into a node are summed, as NIR says."""
    graph = fx.Graph()
    values = {source: graph.placeholder("x")}

    def summed(name: str) -> fx.Node:
        inputs = [values[a] for a, b in edges if b == name and a in values]
        if not inputs:
            raise ModelError(f"The NIR node {name!r} is not fed from the input.")
        total = inputs[0]
        for value in inputs[1:]:
            total = graph.call_function(torch.add, (total, value))
        return total

    for name in order:
        values[name] = graph.call_module(name.replace(".", "_"), (summed(name),))
    graph.output(summed(sink))
    root = {name.replace(".", "_"): module for name, module in modules.items()}
    return fx.GraphModule(root, graph, class_name="NirNetwork")
