"""What a benchmark ran on, for its record."""

from __future__ import annotations

import os
import platform

import torch


def machine() -> dict[str, object]:
    """Processor, cores, vector instructions, threads, load, and versions."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load before": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
