"""`speck-adacal report`: measure every level and write one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common, early, waiting

NAME = "report"
EXAMPLE = "Example: speck-adacal report digits.bundle --samples-from digits.npz --out digits.html"


def command(
    bundle: Annotated[Path, typer.Argument(help="What `deploy` wrote.")],
    samples_from: Annotated[
        Path | None,
        typer.Option("--samples-from", help="Labelled images or recordings (.npz)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The HTML page to write; BUNDLE.html if left out."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option("--figures", help="A folder for the figures, SVG and PNG.")
    ] = None,
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
    """Measure accuracy and cost at every level and write them on one page.

    Without samples the page shows what the bundle itself tells: layers, cores, quantisation, the
    front it was chosen from, and its origin.
    """
    out = out or bundle.with_name(f"{bundle.stem}.html")
    for path in (out, figures):
        early.refuse_early(path, force=force)
    early.need_bundle(bundle)
    hushed = quiet or as_json
    counting = waiting.counting("Measuring", quiet=hushed)
    with common.calm_libraries(quiet=quiet), counting as count, common.spread(jobs, dask):
        data = None if samples_from is None else early.labelled_samples(samples_from, samples)
        count(0, 0, waiting.LOADING)
        import speck_adacal
        from speck_adacal.reporting.tables import summary_view

        summary = speck_adacal.report(
            bundle,
            out,
            samples=None if data is None else data.inputs,
            labels=None if data is None else data.labels,
            figures=figures,
            seed=seed,
            command=common.command_line(),
            force=force,
            progress=count,
        )
    common.show(
        {**summary.to_dict(), "report": str(out)},
        summary_view(summary, {"report": str(out)}),
        as_json=as_json,
        quiet=quiet,
    )
