"""The command line: one small file per verb. Imports of the heavy parts wait for the verb."""

from __future__ import annotations

from speck_adacal.cli.app import main

__all__ = ["main"]
