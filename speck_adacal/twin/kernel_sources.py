"""The checksum of the event loops' sources (see `kernel_cache`)."""

from __future__ import annotations

from pathlib import Path

from speck_adacal.kernel_cache import sources_checksum

SOURCES = (
    "layout.py",
    "vectors.py",
    "raw_memory.py",
    "core_kernel.py",
    "delivery.py",
    "kernel_job.py",
    "event_kernel.py",
    "tree_kernel.py",
)
CHECKSUM = sources_checksum(Path(__file__).parent, SOURCES)
