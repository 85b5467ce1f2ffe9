"""What a bundle holds and does, measured at every level and told on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from speck_adacal.bundle import new_file, read_bundle, refuse_existing
from speck_adacal.errors import CalibrationError
from speck_adacal.reporting.figures import write_figures
from speck_adacal.reporting.front_files import front_of_bundle
from speck_adacal.reporting.page import render_page
from speck_adacal.reporting.summary import Summary, describe, summarise
from speck_adacal.twin_search.progress import Progress
from speck_adacal.verbs.artefacts import load_deployment


def report(
    path: str | Path,
    out: str | Path,
    *,
    samples: Any = None,
    labels: npt.ArrayLike | None = None,
    figures: str | Path | None = None,
    seed: int | None = None,
    command: str = "speck_adacal.report",
    force: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Measure accuracy and cost of a bundle at every level and write one HTML page.

    Args:
        path: what `save` wrote of a deployment.
        out: the page to write.
        samples: images or recordings, as for `simulate`; without them the page shows what the
            bundle itself tells.
        labels: int `[n]`, needed with samples.
        figures: a folder for the figures, as SVG and PNG.
        seed: in place of the bundle's own.
        command: the command line that made it, shown on the page.
        force: replace what stands at `out` and `figures`.
        progress: told how many of how many samples or steps are done, and of what.

    Raises:
        BundleError: as `load_deployment`.
        OutputExistsError: an output exists and `force` is False.
        CalibrationError: the samples have another shape, or no labels.
    """
    folder = None if figures is None else Path(figures)
    for target in (Path(out), folder):
        if target is not None:
            refuse_existing(target, force=force)
    deployment = load_deployment(path, seed=seed)
    stored = read_bundle(Path(path))
    if samples is None:
        summary = describe(deployment, command=command)
    elif labels is None:
        raise CalibrationError("A report on samples needs their labels; give labels as well.")
    else:
        summary = summarise(
            deployment, samples, labels, command=command, details=True, progress=progress
        )
    front = front_of_bundle(stored)
    if folder is not None:
        write_figures(summary, front, folder, force=force)
    page = render_page(summary, front=front, manifest=stored.manifest)
    with new_file(Path(out), force=force) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return summary
