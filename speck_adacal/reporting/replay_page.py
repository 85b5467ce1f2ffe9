"""A session's replay as one self-contained HTML page: no network, light and dark, by keyboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from speck_adacal import __version__
from speck_adacal.bundle import new_file
from speck_adacal.host.recorded_session import RecordedSession
from speck_adacal.reporting.live import verdict_text

MOST_EVENTS = 200_000
"""More would make the page too heavy; every n-th is shown then, and the page says so."""


def render_replay(recorded: RecordedSession) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("speck_adacal.reporting"), autoescape=True, undefined=StrictUndefined
    )
    data = replay_data(recorded)
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return environment.get_template("replay.html.j2").render(
        recorded=recorded,
        verdict=verdict_text(recorded),
        # A closing tag inside a string would end the script element.
        data=text.replace("<", "\\u003c"),
        every=data["every"],
        version=__version__,
    )


def replay_data(recorded: RecordedSession) -> dict[str, Any]:
    """What the page's script draws; times in µs."""
    events, decision = recorded.source.events, recorded.decision
    every = -(-len(events) // MOST_EVENTS) or 1
    spikes = np.concatenate([m.t_spikes_us for m in recorded.moments])
    classes = np.append(recorded.class_of, -1)[np.concatenate([m.output for m in recorded.moments])]
    known = classes >= 0
    sure = [
        [m.t_us, None if np.isnan(m.confidence) else round(m.confidence, 4), _bar(m.bar)]
        for m in recorded.moments
    ]
    return {
        "shape": list(events.shape),
        "duration": max(events.duration_us, 1),
        "every": every,
        "t": events.t_us[::every].tolist(),
        "x": events.x[::every].tolist(),
        "y": events.y[::every].tolist(),
        "p": events.channel[::every].tolist(),
        "names": list(recorded.names),
        "spike_t": spikes[known].tolist(),
        "spike_class": classes[known].tolist(),
        "sure": sure,
        "decided": decision.t_us,
        "early": decision.early,
        "label": decision.label,
        "name": decision.name,
    }


def write_replay(recorded: RecordedSession, path: Path, *, force: bool = False) -> None:
    """Write the page.

    Raises:
        OutputExistsError: `path` exists and `force` is False.
        OutputError: it cannot be written.
    """
    with new_file(path, force=force) as temporary:
        temporary.write_text(render_replay(recorded), encoding="utf-8")


def _bar(bar: float) -> float | None:
    return None if np.isnan(bar) or bar > 1 else round(bar, 4)
