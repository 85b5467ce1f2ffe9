"""`speck-adacal export`: a bundle's chip configuration for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common, early
from speck_adacal.errors import SettingsError

_FORMATS = ("nir", "json", "samna")
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
    early.refuse_early(out, force=force)
    early.need_bundle(bundle)
    if kind not in _FORMATS:
        raise SettingsError(f"--format must be one of {', '.join(_FORMATS)}, found {kind!r}.")
    import speck_adacal

    with common.calm_libraries(quiet=quiet):
        speck_adacal.export(bundle, out, format=kind, force=force)
    size = out.stat().st_size
    results = {"file": str(out), "format": kind, "bytes": size}
    common.show(results, f"{out}: {kind}, {size:,} bytes", as_json=as_json, quiet=quiet)
