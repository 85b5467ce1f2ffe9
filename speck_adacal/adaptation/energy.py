"""Energy estimates by the convention of the field: operations times energy per operation.

The constants are those of 45 nm CMOS arithmetic (Horowitz, ISSCC 2014), as the paper uses them:
4.6 pJ for a 32-bit multiply-accumulate, 0.9 pJ for an accumulate. They compare networks; they are
not what a Speck draws, for which no figure per SynOp is published.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import nn

from speck_adacal.ann.functions import Function
from speck_adacal.ann.graph import SPIKING, WEIGHTED, Kind, LayerGraph, Node


@dataclass(frozen=True)
class EnergyConstants:
    """Energy per operation in pJ; override to compare under other assumptions."""

    mac_pj: float = 4.6
    ac_pj: float = 0.9
    source: str = "45 nm CMOS convention, 4.6 pJ a MAC and 0.9 pJ an AC"


@dataclass(frozen=True)
class ConversionEnergy:
    """Estimated energy of one sample, before and after conversion.

    Attributes:
        macs: multiply-accumulates of one pass of the trained network.
        synops: synaptic operations of the spiking one.
        ann_nj, snn_nj: energies in nJ.
        convention: where the constants come from. Always an estimate.
    """

    macs: int
    synops: float
    ann_nj: float
    snn_nj: float
    convention: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"kind": "estimated", **asdict(self)}


def estimate_energy(
    graph: LayerGraph, synops: float, constants: EnergyConstants | None = None
) -> ConversionEnergy:
    """Compare one pass of the network with `synops` synaptic operations."""
    constants = constants or EnergyConstants()
    macs = sum(count_macs(graph).values())
    return ConversionEnergy(
        macs=macs,
        synops=synops,
        ann_nj=macs * constants.mac_pj / 1000,
        snn_nj=synops * constants.ac_pj / 1000,
        convention=constants.source,
    )


def count_macs(graph: LayerGraph) -> dict[str, int]:
    """Multiply-accumulates per sample of every layer with weights and every function, by name."""
    counted = graph.of_kind(*WEIGHTED, Kind.FUNCTION)
    return {node.name: _macs_of(graph, node) for node in counted}


def macs_of_step(graph: LayerGraph, *, analog_input: bool) -> float:
    """Multiply-accumulates of each time step of the spiking network, a sample.

    Layers with weights multiply where what they read is not spikes: an analog input, the values of
    another such layer, or of a function. Functions on running totals multiply at every step; each
    value that they read is divided by the step's number, and each that they give multiplied by it.

    Args:
        graph: the network.
        analog_input: whether its input is analog, the same at every step.
    """
    macs, total = count_macs(graph), 0.0
    analog = {graph.nodes[0].name} if analog_input else set()
    for node in graph.nodes[1:]:
        reads = any(name in analog for name in node.inputs)
        if node.kind is Kind.FUNCTION:
            total += macs[node.name] + np.prod(node.shape)
            total += sum(np.prod(graph[name].shape) for name in node.inputs)
        elif node.kind in WEIGHTED:
            total += macs[node.name] * reads
        elif node.kind in SPIKING or not reads:
            continue
        analog.add(node.name)
    return float(total)


def _macs_of(graph: LayerGraph, node: Node) -> int:
    if isinstance(node.module, Function):
        shapes = [graph[name].shape for name in node.inputs]
        return node.module.multiplications(shapes, node.shape)
    at = graph[node.inputs[0]].shape if node.kind is Kind.TRANSPOSED else node.shape
    return int(np.prod(at)) * _fan_in(node.module)


def _fan_in(module: nn.Module | None) -> int:
    """Weights that meet in one output value (of a transposed convolution: that leave an input)."""
    weight = getattr(module, "weight", None)
    return 0 if weight is None else int(np.prod(weight.shape[1:]))
