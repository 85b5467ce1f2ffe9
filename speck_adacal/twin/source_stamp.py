"""The stamp of the event loops' sources (see `kernel_cache`)."""

from __future__ import annotations

from pathlib import Path

from speck_adacal.kernel_cache import source_stamp

SOURCES = (
    "layout.py",
    "vectors.py",
    "raw_memory.py",
    "core_kernel.py",
    "delivery.py",
    "event_kernel.py",
    "tree_kernel.py",
)
STAMP = source_stamp(Path(__file__).parent, SOURCES)
