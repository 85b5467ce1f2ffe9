"""Addresses of neurons, weights and biases in a core's memories.

Neurons as sinabs computes them: feature in the lowest bits, then x, then y, each as wide as its
size needs; y starts above the wider of x and y, which is sinabs' own place where it is unique.
Weights (assumed; not public): output feature lowest, then kernel position, then input feature, as
the formula for the kernel memory suggests. Biases: the feature.
"""

from __future__ import annotations

from dataclasses import dataclass

from speck_adacal.twin import layout as at
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


class CoreMemoryAccess:
    """Weights and biases of a running twin, read and written in place."""

    def __init__(self, twin: Twin) -> None:
        self._cores = twin.program.cores
        self._layout = twin._plan.layout  # the arrays that the kernel reads

    def read_weight(self, core: int, address: int) -> int:
        """A weight; 0 for a word that the kernel does not use."""
        index = self._weight_index(self._cores[core], address)
        return 0 if index is None else int(self._layout.weights[index])

    def write_weight(self, core: int, address: int, value: int) -> None:
        """Set a weight; a word that the kernel does not use is left alone."""
        index = self._weight_index(self._cores[core], address)
        if index is not None:
            self._layout.weights[index] = value

    def read_bias(self, core: int, address: int) -> int:
        """A bias; 0 beyond the features."""
        index = self._bias_index(self._cores[core], address)
        return 0 if index is None else int(self._layout.bias[index])

    def write_bias(self, core: int, address: int, value: int) -> None:
        """Set a bias; nothing happens beyond the features."""
        index = self._bias_index(self._cores[core], address)
        if index is not None:
            self._layout.bias[index] = value

    def _weight_index(self, core: CoreProgram, address: int) -> int | None:
        """Place in the layout, which groups kernel columns by stride phase, last tap first."""
        place = weight_place(core, address)
        if place is None:
            return None
        out, source, ky, kx = place
        kernel, stride = core.kernel_size[1], core.stride[1]
        columns = [k for phase in range(stride) for k in range(phase, kernel, stride)[::-1]]
        start = int(self._layout.table[core.index, at.WEIGHTS_AT])
        row = (source * kernel + ky) * kernel + columns.index(kx)
        return start + row * core.out_shape[0] + out

    def _bias_index(self, core: CoreProgram, address: int) -> int | None:
        if address >= core.out_shape[0]:
            return None
        return int(self._layout.table[core.index, at.BIAS_AT]) + address
