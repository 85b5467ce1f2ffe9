"""`speck-adacal datasets`: list, describe, fetch and verify data sets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speck_adacal.cli import common, waiting

if TYPE_CHECKING:
    from speck_adacal.datasets.cards import DatasetCard
    from speck_adacal.datasets.download import Progress

NAME = "datasets"
app = typer.Typer(
    name=NAME,
    help="List, describe, fetch and verify data sets.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="Name of the data set, as in the list.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        help="Folder of all data sets; by default $SPECK_ADACAL_DATA, else the cache folder.",
    ),
]


@app.command("list", epilog="Example: speck-adacal datasets list")
def list_command(
    folder: Folder = None, as_json: common.Json = False, quiet: common.Quiet = False
) -> None:
    """List the data sets that the kit knows, and whether each is on disk."""
    from speck_adacal.datasets.catalogue import list_datasets
    from speck_adacal.datasets.fetch import dataset_folder
    from speck_adacal.reporting.narrowing import NarrowingTable

    rows = []
    for card in list_datasets():
        place = dataset_folder(card, folder)
        present = place.is_dir() and any(place.iterdir())
        rows.append(
            {
                "name": card.name,
                "title": card.title,
                "kind": card.kind,
                "samples": sum(card.splits.values()),
                "license": card.license,
                "folder": str(place),
                "on_disk": present,
            }
        )
    table = NarrowingTable("name", "kind", "samples", "licence", "on disk", title="data sets")
    for row in rows:
        there = "yes" if row["on_disk"] else "no"
        table.add_row(
            str(row["name"]), str(row["kind"]), f"{row['samples']:,}", str(row["license"]), there
        )
    common.show(rows, table, as_json=as_json, quiet=quiet)


@app.command("info", epilog="Example: speck-adacal datasets info nmnist")
def info_command(
    name: Name,
    folder: Folder = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Show the card of a data set: classes, layout, licence, and where it can be had."""
    from speck_adacal.datasets.catalogue import dataset_info
    from speck_adacal.datasets.fetch import dataset_folder
    from speck_adacal.reporting.narrowing import NarrowingTable

    card = dataset_info(name)
    results = {**asdict(card), "folder": str(dataset_folder(card, folder))}
    table = NarrowingTable("", "", title=card.title, show_header=False)
    for key in ("kind", "homepage", "license", "citation", "layout", "tried", "notes", "folder"):
        if results[key]:
            table.add_row(key, str(results[key]))
    table.add_row("splits", ", ".join(f"{k} {n:,}" for k, n in card.splits.items()))
    table.add_row("classes", ", ".join(card.classes) or "the folders' names")
    table.add_row("sources", "\n".join(_sources(card)) or card.manual)
    common.show(results, table, as_json=as_json, quiet=quiet)


@app.command("fetch", epilog="Example: speck-adacal datasets fetch mnist")
def fetch_command(
    name: Name,
    folder: Folder = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Fetch a data set from the sources on its card, or find it where it was put by hand."""
    from speck_adacal.datasets.catalogue import fetch

    with _progress(quiet=quiet) as progress:
        place = fetch(name, folder, progress=progress)
    common.show(
        {"name": name, "folder": str(place), "complete": True},
        f"{name} is complete in {place}",
        as_json=as_json,
        quiet=quiet,
    )


@app.command("verify", epilog="Example: speck-adacal datasets verify mnist")
def verify_command(
    name: Name,
    folder: Folder = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Check a data set on disk against its card: sizes, checksums, numbers of recordings.

    The exit code is 1 where something is missing or wrong.
    """
    from speck_adacal.datasets.catalogue import verify

    with waiting.status(f"reading {name}", quiet=quiet):
        found = verify(name, folder)
    results = {**asdict(found), "folder": str(found.folder)}
    state = "complete" if found.complete else "not complete"
    lines = [f"{name} is {state} in {found.folder}; {found.found} files are right", *found.problems]
    common.show(results, "\n".join(lines), as_json=as_json, quiet=quiet)
    if not found.complete:
        raise typer.Exit(1)


def _sources(card: DatasetCard) -> Iterator[str]:
    for source in card.sources:
        if source.kind == "url":
            yield from source.urls
        else:
            yield f"{source.kind} package {source.package} {source.version}".rstrip()


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Progress | None]:
    """Bars of the downloads on stderr; none when stderr is not a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Bars(*columns, TransferSpeedColumn(), console=common.console(to_stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def tell(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total or None)
            bars.update(tasks[name], completed=done)

        yield tell
