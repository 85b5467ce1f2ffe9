"""The options of `speck-adacal stream`, as its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    str,
    typer.Argument(
        help="A recording (.npz, .bin, .aedat4, .raw, .dat; FILE.npz:K for one of many), "
        "digits:K (a shipped digit), camera:K or camera:IMAGES.npz:K (the simulated camera "
        "looks at it), DATASET:SPLIT:K such as nmnist:test:0, or devkit (the sensor of a dev "
        "kit, virtual where no real one is installed)."
    ),
]
Bundle = Annotated[Path, typer.Option("--bundle", help="What `deploy` wrote.")]
Backend = Annotated[
    str,
    typer.Option("--backend", help="twin, virtual (dev kit in software) or devkit (real)."),
]
Readout = Annotated[
    str,
    typer.Option(
        "--readout",
        help="bundle (the bundle's own, else argmax_spike_count), argmax_spike_count, "
        "argmax_membrane, or first_to_threshold=N.",
    ),
]
WindowMs = Annotated[
    float | None,
    typer.Option(
        "--window-ms",
        min=0.001,
        help="How often to look; by default every 10 ms, or 20 times where that is shorter.",
    ),
]
Seconds = Annotated[
    float, typer.Option("--seconds", min=0.01, help="How long to listen to a dev kit's sensor.")
]
Scene = Annotated[
    str, typer.Option("--scene", help="Recording that a virtual dev kit's sensor sees.")
]
Speed = Annotated[
    float, typer.Option("--speed", min=0.0, help="Of the live view; 0 for no waiting.")
]
Crop = Annotated[
    str | None,
    typer.Option(
        "--crop",
        help="X,Y of the region of a larger recording, in its pixels [the middle].",
    ),
]
Pool = Annotated[
    int | None,
    typer.Option(
        "--pool", min=1, help="Pixels a side that become one [as many as fill the input]."
    ),
]
Record = Annotated[
    Path | None, typer.Option("--record", help="Write events, spikes and decision (.npz).")
]
SaveVideo = Annotated[Path | None, typer.Option("--save-video", help="Write an animated GIF.")]
SaveHtml = Annotated[
    Path | None, typer.Option("--save-html", help="Write a replay as one HTML page.")
]
