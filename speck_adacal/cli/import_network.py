"""`speck-adacal import`: a network that is spiking already, taken as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common, early, waiting

NAME = "import"
EXAMPLE = (
    "Examples: speck-adacal import snn.nir --out snn.adapted; speck-adacal import weights.pt "
    "--arch my_module:make_snn --input-shape 2,34,34 --out snn.adapted"
)


def command(
    model: Annotated[
        Path,
        typer.Argument(help="A NIR file, or weights of a network with sinabs' spiking layers."),
    ],
    out: common.BundleOut,
    arch: Annotated[
        str | None,
        typer.Option("--arch", help="module:callable that builds the network; not for NIR."),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option("--input-shape", help="Such as 2,34,34; a NIR file says it itself."),
    ] = None,
    time_steps: Annotated[
        int, typer.Option("--time-steps", "-T", help="T, steps a sample, where steps matter.")
    ] = 8,
    never_reset: Annotated[
        bool,
        typer.Option(
            "--never-reset",
            help="For a stream, as at a camera: front judges on recordings on end, flash takes it.",
        ),
    ] = False,
    mend_scale: Annotated[
        bool,
        typer.Option(
            "--mend-scale",
            help="Layers whose weights sinabs' joint scale loses get a scale of their own.",
        ),
    ] = False,
    as_json: common.Json = False,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Take a spiking network as it is: weights, thresholds and lower clips are kept.

    What follows (deploy, simulate, front, report) goes on from there; nothing is calibrated.
    """
    early.refuse_early(out, force=force, bundle=True)
    early.need_file(model, "MODEL")
    shape = None if input_shape is None else common.parse_shape(input_shape)
    hushed = quiet or as_json
    with common.calm_libraries(quiet=quiet), waiting.counting("Reading", quiet=hushed) as count:
        count(0, 0, waiting.LOADING)
        import speck_adacal
        from speck_adacal.ann.spiking.files import load_spiking
        from speck_adacal.reporting.import_table import import_table, imported_layers

        network, shape = load_spiking(model, arch, shape)
        adapted = speck_adacal.from_sinabs(
            network,
            shape,
            time_steps=time_steps,
            reset_each=not never_reset,
            mend_scale=mend_scale,
            seed=seed,
        )
        speck_adacal.save(adapted, out, command=common.command_line(), force=force)
    results = {"bundle": str(out), "layers": imported_layers(adapted)}
    common.show(results, import_table(adapted, out), as_json=as_json, quiet=quiet)
