"""`samnagui`: the live view. The vendor's window is not part of the virtual samna."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("speck_adacal.virtual_samna.gui")


def run_visualizer(
    endpoint: str, width_proportion: float = 0.75, height_proportion: float = 0.75
) -> None:
    """Say why no window opens."""
    log.warning(
        "The vendor's samnagui window cannot be opened by the virtual samna; "
        "events for %s are counted and dropped. Use `speck-adacal stream` for a live view.",
        endpoint,
    )


def public() -> dict[str, Any]:
    """Names of the module."""
    return {"run_visualizer": run_visualizer}
