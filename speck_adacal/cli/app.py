"""The `speck-adacal` command: its verbs, and how errors become exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from speck_adacal.cli import (
    adapt,
    autopsy,
    check,
    datasets,
    demo,
    deploy,
    devices,
    diff,
    env,
    exits,
    export,
    flash,
    front,
    report,
    simulate,
    stream,
    verify,
    virtual,
)
from speck_adacal.errors import SpeckAdacalError

app = typer.Typer(
    name="speck-adacal",
    help=(
        "Turn a trained PyTorch network into a spiking one without training, and put it on a "
        "SynSense Speck or on its simulation. Start with: speck-adacal demo"
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_VERBS = (
    *(demo, check, adapt, front, deploy, simulate, exits, stream),
    *(autopsy, verify, diff, export, flash, report),
)
for module in (*_VERBS, devices, env):
    app.command(name=module.NAME, epilog=module.EXAMPLE)(module.command)
for group in (datasets, virtual):
    app.add_typer(group.app, name=group.NAME)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 ok, 1 user error, 2 usage, 3 design rule, 4 hardware."""
    try:
        app(args=None if arguments is None else list(arguments))
    except SpeckAdacalError as error:
        sys.stderr.write(f"speck-adacal: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("speck-adacal: stopped; nothing was written.\n")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
