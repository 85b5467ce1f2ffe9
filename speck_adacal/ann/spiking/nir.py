"""NIR graphs of integrate-and-fire neurons as networks of sinabs, thresholds kept.

NIR has no lower bound of a membrane potential. As in sinabs' own reader it is one threshold below
zero, unless the neurons' metadata say otherwise, as in the files that this package exports.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import sinabs.layers as sl
import torch
from torch import nn

from speck_adacal.ann import nir_import as reader
from speck_adacal.ann.nir_file import read_nir_graph
from speck_adacal.ann.nir_layers import NEURONS, neuron_gain, weighted_or_pooling
from speck_adacal.ann.spiking.neurons import INITIAL
from speck_adacal.errors import ModelError

Floats = npt.NDArray[np.float64]


def load_spiking_nir(path: Path) -> tuple[nn.Module, tuple[int, ...] | None]:
    """Read a NIR file; see `nir_to_spiking`.

    Raises:
        CheckpointError: the file is damaged or is not NIR.
        ModelError: as there, or the graph is malformed.
    """
    graph = read_nir_graph(path)
    try:
        return nir_to_spiking(graph)
    except reader._MALFORMED as error:
        raise ModelError(
            f"The NIR graph in {path} is malformed ({type(error).__name__}: {error}); export it "
            "again."
        ) from error


def nir_to_spiking(graph: Any) -> tuple[nn.Module, tuple[int, ...] | None]:
    """An `nir.NIRGraph` as a network with sinabs' spiking layers, and its input's shape.

    Raises:
        ModelError: a node has no counterpart or leaks (named), the graph has a loop, or several
            inputs or outputs.
    """
    edges = [(str(a), str(b)) for a, b in graph.edges]
    nodes = {str(name): node for name, node in graph.nodes.items()}
    order = reader._topological(nodes, edges)
    source, sink = reader._only("Input", nodes), reader._only("Output", nodes)
    modules: dict[str, nn.Module] = {}
    for name in order:
        if name in (source, sink):
            continue
        node = nodes[name]
        if type(node).__name__ in NEURONS:
            reader._fold_gain(name, _resistance(name, node), modules, edges)
            modules[name] = _neurons(name, node)
        else:
            modules[name] = weighted_or_pooling(name, node)
    order = [name for name in order if name in modules]
    if not order:
        raise ModelError("The NIR graph has no layer between its input and its output.")
    if reader._chain(order, edges, source, sink):
        network = reader._sequential(modules, order)
    else:
        network = reader._graph(modules, order, edges, source, sink)
    return network.eval(), _shape(nodes[source])


def _resistance(name: str, node: Any) -> Floats:
    neuron_gain(name, node)  # refuses leaks, and what is not positive or not finite
    threshold, resistance = np.broadcast_arrays(
        np.asarray(node.v_threshold, dtype=np.float64), np.asarray(node.r, dtype=np.float64)
    )
    rows = resistance.reshape(threshold.shape[0] if threshold.ndim else 1, -1)
    if not np.all(rows == rows[:, :1]):
        raise ModelError(f"The NIR node {name!r} has resistances that differ within a channel.")
    return np.ascontiguousarray(rows[:1, 0] if np.ptp(rows[:, 0]) == 0 else rows[:, 0])


def _neurons(name: str, node: Any) -> nn.Module:
    threshold = torch.as_tensor(np.asarray(node.v_threshold, dtype=np.float32))
    reset = getattr(node, "v_reset", None)
    if reset is not None and np.any(np.asarray(reset) != 0):
        raise ModelError(
            f"The NIR node {name!r} resets to {np.asarray(reset).min():g}; neurons of the chip "
            "subtract their threshold: use v_reset = 0."
        )
    known: Mapping[str, Any] = getattr(node, "metadata", None) or {}
    lowest: Any = -threshold
    if "threshold_low" in known:
        lowest = float(np.asarray(known["threshold_low"]))
    module: nn.Module = sl.IAFSqueeze(batch_size=1, spike_threshold=threshold, min_v_mem=lowest)
    if "initial" in known:
        setattr(module, INITIAL, np.asarray(known["initial"], dtype=np.float64))
    return module


def _shape(node: Any) -> tuple[int, ...] | None:
    found = np.asarray(node.input_type.get("input", ())).ravel()
    return tuple(int(n) for n in found) if found.size and min(found) > 0 else None
