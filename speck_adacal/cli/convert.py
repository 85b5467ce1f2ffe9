"""`speck-adacal convert`: from a trained network to a bundle and its page, in one command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.cli import adapt_options as options
from speck_adacal.cli import common, early, waiting
from speck_adacal.cli.adapt import network_of

if TYPE_CHECKING:
    from speck_adacal import AdaptedNetwork, AdaptSettings, Deployment
    from speck_adacal.events.sample_files import Samples
    from speck_adacal.reporting.summary import Summary

NAME = "convert"
EXAMPLE = (
    "Example: speck-adacal convert --model digits.safetensors --arch digits_cnn "
    "--samples-from digits.npz --test test.npz --out digits.bundle"
)
_STAGES = 5

Test = Annotated[
    Path | None,
    typer.Option(
        "--test",
        help="Labelled images or recordings (.npz) that the network was not trained on; the page "
        "then shows accuracy and cost at every level.",
    ),
]
TestSamples = Annotated[
    str | None, typer.Option("--test-samples", help="Which of them: N, or FROM:TO.")
]


def command(
    model: options.Model,
    calibration: options.Calibration,
    out: common.BundleOut,
    arch: options.Arch = None,
    test: Test = None,
    test_samples: TestSamples = "1000",
    input_shape: options.InputShape = None,
    samples: options.Samples = "256",
    normalize: options.Normalize = None,
    time_steps: options.TimeSteps = 8,
    phi: options.Phi = 1,
    bias: options.Bias = "measured",
    reset_each: options.ResetEach = False,
    chip: common.Chip = DEFAULT_CHIP,
    jobs: common.Jobs = 1,
    dask: common.Dask = None,
    as_json: common.Json = False,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Check, adapt, deploy, measure and report a trained network, in one command.

    Writes one bundle with the page report.html in it. Exit code 3 where it does not fit the chip.
    """
    early.refuse_early(out, force=force, bundle=True)
    for path, option in ((model, "--model"), (calibration, "--samples-from"), (test, "--test")):
        early.need_file(path, option)
    common.parse_slice(samples)
    common.parse_slice(test_samples, "--test-samples")
    from speck_adacal import AdaptSettings

    settings = AdaptSettings(
        time_steps=time_steps, phi=phi, bias=bias, seed=seed, reset_each=reset_each or None
    )
    asked = _Asked(
        model,
        arch,
        calibration,
        samples,
        test,
        test_samples,
        None if input_shape is None else common.parse_shape(input_shape),
        () if normalize is None else tuple(map(common.parse_numbers, normalize)),
        chip,
    )
    counting = waiting.counting("Converting", quiet=quiet or as_json)
    with common.calm_libraries(quiet=quiet), counting as count, common.spread(jobs, dask):
        deployment, summary = _convert(asked, settings, count)
        _write(deployment, summary, out, count, force=force)
    _show(summary, out, as_json=as_json, quiet=quiet)


@dataclass(frozen=True)
class _Asked:
    model: Path
    arch: str | None
    calibration: Path
    samples: str | None
    test: Path | None
    test_samples: str | None
    input_shape: tuple[int, ...] | None
    normalize: tuple[list[float], ...]
    chip: str


def _convert(
    asked: _Asked, settings: AdaptSettings, count: waiting.Count
) -> tuple[Deployment, Summary]:
    data = early.samples_of(asked.calibration, asked.samples)
    test = _test_samples(asked, data)
    count(0, 0, waiting.LOADING)
    from speck_adacal import deploy
    from speck_adacal.reporting.summary import describe, summarise

    adapted = _checked_and_adapted(asked, settings, count, data)
    waiting.stage(count, 3, _STAGES, f"placing it on {asked.chip}")
    deployment = deploy(adapted, chip=asked.chip)
    measuring = waiting.stage(count, 4, _STAGES, "measuring every level")
    command = common.command_line()
    if test is None or test.labels is None:
        return deployment, describe(deployment, command=command)
    return deployment, summarise(
        deployment, test.inputs, test.labels, command=command, details=True, progress=measuring
    )


def _test_samples(asked: _Asked, calibration: Samples) -> Samples | None:
    """The samples to measure on, of the shape that the network is calibrated for."""
    from speck_adacal.errors import DataError

    if asked.test is None:
        return None
    test: Samples = early.labelled_samples(asked.test, asked.test_samples, "--test-samples")
    if test.input_shape != calibration.input_shape:
        raise DataError(
            f"The samples of --test ({asked.test}) have shape {test.input_shape}, those of "
            f"--samples-from {calibration.input_shape}; give samples of one shape."
        )
    return test


def _checked_and_adapted(
    asked: _Asked, settings: AdaptSettings, count: waiting.Count, data: Samples
) -> AdaptedNetwork:
    from speck_adacal import adapt, check
    from speck_adacal.chip.deploy import refuse_broken

    waiting.stage(count, 1, _STAGES, f"checking it against the rules of {asked.chip}")
    network = network_of(asked.model, asked.arch, asked.normalize)
    shape = asked.input_shape or data.input_shape
    found = check(network, input_shape=shape, chip=asked.chip)
    if found.errors:
        refuse_broken(found.errors, asked.chip, found.change)
    progress = waiting.stage(count, 2, _STAGES, "adapting it without training")
    return adapt(
        network,
        data.inputs,
        input_shape=shape,
        settings=settings,
        labels=data.labels,
        chip=asked.chip,
        progress=progress,
    )


def _write(
    deployment: Deployment, summary: Summary, out: Path, count: waiting.Count, *, force: bool
) -> None:
    from speck_adacal import save
    from speck_adacal.reporting.page import render_page

    waiting.stage(count, 5, _STAGES, "writing the bundle and its page")
    extra = {"report.html": render_page(summary).encode()}
    save(deployment, out, command=common.command_line(), force=force, extra=extra)


def _show(summary: Summary, out: Path, *, as_json: bool, quiet: bool) -> None:
    from speck_adacal.reporting.tables import summary_view

    page = f"report.html in {out}" if out.suffix == ".zip" else str(out / "report.html")
    paths = {"bundle": str(out), "report": page}
    results: dict[str, Any] = {**summary.to_dict(), **paths}
    common.show(results, summary_view(summary, paths), as_json=as_json, quiet=quiet)
