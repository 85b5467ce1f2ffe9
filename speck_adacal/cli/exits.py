"""`speck-adacal exits`: calibrate when a network may stop early, and keep that in its bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common

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
    as_json: common.Json = False,
    seed: common.BundleSeed = None,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Calibrate early exits on labelled samples, to a stated loss of accuracy.

    What is printed was measured on the half of the samples that the bars of the other half had
    not seen, both ways (simulated on the twin); the bars that are kept come from all of them.
    """
    common.refuse_early(out, force=force)
    from dataclasses import asdict

    from speck_adacal.bundle import read_bundle
    from speck_adacal.bundles.files import to_files
    from speck_adacal.errors import CalibrationError
    from speck_adacal.events.sample_files import load_samples
    from speck_adacal.inspection.exit_calibration import calibrate_with_check
    from speck_adacal.readout.files import READOUT, readout_of_bundle, readout_to_bytes
    from speck_adacal.reporting.tables import exits_table
    from speck_adacal.samples.batches import encode_for
    from speck_adacal.verbs import save

    with common.calm_libraries(quiet=quiet), common.status("Calibrating", quiet=quiet or as_json):
        deployment = common.load_deployment(bundle, seed)
        data = load_samples(samples_from).part(common.parse_slice(samples))
        if data.labels is None:
            raise CalibrationError(f"{samples_from} holds no 'labels', which exits need; add them.")
        stored = read_bundle(bundle)
        own = readout_of_bundle(stored)
        adapted = deployment.adapted
        batches = encode_for(data.inputs, adapted.ann.input_shape, adapted.recipe)
        readout, check = calibrate_with_check(
            deployment,
            batches.recordings(),
            data.labels,
            names=deployment.classes if own is None else own.names,
            window_us=round(window_ms * 1000),
            loss=max_loss / 100,
            metric=metric,
            seed=adapted.recipe.settings.seed,
        )
        kept = {n: d for n, d in stored.files.items() if n not in to_files(deployment)}
        extra = {**kept, READOUT: readout_to_bytes(readout)}
        save(deployment, out, command=common.command_line(), force=force, extra=extra)
    results = {
        "bundle": str(out),
        "kind": "simulated",
        "max_loss_points": max_loss,
        "window_us": readout.window_us,
        "bars": list(readout.rule.bars),
        "held_out": None if check is None else asdict(check),
    }
    common.show(results, exits_table(check, out), as_json=as_json, quiet=quiet)
