"""How many cores read a layer's spikes: a core has a limited number of destinations."""

from __future__ import annotations

from collections.abc import Sequence

from speck_adacal.chip_description import ChipDescription
from speck_adacal.core_layers import FoldedLayer
from speck_adacal.rules.shapes import Violation


def readers(layers: Sequence[FoldedLayer], position: int) -> tuple[int, ...]:
    """Positions of the layers that read the spikes of layer `position`."""
    return tuple(i for i, layer in enumerate(layers) if position in layer.sources)


def is_chain(layers: Sequence[FoldedLayer]) -> bool:
    """Whether each layer reads the one before it and nothing else."""
    return all(layer.sources == ((i - 1,) if i else ()) for i, layer in enumerate(layers))


def check_fan_out(
    layers: Sequence[FoldedLayer], description: ChipDescription
) -> tuple[Violation, ...]:
    """A violation for every layer that is read by more cores than it has destinations."""
    limit = description.limits.fan_out
    found = []
    for position, layer in enumerate(layers):
        names = [layers[i].name for i in readers(layers, position)]
        if len(names) > limit:
            found.append(
                Violation(
                    "fan-out",
                    layer.name,
                    f"read by {len(names)} layers ({', '.join(names)})",
                    f"{limit} destinations a core",
                    f"put a convolution with a ReLU between the additions before {names[limit]}, "
                    "so that it reads that layer instead",
                )
            )
    return tuple(found)
