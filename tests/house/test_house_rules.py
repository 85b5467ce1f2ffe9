"""The house rules that a program can check: short files and functions, one name for one thing,
and no import that is not declared."""

from __future__ import annotations

import ast
import re
import statistics
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "speck_adacal").rglob("*.py"))
OUTSIDE = [
    path
    for folder in ("tests", "benchmarks", "scripts", "examples")
    for path in (ROOT / folder).rglob("*.py")
    if path.parent.name != "peers"  # other projects' simulators, each in an environment of its own
]
# Work in hand: this list only ever gets shorter.
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The virtual samna answers to the names that samna's own modules have.
STANDS_IN = {"samna", "samnagui"}


def lines(path):
    return len(path.read_text().splitlines())


def distribution(requirement):
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def imported(path):
    """Top-level names of everything that a file imports, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).split(".")[0]


def undeclared(files, declared, own):
    """Imports of `files` that belong to no declared distribution, with one file each."""
    known = packages_distributions()
    found = {}
    for path in files:
        for name in set(imported(path)) - set(sys.stdlib_module_names) - own - STANDS_IN:
            makers = {maker.lower().replace("_", "-") for maker in known.get(name, [name])}
            if not makers & declared:
                found[name] = str(path.relative_to(ROOT))
    return found


def test_files_are_short():
    sizes = {str(path.relative_to(ROOT)): lines(path) for path in FILES}
    assert {name for name, size in sizes.items() if size > 300} == set()
    assert statistics.median(sizes.values()) <= 120


def test_functions_are_short():
    long = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                size = node.end_lineno - node.lineno + 1
                if size > 80:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = size
    assert long == {}


def test_a_module_has_its_name_for_itself():
    """But for the command line, whose modules have the names of its verbs."""
    rooms = {}
    for path in FILES:
        if not path.name.startswith("__") and path.parent.name != "cli":
            rooms.setdefault(path.stem, []).append(str(path.relative_to(ROOT)))
    shared = {name: paths for name, paths in rooms.items() if len(paths) > 1}
    assert shared == {}


def test_what_the_package_imports_is_declared():
    declared = {distribution(r) for r in PROJECT["dependencies"]}
    for extra in ("recordings", "cluster"):
        declared |= {distribution(r) for r in PROJECT["optional-dependencies"][extra]}
    assert undeclared(FILES, declared, {"speck_adacal"}) == {}


def test_what_tests_and_scripts_import_is_declared():
    declared = {distribution(r) for r in PROJECT["dependencies"]}
    declared |= {
        distribution(r) for group in PROJECT["optional-dependencies"].values() for r in group
    }
    own = {"speck_adacal", *(path.stem for path in OUTSIDE), *(p.parent.name for p in OUTSIDE)}
    assert undeclared(OUTSIDE, declared, own) == {}


@pytest.mark.parametrize("name", ["numpy", "torch", "pydantic"])
def test_the_check_of_imports_would_see_one(name):
    declared = {distribution(r) for r in PROJECT["dependencies"]} - {name}
    assert name in undeclared(FILES, declared, {"speck_adacal"})


def test_the_architecture_names_what_is_there():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(r"`([a-z_0-9/]+(?:\.pyi?|/))`", text)
    roots = (ROOT / "speck_adacal", ROOT)
    inside = {path.name for path in FILES}
    missing = [n for n in named if n not in inside and not any((r / n).exists() for r in roots)]
    assert len(named) > 40
    assert missing == []
    rooms = {
        path.name for path in (ROOT / "speck_adacal").iterdir() if (path / "__init__.py").exists()
    }
    assert {room for room in rooms if f"`{room}/`" not in text} == set()
