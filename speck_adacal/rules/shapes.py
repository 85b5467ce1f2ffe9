"""What the design rules look at, and what they find."""

from __future__ import annotations

from dataclasses import dataclass

from speck_adacal.chip_description import kernel_memory_words, neuron_memory_words
from speck_adacal.core_layers import FoldedLayer


@dataclass(frozen=True)
class LayerShape:
    """What the rules need of a layer: its shapes, known before any training.

    Attributes:
        name: the layer's name in the model.
        in_shape: `(channels, height, width)` of the input map.
        out_shape: `(channels, height, width)` of the neuron map, before pooling.
        kernel: `(y, x)`.
        stride: `(y, x)`.
        padding: `(y, x)`.
        pool: edge of the sum pooling behind the neurons.
    """

    name: str
    in_shape: tuple[int, int, int]
    out_shape: tuple[int, int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    pool: int

    @classmethod
    def of(cls, layer: FoldedLayer) -> LayerShape:
        """The shape of a folded layer."""
        return cls(
            name=layer.name,
            in_shape=layer.in_shape,
            out_shape=layer.out_shape,
            kernel=(layer.weight.shape[2], layer.weight.shape[3]),
            stride=layer.stride,
            padding=layer.padding,
            pool=layer.pool,
        )

    @property
    def kernel_words(self) -> int:
        """8-bit words of kernel memory the layer takes on a core."""
        return kernel_memory_words(self.in_shape[0], self.out_shape[0], self.kernel)

    @property
    def neuron_words(self) -> int:
        """16-bit words of neuron memory the layer takes on a core."""
        return neuron_memory_words(*self.out_shape)


@dataclass(frozen=True)
class Violation:
    """One broken rule.

    Attributes:
        rule: the rule's id.
        layer: name of the layer, or of the layers that compete.
        found: what was found, in words with its unit.
        limit: what is allowed, in words with its unit.
        fix: the smallest change that would satisfy the rule.
        severity: `"error"` where the chip cannot hold the network, `"warning"` where it can but
            will compute something else than meant.
    """

    rule: str
    layer: str
    found: str
    limit: str
    fix: str
    severity: str = "error"

    def __str__(self) -> str:
        return f"[{self.rule}] {self.layer}: {self.found}, allowed {self.limit}; {self.fix}"
