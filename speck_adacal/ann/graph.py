"""The layer graph: what every network becomes after tracing, and the one form that is converted."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

import torch
from torch import nn

from speck_adacal.errors import ModelError


class Kind(str, Enum):
    """What a node does. Every module of a node maps `[batch, *in] -> [batch, *out]`."""

    INPUT = "input"
    CONV = "conv"  # nn.Conv1d | nn.Conv2d, batch norm folded in
    LINEAR = "linear"  # nn.Linear, batch norm folded in
    SCALE = "scale"  # per-channel affine that could not be folded into a layer with weights
    ACTIVATION = "activation"  # Rectifier: ReLU, optionally clipped from above
    SIGNED = "signed"  # Signed: nothing; its neurons turn values of both signs to spikes
    AVG_POOL = "avg_pool"  # nn.AvgPool1d | nn.AvgPool2d
    SUM_POOL = "sum_pool"  # sinabs.layers.SumPool2d
    MAX_POOL = "max_pool"  # nn.MaxPool1d | nn.MaxPool2d
    FLATTEN = "flatten"  # nn.Flatten(start_dim=1)
    ADD = "add"  # sum of the inputs
    CONCAT = "concat"  # concatenation along channels
    SUBSAMPLE = "subsample"  # strided slice of the spatial axes
    PAD = "pad"  # zero padding (spatial or channels)
    FUNCTION = "function"  # any other function of one or several values (ann/functions.py)
    ROUTE = "route"  # linear without weights: layouts, resampling, means, joins on any axis
    AFFINE = "affine"  # a constant factor and summand for each value
    TOKEN_LINEAR = "token_linear"  # nn.Linear on the last of several axes
    TRANSPOSED = "transposed_conv"  # nn.ConvTranspose1d | nn.ConvTranspose2d
    UNSUPPORTED = "unsupported"  # StandIn: an operation that cannot be converted


WEIGHTED = (Kind.CONV, Kind.LINEAR, Kind.TOKEN_LINEAR, Kind.TRANSPOSED)
"""Kinds of layers with weights."""
NO_CORE = (
    Kind.ROUTE,
    Kind.AFFINE,
    Kind.TOKEN_LINEAR,
    Kind.TRANSPOSED,
    Kind.FUNCTION,
    Kind.SIGNED,
)
"""Kinds that no core can do and nothing rewrites: networks in time steps only have them."""
SPIKING = (Kind.ACTIVATION, Kind.SIGNED)
"""Kinds that become neurons."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of a traced network.

    Attributes:
        name: unique name; for modules the dotted path in the model with `.` kept, made unique
            by a suffix `#2`, `#3` where a module is used more than once.
        kind: see `Kind`.
        inputs: names of the nodes that feed this one, in argument order.
        module: maps the inputs' tensors to the output tensor; `None` for the input only.
        shape: output shape without the batch axis.
        source: where the operation stands in the user's code, for messages.
        relay: of an activation whose last channel relays a constant (see `rewriting`), that
            channel's threshold; 0 for all others.
        channel_axis: the axis of `shape` that holds channels: the first, or the last behind a
            linear layer on the last axis.
    """

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    module: nn.Module | None
    shape: tuple[int, ...]
    source: str = ""
    relay: float = 0.0
    channel_axis: int = 0

    @property
    def channels(self) -> int:
        """How many channels it has."""
        return self.shape[self.channel_axis]


@dataclass(frozen=True)
class ClippedActivation:
    """An activation that is cut off from above, as by ReLU6, Hardtanh or clamp.

    Attributes:
        node: name of its node.
        upper: the bound, in units of the activation.
        source: where it stands in the user's code.
    """

    node: str
    upper: float
    source: str


@dataclass(frozen=True, eq=False)
class LayerGraph:
    """A traced network in topological order; `nodes[0]` is the input.

    Attributes:
        nodes: operations in an order in which they can be run.
        outputs: names of the output nodes.
        input_shape: shape of one input without the batch axis.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    input_shape: tuple[int, ...]

    def __getitem__(self, name: str) -> Node:
        for node in self.nodes:
            if node.name == name:
                return node
        raise ModelError(f"The layer graph has no node {name!r}; it has {self.names}.")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all nodes, in order."""
        return tuple(node.name for node in self.nodes)

    @property
    def largest_layer(self) -> int:
        """Values that a sample has at the largest node."""
        return max(math.prod(node.shape) for node in self.nodes)

    def of_kind(self, *kinds: Kind) -> tuple[Node, ...]:
        """The nodes of the given kinds, in order."""
        return tuple(node for node in self.nodes if node.kind in kinds)

    def clipped_activations(self) -> tuple[ClippedActivation, ...]:
        """The activations with an upper bound, in order."""
        found = ((n, getattr(n.module, "upper", None)) for n in self.of_kind(Kind.ACTIVATION))
        return tuple(
            ClippedActivation(node.name, float(upper), node.source)
            for node, upper in found
            if upper is not None
        )

    def consumers(self, name: str) -> tuple[Node, ...]:
        """The nodes that read `name`, in order."""
        return tuple(node for node in self.nodes if name in node.inputs)

    def sole_readers(self) -> frozenset[str]:
        """Nodes whose first input is a new tensor that only they read, and may overwrite."""
        found = set()
        for node in self.nodes[1:]:
            source = self[node.inputs[0]]
            new = source.kind in WEIGHTED or len(source.inputs) > 1
            if new and len(self.consumers(source.name)) == 1:
                found.add(node.name)
        return frozenset(found)

    def read_after(self, name: str) -> frozenset[str]:
        """Nodes whose values are still needed once node `name` has run, the outputs included."""
        later = self.nodes[self.names.index(name) + 1 :]
        return frozenset({n for node in later for n in node.inputs} | {*self.outputs})

    def run(
        self,
        x: torch.Tensor,
        *,
        replace: Mapping[str, nn.Module] | None = None,
        keep: Collection[str] = (),
    ) -> dict[str, torch.Tensor]:
        """Run the graph on a batch.

        Args:
            x: `[batch, *input_shape]`.
            replace: modules to run instead of a node's own, by node name.
            keep: nodes whose values are returned beside the outputs'. Everything else is
                freed as soon as its last reader has run.

        Returns:
            Values of the outputs and of `keep`, by node name.
        """
        wanted = {*self.outputs, *keep}
        last_reader = {name: node.name for node in self.nodes for name in node.inputs}
        values = {self.nodes[0].name: x}
        for node in self.nodes[1:]:
            module = (replace or {}).get(node.name, node.module)
            if module is None:
                raise ModelError(f"Node {node.name!r} has no module to run.")
            values[node.name] = module(*(values[name] for name in node.inputs))
            for name in set(node.inputs):
                if last_reader[name] == node.name and name not in wanted:
                    del values[name]
        return {name: values[name] for name in self.names if name in wanted}
