"""Exact rewritings of a layer graph: the same function, in fewer or other operations.

Each is a pure function `LayerGraph -> LayerGraph` that leaves the outputs as they are to float
tolerance. They know what a core of the chip can do, not how a network is put on it.
"""

from speck_adacal.ann.rewriting.linear_maps import merge_linear_maps

__all__ = ["merge_linear_maps"]
