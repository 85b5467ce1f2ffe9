"""Which cores a layer fits, and which layers compete for the same cores."""

from __future__ import annotations

from collections.abc import Sequence

from speck_adacal.chip_description import ChipDescription
from speck_adacal.rules.shapes import LayerShape, Violation


def fitting_cores(layer: LayerShape, description: ChipDescription) -> tuple[int, ...]:
    """Indices of the cores whose memories hold the layer."""
    return tuple(
        index
        for index, core in enumerate(description.cores)
        if layer.kernel_words <= core.kernel and layer.neuron_words <= core.neuron
    )


def find_competition(
    layers: Sequence[LayerShape], description: ChipDescription
) -> tuple[Violation, ...]:
    """Whether every layer can have a core of its own; if not, the layers that compete.

    The competing set is the one Hall's theorem promises: layers that together fit fewer cores
    than they are.
    """
    options = [fitting_cores(layer, description) for layer in layers]
    owner: dict[int, int] = {}
    for index in range(len(layers)):
        seen: set[int] = set()
        if not _augment(index, options, owner, seen):
            rivals = sorted({index} | {owner[core] for core in seen})
            return (_competition(layers, rivals, len(seen)),)
    return ()


def _augment(
    layer: int, options: Sequence[Sequence[int]], owner: dict[int, int], seen: set[int]
) -> bool:
    """Find `layer` a core, moving other layers where needed (augmenting paths)."""
    for core in options[layer]:
        if core not in seen:
            seen.add(core)
            if core not in owner or _augment(owner[core], options, owner, seen):
                owner[core] = layer
                return True
    return False


def _competition(layers: Sequence[LayerShape], rivals: Sequence[int], cores: int) -> Violation:
    smallest = min((layers[i] for i in rivals), key=lambda layer: layer.kernel_words)
    return Violation(
        "mapping",
        ", ".join(layers[i].name for i in rivals),
        f"{len(rivals)} layers that fit only the same {cores} core{'s' if cores != 1 else ''}",
        "one core a layer",
        f"shrink one of them, {smallest.name} first, until it fits another core, or leave one out",
    )
