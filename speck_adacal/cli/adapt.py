"""`speck-adacal adapt`: a trained network becomes a spiking one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.cli import adapt_options as options
from speck_adacal.cli import common, waiting

if TYPE_CHECKING:
    from speck_adacal import AdaptedNetwork, AdaptSettings

NAME = "adapt"
EXAMPLE = (
    "Example: speck-adacal adapt --model digits.safetensors --arch digits_cnn "
    "--calibration digits.npz --out digits.adapted"
)


def command(
    model: options.Model,
    calibration: options.Calibration,
    out: options.Out,
    arch: options.Arch = None,
    input_shape: options.InputShape = None,
    samples: options.Samples = "256",
    normalize: options.Normalize = None,
    input_coding: options.InputCoding = "events",
    time_steps: options.TimeSteps = 8,
    phi: options.Phi = 1,
    correction: options.Correction = "auto",
    per_channel: options.PerChannel = False,
    chip_correction: options.ChipCorrection = True,
    refit_max_pooling: options.RefitMaxPooling = True,
    bias: options.Bias = "measured",
    reset_each: options.ResetEach = False,
    search_phi: options.SearchPhi = False,
    search_rho: options.SearchRho = False,
    estimator: options.Estimator = "time_steps",
    max_synops: options.MaxSynops = None,
    work: options.Work = None,
    chip: common.Chip = DEFAULT_CHIP,
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
    with common.calm_libraries(quiet=quiet), waiting.counting("Adapting", quiet=hushed) as count:
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
            chip=chip,
            progress=count,
        )
        save(adapted, out, command=common.command_line(), force=force)
    shown = recipe_table(adapted, out)
    common.show(_results(adapted, settings, out), shown, as_json=as_json, quiet=quiet)


def _results(adapted: AdaptedNetwork, settings: AdaptSettings, out: Path) -> dict[str, Any]:
    verdict = adapted.recipe.verdict
    return {
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
