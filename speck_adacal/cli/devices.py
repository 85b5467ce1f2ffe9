"""`speck-adacal devices`: the boards that a program would find, real or virtual."""

from __future__ import annotations

from speck_adacal.cli import common

NAME = "devices"
EXAMPLE = "Example: speck-adacal devices --json"


def command(
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """List the dev kits that are there: real ones if the vendor's samna is installed, else virtual.

    Which virtual ones there are is declared in SPECK_ADACAL_VIRTUAL, such as speck2fmodule:2.
    """
    from speck_adacal.reporting.narrowing import NarrowingTable
    from speck_adacal.virtual_samna.launch import list_boards

    backend, boards = list_boards()
    results = {
        "samna": {"kind": backend.kind, "version": backend.version, "reason": backend.reason},
        "devices": [
            {"name": b.name, "type": b.type_name, "serial": b.serial, "kind": b.kind}
            for b in boards
        ],
    }
    title = f"{backend.kind} devices ({backend.reason})"
    table = NarrowingTable("name in sinabs", "type in samna", "serial number", "kind", title=title)
    for board in boards:
        table.add_row(board.name, board.type_name, board.serial, board.kind)
    if not boards:
        table.add_row("none", "", "", "")
    common.show(results, table, as_json=as_json, quiet=quiet)
