"""`speck-adacal demo`: the whole way on shipped digits, from trained network to configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.cli import common, waiting

NAME = "demo"
EXAMPLE = "Example: speck-adacal demo --out demo_out"


def command(
    out: Annotated[
        Path, typer.Option("--out", help="The bundle to write (folder, or .zip).")
    ] = Path("demo_out"),
    time_steps: Annotated[int, typer.Option("--time-steps", "-T", help="T, steps a digit.")] = 8,
    phi: Annotated[int, typer.Option("--phi", help="φ, most spikes of a neuron a step.")] = 1,
    chip: common.Chip = DEFAULT_CHIP,
    as_json: common.Json = False,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Adapt, deploy and simulate the shipped network on the shipped digits."""
    common.refuse_early(out, force=force, bundle=True)
    from speck_adacal import AdaptSettings, adapt, deploy, load_network, save
    from speck_adacal.datasets.demo import demo_checkpoint_path, load_demo_digits
    from speck_adacal.reporting.page import render_page
    from speck_adacal.reporting.summary import summarise
    from speck_adacal.reporting.tables import summary_view

    settings = AdaptSettings(time_steps=time_steps, phi=phi, seed=seed, hold_out=False)
    silent = quiet or as_json
    with common.calm_libraries(quiet=quiet):
        with waiting.status("Adapting the network without training", quiet=silent):
            digits = load_demo_digits()
            network = load_network(demo_checkpoint_path())
            adapted = adapt(
                network, digits.calibration_images, input_shape=(1, 28, 28), settings=settings
            )
        with waiting.status(f"Deploying to {chip}", quiet=silent):
            deployment = deploy(adapted, chip=chip)
        with waiting.status("Measuring every level", quiet=silent):
            summary = summarise(
                deployment,
                digits.images,
                digits.labels,
                command=common.command_line(),
                details=True,
            )
        extra = {"report.html": render_page(summary).encode()}
        save(deployment, out, command=common.command_line(), force=force, extra=extra)
    report = str(out / "report.html") if out.suffix != ".zip" else f"report.html in {out}"
    paths = {"bundle": str(out), "report": report}
    common.show(
        {**summary.to_dict(), **paths}, summary_view(summary, paths), as_json=as_json, quiet=quiet
    )
