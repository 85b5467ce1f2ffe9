"""`speck-adacal env`: what this installation is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speck_adacal.cli import common, early

NAME = "env"
EXAMPLE = "Example: speck-adacal env --json"

_TOOLS = ("speck-adacal", "torch", "sinabs", "samna", "tonic", "numba", "numpy", "rich")


def command(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write what was found to this JSON file too.")
    ] = None,
    as_json: common.Json = False,
    seed: common.Seed = 0,
    force: common.Force = False,
    quiet: common.Quiet = False,
) -> None:
    """Show versions, the samna back end in use, and where caches are; nothing here is random."""
    early.refuse_early(out, force=force)
    import os
    import platform
    from importlib import metadata

    import platformdirs

    from speck_adacal.bundle import dump_json, new_file
    from speck_adacal.errors import BackendError, HardwareMissingError
    from speck_adacal.reporting.narrowing import NarrowingTable
    from speck_adacal.virtual_samna import ensure_samna

    versions = {}
    for tool in _TOOLS:
        try:
            versions[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            versions[tool] = "not installed"
    try:
        backend = ensure_samna()
        samna = {"kind": backend.kind, "reason": backend.reason}
    except (BackendError, HardwareMissingError) as error:
        samna = {"kind": "none", "reason": str(error)}
    results = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "versions": versions,
        "samna": samna,
        "cache": platformdirs.user_cache_dir("speck-adacal"),
    }
    table = NarrowingTable("what", "found", title="speck-adacal environment")
    for key in ("python", "system", "processors", "cache"):
        table.add_row(key, str(results[key]))
    for tool, version in versions.items():
        table.add_row(tool, version)
    table.add_row("samna back end", f"{samna['kind']}: {samna['reason']}")
    if out is not None:
        with new_file(out, force=force) as temporary:
            temporary.write_bytes(dump_json(results))
    common.show(results, table, as_json=as_json, quiet=quiet)
