"""`speck-adacal events`: what a recording holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speck_adacal.cli import common, early
from speck_adacal.errors import DataError

if TYPE_CHECKING:
    from speck_adacal.events.overview import Overview
    from speck_adacal.events.types import Events
    from speck_adacal.reporting.narrowing import NarrowingTable

NAME = "events"
_BARS = " ▁▂▃▄▅▆▇█"

app = typer.Typer(
    name=NAME,
    help="Look at recordings of event cameras.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Look at recordings of event cameras."""


@app.command("info", epilog="Example: speck-adacal events info recording.aedat4")
def info_command(
    file: Annotated[
        str,
        typer.Argument(
            help="A recording (.npz, .npy, .bin, .aedat, .aedat4, .raw, .dat; FILE.npz:K for one "
            "of many)."
        ),
    ],
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """Show sensor, events, rate, duration, polarity, busiest pixel and events over time."""
    from speck_adacal.events.overview import overview

    recording, of = _recording(file)
    found = overview(recording)
    results = {"file": file, "recordings": of, **found.to_dict()}
    common.show(results, _table(file, of, found), as_json=as_json, quiet=quiet)


def _recording(text: str) -> tuple[Events, int]:
    """The recording that is asked for, and how many its file holds."""
    from speck_adacal.events.recordings import read_recording
    from speck_adacal.events.sample_files import load_samples

    name, _, number = text.rpartition(":")
    one_of_many = bool(name) and number.isdecimal()
    path = Path(name if one_of_many else text)
    early.need_file(path, "FILE")
    if not one_of_many and path.suffix not in (".npz", ".npy"):
        return read_recording(path), 1
    samples = load_samples(path)
    index = int(number) if one_of_many else 0
    if not isinstance(samples.inputs, list):
        raise DataError(f"{path} holds images, of which there are no events; give a recording.")
    if index >= len(samples):
        raise DataError(f"{path} holds {len(samples)} recordings, 0 to {len(samples) - 1}.")
    return samples.inputs[index], len(samples)


def _table(file: str, of: int, found: Overview) -> NarrowingTable:
    from speck_adacal.reporting.narrowing import NarrowingTable

    channels, height, width = found.shape
    table = NarrowingTable("what", "value", title=file)
    if of > 1:
        table.add_row("recordings in the file", f"{of:,}; this is one, FILE:K shows another")
    table.add_row("sensor", f"{width} × {height} pixels, {channels} channels")
    table.add_row("events", f"{found.events:,}")
    table.add_row("duration", f"{found.duration_us / 1000:,.1f} ms")
    if found.start_us:
        table.add_row("begins at", f"{found.start_us:,} µs of its own clock")
    table.add_row("rate, mean", f"{found.rate_per_s:,.0f} events/s")
    table.add_row("rate, highest in 10 ms", f"{found.peak_per_s:,.0f} events/s")
    if found.on_share is not None:
        table.add_row("polarity", f"{found.on_share:.1%} ON, {1 - found.on_share:.1%} OFF")
    if found.used is not None and found.busiest is not None:
        left, top, right, bottom = found.used
        x, y, most = found.busiest
        table.add_row("pixels with events", f"x {left} to {right}, y {top} to {bottom}")
        table.add_row("busiest pixel", f"({x}, {y}): {most:,}, {most / found.events:.1%} of all")
    table.add_row(f"events in {found.bin_us / 1000:g} ms each", _bars(found.histogram))
    return table


def _bars(counts: tuple[int, ...]) -> str:
    """A bar of text for each count; any event at all is a bar."""
    top = max(counts)
    steps = len(_BARS) - 1
    return "".join(_BARS[-(-count * steps // top)] if top else _BARS[0] for count in counts)
