"""The chips that sinabs does not know, made known to it: the one place where its own list ends.

sinabs 3.1 has classes for speck2e and speck2f, with their memories written into them
(`sinabs.backend.dynapcnn.chips`). A chip that only has a description here is given to sinabs as
one more of that kind, with the memories of its description. sinabs still assumes what all chips
of its kind share: the names of samna's fields, sum pooling by destinations, 8 and 16 bits.
"""

from __future__ import annotations

import importlib
from typing import Any

from speck_adacal.chip_description import ChipDescription, load_chip_description


def sinabs_device(chip: str) -> str:
    """The name under which sinabs makes configurations for a chip; `ensure_samna` comes first."""
    from sinabs.backend.dynapcnn.chip_factory import ChipFactory

    description = load_chip_description(chip)
    unknown = [b for b in description.boards if b.name not in ChipFactory.supported_devices]
    if unknown:
        from sinabs.backend.dynapcnn.io import device_type_map, device_types

        builder = _builder(description)
        for board in unknown:
            ChipFactory.supported_devices[board.name] = builder
            device_types[board.name] = board.driver_type
            device_type_map[board.driver_type] = board.name
    return description.boards[0].name


def _builder(chip: ChipDescription) -> type[Any]:
    from sinabs.backend.dynapcnn.chips.dynapcnn import DynapcnnConfigBuilder
    from sinabs.backend.dynapcnn.mapping import LayerConstraints

    def module() -> Any:
        return importlib.import_module(f"samna.{chip.name}")

    def configuration() -> Any:
        return importlib.import_module(f"samna.{chip.name}.configuration").SpeckConfiguration()

    def node(name: str) -> Any:
        return getattr(importlib.import_module("samna"), name)()

    methods = {
        "get_samna_module": module,
        "get_default_config": configuration,
        "get_dvs_layer_config": lambda: configuration().dvs_layer,
        "get_input_buffer": lambda: node(f"BasicSourceNode_{chip.input_event}"),
        "get_output_buffer": lambda: node(f"BasicSinkNode_{chip.name}_event_output_event"),
        "get_constraints": lambda: [
            LayerConstraints(core.kernel, core.neuron, core.bias) for core in chip.cores
        ],
    }
    body = {name: staticmethod(method) for name, method in methods.items()}
    return type(f"{chip.name.capitalize()}ConfigBuilder", (DynapcnnConfigBuilder,), body)
