"""Hooks of the documentation site: what is made from the code when the site is built.

`reference/cli.md` is every command's own `--help`, and the tables of the chip's memories and rules
come from its description, so that they cannot say something else than the program does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from mkdocs.structure.files import File, Files

CLI_PAGE = "reference/cli.md"
_WIDTH = 96


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    files.append(File.generated(config, CLI_PAGE, content=cli_page()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put tables where a page asks for them."""
    for name, table in (("cores", core_table), ("rules", rule_table)):
        place = f"<!-- put here when the site is built: {name} -->"
        if place in markdown:
            markdown = markdown.replace(place, table())
    return markdown


def core_table() -> str:
    """Memories of the cores of a speck2f, in Ki words."""
    from speck_adacal.chip_description import load_chip_description

    lines = ["| core | kernel, 8 bits | neurons, 16 bits | biases, 16 bits |", "|---|---|---|---|"]
    for number, core in enumerate(load_chip_description().cores):
        words = (core.kernel, core.neuron, core.bias)
        lines.append(f"| {number} | {' | '.join(str(count // 1024) for count in words)} |")
    return "\n".join(lines)


def rule_table() -> str:
    """Every design rule in its own words."""
    from speck_adacal.rules.rules import LAYER_RULES

    return "\n".join(f"- {(rule.__doc__ or '').strip()}" for rule in LAYER_RULES)


def cli_page() -> str:
    """The reference of the command line, from typer's own help."""
    os.environ["TERMINAL_WIDTH"] = str(_WIDTH)
    parts = [
        "# Command line",
        "Exit codes: 0 ok, 1 user error, 2 usage, 3 a design rule of the chip is violated, "
        "4 hardware missing. Results go to stdout, progress to stderr.",
    ]
    for path, text in command_helps():
        parts += [f"## `{path}`", f"```text\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def command_helps() -> Iterator[tuple[str, str]]:
    """Each command's full name and help, groups opened."""
    import typer

    from speck_adacal.cli.app import app

    def walk(command: Any, path: str, parent: Any) -> Iterator[tuple[str, str]]:
        context = type(command).context_class(
            command, info_name=path if parent is None else path.split()[-1], parent=parent
        )
        context.max_content_width = context.terminal_width = _WIDTH
        children = getattr(command, "commands", {})
        if not children or parent is None:
            yield path, command.get_help(context).strip()
        for name, child in children.items():
            yield from walk(child, f"{path} {name}", context)

    yield from walk(typer.main.get_command(app), "speck-adacal", None)
