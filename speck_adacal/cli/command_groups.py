"""The list of commands in the program's help: by what one wants, whole sentences, none cut."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

GROUPS = {
    "Start": ("demo", "convert", "show", "env"),
    "Convert, step by step": ("check", "import", "adapt", "front", "deploy", "exits", "export"),
    "Measure": ("simulate", "report", "autopsy", "verify", "diff", "events", "datasets"),
    "Device": ("stream", "devices", "flash", "virtual"),
}
"""Headings, and the commands under them, in the order in which they are shown."""
_WHOLE = 10_000


class GroupedCommands(TyperGroup):
    """Lists commands under the headings of `GROUPS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names in the order of the groups."""
        return [name for names in GROUPS.values() for name in names if name in self.commands]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each group with the first sentence of each command's help, wrapped, not cut."""
        for heading, names in GROUPS.items():
            rows = [(name, self.commands[name].get_short_help_str(_WHOLE)) for name in names]
            with formatter.section(heading):
                formatter.write_dl(rows)
