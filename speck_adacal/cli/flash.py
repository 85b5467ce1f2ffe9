"""`speck-adacal flash`: a bundle's configuration onto a board, or what would be done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speck_adacal.chip_description import parse_device
from speck_adacal.cli import common, early

if TYPE_CHECKING:
    from rich.console import Group

    from speck_adacal.bundles.chip_configuration import ChipConfiguration
    from speck_adacal.chip_description import DeviceName
    from speck_adacal.host.flash import FlashPlan
    from speck_adacal.reporting.narrowing import NarrowingTable

NAME = "flash"
EXAMPLE = "Example: speck-adacal flash digits.bundle --device speck2fdevkit:0 --dry-run"


def command(
    bundle: Annotated[Path, typer.Argument(help="What `deploy` or `demo` wrote.")],
    device: Annotated[
        str,
        typer.Option(
            "--device", help="A real board, such as speck2fdevkit:0, or virtual with --scene."
        ),
    ] = "speck2fdevkit:0",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The flash image to write [BUNDLE.flash.bin]."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; touch no device.")
    ] = False,
    host_fed: Annotated[
        bool, typer.Option("--host-fed", help="Also where it waits for a host's events.")
    ] = False,
    reset_each: Annotated[
        bool, typer.Option("--reset-each", help="Also where it was made for resets.")
    ] = False,
    scene: Annotated[
        Path | None,
        typer.Option("--scene", help="Recording of the sensor: decisions on a virtual board."),
    ] = None,
    as_json: common.Json = False,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Put a configuration on a board and write its flash image; a dry run without a real samna.

    Exit code 4 where the vendor's samna or the board is not there (0 with --dry-run).
    """
    image = out or bundle.with_name(f"{bundle.name}.flash.bin")
    if not dry_run and scene is None:
        early.refuse_early(image, force=force)
    opened = early.need_bundle(bundle)
    named = parse_device(device)
    early.need_file(scene, "--scene")
    from dataclasses import asdict

    from speck_adacal.bundles.bundle_files import stored_configuration
    from speck_adacal.errors import ConfigurationError
    from speck_adacal.host.devices import check_chip, require_real
    from speck_adacal.host.flash import flash, plan_flash, refuse_host_fed, refuse_resets

    with common.calm_libraries(quiet=quiet):
        configuration = stored_configuration(opened)
        check_chip(named, configuration.chip)
        if not host_fed:
            refuse_host_fed(configuration, bundle)
            if not reset_each:
                refuse_resets(opened)
        plan = plan_flash(configuration, named)
        shown = {} if scene is None else _decisions(configuration, named, scene)
        common.show(
            {**asdict(plan), "payload_bytes": plan.payload_bytes, "image": str(image), **shown},
            _view(plan, shown),
            as_json=as_json,
            quiet=quiet,
        )
        if not plan.valid:
            raise ConfigurationError(f"{plan.chip} would refuse this: {plan.message}")
        if dry_run or scene is not None:
            return
        require_real(named)
        done = flash(configuration, named, image, force=force)
    if not quiet and not as_json:
        common.console().print(
            f"{done.device} runs it until it is reset; {done.image}: {done.image_bytes:,} bytes "
            f"for the module's flash (SHA-256 {done.image_sha256[:12]}…)"
        )


def _decisions(
    configuration: ChipConfiguration, device: DeviceName, scene: Path
) -> dict[str, object]:
    from speck_adacal.events.recordings import read_recording
    from speck_adacal.host.scene_run import show_scene

    found = show_scene(configuration, device, read_recording(str(scene)))
    pairs = zip(found.t_us.tolist(), found.label.tolist(), strict=True)
    said = [{"t_us": t_us, "class": label} for t_us, label in pairs]
    return {"scene": {"kind": "simulated", "path": str(scene), "decisions": said}}


def _view(plan: FlashPlan, shown: dict[str, Any]) -> Group:
    from rich.console import Group

    from speck_adacal.cli.wiring_options import lines_of

    lines = lines_of(plan.wiring)
    if plan.slow_clock_hz is not None and not plan.wiring.ticks:
        lines.append(f"Slow clock: {plan.slow_clock_hz:g} Hz, external, for its leak")
    if shown:
        said = shown["scene"]["decisions"]
        lines += [f"{one['t_us'] / 1000:10.3f} ms: class {one['class']}" for one in said]
        lines.append(f"{len(said)} decisions on {shown['scene']['path']}, simulated")
    return Group(_table(plan), *lines)


def _table(plan: FlashPlan) -> NarrowingTable:
    from speck_adacal.reporting.narrowing import NarrowingTable

    table = NarrowingTable(
        "core",
        "layer",
        "weights",
        "neurons",
        "threshold",
        "to cores",
        "bytes",
        title=f"What {plan.device} ({plan.chip}) would be given",
        caption=(
            f"{plan.payload_bytes:,} bytes of weights, states and biases; the size of the flash "
            f"image is known to the vendor's samna alone. "
            f"{'Valid' if plan.valid else 'Refused'} by the {plan.validated_by} samna's validation."
        ),
    )
    for core in plan.cores:
        table.add_row(
            str(core.core),
            core.layer,
            f"{core.weights:,}",
            f"{core.neurons:,}",
            str(core.threshold),
            ", ".join(map(str, core.destinations)) or "readout",
            f"{core.payload_bytes:,}",
        )
    return table
