"""`speck-adacal simulate`: recordings or images through the chip twin."""

from __future__ import annotations

from speck_adacal.cli import common, early, waiting
from speck_adacal.cli import simulate_options as options

NAME = "simulate"
EXAMPLE = (
    "Example: speck-adacal simulate digits.bundle --samples-from recordings.npz --samples 0:100"
)


def command(
    bundle: options.Bundle,
    events: options.Recordings,
    samples: options.Samples = None,
    continuous: options.Continuous = False,
    gap_ms: options.GapMs = 0.0,
    window_ms: options.WindowMs = None,
    bar: options.Bar = None,
    refractory_ms: options.Refractory = None,
    temperature: options.Temperature = 1.0,
    spare: options.Spare = False,
    out: options.Out = None,
    jobs: common.Jobs = 1,
    dask: common.Dask = None,
    as_json: common.Json = False,
    seed: common.BundleSeed = None,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Simulate the chip, event by event. Every figure is simulated, none is measured on a chip."""
    early.refuse_early(out, force=force)
    early.need_bundle(bundle)
    options.refuse_without_stream(bar, refractory_ms, continuous=continuous, spare=spare)
    hushed = quiet or as_json
    counting = waiting.counting("Simulating", quiet=hushed)
    with common.calm_libraries(quiet=quiet), counting as count, common.spread(jobs, dask):
        data = early.samples_of(events, samples)
        count(0, 0, waiting.LOADING)
        from speck_adacal import (
            ContinuousSimulation,
            Simulation,
            exits_on_stream,
            load_deployment,
            simulate,
        )
        from speck_adacal.reporting.simulation_files import simulation_to_dict, write_simulation

        deployment = load_deployment(bundle, seed=seed)
        apart = simulate(deployment, data.inputs, progress=count)
        simulation: Simulation = apart
        decided = None
        if continuous:
            simulation = stream = simulate(
                deployment,
                data.inputs,
                continuous=True,
                gap_us=round(gap_ms * 1000),
                window_us=None if window_ms is None else round(window_ms * 1000),
                seed=seed or 0,
                progress=count,
            )
            readout = options.stream_exit_of(
                deployment, bar, stream.window_us, refractory_ms, temperature, spare=spare
            )
            if readout is not None:
                decided = exits_on_stream(
                    deployment, data.inputs, readout, gap_us=round(gap_ms * 1000), seed=seed or 0
                )
        if out is not None:
            write_simulation(simulation, data.labels, out, force=force)
    from rich.console import Group, RenderableType

    from speck_adacal.reporting.stream_table import (
        exits_table,
        exits_to_dict,
        stream_table,
        stream_to_dict,
    )
    from speck_adacal.reporting.tables import simulation_table

    results = simulation_to_dict(deployment, simulation, data.labels)
    table: RenderableType = simulation_table(deployment, simulation, data.labels)
    if isinstance(simulation, ContinuousSimulation):
        results["continuous"] = stream_to_dict(simulation, apart, data.labels)
        table = Group(table, stream_table(simulation, apart, data.labels))
    if decided is not None:
        results["exits"] = exits_to_dict(decided, data.labels)
        table = Group(table, exits_table(decided, data.labels))
    common.show(results, table, as_json=as_json, quiet=quiet)
