"""Addresses of neurons, weights and biases in a core's memories.

Neurons as sinabs computes them: feature in the lowest bits, then x, then y, each as wide as its
size needs; y starts above the wider of x and y, which is sinabs' own place where it is unique.
Weights (assumed; not public): output feature lowest, then kernel position, then input feature, as
the formula for the kernel memory suggests. Biases: the feature.
"""

from __future__ import annotations

from dataclasses import dataclass

from speck_adacal.twin.program import CoreProgram


def bits(count: int) -> int:
    """Bits that numbers below `count` need."""
    return max(count - 1, 0).bit_length()


@dataclass(frozen=True)
class NeuronPlace:
    """A neuron of a core: feature, row, column."""

    feature: int
    y: int
    x: int


def neuron_place(core: CoreProgram, address: int) -> NeuronPlace | None:
    """The neuron at an address, None if the map has none there."""
    features, height, width = core.out_shape
    low = bits(features)
    above = low + max(bits(height), bits(width))
    feature = address & ((1 << low) - 1)
    x = (address & ((1 << above) - 1)) >> low
    y = address >> above
    if feature < features and y < height and x < width:
        return NeuronPlace(feature, y, x)
    return None


def weight_place(core: CoreProgram, address: int) -> tuple[int, int, int, int] | None:
    """`(out, in, ky, kx)` of the weight at an address, None if the kernel has none there."""
    out_features, in_features, kernel, _ = core.weights.shape
    low, middle = bits(out_features), bits(kernel * kernel)
    out = address & ((1 << low) - 1)
    position = (address >> low) & ((1 << middle) - 1)
    source = address >> (low + middle)
    if out < out_features and position < kernel * kernel and source < in_features:
        return out, source, position // kernel, position % kernel
    return None
