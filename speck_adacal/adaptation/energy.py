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

from speck_adacal.ann.graph import Kind, LayerGraph


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
    """Multiply-accumulates per sample of every layer with weights, by node name."""
    return {
        node.name: int(np.prod(node.shape)) * _fan_in(node.module)
        for node in graph.of_kind(Kind.CONV, Kind.LINEAR)
    }


def _fan_in(module: nn.Module | None) -> int:
    """Weights that meet in one output value."""
    weight = getattr(module, "weight", None)
    return 0 if weight is None else int(np.prod(weight.shape[1:]))
