"""The chip's nine cores to scale: memories as areas proportional to their size, filled by use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from speck_adacal.chip_description import load_chip_description
from speck_adacal.reporting.summary import LayerRow

_KERNEL_BYTES, _NEURON_BYTES = 1, 2


@dataclass(frozen=True)
class MemoryArea:
    """One memory of a core; all are equally high, so that areas go as sizes in bytes.

    Attributes:
        name: `"kernel"` or `"neuron"`.
        used, available: words.
        width: KiB, the width it is drawn with.
        left: where it begins, in the same units.
    """

    name: str
    used: int
    available: int
    width: float
    left: float

    @property
    def share(self) -> float:
        """Part in use, 0 to 1."""
        return self.used / self.available


@dataclass(frozen=True)
class CoreTile:
    """A core with its layer (None where it is free) and its two memories."""

    core: int
    layer: str | None
    memories: tuple[MemoryArea, MemoryArea]


def core_map(chip: str, rows: Sequence[LayerRow]) -> tuple[CoreTile, ...]:
    """Every core of the chip, in order.

    Raises:
        ConfigurationError: the chip is not known.
    """
    held = {row.core: row for row in rows}
    tiles = []
    for core, memory in enumerate(load_chip_description(chip).cores):
        row = held.get(core)
        kernel = memory.kernel * _KERNEL_BYTES / 1024
        neuron = memory.neuron * _NEURON_BYTES / 1024
        areas = (
            MemoryArea("kernel", row.kernel_used if row else 0, memory.kernel, kernel, 0),
            MemoryArea("neuron", row.neuron_used if row else 0, memory.neuron, neuron, kernel + 4),
        )
        tiles.append(CoreTile(core, row.name if row else None, areas))
    return tuple(tiles)
