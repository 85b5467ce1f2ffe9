"""Going through a network node by node with ANN and spiking values side by side.

Every correction needs the spiking values that the corrected layers before it give; a pass keeps
only the values that later nodes still read, so nothing is ever run twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from speck_adacal.ann.graph import LayerGraph, Node
from speck_adacal.samples.batches import Batches
from speck_adacal.snn.network import SpikingNetwork, Value, run_nodes


class SideBySide:
    """ANN and spiking values of all inputs, up to the node last visited.

    Args:
        reference: the network as trained, whose values are to be met.
        network: the spiking network; its modules may be changed at each node.
        inputs: encoded samples kept in memory (already cut to what fits).
        batches: gives the inputs their meaning.

    Attributes:
        ann: per batch, live ANN values by node name.
        snn: per batch, live spiking values by node name.
    """

    def __init__(
        self,
        reference: LayerGraph,
        network: SpikingNetwork,
        inputs: Sequence[torch.Tensor],
        batches: Batches,
        steps: int,
    ) -> None:
        self._reference = reference
        self._network = network
        self._steps = steps
        start = reference.nodes[0].name
        self.ann = [{start: batches.ann_input(p)} for p in inputs]
        self.snn: list[dict[str, Value]] = [
            {start: (batches.snn_input(p), batches.is_analog)} for p in inputs
        ]
        self._last = {name: n.name for n in reference.nodes for name in n.inputs}

    def __iter__(self) -> Iterator[Node]:
        """Each node after the input, its ANN value computed and its spiking value not yet.

        What the loop's body changes in the node's module is in force when the pass goes on.
        """
        for node in self._reference.nodes[1:]:
            module = node.module
            for values in self.ann:
                values[node.name] = module(*(values[i] for i in node.inputs))  # type: ignore[misc]
            yield node
            for spiking in self.snn:
                self._run(node, spiking)
            self._free(node)

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
