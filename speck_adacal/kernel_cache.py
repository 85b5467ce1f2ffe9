"""Compiled kernels whose code comes from more than one file.

Numba's cache on disk notices changes of a function's own file only, while kernels bake in constants
and functions of their neighbours. Such a kernel takes a checksum of all its sources, says when it
was compiled from others, and is compiled afresh then.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_COMPILING = threading.Lock()


def sources_checksum(folder: Path, names: Iterable[str]) -> int:
    """CRC of source files; 0 where they cannot be read (an installation in a zip file)."""
    crc = 0
    for name in names:
        try:
            crc = zlib.crc32((folder / name).read_bytes(), crc)
        except OSError:
            return 0
    return crc


def compile_afresh(kernel: Any) -> None:
    """Compile a kernel again from the sources as they are now, one thread at a time."""
    with _COMPILING:
        kernel.recompile()
