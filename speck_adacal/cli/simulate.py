"""`speck-adacal simulate`: recordings or images through the chip twin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common, early, waiting

NAME = "simulate"
EXAMPLE = (
    "Example: speck-adacal simulate digits.bundle --samples-from recordings.npz --samples 0:100"
)


def command(
    bundle: Annotated[Path, typer.Argument(help="What `deploy` wrote.")],
    events: Annotated[
        Path,
        typer.Option(
            "--samples-from",
            "--events",
            help="Recordings (.npz: x, y, p, t, offsets) or images (.npz).",
        ),
    ],
    samples: Annotated[
        str | None, typer.Option("--samples", help="Which samples to use: N, or FROM:TO.")
    ] = None,
    continuous: Annotated[
        bool,
        typer.Option(
            "--continuous",
            help="Recordings on end in random order (--seed), never reset: as at a camera.",
        ),
    ] = False,
    gap_ms: Annotated[
        float, typer.Option("--gap-ms", min=0, help="Silence behind each, for --continuous.")
    ] = 0.0,
    window_ms: Annotated[
        float | None,
        typer.Option(
            "--window-ms",
            min=0.01,
            help="Sliding window for --continuous; a third of the median recording by default.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write decisions and counts to this .npz.")
    ] = None,
    as_json: common.Json = False,
    seed: common.BundleSeed = None,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Simulate the chip, event by event. Every figure is simulated, none is measured on a chip."""
    early.refuse_early(out, force=force)
    early.need_bundle(bundle)
    hushed = quiet or as_json
    with common.calm_libraries(quiet=quiet), waiting.counting("Simulating", quiet=hushed) as count:
        data = early.samples_of(events, samples)
        count(0, 0, waiting.LOADING)
        from speck_adacal import ContinuousSimulation, Simulation, load_deployment, simulate
        from speck_adacal.reporting.simulation_files import simulation_to_dict, write_simulation

        deployment = load_deployment(bundle, seed=seed)
        apart = simulate(deployment, data.inputs, progress=count)
        simulation: Simulation = apart
        if continuous:
            simulation = simulate(
                deployment,
                data.inputs,
                continuous=True,
                gap_us=round(gap_ms * 1000),
                window_us=None if window_ms is None else round(window_ms * 1000),
                seed=seed or 0,
                progress=count,
            )
        if out is not None:
            write_simulation(simulation, data.labels, out, force=force)
    from rich.console import Group, RenderableType

    from speck_adacal.reporting.stream_table import stream_table, stream_to_dict
    from speck_adacal.reporting.tables import simulation_table

    results = simulation_to_dict(deployment, simulation, data.labels)
    table: RenderableType = simulation_table(deployment, simulation, data.labels)
    if isinstance(simulation, ContinuousSimulation):
        results["continuous"] = stream_to_dict(simulation, apart, data.labels)
        table = Group(table, stream_table(simulation, apart, data.labels))
    common.show(results, table, as_json=as_json, quiet=quiet)
