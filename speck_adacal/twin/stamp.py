"""A number that changes with the sources of the compiled kernels.

Numba's cache on disk notices changes of a function's own file only, while the kernels bake in
constants and functions of their neighbours. Each compiled kernel therefore carries this number,
and is compiled afresh when it is not the present one.
"""

from __future__ import annotations

import zlib
from pathlib import Path

_SOURCES = (
    "layout.py",
    "vectors.py",
    "memory.py",
    "core_kernel.py",
    "delivery.py",
    "kernel.py",
    "tree_kernel.py",
)


def source_stamp() -> int:
    """CRC of the kernels' sources; 0 where they cannot be read (an installation in a zip file)."""
    crc = 0
    for name in _SOURCES:
        try:
            crc = zlib.crc32((Path(__file__).parent / name).read_bytes(), crc)
        except OSError:
            return 0
    return crc


STAMP = source_stamp()
