"""A stand-in for the vendor's driver `samna`, with a virtual dev kit behind it.

`ensure_samna()` makes `import samna` (and with it `import sinabs.backend.dynapcnn`) safe and says
whether it will be the real library or the virtual one. Importing this package changes nothing.
"""

from __future__ import annotations

from speck_adacal.virtual_samna.backend import (
    Installed,
    SamnaBackend,
    current_backend,
    ensure_samna,
    installed_samna,
)

__all__ = ["Installed", "SamnaBackend", "current_backend", "ensure_samna", "installed_samna"]
