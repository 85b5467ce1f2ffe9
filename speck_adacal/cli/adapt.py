"""`speck-adacal adapt`: a trained network becomes a spiking one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.cli import adapt_options as options
from speck_adacal.cli import common, early, waiting

if TYPE_CHECKING:
    from torch import nn

    from speck_adacal import AdaptedNetwork, AdaptSettings

NAME = "adapt"
EXAMPLE = (
    "Example: speck-adacal adapt --model digits.safetensors --arch digits_cnn "
    "--samples-from digits.npz --out digits.adapted"
)


def command(
    model: options.Model,
    calibration: options.Calibration,
    out: common.BundleOut,
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
    jobs: common.Jobs = 1,
    dask: common.Dask = None,
    as_json: common.Json = False,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Turn a trained network into a spiking one, without training."""
    early.refuse_early(out, force=force, bundle=True)
    early.need_file(model, "--model")
    shape = None if input_shape is None else common.parse_shape(input_shape)
    normal = () if normalize is None else tuple(map(common.parse_numbers, normalize))
    from speck_adacal import AdaptSettings

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
    hushed = quiet or as_json
    counting = waiting.counting("Adapting", quiet=hushed)
    with common.calm_libraries(quiet=quiet), counting as count, common.spread(jobs, dask):
        data = early.samples_of(calibration, samples)
        count(0, 0, waiting.LOADING)
        from speck_adacal import AdaptPlan, adapt, save
        from speck_adacal.reporting.recipe_table import recipe_table

        searches = search_phi or search_rho
        adapted = adapt(
            network_of(model, arch, normal),
            data.inputs,
            input_shape=shape or data.input_shape,
            settings=settings,
            plan=AdaptPlan(search_phi=search_phi, search_rho=search_rho) if searches else None,
            folder=work,
            labels=data.labels,
            chip=chip,
            progress=count,
        )
        save(adapted, out, command=common.command_line(), force=force)
    shown = recipe_table(adapted, out)
    common.show(_results(adapted, settings, out), shown, as_json=as_json, quiet=quiet)


def network_of(model: Path, arch: str | None, normal: tuple[list[float], ...]) -> nn.Module:
    """The trained network, with its input's normalisation where it has one."""
    from speck_adacal import load_network
    from speck_adacal.ann.modules import Normalised

    network = load_network(model, arch)
    return Normalised(network, *normal) if normal else network


def _results(adapted: AdaptedNetwork, settings: AdaptSettings, out: Path) -> dict[str, Any]:
    from speck_adacal.reporting.recipe_table import recipe_rows

    verdict = adapted.recipe.verdict
    return {
        "bundle": str(out),
        "verdict": None if verdict is None else verdict.to_dict(),
        "settings": settings.to_dict(),
        "layers": recipe_rows(adapted),
    }
