"""Options that every verb shares, and how results leave the program."""

from __future__ import annotations

import json
import logging
import math
import os
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speck_adacal.chip_description import chip_named
from speck_adacal.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_WIDTH_OF_FILES = 110

Json = Annotated[bool, typer.Option("--json", help="Print machine-readable results to stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output where it exists.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
BundleSeed = Annotated[
    int | None, typer.Option("--seed", min=0, help="Seed; the bundle's own if left out.")
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", help="How many pieces of work run at once on this machine.")
]
Dask = Annotated[
    str | None,
    typer.Option("--dask", help="A Dask scheduler, such as tcp://10.0.0.5:8786, to run them on."),
]
BundleOut = Annotated[
    Path, typer.Option("--out", "-o", help="The bundle to write (folder, or .zip).")
]
Chip = Annotated[
    str,
    typer.Option(
        "--chip",
        callback=chip_named,
        help="speck2f, speck2e, or a board that has one, such as speck2fdevkit.",
    ),
]


def console(*, to_stderr: bool = False) -> Console:
    """A rich console on stdout or stderr; colours only on a terminal."""
    from rich.console import Console

    stream = sys.stderr if to_stderr else sys.stdout
    width = None if stream.isatty() or _columns_are_set() else _WIDTH_OF_FILES
    # Paths and names are shown as they are: a bracket or colons in them are no markup.
    return Console(stderr=to_stderr, highlight=False, markup=False, emoji=False, width=width)


def _columns_are_set() -> bool:
    """Whether the variable COLUMNS says how wide output is; rich follows it by itself."""
    return os.environ.get("COLUMNS", "").isdecimal()


def show(results: Any, rendered: RenderableType, *, as_json: bool, quiet: bool) -> None:
    """Print results: as JSON, for people, or not at all."""
    if as_json:
        sys.stdout.write(json.dumps(results, indent=2, allow_nan=False) + "\n")
    elif not quiet:
        console().print(rendered)


def spread(jobs: int, dask: str | None) -> AbstractContextManager[None]:
    """`spread_over`, loaded where it is asked for.

    Raises:
        SettingsError: as `spread_over` says.
    """
    if jobs == 1 and dask is None:
        return nullcontext()
    from speck_adacal.spread import spread_over

    return spread_over(jobs, dask)


@contextmanager
def calm_libraries(*, quiet: bool = False) -> Iterator[None]:
    """Keep deprecation notes of libraries, which no user can act on, off the screen; where
    `quiet`, our own log lines too."""
    log = logging.getLogger("speck_adacal")
    before = log.level
    if quiet:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        log.setLevel(before)


def parse_shape(text: str) -> tuple[int, ...]:
    """`"1,28,28"` to `(1, 28, 28)`.

    Raises:
        SettingsError: it is no list of positive numbers.
    """
    try:
        shape = tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise SettingsError(
            f"--input-shape {text!r} is no shape; give positive numbers such as 1,28,28."
        )
    if len(shape) == 2:
        height, width = shape
        raise SettingsError(
            f"--input-shape {text!r} has two numbers, {shape}; channels come first: give "
            f"1,{height},{width} for grey images, 3,{height},{width} for colours, "
            f"2,{height},{width} for events."
        )
    return shape


def parse_numbers(text: str) -> list[float]:
    """`"0.5,0.4"` to a list of numbers.

    Raises:
        SettingsError: it is none.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(map(math.isfinite, numbers)):
        raise SettingsError(
            f"--normalize takes numbers, one or one a channel, found {text!r}; give for instance "
            "--normalize 0.1307 0.3081."
        )
    return numbers


def parse_counts(text: str | None, option: str) -> tuple[int, ...] | None:
    """`"4,2"` to `(4, 2)`.

    Raises:
        SettingsError: it is no list of positive numbers.
    """
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise SettingsError(f"{option} is {text!r}; give positive numbers such as 4,2.")
    return tuple(int(part) for part in parts)


def parse_pair(text: str, option: str) -> tuple[int, int]:
    """`"12,8"` to `(12, 8)`.

    Raises:
        SettingsError: it is not two whole numbers.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise SettingsError(f"{option} is two whole numbers, such as 12,12; found {text!r}.")
    return int(parts[0]), int(parts[1])


def parse_slice(text: str | None, option: str = "--samples") -> slice:
    """`"0:200"`, `":200"` or `"200"` (the first 200) to a slice.

    Raises:
        SettingsError: it is none of these.
    """
    if text is None:
        return slice(None)
    parts = text.split(":")
    try:
        numbers = [int(part) if part else None for part in parts]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 2 or any(n is not None and n < 0 for n in numbers):
        raise SettingsError(f"{option} {text!r} is no range; give N, or FROM:TO such as 0:200.")
    return slice(*numbers) if len(numbers) == 2 else slice(0, numbers[0])


def parse_lower_clip(text: str) -> float | None:
    """`"recipe"` to None, `"open"` to infinity, `"threshold"` to 1, a number (in firing thresholds)
    to itself.

    Raises:
        SettingsError: it is none of these.
    """
    named = {"recipe": None, "open": math.inf, "threshold": 1.0}
    if text in named:
        return named[text]
    try:
        return float(text)
    except ValueError:
        raise SettingsError(
            f"--lower-clip is {text!r}; give 'recipe', 'open', 'threshold', or how many firing "
            "thresholds below zero."
        ) from None


def command_line() -> str:
    """The command as typed, for the manifest; the path of the program itself is left out."""
    return shlex.join(["speck-adacal", *sys.argv[1:]])
