"""Networks in: tracing to a layer graph, folding, checkpoints."""

from speck_adacal.ann.graph import Kind, LayerGraph, Node
from speck_adacal.ann.trace import trace

__all__ = ["Kind", "LayerGraph", "Node", "trace"]
