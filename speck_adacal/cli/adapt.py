"""`speck-adacal adapt`: a trained network becomes a spiking one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common

NAME = "adapt"
EXAMPLE = (
    "Example: speck-adacal adapt --model digits.safetensors --arch digits_cnn "
    "--calibration digits.npz --out digits.adapted"
)


def command(
    model: Annotated[
        Path, typer.Option("--model", help="Weights: .safetensors, .npz, a plain state dict, .nir.")
    ],
    calibration: Annotated[
        Path,
        typer.Option(
            "--calibration",
            help="Inputs as they come at inference: .npz with 'images', or recordings (x, y, p, t, "
            "offsets); .npy images.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The bundle to write (folder, or .zip).")],
    arch: Annotated[
        str | None,
        typer.Option("--arch", help="A reference architecture, or module:callable."),
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option("--input-shape", help="Such as 1,28,28; taken from the samples if left out."),
    ] = None,
    samples: Annotated[
        str | None,
        typer.Option(
            "--samples",
            help="Which samples to use: N, or FROM:TO. Searches find more with some thousand.",
        ),
    ] = "256",
    normalize: Annotated[
        tuple[str, str] | None,
        typer.Option(
            "--normalize",
            metavar="MEAN STD",
            help="The network was trained on (x - MEAN) / STD: becomes part of its first layer, so "
            "that images of 0 to 1 go in. A number each, or one a channel: 0.5,0.4,0.4 0.2,0.3,0.2",
        ),
    ] = None,
    input_coding: Annotated[
        str,
        typer.Option(
            "--input-coding",
            help="'events': images become events; 'analog': the first layer sees the same values "
            "at every step (of any range; in time steps only, the chip takes events).",
        ),
    ] = "events",
    time_steps: Annotated[int, typer.Option("--time-steps", "-T", help="T, steps a sample.")] = 8,
    phi: Annotated[int, typer.Option("--phi", help="φ, most spikes of a neuron a step.")] = 1,
    correction: Annotated[
        str,
        typer.Option(
            "--correction",
            help="potential, bias, both, weights, temporal (a bias for each time step; in time "
            "steps only), none, or auto: potential for events, the best of both and temporal, by "
            "held-out samples, for analog input.",
        ),
    ] = "auto",
    per_channel: Annotated[
        bool, typer.Option("--per-channel", help="One threshold per channel, not per layer.")
    ] = False,
    chip_correction: Annotated[
        bool,
        typer.Option(
            help="Choose what becomes of biases and of the lower clip by measuring on the twin, "
            "and correct initial potentials by its rule, to match the trained network. "
            "A network that was trained as a spiking one comes in by `import` instead."
        ),
    ] = True,
    refit_max_pooling: Annotated[
        bool,
        typer.Option(
            help="Put average pooling in place of max pooling, with the layers behind it "
            "calibrated in closed form; switched off, such a network is for time steps only.",
        ),
    ] = True,
    bias: Annotated[
        str,
        typer.Option(
            "--bias",
            help="How biases of convolutions reach the chip: measured (what loses least), events "
            "(a constant channel that the host sends), initial (potential) or leak (for input "
            "from the chip's own sensor).",
        ),
    ] = "measured",
    reset_each: Annotated[
        bool,
        typer.Option(
            "--reset-each",
            help="States are reset before each recording (samples that a host feeds one by one). "
            "Without it, recordings of events are taken for a stream that is never reset, as at a "
            "camera; images are single samples always.",
        ),
    ] = False,
    search_phi: Annotated[
        bool, typer.Option("--search-phi", help="Choose φ per layer at the SynOps of --phi.")
    ] = False,
    search_rho: Annotated[
        bool, typer.Option("--search-rho", help="Choose ρ per layer for fewest spikes (SSC).")
    ] = False,
    estimator: Annotated[
        str,
        typer.Option(
            "--estimator",
            help="'time_steps', or 'twin': search thresholds once more on the chip twin.",
        ),
    ] = "time_steps",
    max_synops: Annotated[
        float | None,
        typer.Option("--max-synops", help="Most SynOps a sample, for --estimator twin."),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option("--work", help="Keep finished work of a search here; a killed one goes on."),
    ] = None,
    as_json: common.Json = False,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Turn a trained network into a spiking one, without training."""
    common.refuse_early(out, force=force, bundle=True)
    from speck_adacal import AdaptPlan, AdaptSettings, adapt, load_network, load_samples, save
    from speck_adacal.ann.modules import Normalised
    from speck_adacal.reporting.tables import recipe_table

    settings = AdaptSettings(
        time_steps=time_steps,
        phi=phi,
        correction=correction,
        per_channel=per_channel,
        seed=seed,
        input_coding=input_coding,
        chip_correction=chip_correction,
        estimator=estimator,
        max_synops=max_synops,
        bias=bias,
        max_pooling="refit" if refit_max_pooling else "keep",
        reset_each=reset_each or None,
    )
    plan = None
    if search_phi or search_rho:
        plan = AdaptPlan(search_phi=search_phi, search_rho=search_rho)
    hushed = quiet or as_json
    with common.calm_libraries(quiet=quiet), common.counting("Adapting", quiet=hushed) as count:
        network = load_network(model, arch)
        if normalize is not None:
            network = Normalised(network, *map(common.parse_numbers, normalize))
        data = load_samples(calibration).part(common.parse_slice(samples))
        shape = common.parse_shape(input_shape) if input_shape else data.input_shape
        adapted = adapt(
            network,
            data.inputs,
            input_shape=shape,
            settings=settings,
            plan=plan,
            folder=work,
            labels=data.labels,
            progress=count,
        )
        save(adapted, out, command=common.command_line(), force=force)
    verdict = adapted.recipe.verdict
    results = {
        "bundle": str(out),
        "verdict": None if verdict is None else verdict.to_dict(),
        "settings": settings.to_dict(),
        "layers": [
            {
                "name": layer.name,
                "phi": layer.phi,
                "rho": layer.rho,
                "threshold": layer.threshold.tolist(),
                "readout": layer.readout,
                "lower_clip": layer.lower_clip,
                "leaks": layer.leaks,
            }
            for layer in adapted.recipe.layers
        ],
    }
    common.show(results, recipe_table(adapted, out), as_json=as_json, quiet=quiet)
