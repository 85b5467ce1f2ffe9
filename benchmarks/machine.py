"""What a benchmark ran on, and its record."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import torch

from speck_adacal.bundle import new_file

RESULTS = Path(__file__).resolve().parent / "results"


def save(name: str, result: dict[str, object]) -> None:
    """Write `results/<name>.json`, whole or not at all."""
    with new_file(RESULTS / f"{name}.json", force=True) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


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
