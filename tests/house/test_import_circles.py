"""No module of the package leads back to itself by imports, wherever they stand in a file."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "speck_adacal"


def modules() -> dict[str, Path]:
    named = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def only_for_checkers(tree: ast.Module) -> set[int]:
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If)]
    blocks = [n for n in blocks if "TYPE_CHECKING" in ast.unparse(n.test)]
    return {id(inner) for block in blocks for inner in ast.walk(block)}


def imported(path: Path, known: dict[str, Path], *, checkers: bool) -> set[str]:
    """Modules of the package that a file imports, in functions too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out = set() if checkers else only_for_checkers(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{name.name}" for name in node.names}
            found |= (inner & known.keys()) or {node.module}
    return found & known.keys()


def check(names: set[str], *, checkers: bool) -> None:
    known = modules()
    edges = {
        name: (imported(known[name], known, checkers=checkers) & names) - {name} for name in names
    }
    try:
        tuple(TopologicalSorter(edges).static_order())
    except CycleError as error:
        pytest.fail(f"imports in a circle: {' -> '.join(error.args[1])}")


def test_no_import_circle_in_the_package():
    check(set(modules()), checkers=False)


@pytest.mark.parametrize("room", ["twin", "virtual_samna", "chip_description", "rules"])
def test_no_circle_in_a_room_even_for_type_checkers(room):
    check({n for n in modules() if n.startswith(f"speck_adacal.{room}")}, checkers=True)
