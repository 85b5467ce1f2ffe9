"""`speck-adacal flash`: a bundle's configuration onto a board, or what would be done."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speck_adacal.cli import common

if TYPE_CHECKING:
    from rich.table import Table

    from speck_adacal.host.flash import FlashPlan

NAME = "flash"
EXAMPLE = "Example: speck-adacal flash digits.bundle --device speck2fdevkit:0 --dry-run"


def command(
    bundle: Annotated[Path, typer.Argument(help="What `deploy` or `demo` wrote.")],
    device: Annotated[
        str, typer.Option("--device", help="A real board, such as speck2fdevkit:0.")
    ] = "speck2fdevkit:0",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The flash image to write [BUNDLE.flash.bin]."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done; touch no device.")
    ] = False,
    as_json: common.Json = False,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Put a configuration on a board and write its flash image; a dry run without a real samna.

    Exit code 4 where the vendor's samna or the board is not there (0 with --dry-run).
    """
    image = out or bundle.with_name(f"{bundle.name}.flash.bin")
    if not dry_run:
        common.refuse_early(image, force=force)
    from dataclasses import asdict

    from speck_adacal.bundle import read_bundle
    from speck_adacal.bundles.bundle_files import stored_configuration
    from speck_adacal.errors import ConfigurationError
    from speck_adacal.host.devices import check_chip, parse_device, require_real
    from speck_adacal.host.flash import flash, plan_flash

    named = parse_device(device)
    with common.calm_libraries(quiet=quiet):
        configuration = stored_configuration(read_bundle(bundle))
        check_chip(named, configuration.chip)
        plan = plan_flash(configuration, named)
        common.show(
            {**asdict(plan), "payload_bytes": plan.payload_bytes, "image": str(image)},
            _table(plan),
            as_json=as_json,
            quiet=quiet,
        )
        if not plan.valid:
            raise ConfigurationError(f"{plan.chip} would refuse this: {plan.message}")
        if dry_run:
            return
        require_real(named)
        done = flash(configuration, named, image, force=force)
    if not quiet and not as_json:
        common.console().print(
            f"{done.device} runs it until it is reset; {done.image}: {done.image_bytes:,} bytes "
            f"for the module's flash (SHA-256 {done.image_sha256[:12]}…)"
        )


def _table(plan: FlashPlan) -> Table:
    from rich.table import Table

    table = Table(
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
