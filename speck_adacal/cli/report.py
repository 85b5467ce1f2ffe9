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
        Path, typer.Option("--samples-from", help="Labelled images or recordings (.npz).")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML page to write.")],
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
    """Measure accuracy and cost at every level and write them on one page."""
    for path in (out, figures):
        common.refuse_early(path, force=force)
    from speck_adacal.bundle import new_file, read_bundle
    from speck_adacal.errors import DataError
    from speck_adacal.events.samples import load_samples
    from speck_adacal.report.figures import write_figures
    from speck_adacal.report.front_files import front_of_bundle
    from speck_adacal.report.page import render_page
    from speck_adacal.report.summary import summarise
    from speck_adacal.report.tables import summary_view

    with common.calm_libraries(quiet=quiet), common.status("Measuring", quiet=quiet or as_json):
        deployment = common.load_deployment(bundle, seed)
        data = load_samples(samples_from).part(common.parse_slice(samples))
        if data.labels is None:
            raise DataError(f"{samples_from} holds no 'labels', which accuracy needs; add them.")
        summary = summarise(deployment, data.inputs, data.labels, command=common.command_line())
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
