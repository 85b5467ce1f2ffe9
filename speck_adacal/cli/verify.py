"""`speck-adacal verify`: replay a bundle's known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common

NAME = "verify"
EXAMPLE = "Example: speck-adacal verify digits.bundle"


def command(
    bundle: Annotated[Path, typer.Argument(help="What `deploy` or `demo` wrote.")],
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Replay the recorded input on the chip twin and name the first core that differs."""
    from dataclasses import asdict

    from speck_adacal.bundle import read_bundle
    from speck_adacal.chip.verify import verify_bundle

    with common.calm_libraries(quiet=quiet):
        deployment = common.load_deployment(bundle, None)
        outcome = verify_bundle(read_bundle(bundle), deployment)
    said = f"{bundle}: as recorded, on {outcome.events} events (simulated on the twin)"
    if not outcome.same:
        said = f"{bundle}: differs from what was recorded: {outcome.difference}"
    common.show(asdict(outcome), said, as_json=as_json, quiet=quiet)
    if not outcome.same:
        raise typer.Exit(1)
