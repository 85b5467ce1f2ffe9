"""`speck-adacal verify`: replay a bundle's known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common, waiting

NAME = "verify"
EXAMPLE = "Example: speck-adacal verify digits.bundle --device virtual"


def command(
    bundle: Annotated[Path, typer.Argument(help="What `deploy` or `demo` wrote.")],
    device: Annotated[
        str,
        typer.Option("--device", help="twin, virtual, virtual:TYPE, or a real speck2fdevkit:0."),
    ] = "twin",
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Replay the recorded input and name the first core that differs from what was recorded.

    Exit code 1 where one differs; 4 where a real board is asked for and is not there.
    """
    from dataclasses import asdict

    import speck_adacal

    with common.calm_libraries(quiet=quiet), waiting.status("Replaying", quiet=quiet or as_json):
        outcome = speck_adacal.verify(bundle, device=device)
    said = (
        f"{bundle}: as recorded, on {outcome.events} events ({outcome.grade} on "
        f"{outcome.device}; compared: {', '.join(outcome.compared)})"
    )
    if not outcome.same:
        said = f"{bundle}: differs from what was recorded: {outcome.difference}"
    common.show(asdict(outcome), said, as_json=as_json, quiet=quiet)
    if not outcome.same:
        raise typer.Exit(1)
