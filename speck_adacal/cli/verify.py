"""`speck-adacal verify`: replay a bundle's known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.chip_description import parse_device
from speck_adacal.cli import common, early, waiting

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
    early.need_bundle(bundle)
    parse_device(device)
    from dataclasses import asdict

    hushed = quiet or as_json
    with common.calm_libraries(quiet=quiet), waiting.counting("Replaying", quiet=hushed) as count:
        count(0, 0, waiting.LOADING)
        import speck_adacal

        outcome = speck_adacal.verify(bundle, device=device)
    said = (
        f"{bundle}: as recorded, on {outcome.events} events ({outcome.grade} on "
        f"{outcome.device}; compared: {', '.join(outcome.compared)}). The replay begins with a "
        f"reset; the network was made for {outcome.made_for}."
    )
    said += "".join(f"\nWarning: {warning}" for warning in outcome.warnings)
    if not outcome.same:
        said = f"{bundle}: differs from what was recorded: {outcome.difference}"
    common.show(asdict(outcome), said, as_json=as_json, quiet=quiet)
    if not outcome.same:
        raise typer.Exit(1)
