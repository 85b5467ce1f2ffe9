"""`speck-adacal virtual`: run any samna program on the virtual dev kit."""

from __future__ import annotations

from typing import Annotated

import typer

NAME = "virtual"
EXAMPLE = (
    "Examples: speck-adacal virtual run my_speck_script.py --epochs 3; "
    "speck-adacal virtual run --boards speck2fmodule:2 -m pytest tests"
)

app = typer.Typer(
    name=NAME,
    help="Programs written for a Speck dev kit, run on a virtual one.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Boards = Annotated[
    str | None,
    typer.Option(
        "--boards",
        help="Virtual boards, such as speck2fmodule:2,speck2edevkit; by default those of the "
        "variable SPECK_ADACAL_VIRTUAL, and without it one of each type.",
    ),
]
Fast = Annotated[
    bool,
    typer.Option(
        "--fast/--real-time",
        help="As fast as possible, where time moves with the events' time stamps only; "
        "by default in real time.",
    ),
]
Scene = Annotated[
    str | None,
    typer.Option(
        "--scene",
        help="A recording (.npz, .aedat4, .raw, .dat, N-MNIST .bin) that the boards' sensors see "
        "again and again; by default that of SPECK_ADACAL_VIRTUAL_SCENE, else nothing moves.",
    ),
]
Once = Annotated[
    bool, typer.Option("--scene-once", help="Show the scene once instead of again and again.")
]
ViewSeconds = Annotated[
    float | None,
    typer.Option(
        "--view-seconds",
        help="End live views (samnagui) after so many seconds, for programs that wait until "
        "somebody closes the window; by default that of SPECK_ADACAL_VIRTUAL_VIEW_S.",
    ),
]
Compat = Annotated[
    str | None,
    typer.Option(
        "--compat",
        help="sinabs2: let programs written for sinabs 2 run, as far as that can be bridged.",
    ),
]
Module = Annotated[
    bool, typer.Option("-m", help="PROGRAM is a module to run, as in python -m PROGRAM.")
]


@app.callback()
def group() -> None:
    """Programs written for a Speck dev kit, run on a virtual one."""


@app.command(
    name="run",
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False},
    epilog=EXAMPLE,
)
def run(
    program: Annotated[str, typer.Argument(help="Path of a script, or with -m a module.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="Passed on to the program as they are.")
    ] = None,
    module: Module = False,
    boards: Boards = None,
    fast: Fast = False,
    scene: Scene = None,
    scene_once: Once = False,
    view_seconds: ViewSeconds = None,
    compat: Compat = None,
) -> None:
    """Run a program with the virtual samna in place of the vendor's library.

    The program sees itself as __main__, with its own sys.argv, and its exit code is returned.
    Options for this command go before the program's name, the program's own after it.
    """
    from speck_adacal.virtual_samna.launch import run_program

    own = arguments or []
    run_program(
        program,
        own,
        as_module=module,
        boards=boards,
        fast=fast,
        scene=scene,
        scene_once=scene_once,
        view_seconds=view_seconds,
        compat=compat,
    )
