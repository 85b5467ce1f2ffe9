"""`speck-adacal deploy`: an adapted network becomes a Speck configuration."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speck_adacal.chip_description import DEFAULT_CHIP
from speck_adacal.cli import common, early, waiting, wiring_options

if TYPE_CHECKING:
    from speck_adacal.chip.deploy import Deployment
    from speck_adacal.inspection.alarms import Alarms
    from speck_adacal.inspection.core_load import CoreLoad, LoadChange

NAME = "deploy"
EXAMPLE = (
    "Examples: speck-adacal deploy digits.adapted --out digits.bundle; speck-adacal deploy "
    "nmnist.adapted --input sensor --readout chip --out alone.bundle"
)

Bias = Annotated[
    str,
    typer.Option(
        "--bias",
        help="Biases: 'recipe' (as `adapt` chose), 'initial' (part of the initial potential), "
        "'leak' (slow clock), or 'refuse'.",
    ),
]
LowerClip = Annotated[
    str,
    typer.Option(
        "--lower-clip",
        help="Where a membrane potential stops falling: 'recipe' (as `adapt` or `front` "
        "chose), 'open' (16 bits), 'threshold' (as sinabs does), or firing thresholds below "
        "zero.",
    ),
]
WindowUs = Annotated[
    int | None,
    typer.Option(
        "--window-us", help="Duration of a sample in µs, for a leak; the recipe's if left out."
    ),
]

Recordings = Annotated[
    Path | None,
    typer.Option(
        "--samples-from",
        "--recordings",
        help="Show each core's load on these (.npz), simulated.",
    ),
]


def command(
    bundle: Annotated[Path, typer.Argument(help="What `adapt` wrote.")],
    out: common.BundleOut,
    chip: common.Chip = DEFAULT_CHIP,
    bias: Bias = "recipe",
    lower_clip: LowerClip = "recipe",
    window_us: WindowUs = None,
    recordings: Recordings = None,
    samples: Annotated[
        str | None, typer.Option("--samples", help="Which recordings: N, or FROM:TO.")
    ] = "100",
    synops_limit: wiring_options.SynopsLimit = None,
    source: wiring_options.Source = "host",
    origin: wiring_options.Origin = None,
    pooling: wiring_options.Pooling = None,
    mirror: wiring_options.Mirror = "",
    polarities: wiring_options.Polarities = "fit",
    noise_filter: wiring_options.NoiseFilter = "off",
    readout: wiring_options.Readout = "host",
    readout_window: wiring_options.ReadoutWindow = 1,
    readout_threshold: wiring_options.ReadoutThreshold = 0,
    wrong_alarms: wiring_options.WrongAlarms = None,
    slow_clock_hz: wiring_options.SlowClockHz = None,
    clock_divider: wiring_options.ClockDivider = None,
    as_json: common.Json = False,
    seed: common.BundleSeed = None,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Fold, check, quantise and map a network onto the chip's cores.

    Exit code 3 where design rules are violated, with all of them listed.
    """
    early.refuse_early(out, force=force, bundle=True)
    asked = wiring_options.Asked(
        *(source, origin, pooling, mirror, polarities, noise_filter),
        *(readout, readout_window, readout_threshold, slow_clock_hz, clock_divider),
    )
    wiring = wiring_options.wiring_of(asked)
    early.need_bundle(bundle, deployed=False)
    early.need_file(recordings, "--samples-from")
    common.parse_slice(samples)
    alarms = None
    from speck_adacal import ChipPolicy

    policy = ChipPolicy(bias, common.parse_lower_clip(lower_clip), window_us)
    hushed = quiet or as_json
    with common.calm_libraries(quiet=quiet), waiting.counting("Deploying", quiet=hushed) as count:
        count(0, 0, waiting.LOADING)
        from speck_adacal import Deployment, deploy, load, save
        from speck_adacal.reporting.summary import layer_rows
        from speck_adacal.reporting.tables import deployment_table

        loaded = load(bundle)
        adapted = loaded.adapted if isinstance(loaded, Deployment) else loaded
        deployment = deploy(adapted.with_seed(seed), chip=chip, policy=policy, wiring=wiring)
        if wrong_alarms is not None:
            deployment, alarms = _calibrated(deployment, recordings, samples, wrong_alarms)
        loads, changes = _loads(deployment, recordings, samples, synops_limit)
        save(deployment, out, command=common.command_line(), force=force)
    from rich.console import Group

    table = Group(
        deployment_table(deployment, layer_rows(deployment), out, loads, synops_limit),
        *wiring_options.wiring_lines(deployment, alarms),
        *wiring_options.change_lines(changes),
    )
    results = {
        "bundle": str(out),
        "bias": bias,
        "lower_clip": lower_clip,
        "synops_limit": synops_limit,
        "over_limit": [load.core for load in loads if load.exceeds(synops_limit)],
        "load_changes": [{"kind": "simulated", **asdict(change)} for change in changes],
        **_measured(deployment, loads, alarms),
    }
    common.show(results, table, as_json=as_json, quiet=quiet)


def _measured(
    deployment: Deployment, loads: tuple[CoreLoad, ...], alarms: Alarms | None
) -> dict[str, object]:
    from speck_adacal.reporting.summary import layer_rows

    verdict = deployment.adapted.recipe.verdict
    return {
        "chip": deployment.chip,
        "layers": [row.to_dict() for row in layer_rows(deployment)],
        "slow_clock_hz": deployment.slow_clock_hz,
        "wiring": asdict(deployment.wiring),
        "alarms": None if alarms is None else {"kind": "simulated", **asdict(alarms)},
        "loads": [{"kind": "simulated", **asdict(load)} for load in loads],
        "verdict": None if verdict is None else verdict.to_dict(),
        "warnings": [str(violation) for violation in deployment.violations],
    }


def _calibrated(
    deployment: Deployment, recordings: Path | None, part: str | None, wrong_alarms: float
) -> tuple[Deployment, Alarms]:
    from speck_adacal import calibrated_readout
    from speck_adacal.chip.simulation import recordings_for
    from speck_adacal.errors import SettingsError
    from speck_adacal.events.sample_files import load_samples

    data = None if recordings is None else load_samples(recordings).part(common.parse_slice(part))
    if data is None or data.labels is None:
        raise SettingsError(
            "--wrong-alarms finds the threshold on recordings with labels, and there are none; "
            "give them with --samples-from."
        )
    inputs = recordings_for(deployment, data.inputs)
    return calibrated_readout(deployment, inputs, data.labels, wrong_alarms=wrong_alarms)


def _loads(
    deployment: Deployment, recordings: Path | None, part: str | None, limit: float | None
) -> tuple[tuple[CoreLoad, ...], tuple[LoadChange, ...]]:
    """The load by core, and what would lower it where a core is over the limit."""
    if recordings is None:
        return (), ()
    from speck_adacal.chip.simulation import recordings_for
    from speck_adacal.events.sample_files import load_samples
    from speck_adacal.inspection.core_load import core_loads, load_changes

    data = load_samples(recordings).part(common.parse_slice(part))
    inputs = recordings_for(deployment, data.inputs)
    loads = core_loads(deployment, inputs)
    over = any(load.exceeds(limit) for load in loads)
    return loads, load_changes(deployment, inputs) if over else ()
