"""Fixtures shared by all areas."""

from __future__ import annotations

from pathlib import Path

import pytest
from aedat4_files import write_aedat4 as write_aedat4_file
from hypothesis import settings

settings.register_profile("any_speed", deadline=None)  # no test asserts wall time
settings.load_profile("any_speed")

_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real networks and recordings beside the checkout; users do not have it."""
    if not _SHARED.is_dir():
        pytest.skip(f"no shared data folder at {_SHARED}")
    return _SHARED


@pytest.fixture
def write_aedat4():
    """`write_aedat4(path, t, x, y, p, *, width, height, kind, packets)`."""
    return write_aedat4_file
