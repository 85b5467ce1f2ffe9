"""The live view of a session: event image, spikes by class, confidence against its bar."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from speck_adacal.events.types import Events
from speck_adacal.host.recorded_session import RecordedSession
from speck_adacal.readout.decision import Moment

_BAR = 24
_WIDEST = 64
_COLOURS = ("grey15", "dodger_blue1", "dark_orange", "white")  # none, OFF, ON, both
_SHOWN_US = 30_000
"""Events of so long a time make a picture."""


def event_picture(events: Events, t_us: int, shown_us: int = _SHOWN_US) -> npt.NDArray[np.int8]:
    """int8 `[height, width]`: 0 no event in the last while, 1 OFF, 2 ON, 3 both."""
    lo, hi = np.searchsorted(events.t_us, [t_us - shown_us, t_us])
    x, y, channel = events.x[lo:hi], events.y[lo:hi], events.channel[lo:hi]
    picture = np.zeros(events.shape[1:], dtype=np.int8)
    one = events.shape[0] == 1
    for bit, chosen in ((1, channel == 0), (2, channel > 0)):
        picture[y[chosen], x[chosen]] |= 2 if one else bit
    return picture


def picture_text(picture: npt.NDArray[np.int8]) -> Text:
    """Two rows of pixels in a line of half blocks."""
    step = -(-picture.shape[1] // _WIDEST)
    small = picture[::step, ::step]
    if len(small) % 2:
        small = np.concatenate([small, np.zeros_like(small[:1])])
    text = Text(no_wrap=True)
    for upper, lower in zip(small[::2], small[1::2], strict=True):
        for a, b in zip(upper, lower, strict=True):
            text.append("▀", f"{_COLOURS[a]} on {_COLOURS[b]}")
        text.append("\n")
    return text


def render_moment(moment: Moment, events: Events, names: tuple[str, ...]) -> RenderableType:
    """The whole view at one moment."""
    picture = Panel(picture_text(event_picture(events, moment.t_us)), title="events", expand=False)
    right = Group(_classes(moment, names), Text(), _facts(moment, events))
    return Columns([picture, right], padding=(0, 2))


def _classes(moment: Moment, names: tuple[str, ...]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    most = max(int(moment.counts.max(initial=0)), 1)
    for label, (name, count) in enumerate(zip(names, moment.counts.tolist(), strict=True)):
        decided = moment.decision is not None and moment.decision.label == label
        style = "bold green" if decided else "dodger_blue1" if count == most else "grey50"
        bar = "█" * round(_BAR * count / most)
        table.add_row(name, Text(bar.ljust(_BAR), style), str(count))
    return table


def _facts(moment: Moment, events: Events) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    table.add_row("time", f"{moment.t_us / 1000:.0f} of {events.duration_us / 1000:.0f} ms")
    table.add_row("events", f"{moment.events:,} of {len(events):,}")
    if moment.synops is not None:
        table.add_row("SynOps", f"{moment.synops:,}")
    if not np.isnan(moment.confidence):
        table.add_row("confidence", confidence_text(moment))
    table.add_row("latency", f"{1000 * moment.latency_s:.1f} ms for this piece")
    table.add_row("decision", _decision(moment))
    return table


def confidence_text(moment: Moment) -> str:
    """Such as `0.62 of 0.97`."""
    bar = "no exit here" if moment.bar > 1 else f"{moment.bar:.3f}"
    return f"{moment.confidence:.3f} of {bar}"


def _decision(moment: Moment) -> Text:
    decision = moment.decision
    if decision is None:
        return Text("…", "grey50")
    return Text(decision.name, "bold green" if decision.made else "bold red")


def moment_line(moment: Moment, names: tuple[str, ...]) -> str:
    """One plain line, where there is no terminal."""
    leader = names[int(moment.counts.argmax())] if moment.counts.any() else "nothing yet"
    line = f"{moment.t_us / 1000:7.1f} ms  {moment.events:6d} events  {leader}"
    return line if np.isnan(moment.confidence) else f"{line}  ({confidence_text(moment)})"


def verdict_text(recorded: RecordedSession) -> str:
    """The outcome in two or three sentences."""
    decision, events = recorded.decision, recorded.source.events
    label = recorded.source.label
    truth = (
        "" if label is None or label >= len(recorded.names) else f" (it is {recorded.names[label]})"
    )
    used = decision.t_us / max(events.duration_us, 1)
    text = (
        f"{decision.name}{truth} after {decision.t_us / 1000:.1f} ms, {used:.0%} of the recording, "
        f"on {recorded.backend}. {decision.events:,} of {len(events):,} events were used, "
        f"{recorded.spared_events:,} spared"
    )
    if decision.synops is None:
        return f"{text}."
    return (
        f"{text}; {decision.synops:,} SynOps (simulated), about {recorded.spared_synops or 0:,} "
        "spared (estimated)."
    )
