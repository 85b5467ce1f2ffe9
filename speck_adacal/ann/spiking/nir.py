"""NIR graphs of integrate-and-fire neurons as networks of sinabs, thresholds kept.

NIR has no lower bound of a membrane potential. As in sinabs' own reader it is one threshold below
zero for IF and open for LIF, unless the neurons' metadata say otherwise, as in the files that this
package exports.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sinabs.layers as sl
import torch
from torch import nn

from speck_adacal.ann.nir_graph import nir_modules, read_with
from speck_adacal.ann.nir_layers import neuron_resistance
from speck_adacal.ann.spiking.neurons import INITIAL
from speck_adacal.errors import ModelError


def load_spiking_nir(path: Path) -> tuple[nn.Module, tuple[int, ...] | None]:
    """Read a NIR file; see `nir_to_spiking`.

    Raises:
        CheckpointError: the file is damaged or is not NIR.
        ModelError: as there, or the graph is malformed.
    """
    return read_with(path, nir_to_spiking)


def nir_to_spiking(graph: Any) -> tuple[nn.Module, tuple[int, ...] | None]:
    """An `nir.NIRGraph` as a network with sinabs' spiking layers, and its input's shape.

    Raises:
        ModelError: a node has no counterpart or leaks (named), the graph has a loop, or several
            inputs or outputs.
    """
    parts, modules = nir_modules(
        graph, lambda name, node: (_neurons(name, node), neuron_resistance(name, node))
    )
    return parts.network(modules), _shape(parts.nodes[parts.source])


def _neurons(name: str, node: Any) -> nn.Module:
    threshold = torch.as_tensor(np.asarray(node.v_threshold, dtype=np.float32))
    reset = getattr(node, "v_reset", None)
    if reset is not None and np.any(np.asarray(reset) != 0):
        raise ModelError(
            f"The NIR node {name!r} resets to {np.asarray(reset).min():g}; neurons of the chip "
            "subtract their threshold: use v_reset = 0."
        )
    known: Mapping[str, Any] = getattr(node, "metadata", None) or {}
    lowest: Any = None if type(node).__name__ == "LIF" else -threshold
    if "threshold_low" in known:
        lowest = float(np.asarray(known["threshold_low"]))
    module: nn.Module = sl.IAFSqueeze(batch_size=1, spike_threshold=threshold, min_v_mem=lowest)
    if "initial" in known:
        setattr(module, INITIAL, np.asarray(known["initial"], dtype=np.float64))
    return module


def _shape(node: Any) -> tuple[int, ...] | None:
    found = np.asarray(node.input_type.get("input", ())).ravel()
    return tuple(int(n) for n in found) if found.size and min(found) > 0 else None
