"""Addresses of neurons, weights and biases in a core's memories.

Neurons as sinabs computes them: feature in the lowest bits, then x, then y, each as wide as its
size needs; y starts above the wider of x and y, which is sinabs' own place where it is unique.
Weights (assumed; not public): output feature lowest, then kernel position, then input feature, as
the formula for the kernel memory suggests. Biases: the feature.
"""

from __future__ import annotations

from dataclasses import dataclass

from speck_adacal.twin.program import CoreProgram
from speck_adacal.twin.simulator import Twin


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


class AddressedMemories:
    """Weights and biases of a running twin by their addresses, read and written in place."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def read_weight(self, core: int, address: int) -> int:
        """A weight; 0 for a word that the kernel does not use."""
        place = weight_place(self._twin.program.cores[core], address)
        return 0 if place is None else self._twin.read_weight(core, place)

    def write_weight(self, core: int, address: int, value: int) -> None:
        """Set a weight; a word that the kernel does not use is left alone."""
        place = weight_place(self._twin.program.cores[core], address)
        if place is not None:
            self._twin.write_weight(core, place, value)

    def read_bias(self, core: int, address: int) -> int:
        """A bias; 0 beyond the features."""
        return self._twin.read_bias(core, address) if self._has_bias(core, address) else 0

    def write_bias(self, core: int, address: int, value: int) -> None:
        """Set a bias; nothing happens beyond the features."""
        if self._has_bias(core, address):
            self._twin.write_bias(core, address, value)

    def _has_bias(self, core: int, address: int) -> bool:
        return address < self._twin.program.cores[core].out_shape[0]
