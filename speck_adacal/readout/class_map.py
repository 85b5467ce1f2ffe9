"""Which class an output spike means: the one map from neurons of the read-out core to classes.

What stands behind the last spiking neurons of a network (pooling, flattening) runs on no core: a
core shows its spikes before pooling. Which output each neuron adds to follows from these last
operations of the layer graph alone, so that it can be told for every bundle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.errors import ModelError
from speck_adacal.readout.decision import NO_DECISION

Ints = npt.NDArray[np.int64]

_BEHIND_NEURONS = (Kind.AVG_POOL, Kind.SUM_POOL, Kind.FLATTEN, Kind.ACTIVATION)


@dataclass(frozen=True, eq=False)
class ClassMap:
    """The class that each neuron of the read-out core stands for.

    Attributes:
        class_of: int64 `[channels, height, width]`; -1 where a neuron's spikes mean no class (it
            lies outside of all windows of the pooling).
        classes: number of classes, the network's outputs.
    """

    class_of: Ints
    classes: int

    def of(self, channel: npt.ArrayLike, y: npt.ArrayLike, x: npt.ArrayLike) -> Ints:
        """Class of each spike, int64 `[n]`, from its neuron's channel, row and column."""
        at = tuple(np.asarray(values, dtype=np.int64) for values in (channel, y, x))
        found: Ints = self.class_of[at]
        return found

    def total(self, values: npt.ArrayLike) -> Ints:
        """Sums over the neurons of each class.

        Args:
            values: int64 `[channels, height, width]`, one for each neuron.

        Returns:
            int64 `[classes]`.
        """
        found = np.zeros(self.classes, dtype=np.int64)
        meant = self.class_of != NO_DECISION
        np.add.at(found, self.class_of[meant], np.asarray(values)[meant])
        return found


def class_map_of(graph: LayerGraph) -> ClassMap:
    """The class map of a network with one output.

    Raises:
        ModelError: the output is not that of one layer with weights, or a neuron adds to several
            outputs, or neurons of one output weigh differently.
    """
    neurons, behind = read_out_layer(graph)
    shape = (*neurons.shape, 1, 1)[:3]
    share, weighed, squared = _sensitivity(graph, neurons, behind)
    meant = share > 0
    mean = weighed[meant] / share[meant]
    if not np.allclose(mean**2, squared[meant] / share[meant]):
        raise ModelError(
            f"A neuron of {neurons.name!r} adds to several outputs, but an output spike can stand "
            "for one class only: pool the last map without overlap."
        )
    if not meant.any() or not np.allclose(share[meant], share.max()):
        raise ModelError(
            f"Neurons of {neurons.name!r} weigh differently in the network's output, but the chip "
            "counts every spike alike: pool the last map with windows of one size that fit it."
        )
    found = np.full(share.shape, NO_DECISION, dtype=np.int64)
    found[meant] = np.rint(mean).astype(np.int64)
    return ClassMap(found.reshape(shape), int(np.prod(graph[graph.outputs[0]].shape)))


def read_out_layer(graph: LayerGraph) -> tuple[Node, tuple[Node, ...]]:
    """The layer with weights whose spikes are read out, and what stands behind it, in order.

    Raises:
        ModelError: there are several outputs, or the output is not that of one such layer.
    """
    if len(graph.outputs) != 1:
        raise ModelError(
            f"The network has {len(graph.outputs)} outputs ({', '.join(graph.outputs)}); one can "
            "be read out: wrap the model so that it returns only that one."
        )
    node, behind = graph[graph.outputs[0]], list[Node]()
    while node.kind in _BEHIND_NEURONS:
        behind.insert(0, node)
        node = graph[node.inputs[0]]
    if node.kind not in (Kind.CONV, Kind.LINEAR):
        raise ModelError(
            f"The network's output comes from {node.name!r} ({node.kind.value}), but one core is "
            "read out: put a convolution or linear layer behind it."
        )
    return node, tuple(behind)


def _sensitivity(
    graph: LayerGraph, neurons: Node, behind: tuple[Node, ...]
) -> tuple[npt.NDArray[np.float64], ...]:
    """Derivatives by each neuron's value of the sum of the outputs, of the sum weighed by the
    outputs' numbers, and of that weighed by their squares: what is behind is linear."""
    probe = torch.ones((1, *neurons.shape), dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        value = probe
        for node in behind:
            if node.kind is not Kind.ACTIVATION and node.module is not None:
                value = node.module(value)
        outputs = value.flatten()
        number = torch.arange(len(outputs), dtype=torch.float64)
        weights = (torch.ones_like(number), number, number**2)
        found = [
            torch.autograd.grad((outputs * weight).sum(), probe, retain_graph=True)[0]
            for weight in weights
        ]
    return tuple(gradient[0].numpy() for gradient in found)
