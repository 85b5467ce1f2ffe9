"""The virtual samna, installed for tests that run programs against it."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def samna():
    """The virtual samna as a module (a real library would be left alone: then skip)."""
    from speck_adacal.virtual_samna import ensure_samna

    if ensure_samna().kind != "virtual":
        pytest.skip("the vendor's samna library is installed")
    import samna

    return samna
