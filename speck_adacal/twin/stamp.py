"""The stamp of the event loops' sources (see `compiled`)."""

from __future__ import annotations

from pathlib import Path

from speck_adacal.compiled import source_stamp

SOURCES = (
    "layout.py",
    "vectors.py",
    "memory.py",
    "core_kernel.py",
    "delivery.py",
    "kernel.py",
    "tree_kernel.py",
)
STAMP = source_stamp(Path(__file__).parent, SOURCES)
