"""The options of `speck-adacal front`, as its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Bundle = Annotated[Path, typer.Argument(help="What `adapt` or `import` wrote.")]
Calibration = Annotated[
    Path,
    typer.Option(
        "--samples-from",
        "--calibration",
        help="Recordings (or images) as they come at inference; without labels, the trained "
        "network's own decisions are the target (of an import: its own on the chip).",
    ),
]
Samples = Annotated[
    str | None, typer.Option("--samples", help="Which samples to use: N, or FROM:TO.")
]
MaxSynops = Annotated[
    float | None, typer.Option("--max-synops", min=0, help="Choose the best point within.")
]
MinAccuracy = Annotated[
    float | None,
    typer.Option("--min-accuracy", min=0, max=1, help="Choose the cheapest point of at least."),
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Deploy the chosen point: the bundle to write.")
]
Figure = Annotated[
    Path | None, typer.Option("--figure", help="Draw the front (.svg, .png or .pdf).")
]
Points = Annotated[int, typer.Option("--points", min=1, help="Most points of the front.")]
TimeSteps = Annotated[
    str | None,
    typer.Option(
        "--time-steps",
        help="Numbers of time steps to try beside the network's own, such as 4,2; of images a "
        "half and a quarter if left out.",
    ),
]
InputBursts = Annotated[
    str | None,
    typer.Option(
        "--input-bursts",
        help="The same for the events that a pixel may send in a step; a half if left out.",
    ),
]
