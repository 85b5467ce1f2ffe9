"""What a benchmark ran on, for its record."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch


def machine() -> dict[str, object]:
    """Processor, vector instructions, number of processors and threads, load, and versions."""
    info = Path("/proc/cpuinfo")
    fields = {
        name.strip(): value.strip()
        for line in (info.read_text(encoding="utf-8").splitlines() if info.is_file() else ())
        for name, colon, value in [line.partition(":")]
        if colon
    }
    flags = fields.get("flags", "").split()
    return {
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "vectors": [flag for flag in ("avx2", "avx512bw") if flag in flags],
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
