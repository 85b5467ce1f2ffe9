"""`speck-adacal demo`: the whole way on shipped digits, from trained network to configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.cli import common, early, waiting

_STAGES = 2
NAME = "demo"
EXAMPLE = "Example: speck-adacal demo --out demo_out"


def command(
    out: common.BundleOut = Path("demo_out"),
    time_steps: Annotated[int, typer.Option("--time-steps", "-T", help="T, steps a digit.")] = 8,
    phi: Annotated[int, typer.Option("--phi", help="φ, most spikes of a neuron a step.")] = 1,
    chip: common.Chip = DEFAULT_CHIP,
    as_json: common.Json = False,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Adapt, deploy and simulate the shipped network on the shipped digits."""
    early.refuse_early(out, force=force, bundle=True)
    from speck_adacal import AdaptSettings

    settings = AdaptSettings(time_steps=time_steps, phi=phi, seed=seed, hold_out=False)
    hushed = quiet or as_json
    with common.calm_libraries(quiet=quiet), waiting.counting("Demo", quiet=hushed) as count:
        count(0, 0, waiting.LOADING)
        from speck_adacal import adapt, deploy, load_network, save
        from speck_adacal.datasets.demo import demo_checkpoint_path, load_demo_digits
        from speck_adacal.reporting.page import render_page
        from speck_adacal.reporting.summary import summarise
        from speck_adacal.reporting.tables import summary_view

        digits = load_demo_digits()
        adapted = adapt(
            load_network(demo_checkpoint_path()),
            digits.calibration_images,
            input_shape=(1, 28, 28),
            settings=settings,
            progress=waiting.stage(count, 1, _STAGES, "adapting the network without training"),
        )
        measuring = waiting.stage(count, 2, _STAGES, f"measuring every level on {chip}")
        deployment = deploy(adapted, chip=chip)
        summary = summarise(
            deployment,
            digits.images,
            digits.labels,
            command=common.command_line(),
            details=True,
            progress=measuring,
        )
        extra = {"report.html": render_page(summary).encode()}
        save(deployment, out, command=common.command_line(), force=force, extra=extra)
    report = str(out / "report.html") if out.suffix != ".zip" else f"report.html in {out}"
    paths = {"bundle": str(out), "report": report}
    common.show(
        {**summary.to_dict(), **paths}, summary_view(summary, paths), as_json=as_json, quiet=quiet
    )
