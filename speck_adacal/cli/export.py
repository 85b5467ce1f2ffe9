"""`speck-adacal export`: a bundle's chip configuration for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speck_adacal.cli import common

if TYPE_CHECKING:
    from speck_adacal.bundles.chip_configuration import ChipConfiguration

NAME = "export"
EXAMPLE = "Example: speck-adacal export digits.bundle --format nir -o digits.nir"


def command(
    bundle: Annotated[Path, typer.Argument(help="What `deploy` or `demo` wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")],
    kind: Annotated[
        str,
        typer.Option(
            "--format", help="nir, json (ours, versioned), or samna (needs the vendor's library)."
        ),
    ] = "json",
    as_json: common.Json = False,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Write the chip configuration as NIR, as our JSON, or as samna's own JSON.

    Exit code 4 for samna's JSON where the vendor's library is not installed.
    """
    common.refuse_early(out, force=force)
    from speck_adacal.bundle import read_bundle
    from speck_adacal.bundles.files import stored_configuration
    from speck_adacal.errors import SettingsError

    writers = {"nir": _nir, "json": _json, "samna": _samna}
    if kind not in writers:
        raise SettingsError(f"--format must be one of {', '.join(writers)}, found {kind!r}.")
    with common.calm_libraries(quiet=quiet):
        writers[kind](stored_configuration(read_bundle(bundle)), out, force)
    size = out.stat().st_size
    results = {"file": str(out), "format": kind, "bytes": size}
    common.show(results, f"{out}: {kind}, {size:,} bytes", as_json=as_json, quiet=quiet)


def _nir(configuration: ChipConfiguration, out: Path, force: bool) -> None:
    from speck_adacal.bundles.nir_export import write_nir

    write_nir(configuration, out, force=force)


def _json(configuration: ChipConfiguration, out: Path, force: bool) -> None:
    from speck_adacal.bundle import new_file
    from speck_adacal.bundles.configuration_json import dump_configuration

    with new_file(out, force=force) as temporary:
        temporary.write_bytes(dump_configuration(configuration))


def _samna(configuration: ChipConfiguration, out: Path, force: bool) -> None:
    from speck_adacal.bundle import new_file
    from speck_adacal.errors import HardwareMissingError
    from speck_adacal.virtual_samna import ensure_samna
    from speck_adacal.virtual_samna.backend import INSTALL_HINT

    if ensure_samna().kind != "real":
        raise HardwareMissingError(
            "samna's own JSON is written by the vendor's samna alone, since its layout is not "
            f"public; {INSTALL_HINT.split(', or')[0]}, or use --format json."
        )
    with new_file(out, force=force) as temporary:
        temporary.write_text(configuration.to_samna().to_json(), encoding="utf-8")
