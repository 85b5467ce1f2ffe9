"""A stand-in for the vendor's driver `samna`, with a virtual dev kit behind it.

`ensure_samna()` makes `import samna` (and with it `import sinabs.backend.dynapcnn`) safe and says
whether it will be the real library or the virtual one. Importing this package changes nothing.
"""

from __future__ import annotations

from speck_adacal.virtual_samna.board.declared import BoardDeclaration, parse_boards
from speck_adacal.virtual_samna.stand_in import (
    Installed,
    SamnaBackend,
    current_backend,
    ensure_samna,
    installed_samna,
)


def declare_boards(text: str, *, real_time: bool = True, scene: str = "") -> list[object]:
    """Declare the virtual boards of this process; see `board.registry.declare_boards`.

    Args:
        text: such as `"speck2fmodule:2,speck2edevkit"`.
        real_time: False for as fast as possible, where time moves with the events' time stamps.
        scene: path of a recording that the boards' sensors see, in real time only.

    Returns:
        The boards' `samna.device.DeviceInfo` objects.
    """
    from speck_adacal.virtual_samna.board import registry

    return registry.declare_boards(text, real_time=real_time, scene=scene)


__all__ = [
    "BoardDeclaration",
    "Installed",
    "SamnaBackend",
    "current_backend",
    "declare_boards",
    "ensure_samna",
    "installed_samna",
    "parse_boards",
]
