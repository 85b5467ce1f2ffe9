"""What a chip is: memories, limits, bit widths, latency and idle power, from `chip_configs/*.toml`.

Each number stands once, in the TOML file of its chip, with unit, source and grade.
"""

from speck_adacal.chip_description.chip_files import (
    DEFAULT_CHIP,
    known_boards,
    known_chips,
    load_chip_description,
    read_chip_description,
    usual_board,
)
from speck_adacal.chip_description.core_memory import (
    core_memory_use,
    kernel_memory_words,
    neuron_memory_words,
)
from speck_adacal.chip_description.description import (
    RAILS,
    Board,
    ChipDescription,
    ChipLimits,
    CoreMemory,
    Quantity,
)
from speck_adacal.chip_description.device_names import DeviceName, chip_named, parse_device

__all__ = [
    "DEFAULT_CHIP",
    "RAILS",
    "Board",
    "ChipDescription",
    "ChipLimits",
    "CoreMemory",
    "DeviceName",
    "Quantity",
    "chip_named",
    "core_memory_use",
    "kernel_memory_words",
    "known_boards",
    "known_chips",
    "load_chip_description",
    "neuron_memory_words",
    "parse_device",
    "read_chip_description",
    "usual_board",
]
