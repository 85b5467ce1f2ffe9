"""Damaged files over all formats: a sentence or sound values; no traceback, no hang, no memory
beyond 200 MB, and nothing half-written. By seed, so that a fault can be run again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PATHS = (HERE, HERE.parent / "events", HERE.parents[1])


def run(folder, first, last):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS))}
    command = [sys.executable, str(HERE / "reading.py"), str(folder), str(first), str(last)]
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    found = json.loads(done.stdout)
    assert found["faults"] == {}
    assert found["grown_mb"] < 200
    assert found["refused"] > (last - first) // 4  # most damage is seen


def test_a_sample_of_damaged_files(tmp_path):
    run(tmp_path, 0, 60)


@pytest.mark.long
def test_five_hundred_damaged_files(tmp_path):
    run(tmp_path, 1000, 1500)
