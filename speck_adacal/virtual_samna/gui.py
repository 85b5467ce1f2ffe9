"""`samnagui`: a live view in the terminal. The vendor's own window is not part of this package.

It connects to a `VizEventStreamer`, and shows counts of sensor events, spikes by class, the last
readout and the estimated power. Where there is no terminal it counts only, and says so in one line
at its start and one at its end. Nobody can close it there: it ends with its streamer, after
`PATIENCE_S` without one, or after as many seconds as the variable `VIEW_VARIABLE` says.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from speck_adacal.errors import BackendError, SettingsError
from speck_adacal.virtual_samna.graph.viz import VizEventReceiver, decode

if TYPE_CHECKING:
    from rich.table import Table

log = logging.getLogger("speck_adacal.virtual_samna.gui")

VIEW_VARIABLE = "SPECK_ADACAL_VIRTUAL_VIEW_S"
REFRESH_S = 0.1
PATIENCE_S = 10.0
"""Without a terminal the view ends after so long without a connection or an event."""
_BAR = 30


@dataclass
class ViewState:
    """What the view shows.

    Attributes:
        totals: events received, by class name.
        counts: spikes by class in the last collection.
        readout: class of the last readout, None before the first.
        power_w: last estimate of each rail, in W.
    """

    totals: Counter[str] = field(default_factory=Counter)
    counts: list[int] = field(default_factory=list)
    readout: int | None = None
    power_w: dict[int, float] = field(default_factory=dict)

    def take(self, event: Any) -> None:
        """Take in one `samna.ui` event."""
        name = type(event).__name__
        self.totals[name] += 1
        if name == "SpikeCount":
            self.counts = list(event.counts)
        elif name == "Readout":
            self.readout = event.feature
        elif name == "Measurement":
            self.power_w[event.channel] = event.value


def run_visualizer(
    endpoint: str,
    width_proportion: float = 0.75,
    height_proportion: float = 0.75,
    headless: bool = False,
) -> None:
    """Show what a streamer sends, until it ends (the proportions are of no use in a terminal).

    Args:
        endpoint: the streamer's, such as "tcp://0.0.0.0:40000".
        headless: count only, even in a terminal.
    """
    receiver = VizEventReceiver()
    receiver.set_receiver_endpoint(endpoint)
    state, end_s = ViewState(), time.monotonic() + view_seconds()
    if sys.stdout.isatty() and not headless:
        _run_live(receiver, state, end_s)
    else:
        log.warning("samnagui: no terminal to draw in, so what %s shows is counted.", endpoint)
        _run_quiet(receiver, state, end_s)
        log.warning("samnagui: the view ends; events shown: %s.", dict(state.totals) or "none")


def view_seconds() -> float:
    """Seconds that a view lasts at most, as the environment says; without end otherwise.

    Raises:
        SettingsError: the variable is no number above 0.
    """
    text = os.environ.get(VIEW_VARIABLE, "").strip()
    try:
        seconds = float(text or "inf")
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise SettingsError(f"{VIEW_VARIABLE} is {text!r}, allowed is a number of seconds above 0.")
    return seconds


def run_visualizer_of_old(*arguments: Any, **values: Any) -> None:
    """`samnagui.runVisualizer` of releases before 0.21: size, two endpoints and a number.

    Raises:
        BackendError: there is no endpoint among the arguments.
    """
    given = [*arguments, *values.values()]
    endpoint = next((a for a in given if isinstance(a, str) and a.startswith("tcp://")), None)
    if endpoint is None:
        raise BackendError(
            "samnagui.runVisualizer is gone since samna 0.21; call "
            'samnagui.run_visualizer("tcp://0.0.0.0:40000") with the endpoint of a '
            "VizEventStreamer."
        )
    run_visualizer(endpoint)


def view(state: ViewState) -> Table:
    """The view as a table."""
    from rich.table import Table

    table = Table(title="virtual samna", show_header=False)
    for name, number in sorted(state.totals.items()):
        table.add_row(name, str(number))
    most = max(state.counts, default=0)
    for feature, number in enumerate(state.counts):
        table.add_row(f"class {feature}", f"{'#' * (number * _BAR // max(most, 1))} {number}")
    if state.readout is not None:
        table.add_row("readout", str(state.readout))
    if state.power_w:
        total = sum(state.power_w.values()) * 1e3
        table.add_row("power (estimate)", f"{total:.3f} mW")
    return table


def _run_live(receiver: VizEventReceiver, state: ViewState, end_s: float) -> None:
    from rich.live import Live

    parent = os.getppid()
    connected = False
    with Live(view(state), refresh_per_second=1 / REFRESH_S) as live:
        while os.getppid() == parent and time.monotonic() < end_s:
            _receive(receiver, state)
            live.update(view(state))
            if connected and not receiver.connected:
                return
            connected = receiver.connected
            time.sleep(REFRESH_S)


def _run_quiet(receiver: VizEventReceiver, state: ViewState, end_s: float) -> None:
    last = time.monotonic()
    connected = False
    while time.monotonic() < min(last + PATIENCE_S, end_s):
        if _receive(receiver, state):
            last = time.monotonic()
        if connected and not receiver.connected:
            break
        connected = receiver.connected
        time.sleep(REFRESH_S)


def _receive(receiver: VizEventReceiver, state: ViewState) -> int:
    lines = receiver.lines()
    for line in lines:
        event = decode(line)
        if event is not None:
            state.take(event)
    return len(lines)


def public() -> dict[str, Any]:
    """Names of the module."""
    return {"run_visualizer": run_visualizer, "runVisualizer": run_visualizer_of_old}
