"""Networks from NIR files, as the ANN whose rates the spiking network stands for.

An integrate-and-fire node that subtracts its threshold fires at the rate `ReLU(r·z) / θ` per time
step for a steady input z. So each such node becomes a ReLU, and `r / θ` goes into the weights of
the layer before it; conversion to spikes then finds thresholds anew. Leaky neurons have no such
ANN and are refused.

Source of the nodes' equations: NIR (Pedersen et al. 2024), the docstrings of its primitives.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from torch import nn

from speck_adacal.ann.nir_graph import nir_modules, read_with
from speck_adacal.ann.nir_layers import neuron_gain

log = logging.getLogger("speck_adacal.ann")


def load_nir(path: str | Path) -> nn.Module:
    """Read a NIR file as a network in evaluation mode.

    Args:
        path: an HDF5 file that `nir.write` made (of nir 1.0.4 or a later 1.0).

    Returns:
        `nn.Sequential` for a chain, otherwise a `torch.fx.GraphModule`. Neurons on the way to
        the output only (the readout) are left out: the network's outputs are their inputs. A line
        of the log says where neurons were taken for rectifiers.

    Raises:
        CheckpointError: the file is damaged or is not NIR.
        ModelError: a node has no counterpart (named, with what is supported), the graph has a
            loop, or it has several inputs or outputs.
    """
    network = read_with(Path(path), nir_to_module)
    if any(isinstance(module, nn.ReLU) for module in network.modules()):
        log.warning(
            "%s holds spiking neurons, which are taken here for the rectifiers that their rates "
            "are like; thresholds are found anew. `speck-adacal import` (from_sinabs) keeps them.",
            path,
        )
    return network


def nir_to_module(graph: Any) -> nn.Module:
    """Turn an `nir.NIRGraph` into a network; see `load_nir`."""
    parts, modules = nir_modules(graph, lambda name, node: (nn.ReLU(), neuron_gain(name, node)))
    last = parts.before(parts.sink)
    if len(last) == 1 and isinstance(modules.get(last[0]), nn.ReLU) and parts.ends(last[0]):
        parts = parts.without(last[0])
    return parts.network(modules)
