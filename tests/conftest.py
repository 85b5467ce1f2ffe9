"""Fixtures shared by all areas."""

from __future__ import annotations

import os
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


# What a machine may lack without its run being worth less than another's.
_MAY_BE_SKIPPED = ("CUDA", "no shared data folder")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """With SPECK_ADACAL_NO_SKIPS set, as in CI, a test skipped for another reason is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("SPECK_ADACAL_NO_SKIPS"):
        return
    reasons = [str(report.longrepr) for report in reporter.stats.get("skipped", [])]
    refused = [r for r in reasons if not any(allowed in r for allowed in _MAY_BE_SKIPPED)]
    if refused:
        reporter.write_line(f"skipped, which CI does not allow: {refused}", red=True)
        session.exitstatus = 1
