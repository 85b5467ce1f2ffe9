"""Going through a network node by node with ANN and spiking values side by side.

Every correction needs the spiking values that the corrected layers before it give; a pass keeps
only the values that later nodes still read, so nothing is ever run twice. Where large layers leave
no room for all samples, some begin the pass, and the others follow where the layers have become
small enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from speck_adacal.ann.graph import LayerGraph, Node
from speck_adacal.samples.batches import Batches
from speck_adacal.snn.network import SpikingNetwork, Value, run_in_order, run_nodes

LARGEST_LIVE = 1 << 28
"""Values that a pass keeps at once, of both networks and all samples: 1 GiB."""


class SideBySide:
    """ANN and spiking values of all inputs, up to the node last visited.

    Args:
        reference: the network as trained, whose values are to be met.
        network: the spiking network; its modules may be changed at each node.
        inputs: encoded samples, in batches.
        batches: gives the inputs their meaning.
        steps: T.
        largest: values that may be kept at once; the first batch always is.

    Attributes:
        ann: per batch that has come so far, live ANN values by node name.
        snn: per batch, live spiking values by node name.
        fewest: samples that the first layers saw.
    """

    def __init__(
        self,
        reference: LayerGraph,
        network: SpikingNetwork,
        inputs: Sequence[torch.Tensor],
        batches: Batches,
        steps: int,
        largest: int = LARGEST_LIVE,
    ) -> None:
        self._reference = reference
        self._network = network
        self._batches = batches
        self._steps = steps
        self._last = {name: n.name for n in reference.nodes for name in n.inputs}
        self._room = [largest // size for size in _largest_from(reference, self._last, steps)]
        self._waiting = list(inputs)
        self.ann: list[dict[str, torch.Tensor]] = []
        self.snn: list[dict[str, Value]] = []
        self._let_in(1)
        self.fewest = self.samples

    def __iter__(self) -> Iterator[Node]:
        """Each node after the input, its ANN value computed and its spiking value not yet.

        What the loop's body changes in the node's module is in force when the pass goes on.
        """
        for index, node in enumerate(self._reference.nodes[1:], start=1):
            self._let_in(index)
            module = node.module
            for values in self.ann:
                values[node.name] = module(*(values[i] for i in node.inputs))  # type: ignore[misc]
            yield node
            for spiking in self.snn:
                self._run(node, spiking)
            self._free(node)

    @property
    def samples(self) -> int:
        """How many samples have come so far."""
        return sum(len(next(iter(values.values()))) for values in self.ann)

    def _let_in(self, index: int) -> None:
        """Bring waiting batches up to node `index`, as many as there is room for from there on."""
        nodes = self._reference.nodes
        live = {n.name for n in nodes[:index]} & {i for n in nodes[index:] for i in n.inputs}
        came = self.samples
        while self._waiting and (not came or came + len(self._waiting[0]) <= self._room[index]):
            part = self._waiting.pop(0)
            came += len(part)
            ann = {nodes[0].name: self._batches.ann_input(part)}
            run_in_order(nodes[1:index], ann, live, (), _run_trained)
            snn = {nodes[0].name: (self._batches.snn_input(part), self._batches.is_analog)}
            self._network.reset(nodes[1:index])
            run_nodes(self._network, nodes[1:index], snn, self._steps, live)
            self.ann.append(ann)
            self.snn.append(snn)

    def _run(self, node: Node, values: dict[str, Value]) -> None:
        module = self._network.layer(node.name)
        if hasattr(module, "reset_states"):
            module.reset_states()  # type: ignore[operator]
        run_nodes(self._network, (node,), values, self._steps, values.keys())

    def _free(self, node: Node) -> None:
        for name in set(node.inputs):
            if self._last[name] == node.name:
                for ann, snn in zip(self.ann, self.snn, strict=True):
                    ann.pop(name, None)
                    snn.pop(name, None)


def _run_trained(node: Node, inputs: list[torch.Tensor], _spare: bool) -> torch.Tensor:
    value: torch.Tensor = node.module(*inputs)  # type: ignore[misc]
    return value


def _largest_from(graph: LayerGraph, last: dict[str, str], steps: int) -> list[int]:
    """Per node, the most values that a sample keeps alive at once at it or any later one."""
    live: dict[str, int] = {}
    sizes = []
    for node in graph.nodes:
        live[node.name] = (1 + steps) * math.prod(node.shape)
        sizes.append(sum(live.values()))
        for name in set(node.inputs):
            if last[name] == node.name:
                del live[name]
    for index in range(len(sizes) - 2, -1, -1):
        sizes[index] = max(sizes[index], sizes[index + 1])
    return sizes
