"""`speck-adacal deploy`: an adapted network becomes a Speck configuration."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.cli import common

if TYPE_CHECKING:
    from speck_adacal.chip.deploy import Deployment
    from speck_adacal.inspection.core_load import CoreLoad

NAME = "deploy"
EXAMPLE = "Example: speck-adacal deploy digits.adapted --chip speck2f --out digits.bundle"


def command(
    bundle: Annotated[Path, typer.Argument(help="What `adapt` wrote.")],
    out: Annotated[Path, typer.Option("--out", help="The bundle to write (folder, or .zip).")],
    chip: common.Chip = DEFAULT_CHIP,
    bias: Annotated[
        str,
        typer.Option(
            "--bias",
            help="Biases: 'recipe' (as `adapt` chose), 'initial' (part of the initial potential), "
            "'leak' (slow clock), or 'refuse'.",
        ),
    ] = "recipe",
    lower_clip: Annotated[
        str,
        typer.Option(
            "--lower-clip",
            help="Where a membrane potential stops falling: 'recipe' (as `adapt` or `front` "
            "chose), 'open' (16 bits), 'threshold' (as sinabs does), or firing thresholds below "
            "zero.",
        ),
    ] = "recipe",
    window_us: Annotated[
        int | None,
        typer.Option(
            "--window-us", help="Duration of a sample in µs, for a leak; the recipe's if left out."
        ),
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option("--recordings", help="Show each core's load on these (.npz), simulated."),
    ] = None,
    samples: Annotated[
        str | None, typer.Option("--samples", help="Which recordings: N, or FROM:TO.")
    ] = "100",
    as_json: common.Json = False,
    seed: common.BundleSeed = None,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Fold, check, quantise and map a network onto the chip's cores.

    Exit code 3 where design rules are violated, with all of them listed.
    """
    common.refuse_early(out, force=force, bundle=True)
    from speck_adacal import ChipPolicy, Deployment, deploy, load, save
    from speck_adacal.reporting.summary import layer_rows
    from speck_adacal.reporting.tables import deployment_table

    with common.calm_libraries(quiet=quiet), common.status("Deploying", quiet=quiet or as_json):
        loaded = load(bundle)
        adapted = loaded.adapted if isinstance(loaded, Deployment) else loaded
        policy = ChipPolicy(bias, common.parse_lower_clip(lower_clip), window_us)
        deployment = deploy(adapted.with_seed(seed), chip=chip, policy=policy)
        loads = _loads(deployment, recordings, samples)
        save(deployment, out, command=common.command_line(), force=force)
    rows = layer_rows(deployment)
    verdict = deployment.adapted.recipe.verdict
    results = {
        "bundle": str(out),
        "chip": chip,
        "bias": bias,
        "lower_clip": lower_clip,
        "slow_clock_hz": deployment.slow_clock_hz,
        "layers": [row.to_dict() for row in rows],
        "loads": [{"kind": "simulated", **asdict(load)} for load in loads],
        "verdict": None if verdict is None else verdict.to_dict(),
        "warnings": [str(violation) for violation in deployment.violations],
    }
    common.show(
        results, deployment_table(deployment, rows, out, loads), as_json=as_json, quiet=quiet
    )


def _loads(
    deployment: Deployment, recordings: Path | None, part: str | None
) -> tuple[CoreLoad, ...]:
    if recordings is None:
        return ()
    from speck_adacal.events.sample_files import load_samples
    from speck_adacal.inspection.core_load import core_loads
    from speck_adacal.samples.batches import encode_for

    adapted = deployment.adapted
    data = load_samples(recordings).part(common.parse_slice(part))
    batches = encode_for(data.inputs, adapted.ann.input_shape, adapted.recipe)
    return core_loads(deployment, batches.recordings())
