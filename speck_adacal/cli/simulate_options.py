"""The options of `speck-adacal simulate`, as its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speck_adacal.errors import SettingsError

if TYPE_CHECKING:
    from speck_adacal.chip.deploy import Deployment
    from speck_adacal.readout.stream_exit import StreamExit

Bundle = Annotated[Path, typer.Argument(help="What `deploy` wrote.")]
Recordings = Annotated[
    Path,
    typer.Option(
        "--samples-from",
        "--events",
        help="Recordings (.npz: x, y, p, t, offsets) or images (.npz).",
    ),
]
Samples = Annotated[
    str | None, typer.Option("--samples", help="Which samples to use: N, or FROM:TO.")
]
Continuous = Annotated[
    bool,
    typer.Option(
        "--continuous",
        help="Recordings on end in random order (--seed), never reset: as at a camera.",
    ),
]
GapMs = Annotated[
    float, typer.Option("--gap-ms", min=0, help="Silence behind each, for --continuous.")
]
WindowMs = Annotated[
    float | None,
    typer.Option(
        "--window-ms",
        min=0.01,
        help="Sliding window for --continuous; a third of the median recording by default.",
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write decisions and counts to this .npz.")
]
Bar = Annotated[
    float | None,
    typer.Option(
        "--bar",
        help="Decide on the way, with --continuous: as soon as the confidence of the sliding "
        "window's spikes, the first class against the second, reaches this (0 to 1).",
    ),
]
Refractory = Annotated[
    float | None,
    typer.Option(
        "--refractory-ms",
        min=0,
        help="Rest after each decision; left out: until the network is sure of another class.",
    ),
]
Temperature = Annotated[
    float,
    typer.Option("--temperature", min=0.001, help="Spikes that weigh as one, for --bar."),
]
Spare = Annotated[
    bool, typer.Option("--spare", help="The host feeds no events while the read-out rests.")
]
_LOOKS = 10  # in a sliding window


def refuse_without_stream(
    bar: float | None, refractory_ms: float | None, *, continuous: bool, spare: bool
) -> None:
    """Refuse options that say nothing as they were given.

    Raises:
        SettingsError: there is no stream, or no bar.
    """
    if not continuous and (bar is not None or refractory_ms is not None or spare):
        raise SettingsError(
            "--bar, --refractory-ms and --spare are of a stream; give --continuous as well, or "
            "calibrate exits of single recordings with `speck-adacal exits`."
        )
    if bar is None and (refractory_ms is not None or spare):
        raise SettingsError(
            "--refractory-ms and --spare say what follows a decision on the way; give --bar, at "
            "which one falls, as well."
        )


def stream_exit_of(
    deployment: Deployment,
    bar: float | None,
    window_us: int,
    refractory_ms: float | None,
    temperature: float,
    *,
    spare: bool,
) -> StreamExit | None:
    """The readout that the options ask for; None without a bar.

    Raises:
        SettingsError: a value is out of range.
    """
    from speck_adacal.readout.stream_exit import StreamExit

    if bar is None:
        return None
    return StreamExit(
        deployment.classes,
        bar,
        memory_us=window_us,
        step_us=max(1, window_us // _LOOKS),
        refractory_us=None if refractory_ms is None else round(refractory_ms * 1000),
        temperature=temperature,
        spare=spare,
    )
