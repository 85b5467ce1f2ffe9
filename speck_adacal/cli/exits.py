"""`speck-adacal exits`: calibrate when a network may stop early, and keep that in its bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common, early, waiting

NAME = "exits"
EXAMPLE = (
    "Example: speck-adacal exits digits.bundle --samples-from recordings.npz --max-loss 0.5 "
    "--out early.bundle"
)


def command(
    bundle: Annotated[Path, typer.Argument(help="What `deploy` wrote.")],
    samples_from: Annotated[
        Path, typer.Option("--samples-from", help="Labelled images or recordings (.npz).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The bundle to write.")],
    max_loss: Annotated[
        float,
        typer.Option("--max-loss", min=0.0, max=100.0, help="Accuracy to lose, in points."),
    ] = 0.5,
    window_ms: Annotated[
        float, typer.Option("--window-ms", min=0.001, help="How often to look.")
    ] = 10.0,
    metric: Annotated[str, typer.Option("--metric", help="margin, entropy or top.")] = "margin",
    samples: Annotated[
        str | None, typer.Option("--samples", help="Which samples to use: N, or FROM:TO.")
    ] = None,
    jobs: common.Jobs = 1,
    dask: common.Dask = None,
    as_json: common.Json = False,
    seed: common.BundleSeed = None,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Calibrate early exits on labelled samples, to a stated loss of accuracy.

    What is printed was measured on the half of the samples that the bars of the other half had
    not seen, both ways (simulated on the twin); the bars that are kept come from all of them.
    """
    early.refuse_early(out, force=force, bundle=True)
    stored = early.need_bundle(bundle)
    from dataclasses import asdict

    from speck_adacal.readout.early_exit import METRICS
    from speck_adacal.validation import check_value, one_of

    check_value(Annotated[str, one_of(*METRICS)], metric, "--metric")
    hushed = quiet or as_json
    counting = waiting.counting("Calibrating", quiet=hushed)
    with common.calm_libraries(quiet=quiet), counting as count, common.spread(jobs, dask):
        data = early.labelled_samples(samples_from, samples)
        count(0, 0, waiting.LOADING)
        import speck_adacal
        from speck_adacal.bundles.bundle_files import to_files
        from speck_adacal.readout.readout_files import readout_of_bundle
        from speck_adacal.reporting.tables import exits_table

        deployment = speck_adacal.load_deployment(bundle, seed=seed)
        own = readout_of_bundle(stored)
        readout, check = speck_adacal.exits(
            deployment,
            data.inputs,
            data.labels,
            names=None if own is None else own.names,
            window_us=round(window_ms * 1000),
            loss=max_loss / 100,
            metric=metric,
        )
        kept = {n: d for n, d in stored.files.items() if n not in to_files(deployment)}
        speck_adacal.save(
            deployment,
            out,
            command=common.command_line(),
            force=force,
            readout=readout,
            extra=kept,
        )
    results = {
        "bundle": str(out),
        "kind": "simulated",
        "max_loss_points": max_loss,
        "window_us": readout.window_us,
        "bars": list(readout.rule.bars),
        "held_out": None if check is None else asdict(check),
    }
    common.show(results, exits_table(check, out), as_json=as_json, quiet=quiet)
