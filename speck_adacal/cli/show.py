"""`speck-adacal show`: what a bundle holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common, early, waiting

NAME = "show"
EXAMPLE = "Example: speck-adacal show digits.bundle"


def command(
    bundle: Annotated[
        Path, typer.Argument(help="What `convert`, `adapt`, `deploy` or `demo` wrote.")
    ],
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Show a bundle: layers, cores, memory, thresholds, and the accuracy it was made with.

    Nothing is simulated; figures are those that were measured when the bundle was made.
    """
    stored = early.need_bundle(bundle, deployed=False)
    hushed = quiet or as_json
    with common.calm_libraries(quiet=quiet), waiting.counting("Reading", quiet=hushed) as count:
        count(0, 0, waiting.LOADING)
        from speck_adacal import load
        from speck_adacal.reporting.bundle_table import bundle_to_dict, bundle_view

        loaded = load(bundle)
    common.show(
        bundle_to_dict(stored, loaded), bundle_view(stored, loaded), as_json=as_json, quiet=quiet
    )
