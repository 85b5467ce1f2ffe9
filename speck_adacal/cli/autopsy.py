"""`speck-adacal autopsy`: what quantisation did to every layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common, early, waiting

NAME = "autopsy"
EXAMPLE = "Example: speck-adacal autopsy digits.bundle --samples-from digits.npz --samples 100"


def command(
    bundle: Annotated[Path, typer.Argument(help="What `deploy` wrote.")],
    samples_from: Annotated[
        Path | None,
        typer.Option(
            "--samples-from", help="Images or recordings (.npz), for activity and errors."
        ),
    ] = None,
    samples: Annotated[
        str | None, typer.Option("--samples", help="Which samples to use: N, or FROM:TO.")
    ] = None,
    as_json: common.Json = False,
    seed: common.BundleSeed = None,
    quiet: common.Quiet = False,
) -> None:
    """Show what 8 bits left of every layer, beside sinabs' own joint scale.

    With samples, also which channels are dead or always on, and each layer's own and cumulative
    error (simulated on the twin).
    """
    early.need_bundle(bundle)
    hushed = quiet or as_json
    with common.calm_libraries(quiet=quiet), waiting.counting("Looking", quiet=hushed) as count:
        inputs = None if samples_from is None else early.samples_of(samples_from, samples).inputs
        count(0, 0, waiting.LOADING)
        from speck_adacal import load_deployment
        from speck_adacal.inspection.autopsy import autopsy
        from speck_adacal.reporting.autopsy_table import autopsy_to_dict, autopsy_view

        deployment = load_deployment(bundle, seed=seed)
        found = autopsy(deployment, inputs)
    common.show(autopsy_to_dict(found), autopsy_view(found), as_json=as_json, quiet=quiet)
