"""`speck-adacal diff`: what differs between two bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common

NAME = "diff"
EXAMPLE = "Example: speck-adacal diff before.bundle after.bundle"


def command(
    one: Annotated[Path, typer.Argument(help="A bundle, or a configuration from `export`.")],
    other: Annotated[Path, typer.Argument(help="Another of the same sort.")],
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Compare settings, thresholds, φ, ρ, weights, destinations and readout of two bundles.

    Exit code 0 where all are the same, 1 where something differs.
    """
    from dataclasses import asdict

    from speck_adacal.bundle import read_bundle
    from speck_adacal.bundles.configuration_json import read_configuration
    from speck_adacal.bundles.diff import diff_bundles, diff_configurations
    from speck_adacal.reporting.narrowing import NarrowingTable

    with common.calm_libraries(quiet=quiet):
        if one.suffix == other.suffix == ".json":
            found = diff_configurations(read_configuration(one), read_configuration(other))
        else:
            found = diff_bundles(read_bundle(one), read_bundle(other))
    table = NarrowingTable("difference", title=f"{one} → {other}")
    for difference in found:
        table.add_row(str(difference))
    results = {
        "same": not found,
        "differences": [{**asdict(d), "text": str(d)} for d in found],
    }
    rendered = table if found else f"{one} and {other} are the same."
    common.show(results, rendered, as_json=as_json, quiet=quiet)
    if found:
        raise typer.Exit(1)
