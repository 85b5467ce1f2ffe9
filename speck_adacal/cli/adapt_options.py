"""The options of `speck-adacal adapt`, as its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    Path, typer.Option("--model", help="Weights: .safetensors, .npz, a plain state dict, .nir.")
]
Calibration = Annotated[
    Path,
    typer.Option(
        "--samples-from",
        "--calibration",
        help="Inputs as they come at inference: .npz with 'images', or recordings (x, y, p, t, "
        "offsets); .npy images.",
    ),
]
Arch = Annotated[
    str | None,
    typer.Option("--arch", help="A reference architecture, or module:callable."),
]
InputShape = Annotated[
    str | None,
    typer.Option("--input-shape", help="Such as 1,28,28; taken from the samples if left out."),
]
Samples = Annotated[
    str | None,
    typer.Option(
        "--samples",
        help="Which samples to use: N, or FROM:TO. Searches find more with some thousand.",
    ),
]
Normalize = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--normalize",
        metavar="MEAN STD",
        help="The network was trained on (x - MEAN) / STD: becomes part of its first layer, so "
        "that images of 0 to 1 go in. A number each, or one a channel: 0.5,0.4,0.4 0.2,0.3,0.2",
    ),
]
InputCoding = Annotated[
    str,
    typer.Option(
        "--input-coding",
        help="'events': images become events; 'analog': the first layer sees the same values "
        "at every step (of any range; in time steps only, the chip takes events).",
    ),
]
TimeSteps = Annotated[int, typer.Option("--time-steps", "-T", help="T, steps a sample.")]
Phi = Annotated[int, typer.Option("--phi", help="φ, most spikes of a neuron a step.")]
Correction = Annotated[
    str,
    typer.Option(
        "--correction",
        help="potential, bias, both, weights, temporal (a bias for each time step; in time "
        "steps only), none, or auto: potential for events, the best of both and temporal, by "
        "held-out samples, for analog input.",
    ),
]
PerChannel = Annotated[
    bool, typer.Option("--per-channel", help="One threshold per channel, not per layer.")
]
ChipCorrection = Annotated[
    bool,
    typer.Option(
        help="Choose what becomes of biases and of the lower clip by measuring on the twin, "
        "and correct initial potentials by its rule, to match the trained network. "
        "A network that was trained as a spiking one comes in by `import` instead."
    ),
]
RefitMaxPooling = Annotated[
    bool,
    typer.Option(
        help="Put average pooling in place of max pooling, with the layers behind it "
        "calibrated in closed form; switched off, such a network is for time steps only.",
    ),
]
Bias = Annotated[
    str,
    typer.Option(
        "--bias",
        help="How biases of convolutions reach the chip: measured (what loses least), events "
        "(a constant channel that the host sends), initial (potential) or leak (for input "
        "from the chip's own sensor).",
    ),
]
ResetEach = Annotated[
    bool,
    typer.Option(
        "--reset-each",
        help="States are reset before each recording (samples that a host feeds one by one). "
        "Without it, recordings of events are taken for a stream that is never reset, as at a "
        "camera; images are single samples always.",
    ),
]
SearchPhi = Annotated[
    bool, typer.Option("--search-phi", help="Choose φ per layer at the SynOps of --phi.")
]
SearchRho = Annotated[
    bool, typer.Option("--search-rho", help="Choose ρ per layer for fewest spikes (SSC).")
]
Estimator = Annotated[
    str,
    typer.Option(
        "--estimator",
        help="'time_steps', or 'twin': search thresholds once more on the chip twin.",
    ),
]
MaxSynops = Annotated[
    float | None,
    typer.Option("--max-synops", help="Most SynOps a sample, for --estimator twin."),
]
Work = Annotated[
    Path | None,
    typer.Option("--work", help="Keep finished work of a search here; a killed one goes on."),
]
