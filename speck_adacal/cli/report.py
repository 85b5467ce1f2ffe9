"""`speck-adacal report`: measure every level and write one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common

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
        common.refuse_early(path, force=force)
    from speck_adacal.bundle import new_file, read_bundle
    from speck_adacal.reporting.figures import write_figures
    from speck_adacal.reporting.front_files import front_of_bundle
    from speck_adacal.reporting.page import render_page
    from speck_adacal.reporting.summary import describe, summarise
    from speck_adacal.reporting.tables import summary_view

    with common.calm_libraries(quiet=quiet), common.status("Measuring", quiet=quiet or as_json):
        deployment = common.load_deployment(bundle, seed)
        command_line = common.command_line()
        if samples_from is None:
            summary = describe(deployment, command=command_line)
        else:
            data = common.labelled_samples(samples_from, samples)
            summary = summarise(
                deployment, data.inputs, data.labels, command=command_line, details=True
            )
        stored = read_bundle(bundle)
        front = front_of_bundle(stored)
        if figures is not None:
            write_figures(summary, front, figures, force=force)
        page = render_page(summary, front=front, manifest=stored.manifest)
        with new_file(out, force=force) as temporary:
            temporary.write_text(page, encoding="utf-8")
    common.show(
        {**summary.to_dict(), "report": str(out)},
        summary_view(summary, {"report": str(out)}),
        as_json=as_json,
        quiet=quiet,
    )
