"""The `speck-adacal` command: its verbs, and how errors become exit codes."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

from speck_adacal.cli import (
    adapt,
    autopsy,
    check,
    convert,
    datasets,
    demo,
    deploy,
    devices,
    diff,
    env,
    events,
    exits,
    export,
    flash,
    front,
    import_network,
    report,
    show,
    simulate,
    stream,
    verify,
    virtual,
)
from speck_adacal.cli.command_groups import GroupedCommands
from speck_adacal.errors import SpeckAdacalError

_HELP = (
    "Turn a trained PyTorch network into a spiking one without training, and put it on a "
    "SynSense Speck or on its simulation. Start with: speck-adacal demo"
)


def _say_version(asked: bool) -> None:
    """Print the version and end."""
    if asked:
        from speck_adacal import __version__

        sys.stdout.write(f"speck-adacal {__version__}\n")
        raise typer.Exit


app = typer.Typer(
    name="speck-adacal",
    help=_HELP,
    no_args_is_help=True,
    cls=GroupedCommands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_VERBS = (
    *(demo, convert, check, adapt, import_network, front, deploy, simulate, exits, stream),
    *(autopsy, verify, diff, export, flash, report, show),
)
for module in (*_VERBS, devices, env):
    app.command(name=module.NAME, epilog=module.EXAMPLE)(module.command)
for group in (datasets, events, virtual):
    app.add_typer(group.app, name=group.NAME)


@app.callback(help=_HELP)
def program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program itself; `--version` has ended it before this runs."""


class _StoppedError(SpeckAdacalError):
    """Ctrl-C, where a command was at work."""

    exit_code = 130


def _stoppable(command: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except KeyboardInterrupt as stop:
            raise _StoppedError(f"stopped; {_what_is_kept(options)}") from stop
        except MemoryError as error:
            raise SpeckAdacalError("There is not enough memory; give fewer samples.") from error

    return run


for registered in (
    *app.registered_commands,
    *datasets.app.registered_commands,
    *events.app.registered_commands,
):
    if registered.callback is not None:
        registered.callback = _stoppable(registered.callback)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 ok, 1 user error, 2 usage, 3 design rule, 4 hardware,
    130 stopped."""
    for output in (sys.stdout, sys.stderr):  # a terminal without φ still shows the rest
        if isinstance(output, io.TextIOWrapper) and output.errors == "strict":
            output.reconfigure(errors="replace")
    code: int | str | None = 0
    try:
        try:
            app(args=None if arguments is None else list(arguments))
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
    except SpeckAdacalError as error:
        sys.stderr.write(f"speck-adacal: {error}\n")
        code = error.exit_code
    except OSError as error:
        _no_more_output()
        if error.errno != errno.EPIPE:
            sys.stderr.write(f"speck-adacal: the output cannot be written ({error.strerror}).\n")
        code = 1
    sys.exit(code)


def _what_is_kept(options: Mapping[str, Any]) -> str:
    """What a stopped command leaves behind."""
    kept = "outputs are written whole or not at all, so none is half-written."
    if options.get("work") is not None:
        kept += f" Finished work is in {options['work']}: the same command goes on from there."
    return kept


def _no_more_output() -> None:
    """Let nothing more be written to stdout, also when the interpreter ends and flushes it."""
    with contextlib.suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)
