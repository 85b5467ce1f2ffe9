"""Operations that no core can do, and what to use instead."""

from __future__ import annotations

from collections.abc import Collection

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.chip.geometry import place
from speck_adacal.errors import ModelError

REPLACEMENTS = {
    Kind.MAX_POOL: "replace max pooling by average pooling and train again",
    Kind.ACTIVATION: "put a convolution or linear layer before the activation",
    Kind.SCALE: "place the batch norm directly behind a convolution so that it can be folded",
    Kind.SUBSAMPLE: "use a stride in the convolution before it",
    Kind.PAD: "use the padding of the convolution after it",
    Kind.ROUTE: "leave channels and maps where they lie, or move them on the host",
    Kind.AFFINE: "use a batch norm directly behind a convolution, so that it can be folded",
    Kind.TOKEN_LINEAR: "use a 1 × 1 convolution on maps, or a linear layer on all of it flattened",
    Kind.TRANSPOSED: "use convolutions, and make larger maps on the host",
    Kind.FUNCTION: "train the network with ReLU and sums instead; in time steps it runs as it is",
    Kind.SIGNED: "train the network with ReLU; in time steps it runs as it is",
}


def refuse_operations(graph: LayerGraph, kinds: Collection[Kind]) -> None:
    """Refuse a network with operations of some kinds.

    Raises:
        ModelError: naming the first.
    """
    for node in graph.of_kind(*kinds):
        raise refused_operation(node)


def refused_operation(node: Node) -> ModelError:
    """The error for an operation that no core can do."""
    return ModelError(
        f"{place(node)} is a {node.kind.value} operation, which no Speck core can do; "
        "a core is a convolution, spiking neurons and sum pooling, so "
        f"{REPLACEMENTS.get(node.kind, 'replace it by those')}."
    )
